# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The devices of a running QEMU: which there are, and one more."""

from __future__ import annotations

from pathlib import Path
from typing import Set

from .command import function, media, properties
from .errors import LabError
from .host import Device
from .qmp import Qmp


def plugged(qmp: Qmp) -> Set[str]:
    """The ids of all devices that QEMU has now."""
    return {item["name"] for item in qmp.execute("qom-list", {"path": "/machine/peripheral"})}


def add(qmp: Qmp, device: Device, state: Path) -> None:
    """Plug a device in, and what it stands on; nothing of it stays where QEMU refuses it."""
    backing = media(device, state)
    if backing is not None:
        qmp.execute("blockdev-add", backing)
    try:
        named = function(device)
        if named is not None:
            qmp.execute("device_add", named)
        qmp.execute("device_add", properties(device))
    except LabError:
        if backing is not None:
            qmp.execute("blockdev-del", {"node-name": backing["node-name"]})
        raise


__all__ = ("add", "plugged")
