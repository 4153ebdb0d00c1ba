# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI functions of a large host as values: which cards, behind which bridges, at which addresses. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Optional


@dataclass(frozen=True)
class Kind:
    """One model of function. ``ids``: vendor, device, and both of the subsystem; ``offers``: net, nvme or sata."""

    ids: tuple[str, str, str, str]
    class_code: str
    driver: Optional[str]
    revision: str = "00"
    header_type: int = 0
    has_serial: bool = False
    offers: Optional[str] = None
    reset_methods: str = "flr bus"
    module: Optional[str] = None
    vf: Optional[Kind] = None
    total_vfs: int = 0
    num_vfs: int = 0

    @property
    def modalias(self) -> str:
        """As pci_uevent() in the kernel prints it."""
        vendor, device, sub_vendor, sub_device = (part.upper() for part in self.ids)
        code = self.class_code
        return (
            f"pci:v0000{vendor}d0000{device}sv0000{sub_vendor}sd0000{sub_device}bc{code[:2]}sc{code[2:4]}i{code[4:]}"
        )


@dataclass(frozen=True)
class Function:
    """One function in its place. ``parents``: the addresses of the bridges above it; ``group``: its IOMMU group."""

    address: str
    parents: tuple[str, ...]
    kind: Kind
    group: int
    physfn: Optional[str] = None
    vf_index: int = 0
    vf_addresses: tuple[str, ...] = ()

    @property
    def directory(self) -> str:
        """Below /sys."""
        domain = self.address.split(":")[0]
        return "/".join((f"devices/pci{domain}:00", *self.parents, self.address))


def _vf(ids: tuple[str, str, str, str], driver: str, module: Optional[str] = None) -> Kind:
    return Kind(ids, "020000", driver, offers="net", module=module, reset_methods="flr")


HOST_BRIDGE = Kind(("8086", "09a2", "8086", "0000"), "088000", None, "04", reset_methods="")
LPC = Kind(("8086", "a1c1", "15d9", "095d"), "060100", None, "09", reset_methods="")
SATA = Kind(("8086", "a182", "15d9", "095d"), "010601", "ahci", "09", offers="sata", reset_methods="")
ROOT_PORT = Kind(("8086", "347a", "8086", "0000"), "060400", "pcieport", "04", 1, reset_methods="pm")
SWITCH_PORT = Kind(("10b5", "8749", "10b5", "8749"), "060400", "pcieport", "ca", 1, has_serial=True, reset_methods="")
NVME = Kind(("144d", "a80a", "144d", "aa0a"), "010802", "nvme", has_serial=True, offers="nvme")
NVME_DC = Kind(("8086", "0b60", "8086", "8008"), "010802", "nvme", offers="nvme")
CRYPTO = Kind(("8086", "4940", "8086", "0000"), "0b4000", "4xxx", "40", module="qat_4xxx")
COMPUTE = Kind(("10de", "20b0", "10de", "144e"), "030200", "nvidia", "a1", has_serial=True)
GPU = (
    Kind(("10de", "1e04", "1462", "3711"), "030000", "nouveau", "a1", reset_methods="bus"),
    Kind(("10de", "10f7", "1462", "3711"), "040300", "snd_hda_intel", "a1", reset_methods="bus"),
    Kind(("10de", "1ad6", "1462", "3711"), "0c0330", "xhci_hcd", "a1", reset_methods="bus", module="xhci_pci"),
    Kind(("10de", "1ad7", "1462", "3711"), "0c8000", "nvidia-gpu", "a1", reset_methods="bus", module="i2c_nvidia_gpu"),
)


def _nic(device: str, driver: str, total: int, used: int, vf_kind: Kind, vendor: str = "8086") -> Kind:
    return Kind(
        (vendor, device, vendor, "0002"), "020000", driver, "02", has_serial=True, offers="net",
        vf=vf_kind, total_vfs=total, num_vfs=used,
    )


I350 = _nic("1521", "igb", 7, 4, _vf(("8086", "1520", "8086", "0002"), "igbvf"))
E810 = _nic("1592", "ice", 128, 32, _vf(("8086", "1889", "8086", "0000"), "iavf"))
CONNECTX = _nic("101d", "mlx5_core", 127, 64, _vf(("15b3", "101e", "15b3", "0016"), "mlx5_core"), "15b3")

