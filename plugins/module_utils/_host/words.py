# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Words and numbers of texts of the host, as the kernel and its tools take them apart. Pure.

To str.split(), str.strip() and str.splitlines() also U+0085, U+00A0, U+2028 and \\x1c are white space: to a kernel, a shell and systemd they are
a part of a name.
"""

from __future__ import annotations

import re
from typing import Iterable, List, Optional

_BLANK = " \t\n\v\f\r"  # isspace() of C
_BLANKS = re.compile(f"[{_BLANK}]+")
# What ends a line for systemd and udev (source: systemd src/basic/fileio.c read_line_full()).
_LINE_END = re.compile("\n\r?\0?|\r\n?\0?|\0")


def words(text: str, most: int = 0) -> List[str]:
    """The words of a text; where ``most`` is not 0, so many at most, and the rest of the text in the last."""
    text = trimmed(text)
    return _BLANKS.split(text, max(most - 1, 0)) if text and most != 1 else [text] if text else []


def systemd_lines(text: str) -> List[str]:
    """The lines of a file that systemd or udev reads, to which a carriage return and a NUL end one, too."""
    return _LINE_END.split(text)


def trimmed(text: str) -> str:
    """The text without the white space around it."""
    return text.strip(_BLANK)


def number(text: str, most_digits: int = 10) -> Optional[int]:
    """The whole number that a text of ASCII digits is; None for all else, and for one of more digits than ``most_digits``."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= most_digits else None


def nearest(word: str, known: Iterable[str], *, most: int, cutoff: float) -> List[str]:
    """Those of the ``known`` words that may have been meant by a ``word``, the nearest first, ``most`` of them at most. ``cutoff``, 0 to 1: how
    near they are at least.
    """
    from difflib import get_close_matches  # large, and asked only where something is wrong

    return get_close_matches(word, list(known), n=most, cutoff=cutoff)


__all__ = ("nearest", "number", "systemd_lines", "trimmed", "words")
