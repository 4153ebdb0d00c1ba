# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Device nodes by the kernel's numbers: which one is behind a path, and whether a disk has an exclusive user."""

from __future__ import annotations

import errno
import os
import stat
import struct
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, NoReturn, Optional, Tuple

if TYPE_CHECKING:
    import ctypes
    Ask = Callable[[bytes, int], "ctypes.Array[ctypes.c_char]"]

BLOCK, CHARACTER, NAMELESS, OTHER = "block", "character", "nameless", "other"

# Arguments and offsets of statx(2) (source: include/uapi/linux/fcntl.h, include/uapi/linux/stat.h).
_AT_FDCWD, _NO_AUTOMOUNT, _DONT_SYNC = -100, 0x800, 0x4000
_TYPE_AND_MODE = 0x3
_SIZE, _MODE, _RDEV = 256, 28, 128
# The number of the system call, for C libraries without a function for it: glibc before 2.28, musl before 1.2.5.
_SYSCALLS = {"x86_64": 332, "s390x": 379, "ppc64": 383, "ppc64le": 383, "aarch64": 291, "riscv64": 291, "loongarch64": 291}
# That of kcmp(2), for which no C library has a function (source: include/uapi/linux/kcmp.h).
_KCMP = {"x86_64": 312, "s390x": 343, "ppc64": 354, "ppc64le": 354, "aarch64": 272, "riscv64": 272, "loongarch64": 272}
FILES, VIEW = 2, 3  # KCMP_FILES, KCMP_FS


class Node(NamedTuple):
    """What is behind a path: ``kind`` is one of the four above; NAMELESS is a file of no file system, such as VFIO's of a device.

    ``number`` is 'MAJOR:MINOR' of a device, as sysfs writes it, and '0:0' of all else.
    """

    kind: str
    number: str


class Access(NamedTuple):
    """Who may open a node: ``mode`` is the twelve bits of chmod(2); ``number``: 'MAJOR:MINOR' of the device, as sysfs writes it."""

    uid: int
    gid: int
    mode: int
    number: str


# Of an open file: what its server took away, or broke (source: fs/bad_inode.c; fs/fuse/dir.c fuse_getattr(); fs/nfs/dir.c
# nfs_lookup_verify_inode()). The kernel has no open device behind such a file.
_LOST = (errno.EIO, errno.ESTALE)
_KINDS = {stat.S_IFBLK: BLOCK, stat.S_IFCHR: CHARACTER, 0: NAMELESS}


def look(path: str) -> Node:
    """The Node behind ``path``. Raises OSError.

    The answer is what the kernel has at hand: with AT_STATX_DONT_SYNC neither FUSE nor NFS asks a server, which may never
    answer (source: fs/fuse/dir.c fuse_update_get_attr(), fs/nfs/inode.c nfs_getattr()).
    """
    encoded, ask = os.fsencode(path), _statx()
    try:
        answer = ask(encoded, _TYPE_AND_MODE)
    except OSError as error:
        if error.errno in _LOST or (error.errno == errno.EACCES and _is_private(ask, encoded)):
            return Node(OTHER, "0:0")
        raise
    kind = _KINDS.get(stat.S_IFMT(struct.unpack_from("=H", answer, _MODE)[0]), OTHER)
    major, minor = struct.unpack_from("=II", answer, _RDEV)
    return Node(kind, f"{major}:{minor}")


def access(path: str) -> Optional[Access]:
    """The Access of the character device at ``path``; None where there is none. It is not opened: a VFIO group has one user. Raises
    OSError where that cannot be told.
    """
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISCHR(status.st_mode):
        return None
    return Access(status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}")


def give(path: str, wanted: Access) -> None:
    """Give the node of ``wanted.number`` at ``path`` the owner, group and mode of ``wanted``. Raises OSError, ESTALE where another
    node is there.
    """
    now = access(path)
    if now is None or now.number != wanted.number:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)
    # The mode first takes away, so that a new owner never has more than is meant.
    os.chmod(path, now.mode & wanted.mode)
    os.chown(path, wanted.uid, wanted.gid, follow_symlinks=False)
    os.chmod(path, wanted.mode)


def _is_private(ask: Ask, path: bytes) -> bool:
    """Whether a file is of another user's FUSE, into which even root may not look: only there the kernel answers who asks for
    nothing (source: fs/fuse/dir.c fuse_getattr()). What a user mounts serves no device.
    """
    try:
        ask(path, 0)
    except OSError:
        return False
    return True


