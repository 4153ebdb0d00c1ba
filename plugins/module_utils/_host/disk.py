# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What is at a path, and how a name comes to be on disk: what files and images both stand on."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from typing import Iterator, Optional

from ansible_collections.vfio.host.plugins.module_utils._host.errors import errno_text

LABEL, _ACCESS = "security.selinux", "system.posix_acl_access"
_MOST_LINKS = 40  # that a path goes through (source: include/linux/namei.h MAXSYMLINKS)


def kind(path: str) -> int:
    """The mode of what is at ``path``, a link not followed; 0 where nothing is. Raises OSError where that cannot be told, which
    os.path.lexists() and its like take for absence.
    """
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def real(path: str) -> str:
    """Where the links at ``path`` lead; the directories on the way are as they are written. Raises OSError."""
    for dummy in range(_MOST_LINKS):
        if not stat.S_ISLNK(kind(path)):
            return path
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def absent_above(directory: str) -> Optional[int]:
    """How many directories above one that is not there are not there either; None where it is there. Raises OSError."""
    try:
        if stat.S_ISDIR(os.stat(directory).st_mode):
            return None
    except (FileNotFoundError, NotADirectoryError):
        pass
    above, count = os.path.dirname(directory), 0
    while above and not kind(above):
        above, count = os.path.dirname(above), count + 1
    return count


def no_place(path: str) -> Optional[str]:
    """Why no file can be put at ``path``: something on the way to it is no directory, such as a link that leads nowhere. None where one can."""
    directory = os.path.dirname(path)
    try:
        while directory and not kind(directory):
            directory = os.path.dirname(directory)
        if os.path.isdir(directory or "/"):
            return None
        what = "is a link that leads to no directory" if stat.S_ISLNK(kind(directory)) else "is no directory"
    except OSError as error:
        return f"{path} cannot be written: {directory}: {errno_text(error.errno)}"
    return f"{path} cannot be written: {directory} {what}: mend that, then run again"


def move(source: str, path: str) -> None:
    """Rename ``source``, whose content is on disk, to ``path``, and sync that. Raises OSError.

    On FAT a renamed file's place is written with the file and not with the directory, and the old file's blocks are free as
    soon as nobody has it open: so the old one is held, and both are synced, the directory first, before it goes.
    """
    handles = [os.open(source, os.O_RDONLY | os.O_NOFOLLOW)]
    try:
        with suppress(OSError):
            handles.append(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK))
        os.rename(source, path)
        sync_directory(os.path.dirname(path))
        os.fsync(handles[0])
    finally:
        for handle in handles:
            os.close(handle)


def copy_attributes(path: str, handle: int, *, has_label: bool = True) -> None:
    """Give an open file the access list and the user's attributes of ``path``, and where it ``has_label`` its SELinux label; where that is
    absent, the file keeps its directory's. What is of the content, such as IMA's hash, stays behind. Raises OSError.

    An access list decides the file's mode, so what sets that comes afterwards (source: fs/posix_acl.c posix_acl_update_mode(), posix_acl_chmod()).
    """
    names = [LABEL] if has_label else []
    with _no_attributes():
        names += [name for name in os.listxattr(path, follow_symlinks=False) if name == _ACCESS or name.startswith("user.")]
    for name in names:
        with _no_attributes():
            os.setxattr(handle, name, os.getxattr(path, name, follow_symlinks=False))


@contextmanager
def _no_attributes() -> Iterator[None]:
    """A file, or one of its attributes, that is not there, and a file system that keeps none, are no errors."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODATA, errno.EOPNOTSUPP):
            raise


def this_boot(root: str) -> str:
    """'1a2b3c4d-', for names that no other boot of this host makes; "" where the kernel has no such thing."""
    try:
        handle = os.open(root + "/proc/sys/kernel/random/boot_id", os.O_RDONLY)
    except FileNotFoundError:
        return ""
    try:
        return os.read(handle, 8).decode("ascii") + "-"
    finally:
        os.close(handle)


def sync_directory(directory: str) -> None:
    """Write a directory's names to disk. Raises OSError."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


__all__ = ("LABEL", "absent_above", "copy_attributes", "kind", "move", "no_place", "real", "sync_directory", "this_boot")
