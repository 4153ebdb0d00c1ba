# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What commands of a shell do to devices, as far as their text tells. Pure.

A line that names addresses is about these. A line with variables is about what the whole text names, with "may"; where the text
looks for devices itself (lspci, a glob, arguments), about every device.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import (
    NEW_ID,
    NUMBER,
    OVERRIDE,
    PROGRAM,
    Claim,
    any_of,
    by_interface,
)
from ansible_collections.vfio.host.plugins.module_utils._competitors.writes import addresses_in, ids_in, write
from ansible_collections.vfio.host.plugins.module_utils._host import foreignpaths
from ansible_collections.vfio.host.plugins.module_utils._host.words import trimmed
from ansible_collections.vfio.host.plugins.module_utils._host.words import words as words_of

if TYPE_CHECKING:
    from typing import Iterator, Mapping

    from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Fits, Script, Target

# echo VALUE > PATH, also through tee, printf, with quotes.
_ECHO = re.compile(
    r"""(?:echo|printf)\s+(?:-[neE]+\s+)*(?P<value>"[^"]*"|'[^']*'|[^\n;|&>"']*?)\s*"""
    r"""(?:\|\s*(?:sudo\s+)?(?:/\S*/)?tee\s+(?:-a\s+|--append\s+)?|>>?\|?\s*)(?P<path>(?:"[^"]*"|'[^']*'|[^\s;|&"')])+)"""
)
# /etc/bind is a name server's; /sys%p and /sys$devpath are udev's, and /sys$DEVPATH a script's that it runs.
_SYS = re.compile(r"driver_override|sriov_numvfs|sriov_drivers_autoprobe|(?<!/etc)/(?:un)?bind(?![\w/.-])|/new_id\b|/remove_id\b|/sys[/%$]\S*/remove\b")
_TOOLS = re.compile(
    r"(?<![\w.-])(?:driverctl|dpdk-devbind(?:\.py)?|vfio-manage|vfio-pci-bind(?:\.sh)?|vfio-pci-override\S*|sriov-manage|"
    r"virsh\s+nodedev-(?:detach|dettach|reattach)|spdk\S*/setup\.sh|scripts/setup\.sh|mlnx_sriov\S*|vfio-bind\S*)(?![\w-])"
)
_DRIVERCTL = re.compile(
    r"driverctl\s+(?:(?:-\w+|--\w+)(?:\s+(?:pci|vmbus))?\s+)*(?P<verb>set-override|unset-override)\s+"
    r"(?P<address>[^\s;&|\"']+)(?:\s+(?P<driver>[^\s;&|\"']+))?"
)
_DEVBIND = re.compile(r"dpdk-devbind(?:\.py)?\s+(?:\S+\s+)*?(?:-b|--bind)[ =](?P<driver>\S+)")
_MODPROBE = re.compile(r"modprobe\s(?:[^;|&]*\s)?(?P<module>vfio[-_]pci)\s(?:[^;|&]*\s)?ids=(?P<ids>[^\s;|&]+)")
_MAKES_VFS = re.compile(r"modprobe\s+(?:-\S+\s+)*(?P<module>\w[\w-]*)\s(?:[^;|&]*\s)?(?:max|num)_vfs=(?P<number>\d+)")
_ASSIGNMENT = re.compile(r"""(?:^|[;\s])(?:export\s+|local\s+|readonly\s+)?(\w+)=\(?("[^"]*"|'[^']*'|[^\s;()]*)""")
_LOOP = re.compile(r"\bfor\s+(\w+)\s+in\s+([^;\n]+)")
_USE = re.compile(r"\$(?:\{(\w+)(?:\[[@*]\])?\}|(\w+))")
_SEARCHES = re.compile(r"lspci|\$\(|`|\$[0-9@*#]|/devices/[^\s\"']*[*?]|\bfind\b|\bread\b|\bargv\b|\bgetopt|\bls\b")
_BLOCK = re.compile(r"(?:^|[;&|(\s])(if|case|while|until|for|fi|esac|done|\{|\})(?=[;&|)\s]|$)")
_ENDS = ("fi", "esac", "done", "}")
_CONDITION = re.compile(r"&&|\|\||(?:^|[;\s])(?:if|case|while|until)\s")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'|\$\{[^}]*\}")
_COMMENT = re.compile(r"""(?:^|\s)#.*$""")
_PROGRAMS = re.compile(r"(?<![\w./$}-])(?:/[\w./@+-]+|\w[\w.@+-]*(?![\w./=@+-]))")
_SHELL = re.compile(r"#![^\n]*sh\b")
_COMMENTS = re.compile(r"^\s*#.*$", re.MULTILINE)
_MOST_OF_LINE = 4096
_MOST = 64  # values of variables in one path


