# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What grubby prints, the entries that it edits, and what it makes of a line. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._boot.textlines import lines
from ansible_collections.vfio.host.plugins.module_utils._host.words import trimmed
from ansible_collections.vfio.host.plugins.module_utils._host.words import words as words_of

if TYPE_CHECKING:
    from typing import Iterable, Mapping

# grubby prints values without escaping the quotes in them: the last one on the line is its own.
_FIELD = re.compile(r'(index|kernel|args|id)="?(.*?)"?\s*\Z')
# grubby finds these at the begin of a line only, and no value without a blank.
_LINUX = re.compile(r"^linux[ \t]", re.MULTILINE)
_OPTIONS = re.compile(r"^options(?:[ \t]+(.*))?$", re.MULTILINE)
_KERNELOPTS = "$kernelopts"
_ASSIGNED = re.compile(r"^[ \t]*(?:export[ \t]+)?GRUB_CMDLINE_LINUX\+?=.*$", re.MULTILINE)
_QUOTED = re.compile(
    r"""[^=+]*=(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)')[ \t]*(?:[ \t]#.*)?\Z"""
)


@dataclass(frozen=True)
class Entry:
    """An entry: ``line``, its command line as written, with what $kernelopts stands for. None: grubby cannot edit it.

    ``text``: its file; None where that is not known. ``lines``: how many lines of options it has. ``beside``: what it has
    beside $kernelopts, where it has that; ``is_set``: whether that stands for something. ``is_left``: it is another system's, or for rescue.
    """

    index: str
    kernel: str
    path: str | None
    text: str | None
    line: str | None
    lines: int = 1
    beside: str | None = None
    is_set: bool = True
    is_left: bool = False

    @property
    def is_shared(self) -> bool:
        """Whether it takes arguments that other entries take too."""
        return self.beside is not None


def parse_info(text: str) -> list[dict[str, str]]:
    """The fields index, kernel, args and id of each entry, from grubby --info=ALL."""
    infos: list[dict[str, str]] = []
    for line in lines(text):
        match = _FIELD.match(line)
        if match and match.group(1) == "index":
            infos.append({})
        if match and infos:
            infos[-1][match.group(1)] = match.group(2)
    return infos


def parse_entry(info: Mapping[str, str], text: str | None, *, path: str | None, kernelopts: str | None) -> Entry:
    """The Entry of what grubby printed, with the file that holds it."""
    kernel, line = info.get("kernel", ""), info.get("args", "")
    if text is None:
        return Entry(info["index"], kernel, path, None, line if kernel else None)
    options = [trimmed(value) for value in _OPTIONS.findall(text)]
    if not options or not _LINUX.search(text):
        return Entry(info["index"], kernel, path, text, None)
    line = " ".join(options)
    if _KERNELOPTS not in words_of(line):
        return Entry(info["index"], kernel, path, text, line, len(options))
    beside = " ".join(word for word in words_of(line) if word != _KERNELOPTS)
    line = line.replace(_KERNELOPTS, kernelopts or _KERNELOPTS)
    return Entry(info["index"], kernel, path, text, line, len(options), beside, bool(kernelopts))


def edited(line: str, *, remove: Iterable[str], add: list[str]) -> str:
    """What grubby makes of a line: it works by white space, and knows neither quotes nor that '-' is '_' in a name."""
    words = words_of(line)
    for text in remove:
        if "=" not in text:
            words = _without(words, text)
        elif text in words:
            words.remove(text)
    for text in add:
        words = _without(words, text.partition("=")[0])
    return " ".join(words + list(add))


def _without(words: Iterable[str], name: str) -> list[str]:
    return [word for word in words if word.partition("=")[0] != name]


def is_assigned(text: str | None) -> bool:
    """Whether /etc/default/grub sets GRUB_CMDLINE_LINUX."""
    return bool(_ASSIGNED.search(text or ""))


def value_of(text: str | None) -> tuple[int, int] | None:
    """(begin, end) of what GRUB_CMDLINE_LINUX holds; None where it is not set once, to one quoted value on one line."""
    assignments = list(_ASSIGNED.finditer(text or ""))
    match = _QUOTED.match(assignments[0].group()) if len(assignments) == 1 else None
    if not match:
        return None
    begin, end = match.span("single" if match.group("double") is None else "double")
    return assignments[0].start() + begin, assignments[0].start() + end


__all__ = ("Entry", "edited", "is_assigned", "parse_entry", "parse_info", "value_of")
