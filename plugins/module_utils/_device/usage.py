# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Who uses a device: the processes that hold it through VFIO."""

from __future__ import annotations

UNKNOWN = None
_UNTOLD = "what it has open cannot be read, so it may be this"
_VFIO_NODES = ("/dev/vfio/devices/", "/dev/vfio/noiommu-", "/dev/vfio/")


def holders(fs):
    """VFIO node -> the processes that have it open, as [{pid, command}].

    A node is a group's number or a character device's name ('vfio0'), as below /dev/vfio. The kernel blocks an unbind
    for ever while a device's file is open, so this is asked before. Needs root to see every process. UNKNOWN stands for any
    node: what such a process has open cannot be told.
    """
    found = {}
    for pid in filter(str.isdigit, fs.names(fs.proc)):
        for node in _open_nodes(fs, f"{fs.proc}/{pid}/fd"):
            command = fs.read(f"{fs.proc}/{pid}/comm")
            holder = {"pid": int(pid), "command": f"{command}: {_UNTOLD}" if node is UNKNOWN else command}
            if holder not in found.setdefault(node, []):
                found[node].append(holder)
    return found


def _open_nodes(fs, directory):
    """The VFIO nodes behind the links of a process's /proc/PID/fd."""
    for handle in fs.names(directory):
        link = f"{directory}/{handle}"
        node = _vfio_node(fs.target(link))
        if node is not None:
            yield node
        elif fs.refusal(link) is not None:
            yield from _unnamed(fs, link)
    if fs.refusal(directory) is not None:
        yield UNKNOWN


def _unnamed(fs, link):
    """The VFIO nodes behind a link whose text the kernel does not give, as for a path longer than a page."""
    nodes = [f"{fs.dev_vfio}/{name}" for name in fs.names(fs.dev_vfio)]
    nodes += [f"{fs.dev_vfio}/devices/{name}" for name in fs.names(f"{fs.dev_vfio}/devices")]
    numbers = fs.device_numbers(nodes)
    is_one = fs.is_device(link, numbers)
    if is_one:
        paths = [path for number, path in numbers.items() if fs.is_device(link, [number])]
        yield from filter(None, (_vfio_node(path[len(fs.root):]) for path in paths))
    elif is_one is None and fs.is_link(link):
        yield UNKNOWN


def vfio_nodes(fs, directory, group):
    """The nodes below /dev/vfio through which a process can hold the device of a sysfs directory."""
    return [f"{group}", f"noiommu-{group}"] + fs.names(directory + "/vfio-dev")


def _vfio_node(target):
    for prefix in _VFIO_NODES:
        if target and target.startswith(prefix):
            node = target[len(prefix):]
            return None if node == "vfio" else node
    return None


__all__ = ("UNKNOWN", "holders", "vfio_nodes")
