# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Devices whose driver was told to let go, while a process holds them: the kernel waits, with the device locked.

Such a device has no driver link any more, and whatever takes its lock waits too: to bind it, on older kernels even to read
its override. So it is found out by other means.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

# Where the kernel waits for the last user of a VFIO device (source: drivers/vfio/vfio_main.c), as /proc/PID/wchan shows it.
_WAITS = "vfio_unregister_group_dev"


class Stuck:
    """What is stuck on one host at one moment."""

    def __init__(self, fs: Sysfs) -> None:
        self._fs = fs
        self._ours = fs.stuck_writes()

    def waiting(self, address: str, *, driver: str | None, group: str | None) -> int | None:
        """The process that waits for the device at ``address``, in the kernel; 0 where it is not known, None where none does."""
        if address in self._ours:
            return self._ours[address]
        # Without VFIO's group nobody can hold it, and few groups have one: processes are looked at for these alone.
        if driver is None and group is not None and self._fs.exists(f"{self._fs.vfio_groups}/{group}"):
            return self._somebodys
        return None

    @cached_property
    def _somebodys(self) -> int | None:
        for pid in self._fs.names(self._fs.proc):
            if pid.isdecimal() and any(
                self._fs.read(f"{self._fs.proc}/{pid}/task/{task}/wchan") == _WAITS
                for task in self._fs.names(f"{self._fs.proc}/{pid}/task")
            ):
                return int(pid)
        return None


def sentence(device: Device, pid: int, *, note: str) -> str:
    """What to say of a device for which process ``pid`` waits. ``note``: where a run that left the process behind has noted that."""
    if not pid:
        return (
            f"{device.address} ({device.name}) counts as stuck: {note} says that a process of an earlier run still waits for its driver to let go, "
            "and does not say which, since it is damaged, or a newer version of this collection wrote it. Update the collection on the controller; or, where "
            "no process waits, remove that file, then run again"
        )
    held = " and ".join(f"process {one['pid']} ({one['command']}) has it open" for one in device.holders or ())
    return (
        f"{device.address} ({device.name}) is stuck: its driver was told to let go of it, by process {pid}, and "
        f"{held or 'the kernel waits for whoever still uses it'}. Nothing can be done with it before it is let go; stop the one that has it open, "
        "then run again"
    )


__all__ = ("Stuck", "sentence")
