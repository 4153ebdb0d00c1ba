# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Numbers that a user gives: what is one, and how a wrong one is named in a message. Pure."""

from __future__ import annotations

from typing import Iterator, List

from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError

_MOST_DIGITS = 40  # that a message repeats
_UNWRITABLE = 10**600  # less is written however Python is set up (source: sys.int_info.str_digits_check_threshold)
_TOO_LONG = f"a number of more than {_MOST_DIGITS} digits"


def is_whole(value: object, most_digits: int) -> bool:
    """Whether a YAML value, or the text that a template made of it, is a whole number from 0 in ASCII digits."""
    if isinstance(value, bool) or (isinstance(value, int) and (value < 0 or value >= 10**most_digits)):
        return False
    text = str(value).strip()
    return text.isascii() and text.isdecimal() and len(text) <= most_digits


def shown(value: object) -> str:
    """The value for a message, cut where it is long: a number of many digits by how many there are."""
    if isinstance(value, int) and abs(value) >= 10**_MOST_DIGITS:
        return _TOO_LONG
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of thousands of digits, also within a list
        return f"a {type(value).__name__} with {_TOO_LONG}"
    return text if len(text) <= 200 else text[:200] + "..."


def named(value: object, *, longest: int = 200) -> str:
    """A name that a user gave, for a message, which is of lines, and goes to a terminal that obeys some characters."""
    return value if isinstance(value, str) and value.isprintable() and len(value) <= longest else shown(value)


def too_long(where: str, value: object) -> List[str]:
    """A sentence, with the way to it, where a number that nothing can write is anywhere in a value of YAML, else []: it can be written
    into no message, and into no file. Hexadecimal ones (0xfff...) pass YAML at any length.
    """
    return list(dict.fromkeys(_too_long(where, value, [])))


def check_lengths(where: str, value: object) -> None:
    """Raise InputError with what too_long() says."""
    problems = too_long(where, value)
    if problems:
        raise InputError(*problems)


def _too_long(where: str, value: object, above: List[object]) -> Iterator[str]:
    """A sentence for each such number; ``above``: what the value is in, which by YAML's anchors may be within itself."""
    if isinstance(value, int):
        if abs(value) >= _UNWRITABLE:
            yield f"{where}: {_TOO_LONG}, which nothing here can have"
    elif isinstance(value, (dict, list, tuple)) and not any(one is value for one in above):
        if isinstance(value, dict):
            for key in value:
                yield from _too_long(where, key, above + [value])
                yield from _too_long(f"{where}.{named(key)}", value[key], above + [value])
        else:
            for index, one in enumerate(value):
                yield from _too_long(f"{where}[{index}]", one, above + [value])


__all__ = ("check_lengths", "is_whole", "named", "shown", "too_long")
