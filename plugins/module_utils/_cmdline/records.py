# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What was set on command lines that are edited in place, and how they were before, so that it can be taken back. Pure.

The record keeps whole lines, so that a line that nobody else touched gets its every byte back. On a line that somebody
else edited since, each argument is judged alone. It is written before what it tells of, with the line before and the
line after, and once more when all is done: after a power cut in between either line is known as ours.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._boot.counters import uncounted
from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import Wish, edit, exact, is_collected, parse
from ansible_collections.vfio.host.plugins.module_utils._host import versions
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.words import words

if TYPE_CHECKING:
    from typing import Collection, Mapping, Optional

    from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import Line

    # The name of a line, the line as it is, as it will be. None: its file is not there.
    Edited = tuple[str, Optional[str], Optional[str]]


@dataclass(frozen=True)
class Kept:
    """A line: as it ``was`` without us, and what we ``made`` of it. None: its file was, or is, not there.

    ``raw``: how its file wrote it then, where that is more than the line.
    """

    was: str | None
    made: tuple[str | None, ...]
    raw: str | None = None

    @property
    def names(self) -> list[str]:
        """The arguments in which it differs, as they are written."""
        was, made = parse(self.was or ""), [parse(line or "") for line in self.made]
        words = [word for line in made + [was] for word in line.words if not word.is_inits]
        names = {word.name: word.written for word in reversed(words)}
        return [names[name] for name in sorted(names) if any(line.texts(name) != was.texts(name) for line in made)]


@dataclass(frozen=True)
class Record:
    """``lines``: name of a line -> Kept, the one that boots first. Not ``finished``: the run did not end."""

    lines: dict[str, Kept]
    finished: bool = True

    def _kept(self, name: str) -> Kept | None:
        """What is kept of a line, also where a file has another counter of boots in its name since."""
        plain = uncounted(name)
        return self.lines.get(name) or next((kept for path, kept in self.lines.items() if uncounted(path) == plain), None)

    def of(self, name: str) -> Kept:
        """What is kept of a line; of one that came since or by us, what is kept of the first, which it was made of."""
        kept = self._kept(name)
        if kept and kept.was is not None:
            return kept
        return next((kept for kept in self.lines.values() if kept.was is not None), Kept("", ()))

    def adopted(self, removable: Collection[str]) -> Record:
        """The record for a boot loader that needs the files that we made, but for those that are ``removable``.

        What is kept of the first line counts for them, so they get its arguments back, and stay.
        """
        return replace(self, lines={name: kept for name, kept in self.lines.items() if kept.was is not None or name in removable})

    def undone(self, name: str, line: str | None) -> tuple[str | None, list[str]]:
        """(the line as it would be without us, the arguments that somebody else changed since, which stay)."""
        if line is None or self._is_ours(name, line):
            return None, []
        kept = self.of(name)
        if line in kept.made:
            return kept.was, []
        now, was, made = parse(line), parse(kept.was or ""), [parse(text or "") for text in kept.made]
        wishes: list[Wish] = []
        left = []
        for arg in kept.names:
            before, ours = was.texts(arg), [line.texts(arg) for line in made]
            if now.texts(arg) in ours:
                wishes.append(exact(arg, was))
            elif is_collected(arg) or any(len(texts) > 1 for texts in ours):
                wishes += _singly(arg, was, made)
            elif now.texts(arg) != before:
                left.append(arg)
        return edit(line, wishes), left

    def _is_ours(self, name: str, line: str) -> bool:
        """Whether a file that we have made still has the words that it was made of, or the line that it was made like."""
        kept, first = self._kept(name), self.of(name)
        if kept is None or kept.was is not None:
            return False
        return any(_words(line) == _words(other) for other in (*kept.made, first.was, *first.made) if other is not None)

    def unneeded(self, lines: list[Edited], forgotten: list[Wish]) -> list[str]:
        """The names of files that we have made, and that nothing is left for after a run; as for ``follow``."""
        after = self.follow(lines, forgotten)[1]
        if any(kept.names for kept in after.lines.values() if kept.was is not None):
            return []
        return [name for name, now, dummy in lines if now is not None and self._is_ours(name, now)]

    def follow(self, lines: list[Edited], forgotten: list[Wish], *, raws: Mapping[str, str] | None = None) -> tuple[Record, Record]:
        """The records for during and after a run. ``lines``: (name, now, then); ``forgotten``: wishes to be without.

        ``raws``: name -> how its file writes the line now.
        """
        during, after = {}, {}
        for name, now, then in lines:
            was = self.undone(name, now)[0]
            for wish in forgotten:
                was = was if was is None else edit(was, [wish if wish.many else exact(wish.name, parse(then or ""))])
            raw = self._raw(name, was, now, raws or {})
            during[name] = Kept(was, tuple(dict.fromkeys((now, then))), raw)
            after[name] = Kept(was, (then,), raw)
        return Record(during, False), Record(after)

    def _raw(self, name: str, was: str | None, now: str | None, raws: Mapping[str, str]) -> str | None:
        """How a line was written before us, where that is known."""
        kept = self._kept(name)
        if kept is not None and kept.was == was:
            return kept.raw
        return raws.get(name) if was == now else None

    def render(self) -> str | None:
        """The file's text; None where nothing is to be remembered."""
        if not any(kept.names for kept in self.lines.values()):
            return None
        lines = {
            name: {"made": list(kept.made), "was": kept.was, **({"raw": kept.raw} if kept.raw is not None else {})}
            for name, kept in self.lines.items()
        }
        return json.dumps({"finished": self.finished, "lines": lines}, indent=2) + "\n"


