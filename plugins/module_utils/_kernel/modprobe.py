# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""modprobe.d and modules-load.d as kmod and systemd read them, whoever wrote them. Pure.

The rules are those of kmod (libkmod-config.c, libkmod-module.c): files of all directories in the order of their names,
of two with one name the one of the first directory; options add up and the last value wins; of install and softdep
lines of a module only the first counts; the kernel command line comes last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._core import globs
from ansible_collections.vfio.host.plugins.module_utils._host.words import systemd_lines, trimmed, words

if TYPE_CHECKING:
    from typing import Iterable, Iterator, Mapping

CMDLINE = "/proc/cmdline"
# The functions by which these modules begin, as initcall_blacklist= names them -> the module (source: module_init() in drivers/vfio and
# drivers/iommu/iommufd). Those of other modules are named as somebody liked.
_INITCALLS = {
    "tce_iommu_init": "vfio_iommu_spapr_tce",
    **{f"{name}_init": name for name in ("iommufd", "vfio", "vfio_iommu_type1", "vfio_pci", "vfio_pci_core", "vfio_virqfd")},
}

_GLOB = re.compile(r"[*?\[]")
_BRACKETS = re.compile(r"(\[[^]]*\])")
# What separates words of a line, and what isspace() in C takes for white space; Python knows more of it.
_BLANKS, _SPACE = re.compile(r"[\t ]+"), re.compile(r"[ \t\n\v\f\r]+")
_LINE = re.compile(r"(?:\\(?:[^\n]|\n|\Z)|[^\\\n])*(?:\n|\Z)")
_ESCAPED = re.compile(r"\\(\n|[^\n]|\Z)")
_KEEPS_LOADING = re.compile(r"modprobe\b.*\s(--ignore-install|-[a-zA-Z]*i[a-zA-Z]*)\b")


def module_name(name: str) -> str:
    """'vfio_pci' for 'vfio-pci': '-' and '_' are the same to the kernel and to kmod."""
    return name.replace("-", "_")


def _module_glob(name: str) -> str:
    """A module's name, or a glob of names, as kmod reads it: within brackets '-' is a range's (source: kmod shared/util.c underscores())."""
    return "".join(part if part.startswith("[") else module_name(part) for part in _BRACKETS.split(name))


@dataclass(frozen=True)
class Directive:
    """One line of a configuration: 'options', 'vfio_pci', 'ids=8086:10d3', and where it stands."""

    verb: str
    module: str
    rest: str
    where: str


@dataclass(frozen=True)
class Setting:
    """A module's option as some file or the command line sets it; ``value`` is None for a bare flag."""

    name: str
    value: str | None
    where: str


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """(number of its first line, line) for each line; a backslash at a line's end joins it with the next, and any other one only has the
    character behind it stand for itself. A NUL ends what is read of a line (source: kmod shared/util.c freadline_wrapped()).
    """
    number = 1
    for line in _LINE.findall(text):
        yield number, _ESCAPED.sub(lambda found: found.group(1).strip("\n"), line.rstrip("\n")).partition("\0")[0]
        number += line.count("\n")


def parse_conf(text: str, path: str) -> list[Directive]:
    """The directives of one modprobe.d file, in its order. Lines that kmod does not understand are left out."""
    directives = []
    for number, line in logical_lines(text):
        words = _BLANKS.split(line.strip("\t "), 2)
        if line.startswith("#") or len(words) < 2:
            continue
        rest = words[2] if len(words) > 2 else ""
        directives.append(Directive(words[0], _module_glob(words[1]), rest, f"{path}:{number}"))
    return directives


def split_options(text: str) -> list[tuple[str, str | None]]:
    """(name, value) of each of a module's or the kernel's parameters; None is the value of a bare name (source: linux lib/cmdline.c next_arg)."""
    words, word, quoted = [], "", False
    for char in text:
        if char == '"':
            quoted = not quoted
        if char in " \t\n\v\f\r" and not quoted:
            words.append(word)
            word = ""
        else:
            word += char
    words.append(word)
    arguments: list[tuple[str, str | None]] = []
    for argument in words:
        if argument.startswith('"'):
            argument = argument[1:-1] if argument.endswith('"') and len(argument) > 1 else argument[1:]
        name, equals, value = argument.partition("=")
        if value.startswith('"'):
            value = value[1:-1] if value.endswith('"') and len(value) > 1 else value[1:]
        if name:
            arguments.append((name, value if equals else None))
    return arguments


def parse_cmdline(text: str) -> list[Directive]:
    """The directives that a kernel command line gives to kmod and the kernel's module loader."""
    directives = _forbidden(split_options(text))
    for name, value in split_options(text):
        if name == "modprobe.blacklist":
            # kmod compares these letter by letter, and a module's own name has '_' (source: libkmod-config.c kcmdline_parse_result()).
            directives += [Directive("blacklist", one, "", CMDLINE) for one in (value or "").split(",") if one and "-" not in one]
        elif "." in name:
            module, dummy, parameter = name.partition(".")
            setting = parameter if value is None else f"{parameter}={value}"
            directives.append(Directive("options", module_name(module), setting, CMDLINE))
    return directives


