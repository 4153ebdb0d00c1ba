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

from ansible_collections.vfio.host.plugins.module_utils._host import signals

_ANSWER = 3  # the child's only open file but for /dev/null
_LONGEST = 65536  # bytes of one message
_MOST = 4096  # open files that a module has, and more


class Unfinished(Exception):
    """The call had not ended in its time, and goes on in process ``pid``."""

    def __init__(self, pid):
        super().__init__(pid)
        self.pid = pid


class Deputy:
    """A process that makes calls ``act(*words)`` in place of this one. Words are texts without a NUL, and so is what it gives.

    It is started for the first call, since to start one takes longer than most calls do, and serves until this object is
    gone, or until a call does not end in its time. Then it is left behind, and the next call has another. When the call that
    it was left behind with has ended, it calls ``late`` with the same words.
    """

    def __init__(self, act, late):
        self._act = act
        self._late = late
        self._pid = None
        self._line = None

    def __del__(self):
        if self._line is not None:
            self._let_go()

    def call(self, words, timeout):
        """The errno that the call ended with, 0 for success. Raises Unfinished."""
        return self.ask(words, timeout)[0]

    def ask(self, words, timeout):
        """(the errno that the call ended with, 0 for success; the text that it gave, or ""). Raises Unfinished."""
        if self._line is None:
            self._start()
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        deadline = time.monotonic() + timeout
        answer, interrupt = b"", None
        # Where somebody has killed it: no answer.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._line.send("\0".join(words).encode("utf-8", "surrogateescape"))
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
            answer = self._line.recv(_LONGEST)
        if not answer:
            self._let_go()
            os.waitpid(self._pid, 0)
        if interrupt is not None:
            raise interrupt
        number, dummy, text = answer.decode("utf-8", "surrogateescape").partition(" ")
        return (int(number), text) if answer else (errno.EINTR, "")

    def _let_go(self):
        self._line.close()
        self._line = None

    def _start(self):
        # Each message arrives whole, and each end sees that the other one is gone.
        self._line, line = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if not self._pid:
            self._be_child(line)
        line.close()

    def _be_child(self, line):
        """The child's whole life. It has nothing of its parent's open: neither the lock, nor the pipes that Ansible reads to
        their end.
        """
        try:
            os.setsid()
            signals.reset()
            null = os.open(os.devnull, os.O_RDWR)
            for handle in (0, 1, 2):
                os.dup2(null, handle)
            os.dup2(line.fileno(), _ANSWER)
            for name in _open_files():
                if int(name) > _ANSWER:
                    with suppress(OSError):
                        os.close(int(name))
            self._serve(socket.socket(fileno=_ANSWER))
        finally:
            os._exit(0)  # nothing of the parent's way out is the child's

    def _serve(self, line):
        for message in iter(lambda: line.recv(_LONGEST), b""):
            words = message.decode("utf-8", "surrogateescape").split("\0")
            try:
                answer = f"0 {self._act(*words) or ''}"
            except OSError as error:
                answer = str(error.errno)
            try:
                line.send(answer.encode("utf-8", "surrogateescape"))
            except BrokenPipeError:
                self._late(*words)
                return


def _open_files():
    """The numbers of this process's open files, or all that may be, where /proc does not show this process."""
    try:
        return os.listdir("/proc/self/fd")
    except OSError:
        return range(min(os.sysconf("SC_OPEN_MAX"), _MOST))


def started_at(proc, pid):
    """When a process started, in the kernel's ticks: with its number, that names it for good. None where it has ended.

    The 22nd field, and the command in parentheses, which may hold anything, is the second (source: proc_pid_stat(5)).
    """
    try:
        with open(f"{proc}/{pid}/stat", "rb") as stream:
            words = stream.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if words[:1] in ([b"Z"], [b"X"]) else words[19].decode("ascii")


__all__ = ("Deputy", "Unfinished", "started_at")
