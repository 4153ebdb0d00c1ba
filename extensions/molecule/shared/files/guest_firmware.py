# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes what a guest of firmware alone runs: it has drivers of its own for these devices, and is there in a tenth of a kernel's time.

Arguments: a disk, to whose first block a program is written that says so; the file for network cards; then ROM=VENDOR:DEVICE of each, as ids.
The disk '-' leaves that out.
"""

import os
import struct
import sys

BLOCK = 512
# Prints what follows it, and has the firmware go on with the next device: xor ax,ax; mov ds,ax; cld; mov si,0x7c18; next: lodsb; or al,al;
# jz end; mov ah,0x0e; mov bx,7; int 0x10; jmp next; end: int 0x18.
PROGRAM = bytes.fromhex("31c0 8ed8 fc be187c ac 08c0 7409 b40e bb0700 cd10 ebf2 cd18")
WORDS = b"\r\nguest: started from the disk\r\n\0"
# Offsets in the PCI data structure of a ROM, and the bit of its last image (source: PCI Firmware Specification; QEMU hw/pci/pci.c
# pci_patch_ids()).
VENDOR, DEVICE, INDICATOR, LAST = 4, 6, 0x15, 0x80


def image(path, vendor, device, is_last):
    """A ROM's first image for a card of these ids. The firmware passes over those of other cards."""
    with open(path, "rb") as file:
        rom = bytearray(file.read())
    rom = rom[:rom[2] * BLOCK]
    (data,) = struct.unpack_from("<H", rom, 0x18)
    struct.pack_into("<HH", rom, data + VENDOR, vendor, device)
    rom[data + INDICATOR] = (rom[data + INDICATOR] & ~LAST) | (LAST if is_last else 0)
    # All bytes of an image are 0 in sum; QEMU's own patch uses the same one for that.
    rom[6] = (rom[6] - sum(rom)) & 0xFF
    return bytes(rom)


def main(disk, target, *cards):
    if disk != "-":
        handle = os.open(disk, os.O_WRONLY)
        os.write(handle, (PROGRAM + WORDS).ljust(BLOCK - 2, b"\0") + b"\x55\xaa")
        os.fsync(handle)
        os.close(handle)
    with open(target, "wb") as roms:
        for number, card in enumerate(cards):
            path, dummy, ids = card.partition("=")
            vendor, device = (int(one, 16) for one in ids.split(":"))
            roms.write(image(path, vendor, device, number == len(cards) - 1))


main(*sys.argv[1:])
