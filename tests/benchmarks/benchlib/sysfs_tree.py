# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes PCI functions as the kernel's sysfs shows them (the files of Linux 6.12), to be mounted over /sys."""

from __future__ import annotations

import os
import struct
from collections import Counter
from pathlib import Path

from . import topology
from .topology import Function, Kind
from .tree import Tree

# What every function has, whatever it is.
_COMMON = {
    "ari_enabled": "1\n",
    "broken_parity_status": "0\n",
    "consistent_dma_mask_bits": "64\n",
    "current_link_speed": "16.0 GT/s PCIe\n",
    "current_link_width": "16\n",
    "d3cold_allowed": "1\n",
    "dma_mask_bits": "64\n",
    "enable": "1\n",
    "irq": "11\n",
    "local_cpulist": "0-31\n",
    "local_cpus": "00000000,ffffffff\n",
    "max_link_speed": "16.0 GT/s PCIe\n",
    "max_link_width": "16\n",
    "msi_bus": "1\n",
    "numa_node": "0\n",
    "power_state": "D0\n",
    "remove": "",
    "rescan": "",
    "reset": "",
    "resource0": "",
}
_POWER = {
    "async": "enabled\n", "autosuspend_delay_ms": "\n", "control": "on\n", "runtime_active_kids": "0\n",
    "runtime_active_time": "100\n", "runtime_enabled": "forbidden\n", "runtime_status": "active\n",
    "runtime_suspended_time": "0\n", "runtime_usage": "1\n", "wakeup": "disabled\n",
}
_GROUP = {"type": "DMA-FQ\n", "reserved_regions": "0xfee00000 0xfeefffff msi\n"}
_DRIVER = {"bind": "", "unbind": "", "new_id": "", "remove_id": "", "uevent": ""}
_VFIO_EVERY = 2  # each second VF is with VFIO
_RESOURCES = 13


def write_sysfs(root: Path, functions: list[Function]) -> None:
    """Write all of /sys that a PCI tool looks at."""
    tree = Tree(root)
    for path in ("bus/pci/devices", "bus/pci/slots", "class/net", "class/block", "class/nvme", "dev/block", "firmware"):
        tree.directory(path)
    _modules(tree)
    for group in sorted({one.group for one in functions}):
        tree.directory(f"kernel/iommu_groups/{group}/devices")
        tree.shared(f"kernel/iommu_groups/{group}", _GROUP)
    _Writer(tree, {one.address: one for one in functions}).write()
    tree.directory("devices/virtual/net/lo")
    tree.shared("devices/virtual/net/lo", {"address": "00:00:00:00:00:00\n"})
    tree.link("class/net/lo", "devices/virtual/net/lo")


def _modules(tree: Tree) -> None:
    drivers = {kind.driver: kind.module or kind.driver for kind in topology.ALL_KINDS if kind.driver}
    drivers["vfio-pci"] = "vfio_pci"
    for driver, module in drivers.items():
        tree.directory(f"bus/pci/drivers/{driver}")
        tree.shared(f"bus/pci/drivers/{driver}", _DRIVER)
        tree.directory(f"module/{module}/drivers")
        tree.link(f"bus/pci/drivers/{driver}/module", f"module/{module}")
        tree.link(f"module/{module}/drivers/pci:{driver}", f"bus/pci/drivers/{driver}")


