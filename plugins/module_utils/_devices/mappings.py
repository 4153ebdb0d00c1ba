# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The mappings that facts, records and results consist of, as types. Only type checkers load this file. Pure."""

from __future__ import annotations

from typing import List, Optional, TypedDict


class Guard(TypedDict):
    """One reason why the host itself needs a device. ``kind``: one of GUARDS in _core/force.py; ``reason``: a sentence; ``brief``: the same
    without the device's own address; ``interface``: the one that ``carries`` something, both None where it is no interface, or cannot
    be told; ``via``: of a need that is another function's, the address of the VF or PF; else None.
    """

    kind: str
    reason: str
    brief: str
    interface: Optional[str]
    carries: Optional[str]
    via: Optional[str]


class Holder(TypedDict):
    """A process that has a device open through VFIO."""

    pid: int
    command: str


class Named(TypedDict):
    """A network interface as a record keeps it. ``mac``: the permanent address where it is known."""

    name: str
    mac: Optional[str]


class Interface(Named):
    """A network interface as the facts show it. ``address``: the one in use."""

    address: Optional[str]


class Was(TypedDict, total=False):
    """What VFIO hides of a device, as it was before: ``driver`` is None where it had none. All keys but ``nvme`` are there in what a run has
    read: that is an NVMe's own serial number, where ``serial`` is of its function.
    """

    driver: Optional[str]
    net: List[Named]
    serial: Optional[str]
    nvme: str


class Owner(TypedDict):
    """The policy that a device belongs to; ``was`` is None where a standing rule took a device that no run had seen before."""

    policy: str
    was: Optional[Was]


class Sriov(TypedDict):
    """The VFs of a PF: how many it can have, how many there are, and whether they are probed automatically."""

    total: int
    num: int
    autoprobe: bool


class Zpci(TypedDict):
    """A function of s390, each value as sysfs prints it, None where it is absent (source: arch/s390/pci/pci_sysfs.c)."""

    uid: Optional[str]
    uid_is_unique: bool
    function_id: str
    pchid: Optional[str]
    pft: Optional[str]
    pfgid: Optional[str]
    vfn: Optional[str]
    port: Optional[str]


class VfioFacts(TypedDict):
    """The VFIO driver of a device. ``reason``: why VFIO refuses the device, None where it does not; ``ties``: modules."""

    module: Optional[str]
    driver: Optional[str]
    alias: Optional[str]
    ties: List[str]
    bindable: bool
    reason: Optional[str]


class Bar(TypedDict):
    """One region of a function's memory or ports. ``size`` in bytes; ``flags``: of io, memory, prefetchable, 64bit."""

    name: str
    size: int
    flags: List[str]


class Link(TypedDict):
    """The PCI Express link. Speeds are texts of the kernel, '16.0 GT/s PCIe'; widths are numbers of lanes; None: not known."""

    speed: Optional[str]
    width: Optional[int]
    max_speed: Optional[str]
    max_width: Optional[int]


__all__ = ("Bar", "Guard", "Holder", "Interface", "Link", "Named", "Owner", "Sriov", "VfioFacts", "Was", "Zpci")
