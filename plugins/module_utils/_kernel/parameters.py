# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Values of module parameters: what a module takes, and when two of them mean the same. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

BOOLEANS = frozenset(("bool", "bint", "invbool", "bool_enable_only"))
_NUMBERS = frozenset((
    "byte", "short", "ushort", "int", "uint", "long", "ulong", "ullong", "hexint",
))

# As the kernel reads it: 0x is hexadecimal, a leading 0 octal (source: linux lib/kstrtox.c).
_NUMBER = re.compile(r"([+-]?)(0[xX])?([0-9a-fA-F]+)\Z")


@dataclass(frozen=True)
class Parameter:
    """A parameter that a module has; ``type`` is '' where the kernel does not say."""

    name: str
    type: str = ""


def truth(text: str) -> bool | None:
    """True or False as the kernel reads it, None for neither (source: linux lib/kstrtox.c kstrtobool)."""
    head = text[:1].lower()
    if head in ("y", "t", "1"):
        return True
    if head in ("n", "f", "0"):
        return False
    return {"on": True, "of": False}.get(text[:2].lower())


def as_text(value: object) -> str:
    """The text of a user's YAML value: text, whole number or boolean. Raises ValueError for any other value."""
    if value is True or value is False:
        return "Y" if value else "N"
    if isinstance(value, (int, str)):
        return str(value)
    raise ValueError(value)


def fitting(text: str, kind: str) -> str | None:
    """``text`` as a parameter of type ``kind`` takes it on every kernel; None where it takes no such value."""
    if kind in BOOLEANS:
        on = truth(text)
        if on is None:
            return None
        return text if text in ("Y", "N", "y", "n", "0", "1") else ("Y" if on else "N")
    if kind in _NUMBERS:
        text = {"Y": "1", "N": "0"}.get(text, text)
        return text if _number(text) is not None else None
    return text


def as_shown(text: str, kind: str) -> str:
    """``text`` as the kernel prints it of a parameter of type ``kind``."""
    if kind in BOOLEANS and truth(text) is not None:
        return "Y" if truth(text) else "N"
    return text


def same(value: str | None, other: str | None, *, kind: str = "") -> bool:
    """Whether two values (None: a bare flag, or unset) mean the same to a parameter of type ``kind``; '' is an unknown type."""
    text, other_text = _plain(value), _plain(other)
    if text == other_text:
        return True
    if kind in BOOLEANS:
        return truth(text or "Y") is not None and truth(text or "Y") == truth(other_text or "Y")
    return _number(text) is not None and _number(text) == _number(other_text)


def _plain(value: str | None) -> str:
    return "" if value is None or value == "(null)" else value.strip()


def _number(text: str) -> int | None:
    """The whole number that the kernel reads of a text; None where it is none."""
    parts = _NUMBER.match(text)
    if parts is None:
        return None
    sign, prefix, digits = parts.groups()
    base = 16 if prefix else 8 if digits.startswith("0") else 10
    try:
        return int(sign + digits, base)
    except ValueError:
        return None


__all__ = ("BOOLEANS", "Parameter", "as_shown", "as_text", "fitting", "same", "truth")
