# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Numbers that a user gives: what is one, and how a wrong one is named in a message. Pure."""

from __future__ import annotations

_MOST_DIGITS = 40  # that a message repeats


def is_whole(value: object, most_digits: int) -> bool:
    """Whether a YAML value, or the text that a template made of it, is a whole number from 0 in ASCII digits."""
    if isinstance(value, bool) or (isinstance(value, int) and (value < 0 or value >= 10**most_digits)):
        return False
    text = str(value).strip()
    return text.isascii() and text.isdecimal() and len(text) <= most_digits


def shown(value: object) -> str:
    """The value for a message: a number of many digits by how many there are."""
    if isinstance(value, int) and abs(value) >= 10**_MOST_DIGITS:
        return f"a number of more than {_MOST_DIGITS} digits"
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "..."


__all__ = ("is_whole", "shown")
