# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The tools that make initramfs images, in the order of asking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.dracut import Dracut
from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.initramfs_tools import InitramfsTools
from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.mkinitcpio import Mkinitcpio
from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.sdbootutil import Sdbootutil

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.base import Tool

# In the order of asking: a distribution's own tool first, and what has another one build before that.
TOOLS: tuple[type[Tool], ...] = (InitramfsTools, Mkinitcpio, Sdbootutil, Dracut)


__all__ = ("TOOLS",)
