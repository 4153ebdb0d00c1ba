# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""A system call that the kernel may block for ever, made by a process of its own that can be left behind."""

from __future__ import annotations

import errno
import os
import select
import time
from contextlib import suppress

_ANSWER = 3  # the child's only open file but for /dev/null


class Unfinished(Exception):
    """The call had not ended in its time, and goes on in process ``pid``."""

    def __init__(self, pid):
        super().__init__(pid)
        self.pid = pid


def watch(call, timeout, afterwards):
    """Make ``call`` in a child process: the errno that it ended with, 0 for success. Raises Unfinished.

    ``afterwards`` is called by a child that was left behind, when its call has ended.
    """
    reader, writer = os.pipe()
    try:
        pid = os.fork()
        if not pid:
            _be_child(call, writer, afterwards)
        os.close(writer)
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        deadline = time.monotonic() + timeout
        while not poll.poll(max(0, deadline - time.monotonic()) * 1000):
            if time.monotonic() >= deadline:
                raise Unfinished(pid)
        answer = os.read(reader, 16)
    finally:
        os.close(reader)
    os.waitpid(pid, 0)
    return int(answer) if answer else errno.EINTR  # without an answer: somebody has killed it


def _be_child(call, writer, afterwards):
    """The child's whole life. It has nothing of its parent's open: neither the lock, nor the pipes that Ansible reads to their end."""
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for handle in (0, 1, 2):
            os.dup2(null, handle)
        os.dup2(writer, _ANSWER)
        for name in os.listdir("/proc/self/fd"):
            if int(name) > _ANSWER:
                with suppress(OSError):
                    os.close(int(name))
        try:
            call()
            answer = 0
        except OSError as error:
            answer = error.errno
        try:
            os.write(_ANSWER, str(answer).encode("ascii"))
        except BrokenPipeError:
            afterwards()
    finally:
        os._exit(0)  # nothing of the parent's way out is the child's


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


__all__ = ("Unfinished", "started_at", "watch")
