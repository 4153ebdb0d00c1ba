# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Names of vendors and devices from the host's pci.ids. Pure but for the reader it is given."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Callable, Iterable


# A line that is no device, no comment and not empty.
_SECTION_END = re.compile(rb"\n(?=[^\t#\n])")


class Dictionary:
    """Looks ids up in the first pci.ids that ``read_file`` finds among ``paths``. It is read when this is made.

    The format: a vendor's line starts in column 0, its devices follow with one tab (source: pci.ids(5)). The bytes are
    searched, neither parsed nor decoded: a host knows a few ids and the file has forty thousand.
    """

    def __init__(self, paths: Iterable[str], read_file: Callable[[str], bytes | None]) -> None:
        self._data = b"\n" + next(filter(None, map(read_file, paths)), b"")
        self._vendors: dict[str, tuple[str | None, int, int]] = {}
        self._known: dict[str, tuple[str | None, str | None]] = {}

    def names(self, vendor: str, device: str) -> tuple[str | None, str | None]:
        """(vendor's name, device's name), each None where the file does not have it."""
        key = vendor + device
        if key not in self._known:
            name, start, end = self._vendor(vendor)
            self._known[key] = (name, self._entry(f"\n\t{device}  ", start, end)[0] if name else None)
        return self._known[key]

    def _vendor(self, vendor: str) -> tuple[str | None, int, int]:
        """(Its name, where its devices start, where they end)."""
        if vendor not in self._vendors:
            name, start = self._entry(f"\n{vendor}  ", 0, len(self._data))
            self._vendors[vendor] = (name, start, self._section_end(start)) if name else (None, 0, 0)
        return self._vendors[vendor]

    def _section_end(self, start: int) -> int:
        found = _SECTION_END.search(self._data, start)
        return found.start() if found else len(self._data)

    def _entry(self, needle: str, start: int, end: int) -> tuple[str | None, int]:
        """(The rest of the line that starts with a text, where that line ends), (None, 0) where there is no such line."""
        words = needle.encode("ascii", "replace")
        found = self._data.find(words, start, end)
        if found < 0:
            return None, 0
        stop = self._data.find(b"\n", found + 1)
        stop = len(self._data) if stop < 0 else stop
        return self._data[found + len(words):stop].decode("utf-8", "replace"), stop


__all__ = ("Dictionary",)