def _words(line: str) -> list[str]:
    """The words of a line in any order, without what the boot loader replaces."""
    return sorted(word for word in words(line) if not word.startswith("$"))


def _singly(arg: str, was: Line, made: list[Line]) -> list[Wish]:
    """The wishes for an argument of which each occurrence counts: what we added goes, what we removed comes back."""
    added = [word for line in made for word in line.named(arg) if word.value not in was.values(arg)]
    lost = [word for word in was.named(arg) if not all(word.value in line.values(arg) for line in made)]
    pairs = [(added, False), (lost, True)]
    return [
        Wish(arg, tuple(word.value for word in words), tuple(word.text for word in words), True, present)
        for words, present in pairs
        if words
    ]


def refuse_newer(text: str | None, path: str) -> None:
    """Raise Newer for a record of a version to come, also where it is another boot loader's and not used."""
    with suppress(ValueError):  # a damaged one says nothing, and parse_record() refuses it where it is used
        versions.parsed(text or "{}", path)


def _kept(fields: dict[str, object]) -> Kept:
    """The Kept of its parsed JSON. Raises KeyError, TypeError where it is none."""
    made = fields["made"]
    if not isinstance(made, list):
        raise TypeError(made)
    return Kept(_text_or_none(fields["was"]), tuple(_text_or_none(line) for line in made), _text_or_none(fields.get("raw")))


def _text_or_none(value: object) -> str | None:
    """A value of JSON that has to be a text or null. Raises TypeError."""
    if value is None or isinstance(value, str):
        return value
    raise TypeError(value)


def parse_record(text: str | None, path: str) -> Record:
    """The Record of a file; an empty one where text is None. Raises PlanError where it is not as we write it."""
    if text is None:
        return Record({})
    try:
        data = versions.parsed(text, path)
        data.pop("v", None)
        lines = {name: _kept(fields) for name, fields in data["lines"].items()}
        record = Record(lines, data["finished"])
        # Whatever else is in it, it was not written here; and what would not be written is not understood.
        if isinstance(record.finished, bool) and json.loads(record.render() or "{}") == data:
            return record
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise PlanError(
        f"{path} is not as this collection wrote it, so what was set on the kernel command line cannot be told from "
        "what others set: remove it, and what was set stays until it is removed by name"
    )


__all__ = ("Kept", "Record", "parse_record", "refuse_newer")
