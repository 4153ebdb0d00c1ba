# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""zipl on s390 with sections in /etc/zipl.conf: parameters are edited there; zipl writes them for the next boot."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.base import Backend, against
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.blsentries import is_for_rescue
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.boot import Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._cmdline.records import parse_record
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

if TYPE_CHECKING:
    from typing import Collection, Iterable, Iterator

    from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import Wish
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.goal import Goal
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.records import Record

# Words without brackets, such as defaultauto, are no headings (source: scan_section_heading(), scan_menu_heading() in zipl/src/scan.c).
_SECTION = re.compile(r"\s*(?:\[(?P<section>[^\]\s=#]+)\]|:(?P<menu>[^\s=#]+))\s*\Z")
_SETTING = re.compile(r"(?P<head>\s*(?P<key>[a-z]+|\d+)\s*=\s*)(?P<value>.*?)(?P<tail>\s*)\Z")


@dataclass(frozen=True)
class Parameters:
    """A section's command line: where it stands, counted from 0, ``section``, and in which quote, an empty text for none."""

    number: int
    section: str | None
    line: str
    quote: str


@dataclass(frozen=True)
class ZiplState:
    """``default``: the section that boots, None: not said. ``ours``: the Parameters that are edited; ``raw``: (name, line) -> how it was
    written before us, quotes and all; ``parmfiles``: path -> text of the files that sections of ``ours`` take arguments from as well.
    """

    program: str
    default: str | None
    ours: tuple[Parameters, ...]
    raw: dict[tuple[str, str | None], str]
    parmfiles: dict[str, str]


class Zipl(Backend[ZiplState]):
    """zipl."""

    name = "zipl"
    looked_for = "zipl (/etc/zipl.conf with the kernel's parameters)"
    # zipl reads the value between a pair of equal quotes.
    forbidden = (("'", True, "zipl.conf"),)

    def found(self) -> str | None:
        """Evidence, or None. Without parameters in zipl.conf the entries are grubby's."""
        text = self._files.read(self._paths.zipl_conf)
        return self._paths.zipl_conf if text and self._paths.program("zipl") and _parameters(text) else None

    def loaded_images(self) -> list[str]:
        """The image that the section loads which will boot; none where zipl.conf does not say."""
        text = self._files.read(self._paths.zipl_conf) or ""
        # Behind a comma stands the address in memory (source: man 5 zipl.conf).
        path = _named(text).get((_default(text), False), {}).get("ramdisk", "").partition(",")[0]
        return [path] if path and self.found() else []

    def read(self) -> Boot[ZiplState]:
        """The parameters of each section that starts this system, the default one's first."""
        text = self._files.read(self._paths.zipl_conf) or ""
        default = _default(text)
        record = parse_record(self._files.read(self.record), self.record)
        found = sorted(self._ours(text, default, record), key=lambda parameters: parameters.section != default)
        entries = tuple((self._line(parameters.section), parameters.line) for parameters in found)
        return Boot(
            entries=entries,
            files={self._paths.zipl_conf: text},
            lines=entries,
            raw={self._line(parameters.section): parameters.quote + parameters.line + parameters.quote for parameters in found},
            more=ZiplState(
                self.program("zipl"), default, tuple(found),
                {(name, kept.was): kept.raw for name, kept in record.lines.items() if kept.raw is not None},
                self._parmfiles(text, found),
            ),
        )

    def _parmfiles(self, text: str, ours: Iterable[Parameters]) -> dict[str, str]:
        """Path -> text of the files to which zipl appends the parameters of these sections (source: get_parmline() in zipl/src/job.c)."""
        named = _named(text)
        names = [named.get((one.section, False), {}).get("parmfile", "").partition(",")[0] for one in ours]
        return {name: self._files.read(self._paths.root + name) or "" for name in names if name.startswith("/")}

    def _ours(self, text: str, default: str | None, record: Record) -> list[Parameters]:
        """The Parameters of the sections that start this system, which is that of the default one, else the one that runs; all where none
        does. Those for rescue, of other systems and of dump tools stay as they are, but where an earlier version has changed them.
        """
        found = _parameters(text)
        line = next((one.line for one in found if one.section == default), self._fs.read(f"{self._fs.proc}/cmdline") or "")
        root = parse(line).values("root")[-1:]
        ours = [one for one in found if parse(one.line).values("root")[-1:] == root and not is_for_rescue(parse(one.line))]
        return [
            one for one in found if one in ours or one.section == default or self._line(one.section) in record.lines
        ] or found

    def _line(self, section: str | None) -> str:
        """The name of a section's line, for messages and for the record."""
        return f"{self._paths.zipl_conf}, section {section}"

    def plan(self, boot: Boot[ZiplState], goal: Goal) -> Change:
        """zipl.conf with the parameters of these sections edited, then zipl."""
        path, state = self._paths.zipl_conf, boot.more
        problems, lines = self.unfit(goal.all) + _expanded(goal.all), boot.text(path).split("\n")
        if not goal.texts:
            problems += against(goal.wishes, state.parmfiles, who="zipl") + [
                f"{name} has a bare --, and zipl appends what is set here behind it, where it is init's: remove it there, then run again"
                for name, line in state.parmfiles.items() if any(word.text == "--" for word in parse(line).words)
            ]
        if state.default is not None and state.default not in [parameters.section for parameters in state.ours]:
            problems.append(
                f"{path}: the default section {state.default} has no parameters of its own (a parmfile?): "
                "give it a parameters line"
            )
        for parameters in state.ours:
            name, number = self._line(parameters.section), parameters.number
            new, match = goal.edit(name, parameters.line), _SETTING.match(lines[number])
            if new == parameters.line or match is None:
                continue
            written = state.raw.get((name, new), _written(new, parameters.quote))
            if written is None:
                problems.append(
                    f"{path}:{number + 1}: {new!r} has both kinds of quotes, and zipl has no way to write them: change "
                    "this line by hand"
                )
                continue
            lines[number] = match.group("head") + written + match.group("tail")
        text = "\n".join(lines)
        files: dict[str, str | None] = {path: text} if text != boot.text(path) else {}
        commands = [[state.program]] if files or goal.again else []
        return Change(files=files, commands=commands, problems=problems)

    def foreign_lost(self, before: Boot[ZiplState], after: Boot[ZiplState], *, names: Collection[str]) -> list[str]:
        """The file is ours to write, so its sections have to be the same; then the arguments as ever."""
        if [name for name, dummy in before.entries] != [name for name, dummy in after.entries]:
            raise PlanError(f"{self._paths.zipl_conf} has other sections than before")
        return super().foreign_lost(before, after, names=names)


