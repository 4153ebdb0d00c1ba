# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""A unified kernel image: a PE program with kernel, initramfs image and command line inside, each a section. Pure."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import IO

_COFF = struct.Struct("<HHIIIHH")
_SECTION = struct.Struct("<8sIIIIIIHHI")
# Of the two kinds of programs: where the place and the size of their signatures are.
_CERTIFICATES = {0x10B: 96 + 4 * 8, 0x20B: 112 + 4 * 8}
_MANY = 96
_LONGEST = 1 << 16


class NotUnified(Exception):
    """What is no unified kernel image; the text says where it stops being one."""


def sections(stream: IO[bytes], *, is_addon: bool = False) -> dict[str, tuple[int, int]]:
    """Name -> (offset, length) of each section (source: PE Format, learn.microsoft.com). Raises NotUnified. ``is_addon``: of a file that
    has no kernel, and adds to a unified kernel image (source: man 7 systemd-stub).

    A section is padded in the file: what counts of it is the shorter of the size in memory and that in the file.
    """
    if _taken(stream, 0, 2) != b"MZ":
        raise NotUnified("it does not begin with MZ")
    (start,) = struct.unpack("<I", _taken(stream, 0x3C, 4))
    if _taken(stream, start, 4) != b"PE\0\0":
        raise NotUnified(f"there is no PE header at byte {start}")
    header = _COFF.unpack(_taken(stream, start + 4, _COFF.size))
    count, optional = header[1], header[5]
    if not 0 < count <= _MANY:
        raise NotUnified(f"it has {count} sections")
    found: dict[str, tuple[int, int]] = {}
    for index in range(count):
        at = start + 4 + _COFF.size + optional + index * _SECTION.size
        name, memory, dummy, size, offset = _SECTION.unpack(_taken(stream, at, _SECTION.size))[:5]
        text = name.rstrip(b"\0").decode("ascii", "replace")
        # The first of a name counts; more belong to profiles.
        found.setdefault(text, (offset, min(memory, size)))
    if not is_addon and ".linux" not in found:
        raise NotUnified("it has no kernel inside")
    return found


def command_line(stream: IO[bytes], *, is_addon: bool = False) -> str | None:
    """What its kernel is started with; None where it has none inside. ``is_addon``: as for sections(). Raises NotUnified."""
    where = sections(stream, is_addon=is_addon).get(".cmdline")
    if where is None:
        return None
    data = _taken(stream, where[0], min(where[1], _LONGEST))
    return data.split(b"\0")[0].decode("utf-8", "surrogateescape").strip(" \n\t")


def is_signed(stream: IO[bytes]) -> bool:
    """Whether a program for the firmware has a signature, which firmware with Secure Boot asks for (source: PE Format, Certificate Table).
    Raises NotUnified.
    """
    (start,) = struct.unpack("<I", _taken(stream, 0x3C, 4))
    length = _COFF.unpack(_taken(stream, start + 4, _COFF.size))[5]
    optional = _taken(stream, start + 4 + _COFF.size, length)
    place = _CERTIFICATES.get(int.from_bytes(optional[:2], "little"))
    return place is not None and any(optional[place + 4:place + 8])


def _taken(stream: IO[bytes], offset: int, length: int) -> bytes:
    """``length`` bytes from ``offset`` on. Raises NotUnified where the file ends before."""
    stream.seek(offset)
    data = stream.read(length)
    if len(data) < length:
        raise NotUnified(f"it ends before byte {offset + length}")
    return data


__all__ = ("NotUnified", "command_line", "is_signed", "sections")
