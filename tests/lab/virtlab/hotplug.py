# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugging devices of a running host in and out, as a hand at its slots would."""

from __future__ import annotations

from .command import media
from .errors import LabError
from .lifecycle import Guest
from .slots import add, plugged

# A guest lets go of a device when its driver does.
UNPLUG = 60


def plug(guest: Guest, identifier: str) -> None:
    device = guest.host.device(identifier)
    with guest.qmp() as qmp:
        present = plugged(qmp)
        if identifier in present:
            raise LabError(f"device {identifier} is plugged already", f"vlab unplug {guest.host.name} {identifier}")
        add(qmp, device, guest.state)


def unplug(guest: Guest, identifier: str) -> None:
    device = guest.host.device(identifier)
    with guest.qmp() as qmp:
        if identifier not in plugged(qmp):
            raise LabError(f"device {identifier} is not plugged", f"vlab plug {guest.host.name} {identifier}")
        qmp.execute("device_del", {"id": identifier})
        if not qmp.wait_event("DEVICE_DELETED", {"device": identifier}, UNPLUG):
            raise LabError(f"the guest has not let go of {identifier} within {UNPLUG} s",
                           "is it held there? look at /proc/*/fd for /dev/vfio, and at the console")
        backing = media(device, guest.state)
        if backing is not None:
            qmp.execute("blockdev-del", {"node-name": backing["node-name"]})


__all__ = ("plug", "unplug")
