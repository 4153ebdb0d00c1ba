# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian packages whose files are not compressed: an emulated processor takes minutes where this machine takes seconds.

Source: deb(5). A package is an ar archive of debian-binary, control.tar and data.tar; the ends of the last two names say how they are compressed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Iterator, Tuple

from .errors import LabError

_MAGIC = b"!<arch>\n"
# Name, time, owner, group, mode, size, end: ar(5).
_HEADER = 60
_END = b"`\n"


def plain(package: Path, directory: Path) -> Path:
    """The same package in ``directory``, data.tar as it is: the same files, owners, modes and scripts."""
    target = directory / package.name
    if target.is_file() and target.stat().st_mtime_ns >= package.stat().st_mtime_ns:
        return target
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=directory, prefix=f".{package.name}.", delete=False) as made:
        try:
            with open(package, "rb") as stream:
                made.write(_MAGIC)
                for header, size in _members(package, stream):
                    if header.startswith(b"data.tar"):
                        _write_data(package, made)
                        break
                    made.write(header)
                    shutil.copyfileobj(_Part(stream, size + size % 2), made)
                else:
                    raise LabError(f"{package} has no data.tar", "remove it: it is fetched again")
            made.flush()
            os.replace(made.name, target)
        except BaseException:
            os.unlink(made.name)
            raise
    return target


class _Part:
    """So many bytes of a stream, as a stream."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._left = stream, size

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(content)
        return content


def _members(package: Path, stream: IO[bytes]) -> Iterator[Tuple[bytes, int]]:
    """The header and the size of each member, with the stream at its content, which the caller reads."""
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise LabError(f"{package} is no Debian package", "remove it: it is fetched again")
    while True:
        header = stream.read(_HEADER)
        if not header:
            return
        size = header[48:58].decode("ascii", "replace").strip()
        if len(header) != _HEADER or not header.endswith(_END) or not size.isdigit():
            raise LabError(f"{package} is damaged", "remove it: it is fetched again")
        yield header, int(size)


def _write_data(package: Path, made: IO[bytes]) -> None:
    """The member data.tar, which is the last."""
    begin = made.tell()
    made.write(_header(0))
    made.flush()
    done = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(package)], stdin=subprocess.DEVNULL, stdout=made.fileno(), stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise LabError(f"dpkg-deb cannot read {package}", done.stderr.decode("utf-8", "replace").strip())
    size = made.seek(0, os.SEEK_END) - begin - _HEADER
    made.write(b"\n" * (size % 2))
    made.seek(begin)
    made.write(_header(size))


def _header(size: int) -> bytes:
    return f"{'data.tar':16}{0:<12}{0:<6}{0:<6}{'100644':8}{size:<10}".encode("ascii") + _END


__all__ = ("plain",)
