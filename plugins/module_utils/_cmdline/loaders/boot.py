# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What is read of a boot loader, and what would be done to it, as values. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

if TYPE_CHECKING:
    from typing import Mapping

# What a back end reads beside what all have: a frozen value of its own, or None.
More = TypeVar("More")


@dataclass(frozen=True)
class Boot(Generic[More]):
    """A boot loader's state. ``entries``: (name, command line) of what this system boots, the default one first.

    ``more``: what only its own back end reads. ``files``: path -> text of the files that a change may write or a tool rewrites; None:
    absent. ``source``: the line that the tool makes the next entries from; empty where there is none. ``lines``: (name, line) of what is
    edited in place. ``new``: the names of those whose file is absent: it is made, and removed when everything is taken back. ``raw``:
    name of a line -> how its file writes it, where that is more than the line, such as its quotes.
    """

    entries: tuple[tuple[str, str], ...]
    more: More
    files: Mapping[str, str | None] = field(default_factory=dict)
    source: str = ""
    lines: tuple[tuple[str, str], ...] = ()
    new: tuple[str, ...] = ()
    raw: dict[str, str] = field(default_factory=dict)

    def text(self, path: str) -> str:
        """The text of one of ``files`` that is there. Raises PlanError where it is not."""
        text = self.files[path]
        if text is None:
            raise PlanError(f"{path} is absent: it was there when the boot loader was looked for; run again")
        return text


@dataclass(frozen=True)
class Change:
    """What would be done. ``files``: path -> text, None to remove it; ``commands``: each a list of words, run when the files are
    written. Where a command has written one of the files, that file is written again. ``undo``: commands that roll back; None:
    ``commands`` again, since they derive everything from the files. ``late``: path -> text of files that say what there is to take
    back; they are written when all else is done and proved. ``problems``, ``warnings``: sentences.
    """

    files: dict[str, str | None] = field(default_factory=dict)
    commands: list[list[str]] = field(default_factory=list)
    late: dict[str, str | None] = field(default_factory=dict)
    undo: list[list[str]] | None = None
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


__all__ = ("Boot", "Change", "More")
