# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Reader of what other programs have configured: bounded, never blocking, and never ending a run.

What is there and cannot be read, or is too much to be read, is noted and passed over: ``notes`` names it.
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
import stat
from typing import Dict, List, Sequence

from ansible_collections.vfio.host.plugins.module_utils._host import foreignpaths
from ansible_collections.vfio.host.plugins.module_utils._host.errors import errno_text

MOST_BYTES = 1 << 20
MOST_FILES = 2000

_BEGIN = 4096  # of a program that is no text, there is a NUL in it
_GONE = (errno.ENOENT, errno.ENOTDIR)
_UNCHECKED = "so it is not checked for what it decides at boot"


class Foreign:
    """Configuration files of other programs below ``root``. Each is read once. ``notes``: what could not be checked, in sentences."""

    def __init__(self, root: str = "/") -> None:
        self.root = root.rstrip("/")
        self.notes: List[str] = []
        self._texts: Dict[str, str] = {}
        self._scripts: Dict[str, str] = {}
        self._listings: Dict[str, List[str]] = {}

    def note(self, sentence: str) -> None:
        """Keep a sentence of what cannot be checked, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def paths(self, patterns: Sequence[str], *, is_merged: bool = False) -> List[str]:
        """The paths that fit the glob ``patterns``, from the host's root, in the order of their names.

        ``is_merged``: of two files of one name only the one of the first pattern counts, and one that is empty or a link to
        /dev/null counts as none (source: systemd src/basic/conf-files.c, conf_files_list_strv).
        """
        by_name: Dict[str, str] = {}
        for pattern in patterns:
            for path in sorted(self._fitting(pattern)):
                by_name.setdefault(os.path.basename(path) if is_merged else path, path)
        kept = [path for dummy, path in sorted(by_name.items()) if not (is_merged and self._is_empty(path))]
        if len(kept) > MOST_FILES:
            self.note(f"{' '.join(patterns)} are {len(kept)} files, and only the first {MOST_FILES} are checked")
        return kept[:MOST_FILES]

    def _fitting(self, pattern: str) -> List[str]:
        """What glob.glob() gives for a pattern below the root. Most have a wildcard in the last part alone, which is one look."""
        directory, dummy, last = pattern.rpartition("/")
        if glob.has_magic(directory) or not glob.has_magic(last) or "**" in last:
            return glob.glob(glob.escape(self.root) + pattern)
        # A wildcard fits no name that is hidden (source: Python's Lib/glob.py _glob1()).
        names = [name for name in self._listed(directory) if last.startswith(".") or not name.startswith(".")]
        return [f"{self.root}{directory}/{name}" for name in fnmatch.filter(names, last)]

    def _listed(self, directory: str) -> List[str]:
        """The names in a directory, in no order; [] where it is not to be read. Several patterns are of one directory."""
        if directory not in self._listings:
            try:
                self._listings[directory] = os.listdir(f"{self.root}{directory}/")
            except OSError:
                self._listings[directory] = []
        return self._listings[directory]

    def names(self, directory: str) -> List[str]:
        """The names in a directory of the host, sorted; [] where there is none."""
        try:
            return sorted(os.listdir(self.root + directory))
        except OSError as error:
            if error.errno not in _GONE:
                self.note(f"{self.root}{directory} cannot be read ({errno_text(error.errno)}), {_UNCHECKED}")
            return []

    def is_executable(self, path: str) -> bool:
        """Whether a file may be run."""
        return os.access(path, os.X_OK)

    def text(self, path: str) -> str:
        """The text of a file, with bytes that are no UTF-8 as \\xNN; "" where it is absent, no file, or noted."""
        if path not in self._texts:
            try:
                self._texts[path] = self._read(path).decode("utf-8", "backslashreplace")
            except (OSError, ValueError) as error:
                self._texts[path] = ""
                if not isinstance(error, OSError) or error.errno not in _GONE:
                    said = errno_text(error.errno) if isinstance(error, OSError) else str(error)
                    self.note(f"{path} cannot be read ({said}), {_UNCHECKED}")
        return self._texts[path]

    def script(self, path: str) -> str:
        """The text of a program of the host by its path there, or by a name that is no package's; "" where it is no script, or not to be read.

        Whatever runs it may not need its first line, so every text counts.
        """
        if "/" not in path:
            place = next((one for one in foreignpaths.LOCAL_PROGRAMS if path in self._listed(one)), None)
            return self.script(f"{place}/{path}") if place else ""
        if not path.startswith("/") or "\0" in path or path.startswith(("/proc/", "/sys/", "/dev/")):
            return ""
        if path not in self._scripts and len(self._scripts) < MOST_FILES:
            try:
                data = self._read(self.root + path, only_text=True)
            except (OSError, ValueError):
                data = b""  # what runs it is looked at all the same, and named where it speaks of devices
            self._scripts[path] = data.decode("utf-8", "backslashreplace")
        return self._scripts.get(path, "")

    def _read(self, path: str, *, only_text: bool = False) -> bytes:
        """The bytes of a file; none with ``only_text`` where it begins like no text. Raises OSError, ValueError."""
        # A FIFO would block, and a link may point at one.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                if stat.S_ISDIR(status.st_mode) or stat.S_ISCHR(status.st_mode):
                    return b""
                raise ValueError("it is no file")
            data = os.read(handle, _BEGIN)
            if only_text and b"\0" in data:
                return b""
            while len(data) <= MOST_BYTES:
                part = os.read(handle, MOST_BYTES + 1 - len(data))
                data += part
                if not part:
                    return data
        finally:
            os.close(handle)
        raise ValueError(f"it has more than {MOST_BYTES} bytes")

    def _is_empty(self, path: str) -> bool:
        """Whether a file masks those of its name: a link to /dev/null, also below another root, or nothing in it."""
        try:
            if os.path.islink(path) and os.readlink(path) == os.devnull:
                return True
            status = os.stat(path)
        except OSError:
            return False
        return stat.S_ISCHR(status.st_mode) or (stat.S_ISREG(status.st_mode) and not status.st_size)


__all__ = ("Foreign", "MOST_BYTES", "MOST_FILES")
