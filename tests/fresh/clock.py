# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy what comes in to a file and to the output, each line with the second it began at, and judge the silences.

Usage: COMMAND 2>&1 | python3 tests/fresh/clock.py FILE SECONDS

The last line says how long all of it took, and the longest silence with the line before it. Exit status 1: it was
longer than SECONDS.
"""

from __future__ import annotations

import os
import sys
import time
from typing import BinaryIO, Callable, List


class Clock:
    """Stamps lines as they come, in pieces of any size, and keeps the longest time in which nothing came."""

    def __init__(self, sinks: List[BinaryIO], now: Callable[[], float] = time.monotonic) -> None:
        self._sinks = sinks
        self._now = now
        self._begin = self._last = now()
        self._line = b""
        self._at_start = True
        self.longest = 0.0
        self.before = ""

    @property
    def total(self) -> float:
        return self._now() - self._begin

    def silence(self) -> None:
        """Something came, or the end: what lies between this and the last is a silence."""
        now = self._now()
        if now - self._last > self.longest:
            self.longest, self.before = now - self._last, self._line.decode("utf-8", "replace").strip()
        self._last = now

    def take(self, piece: bytes) -> None:
        self.silence()
        for line in piece.splitlines(keepends=True):
            if self._at_start:
                self._put(f"[{self.total:6.1f}] ".encode())
                self._line = b""
            self._put(line)
            self._line += line
            self._at_start = line.endswith(b"\n")

    def _put(self, data: bytes) -> None:
        for sink in self._sinks:
            sink.write(data)
            sink.flush()

    def end(self) -> str:
        self.silence()
        if not self._at_start:
            self._put(b"\n")
        before = f" after: {self.before[:100]}" if self.before else ""
        return f"total {self.total:.1f} s, longest silence {self.longest:.1f} s{before}"


def main() -> int:
    path, limit = sys.argv[1], float(sys.argv[2])
    with open(path, "ab") as log:
        clock = Clock([log, sys.stdout.buffer])
        while True:
            piece = os.read(sys.stdin.fileno(), 65536)
            if not piece:
                break
            clock.take(piece)
        summary = clock.end() + "\n"
        log.write(summary.encode())
    sys.stdout.write(summary)
    return 1 if clock.longest > limit else 0


if __name__ == "__main__":
    sys.exit(main())
