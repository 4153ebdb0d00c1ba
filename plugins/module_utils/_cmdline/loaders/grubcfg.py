# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""grub.cfg as grub-mkconfig writes it: its menu, and which entry boots without a hand on the keyboard. Pure."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._boot.textlines import lines
from ansible_collections.vfio.host.plugins.module_utils._host.words import words as words_of

if TYPE_CHECKING:
    from typing import Iterable, Mapping, Sequence

# grub-mkconfig says of each part which file has written it (source: util/grub-mkconfig.in).
_PART = re.compile(r"### (?P<verb>BEGIN|END) (?P<path>.*) ###\Z")
_ENTRY = re.compile(r"\s*(menuentry|submenu)\s")
_LINUX = re.compile(r"\s*linux(?:16|efi)?\s+\S+[ \t]*(?P<line>.*)")
# Xen starts the kernel as its module.
_MODULE = re.compile(r"\s*module2?\s+(?:--nounzip\s+)?\S*vmlinu\S+[ \t]*(?:placeholder[ \t]+)?(?P<line>.*)")
_INITRD = re.compile(r"\s*initrd(?:16|efi)?\s+(?P<names>.*)")
# With or without 'set', quoted as in a shell or not at all: files of /etc/grub.d by hand have it so.
_DEFAULT = re.compile(r"(?:^|;|\bthen\b)[ \t]*(?:set[ \t]+)?default=([^\n]*)", re.MULTILINE)
_SET = re.compile(r"^[ \t]*set[ \t]+(\w+)=([^\n]*)$", re.MULTILINE)
_USE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
# A '>' parts menus, and '>>' is one within a title (source: grub-core/normal/menu.c menuentry_eq()).
_PARTS = re.compile(r"(?:[^>]|>>)+")


@dataclass
class Entry:
    """A menu entry or a submenu; ``line`` is the command line of the kernel that it starts, None for a submenu; ``initrds``: the images
    that it loads, as it names them; ``part``: the file that has written it, as grub.cfg says; empty: it does not.
    """

    title: str
    ids: tuple[str, ...]
    parent: Entry | None
    line: str | None = None
    is_menu: bool = False
    initrds: tuple[str, ...] = ()
    part: str = ""


def begin(path: str) -> str:
    """The line behind which entries are of a file."""
    return f"### BEGIN {path} ###\n"


def parse_entries(text: str) -> list[Entry]:
    """All entries of a grub.cfg, in order."""
    entries: list[Entry] = []
    stack: list[tuple[Entry, int]] = []
    depth = 0
    written = ""
    for raw in lines(text):
        part = _PART.match(raw)
        if part:
            written = part.group("path") if part.group("verb") == "BEGIN" else ""
        if _ENTRY.match(raw):
            entry = _entry(raw, stack[-1][0] if stack else None)
            entry.part = written
            entries.append(entry)
            stack.append((entry, depth))
        elif stack:
            match = _LINUX.match(raw) or _MODULE.match(raw)
            if match:
                stack[-1][0].line = match.group("line").rstrip(" \t\r")
            match = _INITRD.match(raw)
            if match:
                stack[-1][0].initrds += tuple(words_of(match.group("names")))
        words = words_of(raw.split("#", 1)[0])
        depth += sum(word in ("{",) for word in words) - sum(word in ("}",) for word in words)
        while stack and depth <= stack[-1][1]:
            stack.pop()
    return entries


def _entry(raw: str, parent: Entry | None) -> Entry:
    """The Entry that a line of grub.cfg begins."""
    try:
        words = shlex.split(raw)
    except ValueError:
        words = words_of(raw)
    ids = [words[index + 1] for index, word in enumerate(words[:-1]) if word in ("--id", "$menuentry_id_option")]
    return Entry(words[1] if len(words) > 1 else "", tuple(ids), parent, None, words[0] == "submenu")


def parse_environment(text: str) -> dict[str, str]:
    """The variables of a grubenv."""
    pairs = (line.partition("=") for line in lines(text) if not line.startswith("#"))
    return {name: value for name, equals, value in pairs if equals}


def filled_in(lines_of: Iterable[str], *, cfg: tuple[str, str], env: tuple[str, str]) -> dict[str, str]:
    """'PATH (variable NAME)' -> what GRUB puts in the place of each variable that is on one of these lines: that of its environment block,
    or what a grub.cfg sets, as tuned has it do (source: GRUB2_TUNED_VAR in tuned/plugins/plugin_bootloader.py). ``cfg``, ``env``: (path, text).
    """
    sets = {name: _unquoted(value) for name, value in _SET.findall(cfg[1])}
    saved = parse_environment(env[1])
    names = dict.fromkeys(one or other for line in lines_of for one, other in _USE.findall(line))
    places = {name: (cfg[0], sets[name]) if name in sets else (env[0], saved.get(name, "")) for name in names}
    return {f"{path} (variable {name})": value for name, (path, value) in places.items() if value}


def default_entry(text: str, env: Mapping[str, str]) -> Entry | None:
    """The entry that boots, or None. ``env``: the saved environment, whose next_entry holds once."""
    entries = parse_entries(text)
    wanted = env.get("next_entry") or _default(text, env)
    entry = None
    for part in _PARTS.findall(wanted) or ["0"]:
        siblings = [other for other in entries if other.parent is entry]
        # GRUB takes the first entry of a menu when it cannot find the default there.
        entry = _pick(siblings, part.replace(">>", ">")) or next(iter(siblings), None)
        if entry is None or not entry.is_menu:
            break
    while entry is not None and entry.is_menu:
        entry = next((other for other in entries if other.parent is entry), None)
    return entry


def _default(text: str, env: Mapping[str, str]) -> str:
    """What the last plain ``set default=`` says; ${saved_entry} comes from the environment."""
    values = [_unquoted(value) for value in _DEFAULT.findall(text) if "next_entry" not in value]
    saved = env.get("saved_entry", "")
    return (values[-1] if values else "0").replace("${saved_entry}", saved).replace("$saved_entry", saved) or "0"


def _unquoted(value: str) -> str:
    """The first word of what follows an assignment, without its quotes."""
    try:
        return next(iter(shlex.split(value.partition(";")[0], comments=True)), "")
    except ValueError:
        return value.strip(" \t\"'")


def _pick(siblings: Sequence[Entry], part: str) -> Entry | None:
    """The entry that one part of GRUB's default names: by index, id or title."""
    if part.isascii() and part.isdigit() and len(part) < 10:
        return siblings[int(part)] if int(part) < len(siblings) else None
    return next((sibling for sibling in siblings if part in sibling.ids or part == sibling.title), None)


__all__ = ("Entry", "begin", "default_entry", "filled_in", "parse_entries", "parse_environment")
