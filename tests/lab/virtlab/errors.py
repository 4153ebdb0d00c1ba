# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that the lab shows its user."""

from __future__ import annotations


class LabError(Exception):
    """What went wrong and, where one is known, what to do about it: one line. Detail, if any, goes below it."""

    def __init__(self, problem: str, remedy: str = "", detail: str = "") -> None:
        super().__init__(f"{problem}: {remedy}" if remedy else problem)
        self.detail = detail


class GuestDied(LabError):
    """QEMU ended, or its guest did not come up: worth another accelerator, where there is one."""


class TimerStopped(GuestDied):
    """The guest's emulated timer ticks no more: nothing that the guest did, nor will do again."""


__all__ = ("GuestDied", "LabError", "TimerStopped")
