# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""A PCI function as a value: its address, its identity, its facts. Pure: no file is touched here."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, List

from ansible_collections.vfio.host.plugins.module_utils._core.force import CONSOLE, NETWORK, STORAGE

if TYPE_CHECKING:
    from typing import Iterable, NoReturn

    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import Guard, Holder, Interface, Sriov, VfioFacts, Zpci

ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]\Z")
_SHORT_ADDRESS = re.compile(r"[0-9a-f]{2}:[01][0-9a-f]\.[0-7]\Z")

# The ids that tell what a function is; together with the address they pin one device.
IDENTITY = ("vendor", "device", "subsystem_vendor", "subsystem_device", "class")

# The classes of functions whose header is one of a bridge: to PCI, to CardBus, semi-transparent.
_BRIDGE_CLASSES = ("0604", "0607", "0609")
_OF_VF, _OF_PF = "its VF {0} is needed: {1}", "its PF {0} is needed: {1}"
_OF_CONSUMER = "{0}, which depends on it, is needed: {1}"


def normalize_address(text: str) -> str | None:
    """'0000:02:00.0' for '02:00.0' or '0000:02:00.0' in any case; None for what is no PCI address."""
    lowered = text.strip().lower()
    if _SHORT_ADDRESS.match(lowered):
        return "0000:" + lowered
    return lowered if ADDRESS.match(lowered) else None


@functools.lru_cache(maxsize=None)
def parse_modalias(modalias: str) -> dict[str, str] | None:
    """The ids in a kernel modalias as a dict of lower-case hex, or None where it has another shape.

    Functions of one kind share the dict.
    The shape is fixed: pci:v<8>d<8>sv<8>sd<8>bc<2>sc<2>i<2> (source: pci_uevent() in drivers/pci/pci-driver.c).
    """
    if len(modalias) != 53 or not modalias.startswith("pci:v"):
        return None
    text = modalias.lower()
    return {
        "vendor": text[9:13],
        "device": text[18:22],
        "subsystem_vendor": text[28:32],
        "subsystem_device": text[38:42],
        "class": text[44:46] + text[48:50] + text[51:53],
    }


def last_address(sysfs_target: str) -> str | None:
    """The PCI function that a device's path goes through last; None where it goes through none."""
    for part in reversed(sysfs_target.split("/")):
        if ADDRESS.match(part):
            return part
    return None


def addresses_in(sysfs_target: str) -> list[str]:
    """All PCI functions on a device's path, from the root."""
    return [part for part in sysfs_target.split("/") if ADDRESS.match(part)]


def has_bridge_class(ids: dict[str, str]) -> bool:
    """Whether a function is a bridge by its class, which the kernel keeps where the function itself tells nothing."""
    return ids["class"].startswith(_BRIDGE_CLASSES)


def guards_of_pf(address: str, guards: Iterable[Guard]) -> list[Guard]:
    """What a PF owes to the guards of its VF at ``address``."""
    return [_inherited(one, _OF_VF, address) for one in guards]


def _inherited(guard: Guard, words: str, address: str) -> Guard:
    """The need of another function, at ``address``, as one of this: ``words`` say whose it is."""
    told = words.format(address, guard["reason"])
    return {"kind": guard["kind"], "reason": told, "brief": told, "interface": None, "carries": None, "via": address}


def guards_of_vfs(address: str, guards: Iterable[Guard]) -> list[Guard]:
    """What all VFs owe to the guards of their PF at ``address``: they share its port."""
    return [_inherited(one, _OF_PF, address) for one in guards if one["kind"] == NETWORK and one["via"] is None]


def is_owed_to_pf(guard: Guard, pf: Device) -> bool:
    """Whether a VF owes a guard to its PF alone, as guards_of_vfs() has it."""
    return guard["kind"] == NETWORK and guard["via"] == pf.address and any(one["kind"] == NETWORK and one["via"] is None for one in pf.guards)


def guards_of_consumer(address: str, guards: Iterable[Guard]) -> list[Guard]:
    """What a function owes to the guards of the one at ``address``, which depends on it."""
    return [_inherited(one, _OF_CONSUMER, address) for one in guards]


class GuardsUnread(LookupError):
    """Somebody asks for guards that were not read."""


class _Unread(List[Any]):
    """In place of a list that was not read: whatever is asked of it fails, so that nothing is free for want of an answer."""

    def _refuse(self, *dummy: object) -> NoReturn:
        raise GuardsUnread("the guards of this host were not read")

    __iter__ = __len__ = __bool__ = __contains__ = __getitem__ = __reversed__ = _refuse


UNREAD: list[Guard] = _Unread()


def _not_asked() -> VfioFacts:
    return {"module": None, "driver": None, "alias": None, "ties": [], "bindable": False, "reason": "nothing was asked about it yet"}


