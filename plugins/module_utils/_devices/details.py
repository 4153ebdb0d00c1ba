# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Facts of a device that no plan needs, and that who hands it over does: read for pci_facts alone, one row a field.

What costs a read of each device is read where a task names it. A field that was not asked for, or that the host does not have, is
None.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List

from ansible_collections.vfio.host.plugins.module_utils._devices.dependence import consumers, suppliers
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
from ansible_collections.vfio.host.plugins.module_utils._devices.vpd import identification
from ansible_collections.vfio.host.plugins.module_utils._host.vfattributes import NAMES

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.holders import Usage
    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import Bar, Link
    from ansible_collections.vfio.host.plugins.module_utils._devices.state import Survey
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

# include/linux/ioport.h
_IO, _MEMORY, _PREFETCH, _64BIT = 0x100, 0x200, 0x2000, 0x100000
# The resources of a function by index: BARs, the ROM, the VFs' BARs (source: include/linux/pci.h PCI_STD_RESOURCES to
# PCI_IOV_RESOURCE_END).
_RESOURCES = tuple(f"bar{number}" for number in range(6)) + ("rom",) + tuple(f"vf_bar{number}" for number in range(6))
_RESOURCE = re.compile(r"0x([0-9a-f]+) 0x([0-9a-f]+) 0x([0-9a-f]+)\Z")
_LINK = {"speed": "current_link_speed", "width": "current_link_width", "max_speed": "max_link_speed", "max_width": "max_link_width"}
_NO_NODES: Dict[str, None] = {"node": None, "cdev": None}
_UNKNOWN_WIDTHS = (0, 63, 255)  # none negotiated, and what a field of ones reads


def _bars(fs: Sysfs, device: Device, directory: str) -> list[Bar] | None:
    """[{name, size in bytes, flags}] of those that there are (source: drivers/pci/pci-sysfs.c resource_show())."""
    text = fs.read(f"{directory}/resource")
    if text is None:
        return None
    bars: list[Bar] = []
    for name, line in zip(_RESOURCES, text.split("\n")):
        found = _RESOURCE.match(" ".join(line.split()).lower())
        start, end, flags = (int(one, 16) for one in found.groups()) if found else (0, 0, 0)
        if flags and end > start:
            kinds = (("io", _IO), ("memory", _MEMORY), ("prefetchable", _PREFETCH), ("64bit", _64BIT))
            bars.append({"name": name, "size": end - start + 1, "flags": [kind for kind, bit in kinds if flags & bit]})
    return bars


def _link(fs: Sysfs, device: Device, directory: str) -> Link | None:
    """{speed, width, max_speed, max_width} of PCI Express (source: drivers/pci/pci-sysfs.c current_link_speed_show() and its
    like). They are read from the configuration space, so nothing that sleeps is asked.
    """
    if device.is_asleep or device.is_dead:
        return None
    read = {key: fs.read(f"{directory}/{name}") for key, name in _LINK.items()}
    if not any(read.values()):
        return None
    return {
        "speed": _speed(read["speed"]), "width": _width(read["width"]),
        "max_speed": _speed(read["max_speed"]), "max_width": _width(read["max_width"]),
    }


def _speed(text: str | None) -> str | None:
    return text if text and not text.startswith("Unknown") else None


