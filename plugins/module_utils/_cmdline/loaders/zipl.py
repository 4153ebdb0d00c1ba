# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""zipl on s390 with sections in /etc/zipl.conf: parameters are edited there; zipl writes them for the next boot."""

from __future__ import annotations

import re

from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.base import Backend, Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._cmdline.records import parse_record
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

_SECTION = re.compile(r"\s*(?P<menu>:?)\[?(?P<name>[^\]\s=#]+)\]?\s*\Z")
_SETTING = re.compile(r"(?P<head>\s*(?P<key>[a-z]+)\s*=\s*)(?P<value>.*?)(?P<tail>\s*)\Z")


class Zipl(Backend):
    """zipl."""

    name = "zipl"
    looked_for = "zipl (/etc/zipl.conf with the kernel's parameters)"
    # zipl reads the value between a pair of equal quotes.
    forbidden = (("'", True, "zipl.conf"),)

    def found(self):
        """Evidence, or None. Without parameters in zipl.conf the entries are grubby's."""
        text = self._files.read(self._paths.zipl_conf)
        return self._paths.zipl_conf if text and self._paths.program("zipl") and _parameters(text) else None

    def read(self):
        """The parameters of every section, the default one's first."""
        text = self._files.read(self._paths.zipl_conf)
        default = _default(text)
        lines = sorted(_parameters(text), key=lambda one: one[1] != default)
        entries = tuple((self._line(section), value) for dummy, section, value, dummy in lines)
        return Boot(
            entries=entries,
            files={self._paths.zipl_conf: text},
            lines=entries,
            raw={self._line(section): quote + value + quote for dummy, section, value, quote in lines},
            more={"default": default, "sections": [one[1] for one in lines], "raw": self._kept()},
        )

    def _kept(self):
        """(name, line) -> how it was written before us, quotes and all."""
        record = parse_record(self._files.read(self.record), self.record)
        return {(name, kept.was): kept.raw for name, kept in record.lines.items() if kept.raw is not None}

    def _line(self, section):
        return f"{self._paths.zipl_conf}, section {section}"

    def plan(self, boot, goal):
        """zipl.conf with every section's parameters edited, then zipl."""
        path = self._paths.zipl_conf
        problems, lines = self.unfit(goal.all) + _expanded(goal.all), boot.files[path].split("\n")
        if boot.more["default"] is not None and boot.more["default"] not in boot.more["sections"]:
            problems.append(
                f"{path}: the default section {boot.more['default']} has no parameters of its own (a parmfile?): "
                "give it a parameters line"
            )
        for number, section, value, quote in _parameters(boot.files[path]):
            new = goal.edit(self._line(section), value)
            if new == value:
                continue
            match = _SETTING.match(lines[number])
            written = boot.more["raw"].get((self._line(section), new), _written(new, quote))
            if written is None:
                problems.append(
                    f"{path}:{number + 1}: {new!r} has both kinds of quotes, and zipl has no way to write them: change "
                    "this line by hand"
                )
                continue
            lines[number] = match.group("head") + written + match.group("tail")
        text = "\n".join(lines)
        files = {path: text} if text != boot.files[path] else {}
        commands = [[self._paths.program("zipl")]] if files or goal.again else []
        return Change(files=files, commands=commands, problems=problems)

    def foreign_lost(self, before, after, names):
        """The file is ours to write, so its sections have to be the same; then the arguments as ever."""
        if [name for name, dummy in before.entries] != [name for name, dummy in after.entries]:
            raise PlanError(f"{self._paths.zipl_conf} has other sections than before")
        return super().foreign_lost(before, after, names)


def _written(line, quote):
    """A value as zipl reads it, in the quotes that it had where they can hold it; None where none can.

    Without quotes it is all up to the end of the line (source: scan_value_string() in zipl/src/scan.c).
    """
    fits = {
        "": line == line.strip() and line[:1] not in ("", '"', "'"),
        '"': '"' not in line,
        "'": "'" not in line,
    }
    mark = next((one for one in (quote, '"', "'") if fits[one]), None)
    return None if mark is None else mark + line + mark


def _expanded(wishes):
    """Problems of values that zipl's loader would fill in from its environment block at each IPL."""
    return [
        f"args: {text}: zipl replaces ${{NAME}} by a variable of its environment block; it cannot be carried"
        for wish in wishes for text in wish.texts if wish.present and "${" in text
    ]


def _sections(text):
    """(line number, section, setting's match) of every setting."""
    section, is_menu = None, False
    for number, line in enumerate(text.split("\n")):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        setting = _SETTING.match(line)
        head = None if setting else _SECTION.match(line)
        if head:
            section, is_menu = head.group("name"), bool(head.group("menu"))
        elif setting:
            yield number, section, is_menu, setting


def _parameters(text):
    """(line number, section, command line, quote) of every section's parameters."""
    found = []
    for number, section, is_menu, setting in _sections(text):
        if setting.group("key") == "parameters" and not is_menu:
            value = setting.group("value")
            quote = value[0] if len(value) > 1 and value[0] in "\"'" and value[-1] == value[0] else ""
            found.append((number, section, value[1:-1] if quote else value, quote))
    return found


def _default(text):
    """The section that boots: [defaultboot] names it; None where a menu or nothing does."""
    for dummy, section, is_menu, setting in _sections(text):
        if section == "defaultboot" and not is_menu and setting.group("key") == "default":
            return setting.group("value").strip("\"'")
    return None


__all__ = ("Zipl",)