@lru_cache(maxsize=None)
def _statx() -> Ask:
    """A function from a path and a mask of what is wanted to the kernel's struct statx. It raises OSError; ENOSYS where there is no
    way to ask.
    """
    try:
        import ctypes  # not at the top: only tasks that look at processes pay for it
    except ImportError:
        return _missing
    library = ctypes.CDLL(None, use_errno=True)
    call: Any
    first: Tuple[Any, ...] = ()
    if hasattr(library, "statx"):
        call = library.statx
    elif os.uname().machine in _SYSCALLS and struct.calcsize("P") == 8:
        call, first = library.syscall, (ctypes.c_long(_SYSCALLS[os.uname().machine]),)
    else:
        return _missing
    answer = ctypes.create_string_buffer(_SIZE)

    def ask(path: bytes, mask: int) -> ctypes.Array[ctypes.c_char]:
        if call(*first, _AT_FDCWD, path, _NO_AUTOMOUNT | _DONT_SYNC, mask, answer):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return answer

    return ask


def _missing(*dummy: object) -> NoReturn:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def shares(pid: int, thread: int, *, what: int) -> bool:
    """Whether a thread has its process's own, and no other one with the same look: FILES, what is open; VIEW, its root and by that its
    mount namespace. False where the kernel does not tell (source: kernel/kcmp.c; kernel/nsproxy.c, fs/namespace.c mntns_install()).
    """
    call = _kcmp()
    return call is not None and call(pid, thread, what) == 0


@lru_cache(maxsize=None)
def _kcmp() -> Optional[Callable[[int, int, int], int]]:
    """A function from two threads and what is compared to 0 where these share it; None where there is no way to ask."""
    try:
        import ctypes
    except ImportError:
        return None
    number = _KCMP.get(os.uname().machine)
    if number is None or struct.calcsize("P") != 8:
        return None
    call = ctypes.CDLL(None).syscall
    return lambda one, other, what: int(call(ctypes.c_long(number), one, other, what, ctypes.c_ulong(0), ctypes.c_ulong(0)))


def claim(number: str, directory: str, *paths: str) -> None:
    """Open the block device ``number`` for reading as its only user, and close it. Raises OSError, EBUSY where it has one.

    Whoever mounts a disk, swaps to it, or builds on it claims it so (source: block/bdev.c bd_prepare_to_claim()). ``paths`` are
    where its node may be; without one, a node is made in ``directory``, for as long as it takes to open it. May block: the
    kernel opens one disk at a time.
    """
    for path in paths:
        with suppress(FileNotFoundError, NotADirectoryError):
            # Looked at before it is opened: what is no disk may do something when it is.
            if _number(os.stat(path)) == number:
                return _claim(path, number)
    made = f"{directory}/.vfio-host-{os.getpid()}"
    os.mknod(made, stat.S_IFBLK | 0o600, os.makedev(*map(int, number.split(":"))))
    try:
        return _claim(made, number)
    finally:
        os.unlink(made)


def _claim(path: str, number: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if _number(os.fstat(handle)) != number:
            raise OSError(errno.ESTALE, path)  # somebody has put another one in its place
    finally:
        os.close(handle)


def _number(status: os.stat_result) -> Optional[str]:
    """'MAJOR:MINOR' of a block device; None for all else."""
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}" if stat.S_ISBLK(status.st_mode) else None


def probe_zfs(path: str, number: str) -> None:
    """Return where the block device ``number`` ('MAJOR:MINOR') at ``path`` has a label of ZFS. Raises OSError: ENOTTY where it has
    none, ENODEV where another device is there.

    The first of its four labels is enough: pairs of names and values from 16 KiB on, and from 128 KiB on a ring of blocks that
    begin with a magic number, in either byte order (source: OpenZFS include/sys/vdev_impl.h, uberblock_impl.h).
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        status = os.fstat(handle)
        if not stat.S_ISBLK(status.st_mode) or f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}" != number:
            raise OSError(errno.ENODEV, path)
        data = os.pread(handle, 262144, 0)
    finally:
        os.close(handle)
    ring = range(131072, len(data), 1024)
    magics = (b"\x0c\xb1\xba\0\0\0\0\0", b"\0\0\0\0\0\xba\xb1\x0c")
    if b"pool_guid" not in data[16384:131072] and not any(data[at:at + 8] in magics for at in ring):
        raise OSError(errno.ENOTTY, path)


__all__ = ("Access", "BLOCK", "CHARACTER", "FILES", "NAMELESS", "Node", "OTHER", "VIEW", "access", "claim", "give", "look", "probe_zfs", "shares")
