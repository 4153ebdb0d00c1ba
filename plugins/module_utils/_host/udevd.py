# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What udev is told and asked: that its rules files changed, and whether it has done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs


def reload_rules(fs: Sysfs) -> None:
    """Have udev read its rules again. Raises ApplyError."""
    # Without a running udevd there is nothing to tell; it reads the rules when it starts.
    if fs.exists(fs.udev_control):
        status, dummy, complaint = fs.run(["udevadm", "control", "--reload"])
        if status:
            raise ApplyError(f"udev does not read its rules again: udevadm says: {complaint.strip()}")


def settle(fs: Sysfs) -> None:
    """Wait until udev has handled every event that has come. Raises ApplyError after udevadm's own 120 seconds."""
    if fs.exists(fs.udev_control):
        status, dummy, complaint = fs.run(["udevadm", "settle"])
        if status:
            raise ApplyError(
                "udev does not come to the end of its events, and what it does to new VFs is not known before; see in its log what "
                f"keeps it: udevadm settle ends with status {status} {complaint.strip()}".rstrip()
            )


def let_settle(fs: Sysfs, seconds: int) -> None:
    """Wait up to ``seconds`` until udev has handled the events that have come. The caller looks whether it has."""
    if fs.exists(fs.udev_control):
        fs.run(["udevadm", "settle", f"--timeout={seconds}"])


__all__ = ("let_settle", "reload_rules", "settle")
