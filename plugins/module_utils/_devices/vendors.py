# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Device nodes that sysfs does not show below the function that they are of: by what its driver tells in /proc, or by its major number."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.vfio.host.plugins.module_utils._devices.pci import last_address
from ansible_collections.vfio.host.plugins.module_utils._host.nodes import CHARACTER, Node

if TYPE_CHECKING:
    from typing import Collection, Iterator

    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_MINOR = re.compile(r"^Device Minor:\s*(\d+)", re.MULTILINE)
_NVIDIA = re.compile(r"^\s*(\d+) nvidia(?:-frontend)?$", re.MULTILINE)
_NVIDIA_MAJOR = "195"  # source: NVIDIA's kernel-open/common/inc/nv-chardev-numbers.h
_MAJOR = re.compile(r"^\s*(\d+) (\S+)$", re.MULTILINE)
_BLOCK = "Block devices:"
_SHARED = 255  # the minor of NVIDIA's drivers that is about all functions together (source: kernel-open/nvidia/linux_nvswitch.c)


class Unplaced(NamedTuple):
    """A node that is no function's in sysfs: what it is called below /dev, and the driver that it is of."""

    node: Node
    name: str
    driver: str


def unplaced(fs: Sysfs, address: str, *, known: Collection[Node]) -> Iterator[Unplaced]:
    """The Unplaced nodes that are, or may be, of the function at ``address``. ``known``: the nodes that sysfs has below it."""
    told = _MINOR.search(fs.read(f"{fs.proc}/driver/nvidia/gpus/{address}/information") or "")
    devices = fs.read(f"{fs.proc}/devices") or ""
    if told:
        major = _NVIDIA.search(devices)
        number = f"{major.group(1) if major else _NVIDIA_MAJOR}:{told.group(1)}"
        yield Unplaced(Node(CHARACTER, number), f"nvidia{told.group(1)}", "nvidia")
        return
    directory = fs.device_directory(address)
    names = {_plain(one) for one in (fs.link(f"{directory}/driver"), fs.link(f"{directory}/driver/module")) if one}
    for number, name in _MAJOR.findall(devices.partition(_BLOCK)[0]) if names else ():
        # A driver that has nodes of its major below one function has those of each below it.
        if _plain(name) in names and not any(one.number.startswith(f"{number}:") for one in known):
            yield from _of_major(fs, address, major=number, driver=name)


def _of_major(fs: Sysfs, address: str, *, major: str, driver: str) -> Iterator[Unplaced]:
    """The nodes of a driver's major that no other function is known to have: NVIDIA's switches, which are nowhere in sysfs; Omni-Path's and
    AWS Neuron's, which are of no function there (source: drivers/infiniband/hw/hfi1/device.c hfi1_cdev_init()).
    """
    shown = [one for one in fs.names(fs.dev_char) if one.startswith(f"{major}:")]
    for number in shown:
        name = os.path.basename(fs.target(f"{fs.dev_char}/{number}") or number)
        owner = last_address(fs.target(f"{fs.dev_char}/{number}") or "") or last_address(fs.target(f"{fs.infiniband}/{name}") or "")
        if owner in (None, address):
            yield Unplaced(Node(CHARACTER, number), name, driver)
    for minor in () if shown else range(_SHARED):
        yield Unplaced(Node(CHARACTER, f"{major}:{minor}"), f"{driver}{minor}", driver)


def _plain(name: str) -> str:
    return name.replace("-", "_")


__all__ = ("Unplaced", "unplaced")