def speaks_of_devices(text: str) -> bool:
    """Whether claims() may find anything in a text. Cheap."""
    return bool(_SYS.search(text) or _TOOLS.search(text) or _MODPROBE.search(text) or _MAKES_VFS.search(text))


def claims(
    text: str, place: str, *, first: int = 1, script: Script | None = None, says: str = "", seen: set[str] | None = None,
) -> list[Claim]:
    """The Claims of a shell's text. ``place``: its path, or path and line; then ``first`` is 0.

    ``script``: path or name -> text of a script that a line may run, or ""; ``says``: how the line reads, else the line itself;
    ``seen``: the scripts that were read on the way to this one; of one that a line runs again nothing new is told.
    """
    found: list[Claim] = []
    blocks: list[str] = []
    variables = _variables(text)
    for number, line in _lines(text):
        is_sure = not _is_conditional(line, blocks)
        where = f"{place}:{first + number}" if first else place
        said = says or f"'{_short(line)}'"
        if len(line) > _MOST_OF_LINE:
            found += [Claim(where, PROGRAM, None, said, lambda target: None)] if speaks_of_devices(line) else []
            continue
        mine = _writes(line, where, text, variables, said) + _tools(line, where, text, said)
        if not mine and _SYS.search(line):
            mine = [Claim(where, PROGRAM, None, said, _about(line, text))]
        found += mine if is_sure else map(_as_may, mine)
        if script is not None:
            for path in _PROGRAMS.findall(line):
                found += _of_script(path, script, where=where, line=line, said=said, seen=set() if seen is None else seen)
    return found


def _of_script(path: str, script: Script, *, where: str, line: str, said: str, seen: set[str]) -> list[Claim]:
    """The Claims of a script that a line runs, and of those that this one runs in its turn."""
    text = script(path)
    if text and "/" not in path:
        path = next((one for one in (f"{place}/{path}" for place in foreignpaths.LOCAL_PROGRAMS) if script(one)), path)
    if not text or path in seen:
        return []
    seen.add(path)
    is_shells = bool(_SHELL.match(text))
    if not speaks_of_devices(text):
        names = dict.fromkeys(_PROGRAMS.findall(_COMMENTS.sub("", text))) if is_shells else ()
        return [claim for one in names for claim in _of_script(one, script, where=where, line=line, said=said, seen=seen)]
    # Its own arguments are in this line.
    inner = claims(text, path, script=script if is_shells else None, seen=seen)
    return [_as_may(one) for one in inner] or [Claim(where, PROGRAM, None, said, _about(line, text))]


def _is_conditional(line: str, blocks: list[str]) -> bool:
    """Whether a line is done only under a condition. ``blocks``: the words that begin what it is in, kept up to date."""
    for word in _BLOCK.findall(_QUOTED.sub("", line)):
        if word in _ENDS and blocks:
            blocks.pop()
        elif word not in _ENDS:
            blocks.append(word)
    return any(word != "for" for word in blocks) or bool(_CONDITION.search(line))


def _as_may(claim: Claim) -> Claim:
    return replace(claim, is_sure=False)


def _short(line: str) -> str:
    text = " ".join(words_of(line))
    return text if len(text) <= 120 else text[:117] + "..."


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """(number from 0, line) without comments; a backslash joins a line with the next."""
    number = 0
    for line in text.replace("\\\n", "\\\0").split("\n"):
        stripped = trimmed(line)
        if not stripped.startswith("#"):
            yield number, _COMMENT.sub("", stripped.replace("\\\0", " "))
        number += 1 + line.count("\\\0")


def _variables(text: str) -> dict[str, list[str]]:
    """Variable -> the texts that plain assignments and loops give it."""
    found: dict[str, list[str]] = {}
    for name, value in _ASSIGNMENT.findall(text):
        found.setdefault(name, []).append(value.strip("\"'"))
    for name, values in _LOOP.findall(text):
        words = _expand(values.replace('"', ""), found)
        found.setdefault(name, []).extend(word for one in words for word in words_of(one) if word != "do")
    return found


