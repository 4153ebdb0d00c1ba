# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One thing after the other that a run reads of a host, refused: by the calls that it makes, so that none is forgotten."""

from __future__ import annotations

import errno
import os

_CALLS = {"read_bytes": lambda: None, "read_file": lambda: None, "names": list, "target": lambda: None, "directories": list}


class Refusing:
    """Stands in a fake host's way: what is in ``read``, (call, path), was asked for so far; ``victim``: which of these is refused."""

    def __init__(self, kernel, number=errno.EIO):
        self._kernel = kernel
        self._number = number
        self.read = set()
        self.victim = None
        for name, nothing in _CALLS.items():
            setattr(kernel, name, self._standing_before(name, nothing))
        self._walk = type(kernel).walk.__get__(kernel)
        kernel.walk = self._walked

    def _is_refused(self, name, path):
        self.read.add((name, path))
        is_refused = (name, path) == self.victim
        if is_refused:
            self._kernel.note(path, OSError(self._number, os.strerror(self._number)))
        return is_refused

    def _standing_before(self, name, nothing):
        real = getattr(type(self._kernel), name).__get__(self._kernel)
        return lambda path, *more: nothing() if self._is_refused(name, path) else real(path, *more)

    def _walked(self, directory):
        for path, names in self._walk(directory):
            yield path, [] if self._is_refused("walk", path) else names

    def one_by_one(self, ask, wanted=lambda path: True):
        """(path, what ``ask`` gives while it is refused) of each thing that ``ask`` reads and that is ``wanted``."""
        ask()
        for victim in sorted(self.read):
            if wanted(victim[1][len(self._kernel.root):]):
                self.victim = victim
                try:
                    yield victim[1], ask()
                finally:
                    self.victim = None


__all__ = ("Refusing",)