def _forbidden(arguments: list[tuple[str, str | None]]) -> list[Directive]:
    """What the kernel itself refuses, by its own arguments, which end at '--'; of their names '-' and '_' are one.

    Of several module_blacklist= the last one counts, and it compares names letter by letter, those of modules have '_' (source: linux
    kernel/module/main.c blacklisted(), a core_param of type charp). Those of initcall_blacklist= add up (init/main.c).
    """
    last: list[str] = []
    initcalls: list[str] = []
    for name, value in arguments:
        if name == "--":
            break
        if module_name(name) == "module_blacklist":
            last = (value or "").split(",")
        elif name == "initcall_blacklist":
            initcalls += (value or "").split(",")
    names = [one for one in last if one and "-" not in one] + [_INITCALLS[one] for one in initcalls if one in _INITCALLS]
    return [Directive("forbid", one, "", CMDLINE) for one in dict.fromkeys(names)]


def soft_dependencies(text: str) -> tuple[list[str], list[str]]:
    """(modules before, modules after) of a softdep line's rest."""
    modules: dict[str, list[str]] = {"pre:": [], "post:": []}
    current = None
    for word in _SPACE.split(text):
        if word in modules:
            current = modules[word]
        elif word and current is not None:
            current.append(module_name(word))
    return modules["pre:"], modules["post:"]


def parse_load(text: str, path: str, *, is_alone: bool = False) -> dict[str, str]:
    """Module -> where it stands, of one modules-load.d file, or of /etc/modules. ``is_alone``: of lines that hold no more than that, since
    systemd takes a whole line for a name (source: src/modules-load/modules-load.c).
    """
    modules: dict[str, str] = {}
    for number, line in enumerate(systemd_lines(text), 1):
        name = trimmed(line)
        if name and name[0] not in "#;" and not (is_alone and len(words(name)) > 1):
            modules.setdefault(module_name(words(name)[0]), f"{path}:{number}")
    return modules


def parse_cmdline_load(text: str) -> dict[str, str]:
    """Module -> where it stands, of the modules that the command line has systemd load."""
    return {
        module_name(module): CMDLINE
        for name, value in split_options(text)
        if name.replace("_", "-") in ("modules-load", "rd.modules-load")
        for module in (value or "").split(",") if module
    }


@dataclass(frozen=True)
class Configuration:
    """What everybody but this collection has configured. ``directives`` in kmod's order; ``loads``: module -> where; ``sure``: those of
    them that a file has every boot load for sure.
    """

    directives: tuple[Directive, ...] = ()
    loads: Mapping[str, str] = field(default_factory=dict)
    sure: frozenset[str] = frozenset()

    def settings(self, module: str, builtin: bool = False) -> list[Setting]:
        """Every setting of a module's options, in kmod's order; of a built-in module only the command line counts."""
        return [
            Setting(module_name(name), value, one.where)
            for one in self.directives
            if one.verb == "options" and one.module == module and (one.where == CMDLINE or not builtin)
            for name, value in split_options(one.rest)
        ]

    def blacklisted(self, module: str) -> list[str]:
        """Path and line of each blacklist of a module, which keeps it from loading by alias and at boot."""
        return [one.where for one in self.directives if one.verb == "blacklist" and one.module == module]

    def forbidden(self, module: str) -> list[str]:
        """Where the command line has the kernel refuse a module."""
        return [one.where for one in self.directives if one.verb == "forbid" and one.module == module]

    def install(self, module: str) -> Directive | None:
        """The install line that stands in for loading a module; None where there is none, or it loads the module."""
        for one in self.directives:
            if one.verb == "install" and trimmed(one.rest) and globs.fits(module, one.module):
                return None if _KEEPS_LOADING.search(one.rest) else one
        return None

    def softdep(self, module: str) -> Directive | None:
        """The first softdep line of a module that says something, which is the only one that counts; None where there is none."""
        for one in self.directives:
            if one.verb == "softdep" and one.rest and globs.fits(module, one.module):
                return one
        return None

    def disabled(self, names: Iterable[str] = ()) -> frozenset[str]:
        """The modules that do not load by alias, or not at all; of ``names`` also those that an install line's glob fits."""
        installs = [one.module for one in self.directives if one.verb == "install"]
        is_glob = any(_GLOB.search(one) for one in installs)
        named = {one.module for one in self.directives if one.verb in ("blacklist", "forbid")}
        return frozenset(named.union(
            name for name in set(installs).union(names if is_glob else ()) if does_nothing(self.install(name))
        ))

    def disabling(self, module: str) -> list[str]:
        """Path and line of all that keeps a module from loading by alias, or at all."""
        return [one.where for one in self.against(module)]

    def against(self, module: str) -> list[Directive]:
        """The Directives that keep a module from loading by alias, or at all."""
        install = self.install(module)
        return [
            one for one in self.directives
            if (one.verb in ("blacklist", "forbid") and one.module == module) or (one is install and does_nothing(one))
        ]

    def alias(self, module: str) -> Directive | None:
        """The alias line that has another module load under this one's name; None where there is none.

        Aliases of the configuration come before the modules themselves (source: libkmod-module.c, kmod_module_new_from_lookup).
        """
        for one in self.directives:
            if one.verb == "alias" and trimmed(one.rest) and globs.fits(module, one.module):
                if module_name(words(one.rest)[0]) != module:
                    return one
        return None


def does_nothing(directive: Directive | None) -> bool:
    """Whether an install line runs /bin/true or /bin/false, and so loads nothing. False for None."""
    command = words(directive.rest) if directive is not None else []
    return bool(command) and command[0].rstrip(";").rsplit("/", 1)[-1] in ("false", "true", ":", "exit")


__all__ = (
    "CMDLINE", "Configuration", "Directive", "Setting", "does_nothing", "logical_lines", "module_name", "parse_cmdline",
    "parse_cmdline_load", "parse_conf", "parse_load", "soft_dependencies", "split_options",
)
