# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Device nodes opened, and asked by ioctl, in a process of its own: each call may block for ever."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import Callable, Dict, Optional, Tuple, Union

from ansible_collections.vfio.host.plugins.module_utils._host.watched import Deputy


class Client:
    """A process that opens nodes. ``timeout``: seconds for one call.

    Each call raises OSError with the kernel's errno, and watched.Unfinished where it has not ended in its time. After that the
    object is of no use any more, and its process ends with the call. What the process has open is closed at its end; it ends
    with this object at the latest.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._deputy = Deputy(_act, lambda *dummy: None)

    def open(self, path: str, number: Optional[str] = None) -> int:
        """A handle of the character device behind ``path``; ESTALE where its 'major:minor' is not ``number``."""
        return int(self._ask("open", path, number or ""))

    def ioctl(self, handle: int, request: int, *, value: Union[int, bytes]) -> Tuple[int, bytes]:
        """(what the call returned, the structure ``value`` as the kernel left it, b"" for a number)."""
        words = ("number", str(value)) if isinstance(value, int) else ("structure", value.hex())
        returned, dummy, data = self._ask("ioctl", str(handle), str(request), *words).partition(" ")
        return int(returned), bytes.fromhex(data)

    def read(self, handle: int, *, length: int, offset: int) -> bytes:
        """Up to ``length`` bytes from byte ``offset`` on."""
        return bytes.fromhex(self._ask("read", str(handle), str(length), str(offset)))

    def close(self, handle: int) -> None:
        """Close a handle; what the kernel does at that is done when this returns."""
        self._ask("close", str(handle))

    def _ask(self, *words: str) -> str:
        number, text = self._deputy.ask(words, self._timeout)
        if number:
            raise OSError(number, os.strerror(number))
        return text


def _act(verb: str, *words: str) -> str:
    """One call of the process's; its answer as a text."""
    verbs: Dict[str, Callable[..., str]] = {"open": _open, "ioctl": _ioctl, "read": _read, "close": _close}
    return verbs[verb](*words)


def _open(path: str, number: str) -> str:
    # Looked at before it is opened: what is no node of VFIO's may do something when it is.
    status = os.stat(path)
    if not stat.S_ISCHR(status.st_mode) or number not in ("", f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"):
        raise OSError(errno.ESTALE, path)
    return str(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))


def _ioctl(handle: str, request: str, kind: str, value: str) -> str:
    if kind == "number":
        return str(fcntl.ioctl(int(handle), int(request), int(value)))
    data = bytearray.fromhex(value)
    # Of a structure that can be changed the call gives what the kernel returned (source: Python's Modules/fcntlmodule.c).
    returned = fcntl.ioctl(int(handle), int(request), data)
    return f"{returned} {data.hex()}"


def _read(handle: str, length: str, offset: str) -> str:
    return os.pread(int(handle), int(length), int(offset)).hex()


def _close(handle: str) -> str:
    os.close(int(handle))
    return ""


__all__ = ("Client",)