def _width(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and int(text) not in _UNKNOWN_WIDTHS else None


def _cpus(fs: Sysfs, device: Device, directory: str) -> str | None:
    """The CPUs of its NUMA node, '0-7,16-23' (source: drivers/pci/pci-sysfs.c local_cpulist_show())."""
    return fs.read(f"{directory}/local_cpulist") or None


def _dependence(fs: Sysfs, device: Device, directory: str) -> dict[str, list[str]]:
    """{consumers, suppliers}: the functions that depend on this one, such as the audio function of a GPU, and those that it needs."""
    return {"consumers": consumers(fs, directory), "suppliers": suppliers(fs, directory)}


def _vpd(fs: Sysfs, device: Device, directory: str) -> dict[str, str | None] | None:
    """{name, part, serial} of the vital product data; what sleeps is not woken for it."""
    if device.is_asleep or device.is_dead or not fs.exists(f"{directory}/vpd"):
        return None
    with fs.opened(f"{directory}/vpd") as read_at:
        return identification(read_at)


def _vf_attributes(fs: Any, device: Device, directory: str) -> dict[str, Any] | None:
    """What the PF's interface keeps of a VF (source: net/core/rtnetlink.c rtnl_fill_vfinfo()); None of what is no VF, or where no interface does."""
    if device.physfn is None or device.vf is None:
        return None
    for name in fs.names(f"{fs.device_directory(device.physfn)}/net"):
        index = fs.number(f"{fs.net}/{name}/ifindex")
        told = None if index is None else fs.read_vfs(index)
        # Netlink may speak of another network namespace than sysfs.
        if told is not None and told.name == name and device.vf in told.vfs:
            return dict(dict.fromkeys(NAMES), **told.vfs[device.vf])
    return None


# Field -> its reader, of what costs at least one read of each device.
FIELDS: Dict[str, Callable[[Any, Device, str], Any]] = {
    "bars": _bars, "link": _link, "cpus": _cpus, "dependence": _dependence, "vpd": _vpd, "vf_attributes": _vf_attributes,
}


def _nodes(fs: Sysfs, usage: Usage, device: Device) -> dict[str, dict[str, str | None] | None]:
    """{node, cdev}: of its group and of itself, {path, owner, group, mode}; owner and mode are None where the node is not there."""
    found: dict[str, dict[str, str | None] | None] = dict(_NO_NODES)
    for place in usage.vfio_nodes.of(device).values():
        kind = {"vfio": "node", "vfio-dev": "cdev"}.get(place.subsystem)
        if kind:
            found[kind] = dict(fs.owners(f"{fs.dev}/{place.name}"), path=f"/dev/{place.name}")
    return found


def add(fs: Sysfs, survey: Survey, *, usage: Usage, facts: dict[str, dict[str, Any]], fields: Iterable[str]) -> dict[str, dict[str, Any]]:
    """``facts`` (address -> the facts of a device), which get all fields of here; ``fields``: the names in FIELDS that are read."""
    slots = {address: _slot(device) for address, device in survey.devices.items()}
    cards: Dict[str, List[str]] = {}
    for address, slot in slots.items():
        cards.setdefault(slot, []).append(address)
    asked = set(fields)
    wanted = [(name, FIELDS[name]) for name in FIELDS if name in asked]
    nothing = dict.fromkeys(FIELDS)
    without_nodes: Dict[int, Dict[str, Any]] = {}  # as devices share what is known of VFIO (Choices.facts), they share it with two fields more
    for address, own in facts.items():
        device = survey.devices[address]
        own.update(nothing)
        own["functions"] = [one for one in cards[slots[address]] if one != address]
        own["pf_net"] = None
        if device.physfn is not None:
            pf = survey.devices.get(device.physfn)
            own["pf_net"] = [one["name"] for one in pf.net] if pf else []
        if survey.is_vfio(device.driver):
            own["vfio"] = {**own["vfio"], **_nodes(fs, usage, device)}
        else:
            kind = id(device.vfio)
            if kind not in without_nodes:
                without_nodes[kind] = {**device.vfio, **_NO_NODES}
            own["vfio"] = without_nodes[kind]
        if wanted:
            directory = fs.device_directory(address)
            own.update((name, read(fs, device, directory)) for name, read in wanted)
    return facts


def _slot(device: Device) -> str:
    """What the functions of one card have in common: their slot. VFs, which may be numbered as if in it, are of no card."""
    return device.address if device.physfn else device.address.rpartition(".")[0]


__all__ = ("FIELDS", "add")
