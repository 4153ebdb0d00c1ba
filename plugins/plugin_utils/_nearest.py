# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The name that somebody may have meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST = 2  # letters added, lost, changed or swapped that make a typo


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that is nearest; None where none is near."""
    plain = {_plain(name): name for name in known}
    near = get_close_matches(_plain(word), list(plain), n=1, cutoff=0.6)
    return plain[near[0]] if near else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'; did you mean match?', or nothing where no known name is near."""
    near = nearest(word, known)
    return "" if near is None else f"; did you mean {near}?"


def is_typo(word: str, known: str) -> bool:
    """Whether two names that are not the same differ by no more than a typo or two, capitals and dashes aside.

    A name that has the other one within it was meant as it is.
    """
    first, second = _plain(word), _plain(known)
    if word == known or (first != second and second in first):
        return False
    return abs(len(first) - len(second)) <= _MOST and _distance(first, second) <= _MOST


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")


def _distance(first: str, second: str) -> int:
    """The fewest steps from the first to the second: a letter added, lost, changed, or two neighbours swapped."""
    before: list[int] = []
    last = list(range(len(second) + 1))
    for row, letter in enumerate(first, 1):
        now = [row]
        for column, wanted in enumerate(second, 1):
            steps = min(last[column] + 1, now[-1] + 1, last[column - 1] + (letter != wanted))
            if before and column > 1 and letter == second[column - 2] and first[row - 2] == wanted:
                steps = min(steps, before[column - 2] + 1)
            now.append(steps)
        before, last = last, now
    return last[-1]


__all__ = ("did_you_mean", "is_typo", "nearest")
