# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Vital product data of a PCI function: its name, part number and serial number. Pure.

Format: PCI Local Bus Specification 2.2, appendix I; as drivers/pci/vpd.c and include/linux/pci.h of the Linux kernel read it.
"""

from __future__ import annotations

from typing import Callable, Dict, Optional

_LARGE = 0x80  # PCI_VPD_LRDT: a tag of one byte, two bytes of length
_NAME, _READ_ONLY, _END = 0x82, 0x90, 0x78  # PCI_VPD_LRDT_ID_STRING, PCI_VPD_LRDT_RO_DATA, the small tag PCI_VPD_STIN_END
_MOST = 32768  # PCI_VPD_MAX_SIZE
_TAGS = 64  # more are none that anybody makes
_KEYS = {b"PN": "part", b"SN": "serial"}


def identification(read_at: Callable[[int, int], bytes]) -> Optional[Dict[str, Optional[str]]]:
    """{name, part, serial}, None where there is no such data. ``read_at``: (length, offset) -> bytes.

    It reads no more than it needs: the device answers four bytes at a time, and may take milliseconds for them.
    """
    found: Dict[str, Optional[str]] = {"name": None, "part": None, "serial": None}
    offset, has_any = 0, False
    for dummy in range(_TAGS):
        head = read_at(3, offset)
        if len(head) < 3 or head[0] in (0, 0xFF) or offset >= _MOST:
            break
        if head[0] < _LARGE:
            if head[0] & ~7 == _END:
                break
            offset += 1 + (head[0] & 7)
            continue
        length = int.from_bytes(head[1:3], "little")
        if head[0] == _NAME:
            found["name"] = _text(read_at(length, offset + 3))
            has_any = True
        elif head[0] == _READ_ONLY:
            found.update(_keywords(read_at(length, offset + 3)))
            has_any = True
            break  # what follows can be written by anybody
        offset += 3 + length
    return found if has_any else None


def _keywords(data: bytes) -> Dict[str, Optional[str]]:
    """The known ones of a list of keywords: two letters, a length, a value."""
    found, at = {}, 0
    while at + 3 <= len(data):
        key, length = data[at:at + 2], data[at + 2]
        if key in _KEYS and at + 3 + length <= len(data):
            found[_KEYS[key]] = _text(data[at + 3:at + 3 + length])
        at += 3 + length
    return found


def _text(value: bytes) -> Optional[str]:
    """What a maker wrote; what is no printable ASCII is left out."""
    text = "".join(chr(one) for one in value if 32 <= one < 127).strip()
    return text or None


__all__ = ("identification",)
