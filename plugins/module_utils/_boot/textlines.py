# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The lines of files that others read: where these readers end a line. Pure.

str.splitlines() also ends one at vertical tabs, form feeds, U+0085 and U+2028, which to all of them are part of a line.
"""

from __future__ import annotations

import re

_ENTRY_END = re.compile(r"[\r\n]")


def lines(text: str) -> list[str]:
    """The lines of what a shell, GRUB or a tool reads, which only \\n ends; without an empty one after the last."""
    parts = text.split("\n")
    return parts if parts[-1] else parts[:-1]


def entry_lines(text: str) -> list[str]:
    """The lines of a boot entry that systemd-boot reads (source: systemd src/boot/boot.c line_get_key_value, which ends one at \\n and \\r)."""
    return _ENTRY_END.split(text)


__all__ = ("entry_lines", "lines")