class _Writer:
    """Numbers what the kernel numbers: interfaces, controllers, VFIO devices."""

    def __init__(self, tree: Tree, functions: dict[str, Function]) -> None:
        self._tree = tree
        self._functions = functions
        self._next: Counter[str] = Counter()

    def write(self) -> None:
        for one in self._functions.values():
            self._function(one)

    def _number(self, what: str) -> int:
        self._next[what] += 1
        return self._next[what] - 1

    def _function(self, one: Function) -> None:
        tree, kind, directory = self._tree, one.kind, one.directory
        tree.directory(directory)
        number = self._number("function")
        has_vfio = one.physfn is not None and one.vf_index % _VFIO_EVERY == 1
        driver = "vfio-pci" if has_vfio else kind.driver
        tree.shared(directory, _COMMON)
        tree.shared(directory, _attributes(kind, has_vfio))
        tree.text(directory + "/uevent", _uevent(one, driver))
        tree.text(directory + "/resource", _resource(number))
        tree.data(directory + "/config", _config(kind, number))
        tree.directory(directory + "/power")
        tree.shared(directory + "/power", _POWER)
        tree.link(directory + "/subsystem", "bus/pci")
        tree.link(f"bus/pci/devices/{one.address}", directory)
        tree.link(directory + "/iommu_group", f"kernel/iommu_groups/{one.group}")
        tree.link(f"kernel/iommu_groups/{one.group}/devices/{one.address}", directory)
        if driver:
            tree.link(directory + "/driver", f"bus/pci/drivers/{driver}")
            tree.link(f"bus/pci/drivers/{driver}/{one.address}", directory)
        self._sriov(one)
        if has_vfio:
            tree.directory(f"{directory}/vfio-dev/vfio{self._number('vfio')}")
        elif kind.offers:
            {"net": self._net, "nvme": self._nvme, "sata": self._sata}[kind.offers](directory, number)

    def _sriov(self, one: Function) -> None:
        if one.physfn:
            self._tree.link(one.directory + "/physfn", self._functions[one.physfn].directory)
        if one.kind.vf is None:
            return
        self._tree.shared(one.directory, {
            "sriov_totalvfs": f"{one.kind.total_vfs}\n",
            "sriov_numvfs": f"{len(one.vf_addresses)}\n",
            "sriov_drivers_autoprobe": "1\n",
            "sriov_offset": "8\n",
            "sriov_stride": "1\n",
            "sriov_vf_device": one.kind.vf.ids[1] + "\n",
            "sriov_vf_total_msix": "0\n",
        })
        for index, address in enumerate(one.vf_addresses):
            self._tree.link(f"{one.directory}/virtfn{index}", self._functions[address].directory)

    def _class_device(self, class_name: str, path: str, parent: str, texts: dict[str, str]) -> None:
        tree = self._tree
        tree.directory(path)
        tree.link(path + "/subsystem", f"class/{class_name}")
        tree.link(path + "/device", parent)
        tree.link(f"class/{class_name}/{path.rsplit('/', 1)[1]}", path)
        for name, text in texts.items():
            tree.text(f"{path}/{name}", text)

    def _net(self, directory: str, number: int) -> None:
        mac = "52:54:00:{0:02x}:{1:02x}:{2:02x}\n".format(number >> 16, number >> 8 & 255, number & 255)
        index = self._number("net")
        path = f"{directory}/net/eth{index}"
        self._class_device("net", path, directory, {"address": mac, "ifindex": f"{index + 2}\n"})
        # (source: net/core/net-sysfs.c net_class_attrs; NET_ADDR_PERM; IFF_UP, IFF_BROADCAST and IFF_MULTICAST)
        self._tree.shared(path, {
            "mtu": "1500\n", "operstate": "up\n", "type": "1\n", "carrier": "1\n", "addr_assign_type": "0\n", "flags": "0x1003\n",
        })

    def _nvme(self, directory: str, number: int) -> None:
        name = f"nvme{self._number('nvme')}"
        path = f"{directory}/nvme/{name}"
        self._class_device("nvme", path, directory, {"serial": f"S649NX0{number:07d}\n"})
        self._tree.shared(path, {"model": "SAMSUNG MZVL21T0HCLR-00B00\n", "transport": "pcie\n", "state": "live\n"})
        self._disk(f"{path}/{name}n1", path, f"259:{self._number('259')}")

    def _sata(self, directory: str, dummy_number: int) -> None:
        number = self._number("sata")
        target = f"{directory}/ata{number + 1}/host{number}/target{number}:0:0/{number}:0:0:0"
        # The first disk carries this machine's /, so that the guard finds its way as on a real host.
        root = os.stat("/").st_dev
        node = f"{os.major(root)}:{os.minor(root)}" if number == 0 else f"8:{16 * number}"
        self._disk(f"{target}/block/sd{chr(ord('a') + number)}", target, node)

    def _disk(self, path: str, parent: str, node: str) -> None:
        self._class_device("block", path, parent, {"size": "2000409264\n", "dev": node + "\n"})
        self._tree.directory(path + "/slaves")
        self._tree.link(f"dev/block/{node}", path)
        part = path + ("p1" if path[-1].isdigit() else "1")
        part = f"{path}/{part.rsplit('/', 1)[1]}"
        self._tree.directory(part)
        self._tree.shared(part, {"partition": "1\n"})
        self._tree.link(f"class/block/{part.rsplit('/', 1)[1]}", part)


