# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Who uses a device: the processes that hold it through VFIO."""

from __future__ import annotations

_VFIO_NODES = ("/dev/vfio/devices/", "/dev/vfio/noiommu-", "/dev/vfio/")


def holders(fs):
    """VFIO node -> the processes that have it open, as [{pid, command}].

    A node is a group's number or a character device's name ('vfio0'), as below /dev/vfio. The kernel blocks an unbind
    for ever while a device's file is open, so this is asked before. Needs root to see every process.
    """
    found = {}
    for pid in fs.names(fs.proc):
        if not pid.isdigit():
            continue
        directory = f"{fs.proc}/{pid}/fd"
        for handle in fs.names(directory):
            node = _vfio_node(fs.target(f"{directory}/{handle}"))
            if node is None:
                continue
            holder = {"pid": int(pid), "command": fs.read(f"{fs.proc}/{pid}/comm")}
            if holder not in found.setdefault(node, []):
                found[node].append(holder)
    return found


def vfio_nodes(fs, directory, group):
    """The nodes below /dev/vfio through which a process can hold the device of a sysfs directory."""
    return [f"{group}", f"noiommu-{group}"] + fs.names(directory + "/vfio-dev")


def _vfio_node(target):
    for prefix in _VFIO_NODES:
        if target and target.startswith(prefix):
            node = target[len(prefix):]
            return None if node == "vfio" else node
    return None


__all__ = ("holders", "vfio_nodes")
