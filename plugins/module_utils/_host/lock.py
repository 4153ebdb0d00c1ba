# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""One writing run at a time on a host: a lock on a file below /run, which is gone with the run."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from contextlib import contextmanager, suppress
from typing import Iterator, Optional

from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError, errno_text

_POLL = 0.1  # seconds between two attempts
_IN_ITS_PLACE = (errno.ELOOP, errno.EISDIR, errno.ENXIO)  # of what is no file: a link, a directory, a socket


class Busy(InputError):
    """Another run has the host."""


@contextmanager
def one_at_a_time(path: str, name: str, *, timeout: float) -> Iterator[None]:
    """Hold the lock ``path`` for a run that calls itself ``name``; wait ``timeout`` seconds for the run that has it.

    The kernel releases the lock when the process ends, however it ends (source: fs/locks.c locks_remove_flock()). Raises Busy
    where another run keeps it, InputError where ``path`` cannot be locked.
    """
    handle = _acquire(path, time.monotonic() + timeout, timeout)
    try:
        with suppress(OSError):  # who has it is a courtesy
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()} {name}\n".encode("utf-8", "replace"))
        yield
    finally:
        # Those that wait look whether the file that they locked is still the one of that name. One that stays is the next run's, and
        # nothing of this may stand in the place of what the run has to say.
        with suppress(OSError):
            if _is_current(handle, path):
                os.unlink(path)
        with suppress(OSError):
            os.close(handle)  # released all the same (source: fs/open.c close())


def holder(path: str) -> Optional[str]:
    """Who has the lock ``path`` now, 'process 862 (vfio.host.passthrough)'; None where nobody has it, or that cannot be told."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _named(handle)
        finally:
            os.close(handle)
    return None


def _named(handle: int) -> str:
    """The run that has the lock, as it says in its file."""
    pid, dummy, name = os.pread(handle, 200, 0).decode("utf-8", "replace").strip().partition(" ")
    return f"process {pid or 'unknown'} ({name or 'starting'})"


def _acquire(path: str, deadline: float, timeout: float) -> int:
    """The file descriptor of the lock file, locked. ``deadline``: of time.monotonic(). Raises Busy, InputError."""
    while True:
        handle = _open(path)
        try:
            is_free = _locked(handle)
            if is_free and _is_current(handle, path):
                return handle
            name = _named(handle)
        except OSError as error:
            os.close(handle)
            raise InputError(f"{path} cannot be locked: {errno_text(error.errno)}; mend that, then run again") from error
        os.close(handle)
        if is_free:
            continue  # the run that had it has removed it in between
        if time.monotonic() >= deadline:
            raise Busy(f"another run changes this host: {name}, and it did not end in {timeout} seconds; run again when it is done")
        time.sleep(_POLL)


def _locked(handle: int) -> bool:
    """Lock an open file; whether nobody else has. Raises OSError."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(path: str) -> int:
    """The lock file's descriptor. What somebody else has put there is not used, and no link is followed. Raises InputError."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        problem = "it is a symbolic link" if error.errno == errno.ELOOP else errno_text(error.errno)
        remedy = "remove it, and" if error.errno in _IN_ITS_PLACE else "mend that, then"
        raise InputError(f"{path} cannot be locked: {problem}; {remedy} run again") from error
    try:
        status = os.fstat(handle)
    except OSError as error:
        os.close(handle)
        raise InputError(f"{path} cannot be locked: {errno_text(error.errno)}; mend that, then run again") from error
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_nlink > 1:
        os.close(handle)
        raise InputError(f"{path} cannot be locked: it is no file of root's own; remove it, and run again")
    return handle


def _is_current(handle: int, path: str) -> bool:
    """Whether the open file is still the one at ``path``."""
    try:
        now = os.lstat(path)
    except FileNotFoundError:
        return False
    mine = os.fstat(handle)
    return (mine.st_dev, mine.st_ino) == (now.st_dev, now.st_ino)


__all__ = ("Busy", "holder", "one_at_a_time")
