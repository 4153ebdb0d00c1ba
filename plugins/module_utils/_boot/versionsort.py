# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The order of ``sort -V``, in which 9-a.conf is before 10-a.conf. Pure. (source: gnulib lib/filevercmp.c)"""

from __future__ import annotations

import functools
import re
from typing import Iterable, List, Tuple

_SUFFIX = re.compile(r"(?:\.[A-Za-z~][A-Za-z0-9~]*)*\Z")
_PARTS = re.compile(r"([^0-9]*)([0-9]*)")


def version_sorted(paths: Iterable[str]) -> List[str]:
    """Absolute ``paths`` in that order."""
    return sorted(paths, key=functools.cmp_to_key(_compared))


def _compared(one: str, other: str) -> int:
    """Below 0 where ``one`` is before ``other``: by what is before the suffixes, then by all, then by bytes."""
    shorter = _key(_SUFFIX.sub("", one)), _key(_SUFFIX.sub("", other))
    keys = shorter if shorter[0] != shorter[1] else (_key(one), _key(other))
    if keys[0] == keys[1]:
        keys = _key_of_bytes(one), _key_of_bytes(other)
    return -1 if keys[0] < keys[1] else int(keys[0] > keys[1])


def _key(text: str) -> Tuple[Tuple[Tuple[int, ...], int], ...]:
    """Texts and numbers by turns. Within a text '~' is before its end, that before letters, and these before all else."""
    return tuple((tuple(map(_place, word)) + (0,), int(number or "0")) for word, number in _PARTS.findall(text))


def _place(letter: str) -> int:
    if letter == "~":
        return -1
    return ord(letter) if letter.isascii() and letter.isalpha() else ord(letter) + (1 << 21)


def _key_of_bytes(text: str) -> Tuple[Tuple[Tuple[int, ...], int], ...]:
    return ((tuple(text.encode("utf-8", "surrogateescape")), 0),)


__all__ = ("version_sorted",)
