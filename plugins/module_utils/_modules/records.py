# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The lines of ours in modprobe.d and modules-load.d: rendered from records, and parsed back into the same. Pure.

A record is what one owner (the module kernel_module or kernel_config) wants of one kernel module. A task replaces only the records of its owner for
modules that it names. So the declarations of other tasks stay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.versions import check_comments
from ansible_collections.vfio.host.plugins.module_utils._kernel import modprobe

if TYPE_CHECKING:
    from typing import Callable, Iterable

KERNEL_CONFIG, KERNEL_MODULE = "kernel_config", "kernel_module"
OWNERS = (KERNEL_CONFIG, KERNEL_MODULE)

# modprobe, dracut and a shell read each as one word.
MODULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*\Z")
OPTION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
VALUE = re.compile(r"[A-Za-z0-9_.,:/+*@%=~-]*\Z")
MAX_MODULE = 55  # linux include/linux/moduleparam.h: MODULE_NAME_LEN, less its end
MAX_VALUE = 1000  # linux lib/cmdline.c and kernel/params.c take 1024 bytes of a value

_HEADER = "# Written by the Ansible collection vfio.host. Changes by hand are refused or lost: use its modules.\n"
_SECTION = re.compile(r"# vfio\.host\.([a-z_]+)\Z")
_NOTHING = "/bin/false"


@dataclass(frozen=True)
class Record:
    """What ``owner`` has declared of ``module`` for every boot. ``options``: sorted pairs; ``before``: natives."""

    owner: str
    module: str
    options: tuple[tuple[str, str], ...] = ()
    load: bool = False
    disabled: bool = False
    before: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing has to be written for it."""
        return not (self.options or self.load or self.disabled or self.before)


@dataclass
class _Lines:
    """What the lines of one owner say of one module, as they are read one after the other. ``disabled``: the verbs that do it."""

    options: dict[str, str] = field(default_factory=dict)
    load: bool = False
    before: set[str] = field(default_factory=set)
    disabled: set[str] = field(default_factory=set)


def render_modprobe(records: Iterable[Record]) -> str | None:
    """The text of our modprobe.d file; None where it has nothing to say."""
    return _render(records, _modprobe_lines)


def render_load(records: Iterable[Record]) -> str | None:
    """The text of our modules-load.d file; None where it has nothing to say."""
    return _render(records, lambda mine: [one.module for one in mine if one.load])


def _render(records: Iterable[Record], lines_of: Callable[[list[Record]], list[str]]) -> str | None:
    text = ""
    for owner in OWNERS:
        lines = lines_of([one for one in records if one.owner == owner])
        if lines:
            text += f"# vfio.host.{owner}\n" + "".join(f"{line}\n" for line in sorted(lines))
    return _HEADER + text if text else None


def _modprobe_lines(records: list[Record]) -> list[str]:
    lines: list[str] = []
    before: dict[str, list[str]] = {}
    for one in records:
        if one.options:
            lines.append(f"options {one.module} " + " ".join(f"{name}={value}" for name, value in one.options))
        if one.disabled:
            lines += [f"blacklist {one.module}", f"install {one.module} {_NOTHING}"]
        for native in one.before:
            before.setdefault(native, []).append(one.module)
    # One line for each native driver, since modprobe reads only the first.
    return lines + [f"softdep {native} pre: {' '.join(sorted(modules))}" for native, modules in before.items()]


def parse_records(modprobe_text: str | None, load_text: str | None, *, modprobe_path: str, load_path: str) -> list[Record]:
    """The records in the texts of our two files (None: absent). Raises PlanError where a line is not of ours."""
    for text, path in ((modprobe_text, modprobe_path), (load_text, load_path)):
        check_comments(text, path)
    by_module: dict[tuple[str, str], _Lines] = {}
    problems = _unknown(modprobe_text or "", modprobe_path) + _unknown(load_text or "", load_path)

    def record(owner: str, module: str) -> _Lines:
        return by_module.setdefault((owner, module), _Lines())

    for owner, text in _sections(modprobe_text or ""):
        for directive in modprobe.parse_conf(text, modprobe_path):
            if not _take(directive, partial(record, owner)):
                problems.append(_foreign(directive.where, directive.verb))
    for owner, text in _sections(load_text or ""):
        for module, where in modprobe.parse_load(text, load_path).items():
            if MODULE.match(module):
                record(owner, module).load = True
            else:
                problems.append(_foreign(where, module))
    for (dummy, module), lines in by_module.items():
        if len(lines.disabled) == 1:
            problems.append(
                f"{modprobe_path}: module {module} has a blacklist or an install line, and not both, which this "
                "collection never writes: remove it, or move it to a file of yours"
            )
    problems = problems or [
        f"{path}: the file ends in the middle of a line, so lines of this collection may be missing: restore it, or remove that line"
        for text, path in ((modprobe_text, modprobe_path), (load_text, load_path)) if text and not text.endswith("\n")
    ]
    if problems:
        raise PlanError(*problems)
    return [
        Record(
            owner, module, options=tuple(sorted(lines.options.items())), load=lines.load, disabled=bool(lines.disabled),
            before=tuple(sorted(lines.before)),
        )
        for (owner, module), lines in sorted(by_module.items())
    ]


def _foreign(where: str, word: str) -> str:
    return f"{where}: {word!r}... was not written by this collection: move that line to a file of yours"


def _unknown(text: str, path: str) -> list[str]:
    """Problems with sections of owners that this version does not know."""
    problems = []
    for number, line in enumerate(text.split("\n"), 1):
        section = _SECTION.match(line)
        if section and section.group(1) not in OWNERS:
            problems.append(
                f"{path}:{number}: this version of the collection does not know whose lines follow {line!r}: update the collection on the "
                "controller, or move them to a file of yours"
            )
    return problems


def _sections(text: str) -> list[tuple[str, str]]:
    """(owner, text) for each owner, where lines of other owners are blank, so that line numbers stay."""
    lines, owner, owners = [], KERNEL_MODULE, []
    for line in text.split("\n"):
        section = _SECTION.match(line)
        if section and section.group(1) in OWNERS:
            owner = section.group(1)
        lines.append(line)
        owners.append(owner)
    return [
        (owner, "\n".join(line if mine == owner else "" for line, mine in zip(lines, owners))) for owner in OWNERS
    ]


def _take(directive: modprobe.Directive, lines_of: Callable[[str], _Lines]) -> bool:
    """Put a line of ours where ``lines_of`` its module says; whether it was one."""
    if not MODULE.match(directive.module):
        return False
    if directive.verb == "options":
        ours = {}
        for name, value in modprobe.split_options(directive.rest):
            if value is None or not (OPTION.match(name) and VALUE.match(value)):
                return False
            ours[modprobe.module_name(name)] = value
        lines_of(directive.module).options.update(ours)
    elif directive.verb == "softdep":
        before, after = modprobe.soft_dependencies(directive.rest)
        if after or not before or not all(MODULE.match(name) for name in before):
            return False
        for module in before:
            lines_of(module).before.add(directive.module)
    elif (directive.verb, directive.rest) in (("blacklist", ""), ("install", _NOTHING)):
        lines_of(directive.module).disabled.add(directive.verb)
    else:
        return False
    return True


__all__ = (
    "KERNEL_CONFIG", "KERNEL_MODULE", "MAX_MODULE", "MAX_VALUE", "MODULE", "OPTION", "OWNERS", "Record", "VALUE",
    "parse_records", "render_load", "render_modprobe",
)
