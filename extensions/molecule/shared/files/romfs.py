# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the smallest file system that Linux mounts to a disk: romfs with an empty root (source: Documentation/filesystems/romfs.rst).

Images of the lab have no mkfs.
"""

import struct
import sys

NAME = b"lab".ljust(16, b"\0")
# A directory (1) that may be entered (8), the last of its directory; its first entry is itself, at 32.
ROOT = struct.pack(">IIII", 1 | 8, 32, 0, 0) + b".".ljust(16, b"\0")
SIZE = 32 + len(ROOT)


def image(checksum):
    return b"-rom1fs-" + struct.pack(">II", SIZE, checksum) + NAME + ROOT


with open(sys.argv[1], "r+b", buffering=0) as disk:
    # All of it as numbers has the sum 0.
    disk.write(image(-sum(struct.unpack(">16I", image(0))) % 2 ** 32).ljust(4096, b"\0"))