def _written(line: str, quote: str) -> str | None:
    """A value as zipl reads it, in the quotes that it had where they can hold it; None where none can.

    Without quotes it is all up to the end of the line (source: scan_value_string() in zipl/src/scan.c).
    """
    fits = {
        "": line == line.strip() and line[:1] not in ("", '"', "'"),
        '"': '"' not in line,
        "'": "'" not in line,
    }
    mark = next((quotes for quotes in (quote, '"', "'") if fits[quotes]), None)
    return None if mark is None else mark + line + mark


def _expanded(wishes: Iterable[Wish]) -> list[str]:
    """Problems of values that zipl's loader would fill in from its environment block at each IPL."""
    return [
        f"arguments: {text}: zipl replaces ${{NAME}} by a variable of its environment block; it cannot be carried"
        for wish in wishes for text in wish.texts if wish.present and "${" in text
    ]


def _sections(text: str) -> Iterator[tuple[int, str | None, bool, re.Match[str]]]:
    """(line number, section, whether that is a menu, the setting's match) of every setting."""
    section, is_menu = None, False
    for number, line in enumerate(text.split("\n")):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        setting = _SETTING.match(line)
        head = None if setting else _SECTION.match(line)
        if head:
            section, is_menu = head.group("section") or head.group("menu"), head.group("section") is None
        elif setting:
            yield number, section, is_menu, setting


def _parameters(text: str) -> list[Parameters]:
    """The Parameters of every section, but those of menus."""
    parameters = []
    for number, section, is_menu, setting in _sections(text):
        if setting.group("key") == "parameters" and not is_menu:
            value = setting.group("value")
            quote = value[0] if len(value) > 1 and value[0] in "\"'" and value[-1] == value[0] else ""
            parameters.append(Parameters(number, section, value[1:-1] if quote else value, quote))
    return parameters


def _named(text: str) -> dict[tuple[str | None, bool], dict[str, str]]:
    """(section, whether that is a menu) -> its settings by key."""
    named: dict[tuple[str | None, bool], dict[str, str]] = {}
    for dummy, section, is_menu, setting in _sections(text):
        named.setdefault((section, is_menu), {})[setting.group("key")] = setting.group("value").strip("\"'")
    return named


def _default(text: str) -> str | None:
    """The section that boots: [defaultboot] names it, or a menu, and that its section by number; None where nothing does."""
    named = _named(text)
    boot = named.get(("defaultboot", False), {})
    if "defaultmenu" not in boot:
        return boot.get("default")
    menu = named.get((boot["defaultmenu"], True), {})
    # Without a default the first position counts, as the lines have them (source: zipl/src/job.c, default_pos).
    return menu.get(menu.get("default") or next((key for key in menu if key.isdigit()), ""))


__all__ = ("Zipl",)