# A card: the functions of its slot 0, and how many times the card is there behind a switch of its own (0: no switch).
CARDS: tuple[tuple[tuple[Kind, ...], int], ...] = (
    ((I350, I350), 0),
    ((E810, E810), 0),
    ((NVME,), 0),
    ((CONNECTX, CONNECTX), 0),
    (GPU, 4),
    ((NVME_DC,), 8),
    ((CRYPTO,), 0),
    ((COMPUTE,), 4),
)
ROUNDS_PER_DOMAIN = 3
ALL_KINDS = (HOST_BRIDGE, LPC, SATA, ROOT_PORT, SWITCH_PORT) + tuple(
    kind for kinds, dummy in CARDS for one in kinds for kind in (one, one.vf) if kind is not None
)


class _Domain:
    """Hands out buses, slots and groups of one PCI domain."""

    def __init__(self, number: int, first_group: int) -> None:
        self.number = number
        self.group = first_group
        self._bus = 0
        self._root_slot = 0

    def address(self, bus: int, slot: int, function: int) -> str:
        return f"{self.number:04x}:{bus:02x}:{slot:02x}.{function}"

    def next_bus(self) -> int:
        self._bus += 1
        return self._bus

    def next_root_slot(self) -> int:
        self._root_slot += 1
        return self._root_slot

    def next_group(self) -> int:
        self.group += 1
        return self.group

    def functions(self) -> Iterator[Function]:
        for function, kind in enumerate((HOST_BRIDGE, LPC, SATA)):
            yield Function(self.address(0, 0, function), (), kind, self.next_group())
        for dummy in range(ROUNDS_PER_DOMAIN):
            for kinds, copies in CARDS:
                yield from self._behind_root_port(kinds, copies)

    def _behind_root_port(self, kinds: tuple[Kind, ...], copies: int) -> Iterator[Function]:
        port = Function(self.address(0, self.next_root_slot(), 0), (), ROOT_PORT, self.next_group())
        yield port
        above: tuple[str, ...] = (port.address,)
        if not copies:
            yield from self._card(kinds, above, self.next_bus())
            return
        upstream = Function(self.address(self.next_bus(), 0, 0), above, SWITCH_PORT, self.next_group())
        yield upstream
        above += (upstream.address,)
        inside = self.next_bus()
        for slot in range(copies):
            down = Function(self.address(inside, slot, 0), above, SWITCH_PORT, self.next_group())
            yield down
            yield from self._card(kinds, (*above, down.address), self.next_bus())

    def _card(self, kinds: tuple[Kind, ...], parents: tuple[str, ...], bus: int) -> Iterator[Function]:
        """The card's functions, then their VFs on the same bus (ARI). Functions without VFs share a group."""
        shared = self.next_group()
        virtual = []
        number = 8
        for function, kind in enumerate(kinds):
            address = self.address(bus, 0, function)
            places = [self.address(bus, (number + index) // 8, (number + index) % 8) for index in range(kind.num_vfs)]
            number += kind.num_vfs
            group = self.next_group() if kind.vf else shared
            yield Function(address, parents, kind, group, vf_addresses=tuple(places))
            if kind.vf:
                virtual += [(kind.vf, address, index, place) for index, place in enumerate(places)]
        for vf_kind, physfn, index, place in virtual:
            yield Function(place, parents, vf_kind, self.next_group(), physfn=physfn, vf_index=index)


def functions(count: int) -> list[Function]:
    """The first ``count`` functions of an endless host, with no VF that is not among them."""
    found: list[Function] = []
    number, group = 0, 0
    while len(found) < count:
        domain = _Domain(number, group)
        found += domain.functions()
        number, group = number + 1, domain.group
    found = found[:count]
    there = {one.address for one in found}
    return [
        one if there.issuperset(one.vf_addresses) else Function(
            one.address, one.parents, one.kind, one.group,
            vf_addresses=tuple(address for address in one.vf_addresses if address in there),
        )
        for one in found
    ]
