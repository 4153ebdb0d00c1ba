# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Lines of NAME=VALUE below [SECTION]: units and network files of systemd, keyfiles of NetworkManager. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.vfio.host.plugins.module_utils._host.words import systemd_lines, trimmed

# Of byte order: systemd passes over one at the begin of a file (source: src/shared/conf-parser.c config_parse()).
_MARK = "\ufeff"


@dataclass(frozen=True)
class Setting:
    """One assignment. ``number``: of its section, since sections of the same name are not merged. ``where``: path and line."""

    section: str
    number: int
    name: str
    value: str
    where: str


def parse(text: str, path: str, *, start: str = "") -> list[Setting]:
    """The Settings of a text. ``start``: the section of lines before the first one, for files that have none.

    Comments begin with # or ; and a backslash at the end joins a line with the next (source: systemd.syntax(7)).
    """
    found, section, count, kept, first = [], start, 0, "", 0
    for number, raw in enumerate(systemd_lines(text[1:] if text.startswith(_MARK) else text), 1):
        line = trimmed(raw)
        if line[:1] in ("#", ";"):
            continue
        line, first = kept + line, first or number
        if line.endswith("\\"):
            kept = line[:-1] + " "
            continue
        if line.startswith("[") and line.endswith("]"):
            section, count = trimmed(line[1:-1]), count + 1
        elif "=" in line:
            name, dummy, value = line.partition("=")
            found.append(Setting(section, count, trimmed(name), trimmed(value), f"{path}:{first}"))
        kept, first = "", 0
    return found


__all__ = ("Setting", "parse")