def _attributes(kind: Kind, has_vfio: bool) -> dict[str, str]:
    vendor, device, sub_vendor, sub_device = kind.ids
    found = {
        "vendor": f"0x{vendor}\n",
        "device": f"0x{device}\n",
        "subsystem_vendor": f"0x{sub_vendor}\n",
        "subsystem_device": f"0x{sub_device}\n",
        "class": f"0x{kind.class_code}\n",
        "revision": f"0x{kind.revision}\n",
        "modalias": kind.modalias + "\n",
        "driver_override": "vfio-pci\n" if has_vfio else "(null)\n",
    }
    if kind.reset_methods:
        found["reset_method"] = kind.reset_methods + "\n"
    if kind.class_code.startswith("0300"):
        found["boot_vga"] = "0\n"
    return found


def _uevent(one: Function, driver: str | None) -> str:
    vendor, device, sub_vendor, sub_device = (part.upper() for part in one.kind.ids)
    return (f"DRIVER={driver}\n" if driver else "") + (
        f"PCI_CLASS={one.kind.class_code.upper().lstrip('0')}\nPCI_ID={vendor}:{device}\n"
        f"PCI_SUBSYS_ID={sub_vendor}:{sub_device}\nPCI_SLOT_NAME={one.address}\nMODALIAS={one.kind.modalias}\n"
    )


def _resource(number: int) -> str:
    start = 0x202000000000 + number * 0x100000
    nothing = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
    return f"0x{start:016x} 0x{start + 0xFFFFF:016x} 0x000000000014220c\n" + nothing * (_RESOURCES - 1)


def _config(kind: Kind, number: int) -> bytes:
    """4096 bytes: the header, three capabilities, and extended ones: AER, ARI, on some a serial number or SR-IOV."""
    space = bytearray(4096)
    vendor, device, sub_vendor, sub_device = (int(part, 16) for part in kind.ids)
    code = bytes.fromhex(kind.class_code)
    many = 0x80 if kind in topology.GPU else 0
    struct.pack_into("<HHHHB", space, 0, vendor, device, 0x0406, 0x0010, int(kind.revision, 16))
    space[9:12] = code[::-1]
    space[0x0E] = kind.header_type | many
    if kind.header_type == 0:
        struct.pack_into("<HH", space, 0x2C, sub_vendor, sub_device)
    space[0x34] = 0x40
    struct.pack_into("<BB", space, 0x40, 0x01, 0x50)  # power management
    struct.pack_into("<BB", space, 0x50, 0x11, 0x70)  # MSI-X
    struct.pack_into("<BBH", space, 0x70, 0x10, 0x00, 0x42 if kind.header_type else 0x02)  # PCI Express
    chain = [(0x0001, 0x100, 2)] + [(0x0003, 0x140, 1)] * kind.has_serial + [(0x000E, 0x150, 1)]
    chain += [(0x0010, 0x160, 1)] * bool(kind.vf)
    for (ident, offset, version), following in zip(chain, [place for dummy, place, dummy in chain[1:]] + [0]):
        struct.pack_into("<I", space, offset, ident | version << 16 | following << 20)
        if ident == 0x0003:
            struct.pack_into("<Q", space, offset + 4, 0x0C42A1FFFF000000 + number)
    return bytes(space)