@dataclass(frozen=True)
class Device:
    """One PCI function. ``ids`` has the keys of IDENTITY; ``slots`` is its path as earlier versions had it, without the root;
    ``root`` the last host bridge above it; ``devpath`` the pattern of its uevents' path, of a VF with an index that of its PF;
    ``above``: the functions that it hangs from, from the root; ``is_dead``: it does not answer; ``is_asleep``: nothing asked it,
    which would wake it; ``nvme``: an NVMe's own serial number, where ``serial`` is another; ``not_bindable``: why VFIO refuses it, a kind
    of NotBindable, or None. The rest are the facts of the same names.
    """

    address: str
    ids: dict[str, str]
    modalias: str = ""
    revision: str | None = None
    driver: str | None = None
    driver_override: str | None = None
    iommu_group: str | None = None
    numa_node: int | None = None
    header_type: int | None = None
    path: str | None = None
    slots: str | None = None
    root: str | None = None
    devpath: str | None = None
    above: tuple[str, ...] = ()
    is_dead: bool = False
    is_asleep: bool = False
    physfn: str | None = None
    vf: int | None = None
    sriov: Sriov | None = None
    reset_methods: list[str] = field(default_factory=list)
    boot_vga: bool = False
    serial: str | None = None
    nvme: str | None = None
    net: list[Interface] = field(default_factory=list)
    block: list[str] = field(default_factory=list)
    zpci: Zpci | None = None
    vendor_name: str | None = None
    device_name: str | None = None
    vfio: VfioFacts = field(default_factory=_not_asked)
    not_bindable: str | None = None
    holders: list[Holder] | None = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)

    def knowing(self, **findings: Any) -> Device:
        """The same device with more known of it: dataclasses.replace in a tenth of its time."""
        twin = object.__new__(Device)
        vars(twin).update(vars(self), **findings)
        return twin

    @property
    def is_bridge(self) -> bool:
        """vfio-pci refuses every function whose header is not type 0 (source: vfio_pci_probe)."""
        if self.header_type is None:
            return has_bridge_class(self.ids)
        return self.header_type != 0

    @property
    def name(self) -> str:
        """What a person calls it: the names of pci.ids, else the ids."""
        if self.device_name:
            return f"{self.vendor_name} {self.device_name}"
        return f"{self.vendor_name or 'device'} [{self.ids['vendor']}:{self.ids['device']}]"

    @property
    def pin(self) -> dict[str, str] | None:
        """What names a function of s390, where addresses move: its UID where these are unique, else its FID; elsewhere None."""
        if self.zpci is None:
            return None
        uid = self.zpci["uid"]
        if self.zpci["uid_is_unique"] and uid is not None and int(uid, 16):
            return {"uid": uid}
        return {"function_id": self.zpci["function_id"]}

    def identity(self) -> dict[str, str | None]:
        """What stays when addresses move: the ids, and where known serial, path and the s390 uid."""
        uid = self.zpci["uid"] if self.zpci is not None else None
        return {**self.ids, "serial": self.serial, "path": self.path, "uid": uid, "name": self.name}

    def facts(self) -> dict[str, Any]:
        """The device as ``pci_facts`` returns it; a field that the host does not have is None or empty."""
        ids = self.ids
        return {
            "address": self.address,
            "vendor": ids["vendor"],
            "device": ids["device"],
            "subsystem_vendor": ids["subsystem_vendor"],
            "subsystem_device": ids["subsystem_device"],
            "class": ids["class"],
            "revision": self.revision,
            "driver": self.driver,
            "driver_override": self.driver_override,
            "modalias": self.modalias,
            "iommu_group": self.iommu_group,
            "numa_node": self.numa_node,
            "header_type": self.header_type,
            "path": self.path,
            "is_vf": self.physfn is not None,
            "physfn": self.physfn,
            "vf": self.vf,
            "sriov": self.sriov,
            "reset_methods": self.reset_methods,
            "boot_vga": self.boot_vga,
            "serial": self.serial,
            "net": self.net,
            "block": self.block,
            "zpci": self.zpci,
            "vendor_name": self.vendor_name,
            "device_name": self.device_name,
            "vfio": self.vfio,
            "holders": self.holders,
            "guards": self.guards,
        }


__all__ = (
    "ADDRESS",
    "CONSOLE",
    "Device",
    "GuardsUnread",
    "IDENTITY",
    "NETWORK",
    "STORAGE",
    "UNREAD",
    "addresses_in",
    "guards_of_consumer",
    "guards_of_pf",
    "guards_of_vfs",
    "has_bridge_class",
    "is_owed_to_pf",
    "last_address",
    "normalize_address",
    "parse_modalias",
)
