# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Channels of the kernel's DMA engine that a function offers and that something else uses, such as a RAID or an NTB."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, List

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_USERS, _USER = "in_use", "slave"


def channels_in_use(fs: Sysfs, directory: str) -> List[str]:
    """The channels of the function with a directory of sysfs that somebody has: a driver is not expected to go while one has (source:
    drivers/dma/dmaengine.c in_use_show(), dma_async_device_unregister()). One that a device below the function has goes with that.
    """
    found = []
    for name in fs.names(f"{directory}/dma"):
        channel = f"{directory}/dma/{name}"
        if fs.read(f"{channel}/{_USERS}") in (None, "0"):
            continue
        user = os.path.realpath(f"{channel}/{_USER}") + "/"
        if not user.startswith(os.path.realpath(directory) + "/") or user.startswith(os.path.realpath(channel) + "/"):
            found.append(name)
    return found


__all__ = ("channels_in_use",)
