# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Initramfs images and their tools' files: where they are, and how one is read and replaced.

An image is the old one or the new one at any moment: the new one is written beside it, synced and renamed. While the
boot loader is told of it the old one stays under a second name, since some (zipl) know it by the blocks it is in.
"""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
import stat
import subprocess
import tempfile
import weakref
from contextlib import contextmanager, suppress
from typing import IO, Dict, Iterator, List, Optional, Sequence, Tuple, cast

from ansible_collections.vfio.host.plugins.module_utils._host.bootpaths import BootPaths
from ansible_collections.vfio.host.plugins.module_utils._host.disk import (
    copy_attributes,
    move,
    sync_directory,
    this_boot,
)
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, errno_text

_NEW, _OLD, _SPOOL = ".vfio-host-new-", ".vfio-host-old-", "vfio-host-"
_CHUNK = 1 << 20


def inner(root: str, path: str) -> str:
    """A path below ``root`` as the host itself writes it."""
    return path[len(root):]


class ImageFiles(BootPaths):
    """The images below ``root``, and the paths of the tools that make them."""

    def __init__(self, root: str = "/") -> None:
        super().__init__(root)
        etc = self.root + "/etc"
        # What was read in each image: a cache, which any boot empties.
        self.cache = self.root + "/run/vfio-host/initramfs.json"
        self.initramfs_tools_hook = etc + "/initramfs-tools/hooks/vfio-host"
        self.initramfs_tools_udev = [
            place + "/hooks/udev" for place in (etc + "/initramfs-tools", self.root + "/usr/share/initramfs-tools")
        ]
        self.post_update = etc + "/initramfs/post-update.d"
        self.dracut_conf = etc + "/dracut.conf.d/vfio-host.conf"
        self.mkinitcpio_conf = etc + "/mkinitcpio.conf.d/vfio-host.conf"
        self.mkinitcpio_post = [etc + "/initcpio/post", self.root + "/usr/lib/initcpio/post"]
        self._spool: Optional[str] = None
        self._spooled = 0  # names that were given in it

    def kernels(self) -> List[str]:
        """The releases of the installed kernels: those with a directory of modules."""
        return [name for name in _names(self.modules) if os.path.isdir(f"{self.modules}/{name}")]

    def kernel_files(self, kernels: Sequence[str]) -> Dict[str, str]:
        """Release of a kernel -> the path of its file in /boot, for those of ``kernels`` that have one there."""
        files: Dict[str, str] = {}
        for kernel in kernels:
            for name in ("vmlinuz", "vmlinux", "image"):
                path = f"{self.boot}/{name}-{kernel}"
                if os.path.exists(path):
                    files.setdefault(kernel, path)
        return files

    def unified_images(self) -> List[str]:
        """The paths of unified kernel images, where boot loaders look for them."""
        places = [f"{place}/EFI/Linux" for place in self.boots]
        return [f"{place}/{name}" for place in places for name in _names(place) if name.lower().endswith(".efi")]

    def inner(self, path: str) -> str:
        """A path of this host as the host itself writes it."""
        return inner(self.root, path)

    def is_image(self, path: str) -> bool:
        """Whether there is a regular file of this name; a link to one is not counted twice."""
        return os.path.isfile(path) and not os.path.islink(path)

    def found(self, name: str) -> Optional[str]:
        """The file that a boot loader calls ``name``, from the root of a partition or of a subvolume on; None where it is not mounted."""
        parts = name.rpartition(")")[2].strip("/").split("/")
        ways = ["/".join(parts[start:]) for start in range(len(parts))]
        paths = [f"{place}/{way}" for way in ways for place in (self.root, self.boot)]
        return next((os.path.realpath(path) for path in paths if os.path.isfile(path)), None)

    def stamp(self, path: str) -> Optional[List[int]]:
        """Numbers of a file, of which one changes when its content does: [device, inode, bytes, mtime, ctime], both in nanoseconds.
        None where it is absent.
        """
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return None
        return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]

    def room(self, path: str) -> Tuple[int, int, bool]:
        """(number of the file system's device, free bytes, whether it can be written to) of the directory ``path``. Raises OSError."""
        status = os.statvfs(path)
        return os.stat(path).st_dev, status.f_bavail * status.f_frsize, not status.f_flag & os.ST_RDONLY

    def spool_room(self) -> Tuple[int, int, bool]:
        """room() of the file system that the spool will be on; where there is no place for it, building says so."""
        return self.room(self._spool_place())

    def _spool_place(self) -> str:
        path = self.root + "/var/tmp"
        return path if os.path.isdir(path) else self.root + "/"

    @contextmanager
    def part(self, path: str, *, offset: int, length: int) -> Iterator[str]:
        """The name of a copy of ``length`` bytes of a file from ``offset`` on, which is removed afterwards. Raises OSError."""
        with open(path, "rb") as source, tempfile.NamedTemporaryFile(dir=self._spool_place()) as copy:
            source.seek(offset)
            while length:
                chunk = source.read(min(length, _CHUNK))
                if not chunk:
                    raise OSError(errno.EIO, f"it ends {length} bytes before what it says")
                copy.write(chunk)
                length -= len(chunk)
            copy.flush()
            yield copy.name

    def is_same(self, path: str, other: str) -> bool:
        """Whether two files hold the same bytes. Raises OSError."""
        return os.path.getsize(path) == os.path.getsize(other) and filecmp.cmp(path, other, shallow=False)

    @contextmanager
    def piped(self, words: List[str], path: str, *, offset: int) -> Iterator[IO[bytes]]:
        """The standard output of the program ``words``, whose standard input is ``path`` from byte ``offset`` on. Raises OSError
        where the program fails.
        """
        with open(path, "rb", buffering=0) as source:
            source.seek(offset)
            # run_command would hold a whole image in memory; this is read as it comes.
            with subprocess.Popen(  # pylint: disable=ansible-bad-function
                words, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            ) as process:
                output, errors = (cast(IO[bytes], pipe) for pipe in (process.stdout, process.stderr))  # made just above
                try:
                    yield output
                    # What is behind the last archive is padding; a decompressor that still writes it would not end.
                    while output.read(_CHUNK):
                        pass
                except BaseException:
                    process.kill()
                    raise
                complaint = errors.read().decode("utf-8", "replace").strip()
        if process.returncode:
            raise OSError(errno.EIO, f"{words[0]} failed with status {process.returncode}: {complaint}")

    def spool(self) -> str:
        """A directory of this run's own, for images under construction and copies of those that they replace. Raises OSError."""
        if self._spool is None:
            mine = _SPOOL + this_boot(self.root)
            # What a power cut has left is large, and no run of an earlier boot still needs it.
            for name in _names(self.root + "/var/tmp"):
                path = f"{self.root}/var/tmp/{name}"
                if name.startswith(_SPOOL) and not name.startswith(mine) and os.lstat(path).st_uid == os.geteuid():
                    shutil.rmtree(path, ignore_errors=True)
            self._spool = tempfile.mkdtemp(prefix=mine, dir=self.root + "/var/tmp")
            # With this object, at the end of the process at the latest: until then all can be restored.
            weakref.finalize(self, _drop_spool, self._spool, f"{self.root}/run/vfio-host/journal")
        return self._spool

    def drop_spools(self) -> None:
        """Remove the spools of runs that were killed: one run at a time writes, so all but this one's are. Raises OSError."""
        for name in _names(self.root + "/var/tmp"):
            path = f"{self.root}/var/tmp/{name}"
            if name.startswith(_SPOOL) and path != self._spool:
                with suppress(FileNotFoundError):  # systemd-tmpfiles removes there, too
                    status = os.lstat(path)
                    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
                        shutil.rmtree(path)

    def spooled(self, what: str) -> str:
        """A path in the spool that no other call gives, whatever was removed from there since. Raises OSError."""
        self._spooled += 1
        return f"{self.spool()}/{self._spooled}-{what}"

    def replace(self, path: str, source: str) -> None:
        """Make ``path`` the same as the file ``source``, in one step. Raises ApplyError."""
        directory, name = os.path.split(path)
        temporary = f"{directory}/{_NEW}{name}"
        try:
            self._copy(source, temporary, path)
            move(temporary, path)
        except BaseException as error:
            # What cannot be removed is, or is told of, when the image is restored; here it would hide what has happened.
            with suppress(OSError):
                self.remove(temporary)
            if isinstance(error, OSError):
                raise ApplyError(f"{path} cannot be written: {errno_text(error.errno)}") from error
            raise

    def copy(self, source: str, path: str) -> None:
        """Make ``path``, in the spool, a copy of ``source``. Raises ApplyError."""
        try:
            self._copy(source, path, None)
        except OSError as error:
            raise ApplyError(f"{path} cannot be written: {errno_text(error.errno)}") from error

    def _copy(self, source: str, target: str, labelled: Optional[str]) -> None:
        """Copy a file, synced, with its mode, and with the owner and attributes of ``labelled``, where that is there. Raises OSError."""
        self.remove(target)
        with open(source, "rb") as origin:
            handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as stream:
                while True:
                    chunk = origin.read(_CHUNK)
                    if not chunk:
                        break
                    stream.write(chunk)
                if labelled is not None:
                    _have_owner(labelled, handle)
                    copy_attributes(labelled, handle)
                os.fchmod(handle, os.fstat(origin.fileno()).st_mode & 0o777)
                stream.flush()
                os.fsync(handle)

    def keep_old(self, path: str) -> None:
        """Give the image a second name until drop_old(); one that an interrupted run kept stays. Raises ApplyError."""
        directory, name = os.path.split(path)
        try:
            os.link(path, f"{directory}/{_OLD}{name}")
            sync_directory(directory)
        except FileExistsError:
            pass
        except OSError as error:
            # FAT has no links; no boot loader that reads it knows of blocks.
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                raise ApplyError(f"{path} cannot be kept: {errno_text(error.errno)}") from error

    def is_kept(self, path: str) -> bool:
        """Whether a run was interrupted after it had replaced this image, and before it had told the boot loader."""
        directory, name = os.path.split(path)
        return os.path.lexists(f"{directory}/{_OLD}{name}")

    def drop_old(self, path: str) -> None:
        """Remove the second name of the old image."""
        directory, name = os.path.split(path)
        self.remove(f"{directory}/{_OLD}{name}")
        sync_directory(directory)

    def drop_new(self, path: str) -> None:
        """Remove what was half made beside an image. Raises OSError."""
        directory, name = os.path.split(path)
        self.remove(f"{directory}/{_NEW}{name}")

    def remove(self, path: str) -> None:
        """Remove a file of ours, if it is there. Raises OSError."""
        with suppress(FileNotFoundError):
            os.unlink(path)


def _have_owner(path: str, handle: int) -> None:
    """Give an open file the owner of ``path``, where that is there and has another one. Raises OSError."""
    with suppress(FileNotFoundError):
        old, new = os.stat(path), os.fstat(handle)
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            os.fchown(handle, old.st_uid, old.st_gid)


def _drop_spool(spool: str, journal: str) -> None:
    """Remove a run's spool, unless the run has left a journal: the next run restores from the copies that it names."""
    if not os.path.lexists(journal):
        shutil.rmtree(spool, ignore_errors=True)


def _names(directory: str) -> List[str]:
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


__all__ = ("ImageFiles", "inner")
