# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Calls that the kernel may block for ever, made by a process of their own that can be left behind."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from contextlib import suppress
from typing import Callable, Optional, Sequence, Tuple, Union

from ansible_collections.vfio.host.plugins.module_utils._host import signals

_ANSWER = 3  # the child's only open file but for /dev/null
_LONGEST = 65536  # bytes of one message
_MOST = 4096  # open files that a module has, and more


class Unfinished(Exception):
    """The call did not end in its time, and goes on in process ``pid``."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self.pid = pid


class Deputy:
    """A process that makes calls ``act(*words)`` in place of this one. Words are texts without a NUL, and so is what ``act`` returns.

    It is started at the first call, since to start a process takes longer than most calls do. It serves until this object is
    gone, or until a call does not end in its time. Then it is left behind, and the next call has another process. When the call
    that it was left behind with has ended, it calls ``late`` with the same words.
    """

    def __init__(self, act: Callable[..., Optional[str]], late: Callable[..., object]) -> None:
        self._act = act
        self._late = late
        self._pid = 0
        self._line: Optional[socket.socket] = None

    def __del__(self) -> None:
        self._let_go()

    def call(self, words: Sequence[str], timeout: float) -> int:
        """The errno that the call ended with, 0 for success. ``timeout``: seconds. Raises Unfinished."""
        return self.ask(words, timeout)[0]

    def ask(self, words: Sequence[str], timeout: float) -> Tuple[int, str]:
        """(the errno that the call ended with, 0 for success; the text that it gave, or ""). ``timeout``: seconds. Raises Unfinished."""
        line = self._line or self._start()
        poll = select.poll()
        poll.register(line, select.POLLIN)
        deadline = time.monotonic() + timeout
        answer, interrupt = b"", None
        # Where somebody has killed the process, it gives no answer.
        with suppress(BrokenPipeError, ConnectionResetError):
            line.send("\0".join(words).encode("utf-8", "surrogateescape"))
            has_ended = False
            while not has_ended:
                try:
                    has_ended = bool(poll.poll(max(0, deadline - time.monotonic()) * 1000))
                except KeyboardInterrupt as error:
                    # The call goes on all the same, and only its answer tells what there is to put back.
                    interrupt = error
                if not has_ended and time.monotonic() >= deadline:
                    self._let_go()
                    raise Unfinished(self._pid) from interrupt
            answer = line.recv(_LONGEST)
        if not answer:
            self._let_go()
            os.waitpid(self._pid, 0)
        if interrupt is not None:
            raise interrupt
        number, dummy, text = answer.decode("utf-8", "surrogateescape").partition(" ")
        return (int(number), text) if answer else (errno.EINTR, "")

    def _let_go(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _start(self) -> socket.socket:
        # Each message arrives whole, and each end sees that the other one is gone.
        self._line, line = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._pid = os.fork()
        except OSError:
            # Nobody is at the other end: the next call starts anew.
            self._let_go()
            line.close()
            raise
        if not self._pid:
            self._be_child(line)
        line.close()
        return self._line

    def _be_child(self, line: socket.socket) -> None:
        """The child's whole life: it does not return. It has nothing of its parent's open, neither the lock, nor the pipes that
        Ansible reads to their end.
        """
        try:
            os.setsid()
            signals.reset()
            null = os.open(os.devnull, os.O_RDWR)
            for handle in (0, 1, 2):
                os.dup2(null, handle)
            os.dup2(line.fileno(), _ANSWER)
            for handle in _open_files():
                if handle > _ANSWER:
                    with suppress(OSError):
                        os.close(handle)
            self._serve(socket.socket(fileno=_ANSWER))
        finally:
            os._exit(0)  # nothing of the parent's way out is the child's

    def _serve(self, line: socket.socket) -> None:
        for message in iter(lambda: line.recv(_LONGEST), b""):
            words = message.decode("utf-8", "surrogateescape").split("\0")
            try:
                answer = f"0 {self._act(*words) or ''}"
            except OSError as error:
                answer = str(error.errno or errno.EIO)  # 0 would be success
            try:
                line.send(answer.encode("utf-8", "surrogateescape"))
            except BrokenPipeError:
                self._late(*words)
                return


def _open_files() -> Sequence[int]:
    """The descriptors that this process has open; all that it may have, where /proc does not show this process."""
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return range(min(os.sysconf("SC_OPEN_MAX"), _MOST))


def started_at(proc: str, pid: Union[int, str]) -> Optional[str]:
    """When a process started, in clock ticks since the boot, as digits; None where it has ended. With its number, that names it for
    good. ``proc``: where procfs is.

    It is the 22nd field of /proc/PID/stat. The second, the command in parentheses, may hold anything (source: proc_pid_stat(5)).
    """
    try:
        with open(f"{proc}/{pid}/stat", "rb") as stream:
            words = stream.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if words[:1] in ([b"Z"], [b"X"]) else words[19].decode("ascii")


__all__ = ("Deputy", "Unfinished", "started_at")
