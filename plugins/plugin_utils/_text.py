# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Lines for a terminal of a given width, and what a person calls a device. Runs on the controller."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What a line tells, from which its colour follows.
PLAIN, HEAD, GOOD, ADD, REMOVE, CHANGE, BAD = "plain", "head", "good", "add", "remove", "change", "bad"

# Base classes, by the first two digits of a class (source: the PCI Code and ID Assignment Specification, as in pci.ids).
_KINDS = {
    "00": "device", "01": "storage", "02": "network", "03": "display", "04": "sound, video", "05": "memory", "06": "bridge",
    "07": "communication", "08": "system", "09": "input", "0a": "docking station", "0b": "processor", "0c": "bus controller",
    "0d": "radio", "0e": "I/O processor", "0f": "satellite", "10": "encryption", "11": "signal processing", "12": "accelerator",
}
_COMPANIES = re.compile(r",? (Corporation|Corp\.?|Inc\.?|Co\.?|Ltd\.?|Limited|GmbH)(?=[ ,]|$),?")
_DOMAIN = "0000:"


@dataclass(frozen=True)
class Line:
    """One line of the screen, and what it tells."""

    text: str
    style: str = PLAIN


def short(address: str) -> str:
    """An address without the domain that most hosts have alone: '0000:02:00.0' is '02:00.0'."""
    return address[len(_DOMAIN):] if address.startswith(_DOMAIN) else address


def clean(text: str) -> str:
    """A text of a host without what would be no UTF-8, controls a terminal, or turns the direction of what stands beside it."""
    if text.isprintable():
        return text
    return "".join(one if one == "\n" or one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: characters of East Asian scripts take two, and what is put over another one none."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 0 if unicodedata.combining(character) else 1


def cut(text: str, width: int) -> str:
    """The text in so many columns at most; what does not fit is an ellipsis."""
    if columns(text) <= width:
        return text
    end = min(len(text), max(width - 1, 0))
    while columns(text[:end]) >= max(width, 1):
        end -= 1
    return text[:end].rstrip() + "…"


def name_of(ids: Mapping[str, Any], *, vendor_name: str | None, device_name: str | None) -> str:
    """What a person calls a device: by its names in pci.ids, else by the kind that the class in ``ids`` (six hex digits) tells."""
    if device_name:
        return _COMPANIES.sub("", f"{vendor_name or ''} {device_name}").strip()
    return kind_of(ids)


def kind_of(ids: Mapping[str, Any]) -> str:
    """What kind of device the class tells, in a word or two."""
    return _KINDS.get(str(ids.get("class") or "")[:2], "device")


def fill(fragments: Sequence[str], width: int, *, indent: int, first: int = 0) -> list[str]:
    """The fragments, separated by commas, in lines of ``width`` columns; ``first`` of the first line's are taken already.

    A fragment is broken only where a whole line is too short for it. Every line but the first begins with ``indent`` blanks.
    """
    lines = [""]
    room = width - first
    for number, fragment in enumerate(fragments):
        text = fragment + ("," if number + 1 < len(fragments) else "")
        if lines[-1] and columns(lines[-1]) + 1 + columns(text) <= room:
            lines[-1] += " " + text
            continue
        if lines[-1] or columns(text) > room:
            if lines[-1] or len(lines) > 1 or first:
                lines.append("")
            room = width - indent
        # Where some characters take two columns, as many as if all did.
        most = room if columns(text) <= len(text) else room // 2
        pieces = textwrap.wrap(text, max(most, 20), break_on_hyphens=False, break_long_words=False) or [""]
        lines[-1] = pieces[0]
        lines += pieces[1:]
    return lines[:1] + [" " * indent + line for line in lines[1:]]


def counted(number: int, singular: str, *, plural: str = "") -> str:
    """'1 device', '2 devices'. Without ``plural``, that is the singular with an s."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


__all__ = (
    "ADD", "BAD", "CHANGE", "GOOD", "HEAD", "Line", "PLAIN", "REMOVE", "clean", "columns", "counted", "cut", "fill", "kind_of", "name_of",
    "short",
)
