# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Names of vendors and devices from the host's pci.ids. Pure but for the reader it is given."""

from __future__ import annotations

import re

# A line that is no device, no comment and not empty.
_SECTION_END = re.compile(r"\n(?=[^\t#\n])")


class Dictionary:
    """Looks ids up in the text of the first pci.ids that ``read_file`` finds among ``paths``.

    The format: a vendor's line starts in column 0, its devices follow with one tab (source: pci.ids(5)). The text is
    searched, not parsed: a host knows a few ids and the file has forty thousand.
    """

    def __init__(self, paths, read_file):
        self._paths = paths
        self._read_file = read_file
        self._text = None
        self._vendors = {}
        self._known = {}

    def names(self, vendor, device):
        """(vendor's name, device's name), each None where the file does not have it."""
        key = vendor + device
        if key not in self._known:
            name, start, end = self._vendor(vendor)
            self._known[key] = (name, self._entry(f"\n\t{device}  ", start, end) if name else None)
        return self._known[key]

    def _vendor(self, vendor):
        if vendor not in self._vendors:
            text = self._load()
            name = self._entry(f"\n{vendor}  ", 0, len(text))
            start = text.find(f"\n{vendor}  ") + 1
            self._vendors[vendor] = (name, start, self._section_end(start)) if name else (None, 0, 0)
        return self._vendors[vendor]

    def _section_end(self, start):
        found = _SECTION_END.search(self._text, start)
        return found.start() if found else len(self._text)

    def _entry(self, needle, start, end):
        found = self._text.find(needle, start, end)
        if found < 0:
            return None
        found += len(needle)
        stop = self._text.find("\n", found)
        return self._text[found:] if stop < 0 else self._text[found:stop]

    def _load(self):
        if self._text is None:
            data = b""
            for path in self._paths:
                data = self._read_file(path) or b""
                if data:
                    break
            self._text = "\n" + data.decode("utf-8", "replace")
        return self._text


__all__ = ("Dictionary",)