def _expand(text: str, variables: Mapping[str, list[str]]) -> list[str]:
    """The texts that a text with variables may stand for. An unknown variable stays as it is."""
    names = {one or other for one, other in _USE.findall(text)} & set(variables)
    if not names:
        return [text]
    choices = [[(name, value) for value in variables[name]] for name in sorted(names)]
    texts = [_filled(text, dict(chosen)) for chosen in itertools.islice(itertools.product(*choices), _MOST + 1)]
    return texts if len(texts) <= _MOST else [text]


def _filled(text: str, values: Mapping[str, str]) -> str:
    """A text with the values of its variables, as far as they are known."""
    return _USE.sub(lambda use: values.get(use.group(1) or use.group(2), use.group()), text)


def _plain(text: str) -> str:
    return text.replace('"', "").replace("'", "")


def _writes(line: str, where: str, text: str, variables: Mapping[str, list[str]], says: str) -> list[Claim]:
    found = []
    for one in _ECHO.finditer(line):
        value, path = _plain(one.group("value")), _plain(one.group("path"))
        for place, content in itertools.product(_expand(path, variables), _expand(value, variables)):
            content = content.replace("\\n", "")
            claim = write(place, content, where=where, says=says, values=text if "$" in content else None)
            if claim is not None and "$" in place:
                claim = replace(claim, fits=_about(line, text))
            elif claim is not None and re.search(r"[*?\[]", place):
                claim = _as_may(claim)  # whatever a loop finds, of which it may leave some
            elif claim is None and _SYS.search(place):
                known = None if "$" in content or "`" in content else content
                claim = Claim(where, _verb(place), known, says, _about(line, text))
            if claim is not None:
                found.append(claim)
    return found


def _verb(path: str) -> str:
    if path.endswith("sriov_numvfs"):
        return NUMBER
    return OVERRIDE if path.endswith("driver_override") else PROGRAM


def _tools(line: str, where: str, text: str, says: str) -> list[Claim]:
    found = []
    for one in _DRIVERCTL.finditer(line):
        driver = one.group("driver") if one.group("verb") == "set-override" else ""
        found.append(Claim(where, OVERRIDE, None if "$" in (driver or "") else driver, says, _about(one.group("address"), text)))
    for one in _DEVBIND.finditer(line):
        driver = one.group("driver")
        found.append(Claim(where, OVERRIDE, None if "$" in driver else driver, says, _about(line, text)))
    for one in _MODPROBE.finditer(line):
        found.append(Claim(where, NEW_ID, "vfio-pci", says, _of_ids(ids_in(one.group("ids").replace(",", " , ")))))
    for one in _MAKES_VFS.finditer(line):
        module = one.group("module").replace("-", "_")
        found.append(Claim(where, NUMBER, one.group("number"), says, _of_module(module), is_sure=False))
    if not found and _TOOLS.search(line):
        found.append(Claim(where, PROGRAM, None, says, _about(line, text)))
    return found


def _of_ids(ids: set[tuple[str, str]]) -> Fits:
    return lambda target: (target.ids["vendor"], target.ids["device"]) in ids


def _of_module(module: str) -> Fits:
    return lambda target: module in target.natives


def _about(line: str, text: str) -> Fits:
    """Target -> whether a line of a text is about it."""
    here, there, ids = addresses_in(line), addresses_in(text), ids_in(text)
    is_open = bool(re.search(r"[$*?`]", line)) or not here
    searches = bool(_SEARCHES.search(text)) or not (there or ids or "/net/" in text)

    def fits(target: Target) -> bool | None:
        if target.address in here:
            return True
        if not is_open:
            return False
        is_named = target.address in there or (target.ids["vendor"], target.ids["device"]) in ids
        named: list[bool | None] = [is_named or None if is_named or searches else False]
        if re.search(r"/net/[^/\s]*[$`]", line):
            named.append(by_interface(target, ["$"]))  # an interface that only the run of it tells
        if "/net/" in text:
            named += [by_interface(target, [name]) and None for name in re.findall(r"/net/([\w.*?-]+)/", text)]
        return any_of(named) and None

    return fits


__all__ = ("claims", "speaks_of_devices")
