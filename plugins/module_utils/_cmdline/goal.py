# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The command lines of a boot loader as they will be: what is wished of all lines, and of single ones. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import edit, normalize, parse

if TYPE_CHECKING:
    from typing import Iterable

    from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import Wish


@dataclass(frozen=True)
class Goal:
    """``wishes``: of every line but those that have ``own``, by the line's name. ``texts``: whole lines, by name.

    ``gone``: the names of lines whose file is removed. ``again``: the run before broke off, so what cannot be read back is done again.
    """

    wishes: list[Wish]
    own: dict[str, list[Wish]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    again: bool = False

    @property
    def all(self) -> list[Wish]:
        """A wish for each argument; of several, that of the first line."""
        by_name: dict[str, Wish] = {}
        for wishes in [self.wishes, *self.own.values()]:
            for wish in wishes:
                by_name.setdefault(normalize(wish.name), wish)
        return list(by_name.values())

    def of(self, name: str) -> list[Wish]:
        """The wishes of a line."""
        return self.own.get(name, self.wishes)

    def edit(self, name: str, line: str) -> str:
        """A line as it will be, where its file is not removed."""
        return self.texts[name] if name in self.texts else edit(line, self.of(name))

    def edited(self, lines: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """(name, line) of all as they will be."""
        return tuple((name, self.edit(name, line)) for name, line in lines)

    def unmet(self, lines: Iterable[tuple[str, str]]) -> list[tuple[str, str, Wish]]:
        """(name, line, wish) of what is not as wished."""
        return [(name, line, wish) for name, line in lines for wish in self.of(name) if not wish.is_met(parse(line))]


__all__ = ("Goal",)
