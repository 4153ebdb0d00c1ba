# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What an image holds, read as the kernel does: cpio archives one after the other, the last ones compressed.

Source: Documentation/driver-api/early-userspace/buffer-format.rst. One pass, a few seconds at most; the tools' own
listers show names but no content, or unpack the whole image for each file.
"""

from __future__ import annotations

import hashlib
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._boot.unified import NotUnified, sections

if TYPE_CHECKING:
    from typing import IO, Mapping

    from ansible_collections.vfio.host.plugins.module_utils._host.images import ImageFiles

# How a compressed part begins, and what makes it readable (source: lib/decompress.c).
_DECOMPRESSORS = (
    (b"\x28\xb5\x2f\xfd", ("zstd", "-dcq")),
    (b"\x1f\x8b", ("gzip", "-dcq")),
    (b"\x1f\x9e", ("gzip", "-dcq")),
    (b"\xfd7zXZ", ("xz", "-dcq")),
    (b"\x5d\x00\x00", ("xz", "-dcq", "--format=lzma")),
    (b"BZh", ("bzip2", "-dcq")),
    (b"\x02\x21\x4c\x18", ("lz4", "-dcq")),
    (b"\x89LZO", ("lzop", "-dcq")),
)
_CPIO = (b"070701", b"070702")
_HEADER = 110
# How a program for the firmware begins (source: PE format, MS-DOS stub).
_PROGRAM = b"MZ"
_LAST = b"TRAILER!!!"
_CHUNK = 1 << 20

_RULES = re.compile(r"/(?:etc|run|usr/local/lib|usr/lib|lib)/udev/rules\.d/(\d\d-vfio-host-[a-z0-9-]+\.rules)\Z")
_OPTIONS = "/etc/modprobe.d/vfio-host.conf"
# udev reads a rules file of one name once, from the first of these that has it (source: man 7 udev).
_PLACES = ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")


class Unreadable(Exception):
    """An image that cannot be understood; the text says where."""


@dataclass(frozen=True)
class Content:
    """Of an image: its files of ours, path -> SHA-256 of what they hold, and whether it has an init at all."""

    held: dict[str, str]
    has_init: bool


def is_ours(path: str) -> bool:
    """Whether a file, by its path in an image, is one of this collection."""
    return path == _OPTIONS or _RULES.match(path) is not None


def is_to_hold(path: str) -> bool:
    """Whether a file, by its path on the host, is one that images have to hold: what is in /run ends with the boot."""
    return is_ours(path) and path.startswith("/etc/")


def digest(text: str) -> str:
    """The SHA-256 of a file's text, as Content has it."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def findings(held: Mapping[str, str], wanted: Mapping[str, str], *, tolerated: Mapping[str, str]) -> list[str]:
    """Why an image that holds ``held`` is not as ``wanted``: one phrase for what is wrong in one way with some files. All are mappings path -> SHA-256.

    ``tolerated``: files that the tool copies by itself, and that may be there, as they are on the host.
    """
    now, want = _effective(held), _effective(wanted)
    named = sorted((_name(path), path) for path in wanted)
    may = _effective(tolerated)
    found = {
        "lacks": [path for name, path in named if name not in now],
        "holds another": [path for name, path in named if name in now and now[name] != want[name]],
        "still holds": [
            path for path in sorted(held) if _name(path) not in want and (_name(path) not in may or held[path] != may[_name(path)])
        ],
    }
    return [f"{verb} {', '.join(paths)}" for verb, paths in found.items() if paths]


def _name(path: str) -> str:
    """The name of a file by which udev tells rules files apart; of another file, its path."""
    match = _RULES.match(path)
    return match.group(1) if match else path


def _effective(files: Mapping[str, str]) -> dict[str, str]:
    """Name -> SHA-256 of the file that counts, where there are several of a name."""
    order = sorted(files, key=lambda path: next(i for i, place in enumerate(_PLACES) if path.startswith(place + "/")))
    return {_name(path): files[path] for path in reversed(order)}


def read_image(images: ImageFiles, path: str) -> Content:
    """The Content of an image, or of that inside of a unified kernel image. Raises Unreadable."""
    try:
        with images.opened(path) as stream:
            if stream.read(len(_PROGRAM)) != _PROGRAM:
                stream.seek(0)
                return _read(images, path, stream)
            inside = sections(stream).get(".initrd")
        if inside is None:
            return Content({}, False)
        with images.part(path, offset=inside[0], length=inside[1]) as copy, images.opened(copy) as stream:
            return _read(images, copy, stream)
    except NotUnified as error:
        raise Unreadable(str(error)) from error
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error


