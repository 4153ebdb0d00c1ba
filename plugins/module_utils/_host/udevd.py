# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The one thing that udev is ever told: that its rules files changed."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError


def reload_rules(fs):
    """Have udev read its rules again. Raises ApplyError."""
    # Without a running udevd there is nothing to tell; it reads the rules when it starts.
    if fs.exists(fs.udev_control):
        status, dummy, complaint = fs.run(["udevadm", "control", "--reload"])
        if status:
            raise ApplyError(f"udev does not read its rules again: udevadm says: {complaint.strip()}")


__all__ = ("reload_rules",)
