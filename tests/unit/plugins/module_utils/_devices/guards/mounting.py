# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mounts of a host with two disks, and what the guards say of it."""

from __future__ import annotations

TWO_PARTS = (("nvme0n1p1", "259:1"), ("nvme0n1p2", "259:2"))


def mount(number, where, source, kind="ext4"):
    return f"25 1 {number} / {where} rw,relatime shared:1 - {kind} {source} rw"


ON_VDA = mount("254:1", "/", "/dev/vda1")


def guarded(host, kind="storage"):
    return {
        address: [guard["reason"] for guard in device.guards if guard["kind"] == kind]
        for address, device in host.survey().devices.items()
        if any(one["kind"] == kind for one in device.guards)
    }


def members(*names):
    """What sysfs says of one btrfs file system of these devices."""
    return {"files": {f"sys/fs/btrfs/1234/devices/{name}": "" for name in names}}
