# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Reader of the kernel's files. Absence is a value here: what the kernel does not offer reads as None, what it offers and leaves unset
reads as "". What is there and cannot be read, whatever errno it answers, reads as absent, and refusal() tells the two apart.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import Callable, Dict, Iterator, List, Optional, Tuple

from ansible_collections.vfio.host.plugins.module_utils._host.kernelpaths import KernelPaths

# What reading an attribute answers when it, or the device or process behind it, is not there (any more).
_ABSENT = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.ESRCH))
# Beside what the kernel answers, a path that no file can have: with a NUL, or not to be encoded.
UNREAD = (OSError, ValueError)
_MOST = 65536  # bytes of an attribute that are read

# How every link in /sys/bus/pci/devices begins.
_TO_DEVICES = "../../../devices/"


class Reader(KernelPaths):
    """Reads files, directories and links below ``root``."""

    def __init__(self, root: str = "/") -> None:
        super().__init__(root)
        self._refusals: Dict[str, int] = {}
        self._listening: List[Dict[str, int]] = []

    @property
    def is_root(self) -> bool:
        """Whether this process may read and write everything here."""
        return os.geteuid() == 0

    def refusal(self, path: str) -> Optional[int]:
        """The errno that the last look at ``path`` ended with, where that does not mean absence; else None.

        Whoever decides by an absence that something is free asks this, too.
        """
        return self._refusals.get(path)

    @property
    def was_refused(self) -> bool:
        """Whether refusal() has an answer for any path at all."""
        return bool(self._refusals)

    @contextmanager
    def refused(self) -> Iterator[Dict[str, int]]:
        """Gives a mapping that gets each path of the kernel's that is refused within this context, with its errno; but not what an inner one
        of these gets.
        """
        heard: Dict[str, int] = {}
        self._listening.append(heard)
        try:
            yield heard
        finally:
            self._listening.pop()
            for path in [one for one in heard if not one.startswith((self.root + "/sys/", self.proc + "/"))]:
                del heard[path]

    def note(self, path: str, error: Optional[Exception] = None) -> None:
        """Keep what refusal() says of a look at ``path``, which ended with ``error``."""
        if isinstance(error, OSError) and error.errno not in _ABSENT:
            self._refusals[path] = error.errno or errno.EIO
            for heard in self._listening[-1:]:
                heard[path] = error.errno or errno.EIO
        elif self._refusals:
            self._refusals.pop(path, None)

    def read(self, path: str) -> Optional[str]:
        """The text of ``path`` without surrounding white space; None where it is absent or not to be read."""
        data = self.read_bytes(path)
        return None if data is None else data.strip().decode("utf-8", "surrogateescape")

    def number(self, path: str) -> Optional[int]:
        """The whole number in ``path``; None where there is none."""
        text = self.read(path)
        try:
            return None if text is None else int(text)
        except ValueError:
            return None

    def read_bytes(self, path: str, limit: int = _MOST) -> Optional[bytes]:
        """Up to ``limit`` bytes of ``path``; None where it is absent or not to be read."""
        try:
            handle = os.open(path, os.O_RDONLY)
            try:
                data = os.read(handle, limit)
            finally:
                os.close(handle)
        except UNREAD as error:
            self.note(path, error)
            return None
        if self._refusals:
            self.note(path)
        return data

    def read_file(self, path: str) -> Optional[bytes]:
        """All bytes of a regular or procfs file that may be large; None where it is absent or not to be read."""
        try:
            with open(path, "rb") as stream:
                data = stream.read()
        except UNREAD as error:
            self.note(path, error)
            return None
        self.note(path)
        return data

    def text(self, path: str, errors: str = "surrogateescape") -> str:
        """The text of such a file; "" where it is absent or not to be read. ``errors``: what becomes of bytes that are no UTF-8."""
        return (self.read_file(path) or b"").decode("utf-8", errors)

    def names(self, path: str) -> List[str]:
        """The names in a directory, sorted; [] where it is absent or not to be read."""
        try:
            names = sorted(os.listdir(path))
        except UNREAD as error:
            self.note(path, error)
            return []
        if self._refusals:
            self.note(path)
        return names

    def target(self, path: str) -> Optional[str]:
        """Where a symbolic link points, as written in it; None where there is none, or it is not to be read."""
        try:
            target = os.readlink(path)
        except UNREAD as error:
            self.note(path, error)
            return None
        if self._refusals:
            self.note(path)
        return target

    def link(self, path: str) -> Optional[str]:
        """The last component of a symbolic link's target ('e1000e' for …/driver); None where there is none."""
        target = self.target(path)
        return None if target is None else target.rsplit("/", 1)[-1]

    def device_directory(self, address: str) -> str:
        """The sysfs directory of a PCI function by its real path, which the kernel walks faster than the bus's link."""
        target = self.target(f"{self.pci_devices}/{address}")
        if target is None or not target.startswith(_TO_DEVICES):
            return f"{self.pci_devices}/{address}"
        return f"{self.root}/sys/devices/{target[len(_TO_DEVICES):]}"

    def opened(self, path: str) -> _Opened:
        """A context that gives a function (length, offset) -> bytes over a binary attribute; b"" where unreadable."""
        return _Opened(path)

    def exists(self, path: str) -> bool:
        """Whether ``path`` is there."""
        return os.path.exists(path)

    def is_directory(self, path: str) -> bool:
        """Whether there is a directory, or a link to one."""
        return os.path.isdir(path)

    def is_link(self, path: str) -> bool:
        """Whether there is a symbolic link, wherever it points."""
        return os.path.islink(path)

    def is_writable(self, path: str) -> bool:
        """Whether the kernel takes writes to an attribute: root may open any, so its mode tells."""
        try:
            return bool(os.stat(path).st_mode & 0o200)
        except UNREAD:
            return False

    def inode(self, path: str) -> Optional[int]:
        """The inode number of ``path``, which sysfs gives to no other object in this boot; None where it is absent."""
        try:
            return os.stat(path).st_ino
        except UNREAD:
            return None

    def count_directories(self, path: str) -> Optional[int]:
        """How many directories are in one of sysfs, those of other network namespaces, which nobody is shown, among them (source:
        fs/kernfs/inode.c kernfs_refresh_inode()); None where that cannot be told.
        """
        try:
            count = os.stat(path).st_nlink - 2
        except UNREAD as error:
            self.note(path, error)
            return None
        self.note(path)
        return count

    def walk(self, directory: str) -> Iterator[Tuple[str, List[str]]]:
        """(path, names in it) of ``directory`` and of each one below it; links are not followed."""
        todo = [directory]
        while todo:
            path, names = todo.pop(), []
            try:
                with os.scandir(path) as entries:
                    for entry in entries:
                        names.append(entry.name)
                        if entry.is_dir(follow_symlinks=False):
                            todo.append(entry.path)
                if self._refusals:
                    self.note(path)
            except OSError as error:
                self.note(path, error)
            yield path, names

    def directories(self, path: str) -> List[str]:
        """The names of the directories in a directory; links are none. [] where it is absent or not to be read."""
        try:
            with os.scandir(path) as entries:
                names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except UNREAD as error:
            self.note(path, error)
            return []
        if self._refusals:
            self.note(path)
        return names


class _Opened:
    """A file that is open inside a ``with``; contextlib's way takes longer than the system calls in it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._handle: Optional[int] = None

    def __enter__(self) -> Callable[[int, int], bytes]:
        try:
            self._handle = os.open(self._path, os.O_RDONLY)
        except UNREAD:
            self._handle = None
        return self._read_at

    def __exit__(self, *dummy: object) -> None:
        if self._handle is not None:
            os.close(self._handle)

    def _read_at(self, length: int, offset: int) -> bytes:
        if self._handle is None:
            return b""
        try:
            return os.pread(self._handle, length, offset)
        except OSError:
            return b""


__all__ = ("Reader", "UNREAD")
