# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What udev is told and asked: that its rules files changed, and whether it has done."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError


def reload_rules(fs):
    """Have udev read its rules again. Raises ApplyError."""
    # Without a running udevd there is nothing to tell; it reads the rules when it starts.
    if fs.exists(fs.udev_control):
        status, dummy, complaint = fs.run(["udevadm", "control", "--reload"])
        if status:
            raise ApplyError(f"udev does not read its rules again: udevadm says: {complaint.strip()}")


def settle(fs):
    """Wait until udev has handled every event that has come. Raises ApplyError after udevadm's own 120 seconds."""
    if fs.exists(fs.udev_control):
        status, dummy, complaint = fs.run(["udevadm", "settle"])
        if status:
            raise ApplyError(
                "udev does not come to the end of its events, and what it does to new VFs is not known before; see in its log what "
                f"keeps it: udevadm settle ends with status {status} {complaint.strip()}".rstrip()
            )


def let_settle(fs, seconds):
    """Give udev up to ``seconds`` to handle the events that have come; whether it has then is for the caller to see."""
    if fs.exists(fs.udev_control):
        fs.run(["udevadm", "settle", f"--timeout={seconds}"])


__all__ = ("let_settle", "reload_rules", "settle")