def is_unified(images: ImageFiles, path: str) -> bool:
    """Whether a file is a program for the firmware, as a unified kernel image is one. Raises OSError."""
    with images.opened(path) as stream:
        return stream.read(len(_PROGRAM)) == _PROGRAM


def _read(images: ImageFiles, path: str, stream: IO[bytes]) -> Content:
    """The Content of the archives in a stream; ``path``: of the file that it is of. Raises Unreadable, OSError."""
    members, source = _Members(), _Source(stream, can_seek=True)
    members.read(source)
    words = _decompressor(source)
    if words:
        with images.piped(list(words), path, offset=source.offset) as rest:
            source = _Source(rest, can_seek=False)
            members.read(source)
            if source.peek(1):
                raise Unreadable("something else follows the archives")
    if not members.archives:
        raise Unreadable("there is no cpio archive in it")
    return Content(members.held, members.has_init)


def _decompressor(source: _Source) -> tuple[str, ...] | None:
    """The program that reads what comes next; None at the end. Raises Unreadable."""
    ahead = source.peek(6)
    if not ahead:
        return None
    for magic, words in _DECOMPRESSORS:
        if ahead.startswith(magic):
            return words
    raise Unreadable(f"what begins with {ahead.hex()} at byte {source.offset} is no archive and no known compression")


class _Source:
    """A stream with a look ahead, and the offset of the next byte."""

    def __init__(self, stream: IO[bytes], can_seek: bool) -> None:
        self._stream = stream
        self._can_seek = can_seek
        self._ahead = b""
        self.offset = 0

    def peek(self, length: int) -> bytes:
        """The next bytes, ``length`` of them or as many as there are; they stay."""
        while len(self._ahead) < length:
            more = self._stream.read(length - len(self._ahead))
            if not more:
                break
            self._ahead += more
        return self._ahead[:length]

    def take(self, length: int) -> bytes:
        """The next ``length`` bytes. Raises Unreadable where the stream ends before."""
        data = self.peek(length)
        if len(data) < length:
            raise Unreadable(f"it ends at byte {self.offset + len(data)}, in the middle of an archive")
        self._ahead = self._ahead[length:]
        self.offset += length
        return data

    def skip(self, length: int) -> None:
        """Pass over ``length`` bytes. Raises Unreadable where the stream ends before and cannot be sought in."""
        if self._can_seek:
            self._stream.seek(length - len(self._ahead), 1)
            self._ahead = b""
            self.offset += length
            return
        while length:
            length -= len(self.take(min(length, _CHUNK)))

    def skip_zeros(self) -> None:
        """Pass over the zeros that come next."""
        while self.peek(1) == b"\0":
            zeros = len(self.peek(512)) - len(self.peek(512).lstrip(b"\0"))
            self.take(zeros)


class _Members:
    """What is kept of the archives' members. A later member of the same name replaces the earlier one."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.has_init = False
        self.archives = 0

    def read(self, source: _Source) -> None:
        """Read archives and the zeros between them, up to something else."""
        while True:
            source.skip_zeros()
            if source.peek(6) not in _CPIO:
                return
            self.archives += 1
            while self._member(source):
                pass

    def _member(self, source: _Source) -> bool:
        """Read one member; False at the archive's last one. Raises Unreadable."""
        header = source.take(_HEADER)
        if header[:6] not in _CPIO:
            raise Unreadable(f"there is no header at byte {source.offset - _HEADER}")
        try:
            mode, size, name_size = (int(header[at:at + 8], 16) for at in (14, 54, 94))
        except ValueError:
            raise Unreadable(f"the header at byte {source.offset - _HEADER} is broken") from None
        name = source.take(name_size + -(_HEADER + name_size) % 4).split(b"\0")[0]
        if name == _LAST:
            source.skip(size)
            return False
        padding = -size % 4
        path = "/" + (name[2:] if name.startswith(b"./") else name.lstrip(b"/")).decode("utf-8", "surrogateescape")
        if path == "/init":
            self.has_init = True
        if is_ours(path):
            data = source.take(size)
            # Anything but a file under this name is not what was wanted, so no digest of a text equals it.
            self.held[path] = hashlib.sha256(data).hexdigest() if stat.S_ISREG(mode) else "no file"
            source.skip(padding)
        else:
            source.skip(size + padding)
        return True


__all__ = ("Content", "Unreadable", "digest", "findings", "is_ours", "is_to_hold", "is_unified", "read_image")
