# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The errors that a user gets to read. They are translated to fail_json once, in a module's main()."""

from __future__ import annotations

import errno
import os

# How much of a tool's words is worth repeating.
_LAST_LINES = 5


class VfioHostError(Exception):
    """Something the user can act on. ``messages`` holds one sentence a finding, all of them at once."""

    def __init__(self, *messages):
        super().__init__("; ".join(messages))
        self.messages = list(messages)


class InputError(VfioHostError):
    """The task's own options are wrong; nothing of the host matters."""


class PlanError(VfioHostError):
    """The declaration cannot be met on this host; nothing was touched."""


class ApplyError(VfioHostError):
    """The host refused a step; the messages say what was put back and what could not be."""


class RolledBack(ApplyError):
    """A step failed, and all that was changed before it is as it was; nothing is left to take back."""


class Unfinished(ApplyError):
    """All was done but for single things, which the messages name; nothing is to be put back. ``plans``: name -> plan as applied."""

    def __init__(self, plans, *messages):
        super().__init__(*messages)
        self.plans = plans


class KernelRefusal(VfioHostError):
    """A write that the kernel answered with an errno (source: the OSError of that write)."""

    def __init__(self, path, value, error):
        self.errno = error.errno
        super().__init__(
            f"writing {value!r} to {path}: {errno_text(error.errno)}"
        )


class KernelStuck(VfioHostError):
    """A write that the kernel had not ended in its time, and that goes on in process ``pid``."""

    def __init__(self, path, value, timeout, pid):
        self.pid = pid
        super().__init__(f"writing {value!r} to {path}: it did not end in {timeout} seconds")


def errno_name(number):
    """'EBUSY' for 16; an unknown number stays one."""
    return errno.errorcode.get(number, f"errno {number}")


def errno_text(number):
    """'EBUSY (Device or resource busy)' for 16."""
    return f"{errno_name(number)} ({os.strerror(number or 0)})"


def last_words(out, err):
    """What a program that failed has said: its last lines, after those before them that tell of an error."""
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
    "Unfinished",
    "VfioHostError",
    "errno_name",
    "errno_text",
    "last_words",
)
