# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The errors that a user gets to read. They are translated to fail_json once, in a module's main()."""

from __future__ import annotations

import errno
import os
from typing import List, Optional

# How much of a tool's words is worth repeating.
_LAST_LINES = 5


class VfioHostError(Exception):
    """Something the user can act on. ``messages`` holds one sentence a finding, all of them at once."""

    def __init__(self, *messages: str) -> None:
        super().__init__("; ".join(messages))
        self.messages: List[str] = list(messages)


class InputError(VfioHostError):
    """The task's own options are wrong; nothing of the host matters."""


class PlanError(VfioHostError):
    """The declaration cannot be met on this host; nothing was touched."""


class ApplyError(VfioHostError):
    """The host refused a step; the messages say what was put back and what could not be."""


class RolledBack(ApplyError):
    """A step failed, and all that was changed before it is as it was; nothing is left to take back."""


class KernelRefusal(VfioHostError):
    """A write that the kernel answered with ``errno``, that of the write's OSError."""

    def __init__(self, path: str, value: str, *, error: OSError) -> None:
        self.errno: int = error.errno or errno.EIO
        super().__init__(f"writing {value!r} to {path}: {errno_text(self.errno)}")


class KernelStuck(VfioHostError):
    """A write that did not end in ``timeout`` seconds, and that goes on in process ``pid``."""

    def __init__(self, path: str, value: str, *, timeout: float, pid: int) -> None:
        self.pid = pid
        super().__init__(f"writing {value!r} to {path}: it did not end in {timeout} seconds")


def errno_name(number: Optional[int]) -> str:
    """'EBUSY' for 16; 'errno 4711' for a number that has no name. None, of an OSError without one, is EIO."""
    known = errno.EIO if number is None else number
    # The same number as ENOTSUP, by which the kernel does not call it.
    return "EOPNOTSUPP" if known == errno.EOPNOTSUPP else errno.errorcode.get(known, f"errno {known}")


def errno_text(number: Optional[int]) -> str:
    """'EBUSY (Device or resource busy)' for 16. None, of an OSError without an errno, is EIO."""
    known = errno.EIO if number is None else number
    return f"{errno_name(known)} ({os.strerror(known)})"


def last_words(out: str, err: str) -> str:
    """What a program that failed has said: its last lines, after those before them that tell of an error. ``out``, ``err``: its
    standard output and standard error.
    """
    lines = err.strip().splitlines() or out.strip().splitlines() or ["nothing"]
    last = lines[-_LAST_LINES:]
    errors = [line for line in out.splitlines() + err.splitlines() if "error" in line.lower() and line not in last]
    return " / ".join(line.strip() for line in errors[-_LAST_LINES:] + last)


__all__ = (
    "ApplyError",
    "InputError",
    "KernelRefusal",
    "KernelStuck",
    "PlanError",
    "RolledBack",
    "VfioHostError",
    "errno_name",
    "errno_text",
    "last_words",
)
