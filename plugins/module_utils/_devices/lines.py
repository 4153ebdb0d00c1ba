# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The text of a rules file, in lines that udev reads. Pure."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

# udev stops at a longer line, with a message for debugging only, and passes over the rest of the file. The newline counts.
# (source: systemd src/udev/udev-rules.c udev_rules_parse_file and UDEV_LINE_SIZE, src/basic/fileio.c read_line_full;
# test/units/TEST-17-UDEV.verify.sh has both sides of the limit)
MAX_LINE = 16384


def size(line: str) -> int:
    """The bytes of a line in a file, with its newline."""
    return len(line.encode("utf-8", "surrogateescape")) + 1


def fits(line: str) -> bool:
    """Whether udev reads a line, and what comes after it."""
    return size(line) <= MAX_LINE


def joined(lines: list[str], *, whose: str, remedy: str) -> str:
    """The text of a rules file. Raises PlanError for a line that udev does not read: ``whose`` it is, and the ``remedy``."""
    for line in lines:
        if not fits(line):
            raise PlanError(
                f"{whose}: a line of the rules file would have {size(line)} bytes, and udev stops reading a file at a line of "
                f"more than {MAX_LINE}: {line[:70]}...; {remedy}"
            )
        if line.endswith("\\") or "\n" in line or "\r" in line or "\0" in line:
            raise PlanError(f"{whose}: udev would not read this as one line of a rules file: {line[:70]!r}; {remedy}")
    return "\n".join(lines) + "\n"


__all__ = ("MAX_LINE", "fits", "joined", "size")
