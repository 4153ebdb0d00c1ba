# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The controllers behind an NVMe disk that several of them may serve.

A file of its own: a run with nothing to do needs no guard, and compiles none for this.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

# On the path of a namespace that several controllers may serve: it hangs from none of them.
NVME_SUBSYSTEM = "/nvme-subsystem/"


def subsystem_controllers(fs: Sysfs, name: str) -> list[str]:
    """The sysfs paths of the controllers behind a multipath NVMe namespace, whose device hangs from none of them; "" for one that cannot
    be read.
    """
    directory = os.path.realpath(f"{fs.block}/{name}")
    while directory and not os.path.basename(directory).startswith("nvme-subsys"):
        directory = os.path.dirname(directory) if directory != "/" else ""
    links = [f"{fs.nvme}/{entry}" for entry in fs.names(directory)] if directory else []
    return [path or "" for link, path in ((link, fs.target(link)) for link in links) if path or fs.refusal(link) is not None]


def disk_paths(fs: Sysfs, name: str) -> list[str]:
    """The sysfs paths that lead to a disk: its own, or those of the controllers behind it."""
    target = fs.target(f"{fs.block}/{name}") or ""
    return subsystem_controllers(fs, name) if NVME_SUBSYSTEM in target else [target]


__all__ = ("NVME_SUBSYSTEM", "disk_paths", "subsystem_controllers")
