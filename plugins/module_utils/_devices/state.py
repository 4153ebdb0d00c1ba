# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The one scan of a host's PCI functions and of what the kernel says about them."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Optional

from ansible_collections.vfio.host.plugins.module_utils._devices import iommu, pciids
from ansible_collections.vfio.host.plugins.module_utils._devices.drivers import Choices
from ansible_collections.vfio.host.plugins.module_utils._devices.guards import registry
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.block import NVME_SUBSYSTEM, subsystem_controllers
from ansible_collections.vfio.host.plugins.module_utils._devices.holders import Usage
from ansible_collections.vfio.host.plugins.module_utils._devices.interfaces import interfaces
from ansible_collections.vfio.host.plugins.module_utils._devices.members import Others
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import (
    Device,
    has_bridge_class,
    last_address,
    parse_modalias,
)
from ansible_collections.vfio.host.plugins.module_utils._devices.place import Place, place_and_functions, place_of, vf_path
from ansible_collections.vfio.host.plugins.module_utils._devices.stuck import Stuck, sentence
from ansible_collections.vfio.host.plugins.module_utils._host.errors import errno_text
from ansible_collections.vfio.host.plugins.module_utils._host.platform import S390, platform_of, remaps_interrupts
from ansible_collections.vfio.host.plugins.module_utils._kernel.alias import BASE_DRIVER, BASE_MODULE, VFIO, matching
from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import ABSENT, Modules

if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import Interface, Sriov, Zpci
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_EXTENDED_CONFIG = 0x100
_SERIAL_NUMBER_CAPABILITY = 0x0003
_MEANINGLESS_SERIALS = frozenset((b"\0" * 8, b"\xff" * 8))
_NEEDED = ("modalias", "driver", "driver_override", "iommu_group", "physfn", "sriov_totalvfs")
_VF_LINK = "virtfn"
_BRIDGE, _CARDBUS = 1, 2  # header types
_ZPCI = ("uid", "uid_is_unique", "function_id", "pchid", "pft", "pfgid", "vfn", "port")
_ZPCI_VALUE = re.compile(r"(0x)?[0-9a-f]{1,16}\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Survey:
    """One host at one moment. ``devices``: address -> Device, sorted; ``modules``: what the kernel's modules offer; ``usage``: who
    uses the devices, looked at when asked.
    """

    platform: str
    kernel: str
    iommu_enabled: bool
    groups: dict[str, list[str]]
    others: Mapping[str, dict[str, str]]  # IOMMU group -> {name: driver} of members that are no PCI functions and keep it
    devices: dict[str, Device]
    modules: Modules
    choices: Choices
    vfio_drivers: frozenset[str]
    noiommu: bool
    interrupt_remapping: bool | None
    usage: Usage
    warnings: list[str]
    stuck: dict[str, str]  # address -> a sentence, of each device that nothing can be done with
    awake: Callable[[Device], Device]  # a function from a device to what it says of itself, for which one that sleeps is woken

    def is_vfio(self, driver: str | None) -> bool:
        """Whether a driver of this name serves user space: vfio-pci or a variant that the kernel's table names."""
        return driver in self.vfio_drivers

    def is_native(self, device: Device) -> bool:
        """Whether a device has a driver that it would have without an override, too."""
        driver = device.driver
        if driver is None or self.is_vfio(driver):
            return False
        if driver != device.driver_override:
            return True
        declared = self.modules.declared_by(self.modules.driver_module(driver) or driver)
        return bool(matching(declared, device.modalias))

    def native_driver(self, device: Device) -> str | None:
        """The driver that the kernel's table names for a device without an override; None where it names none."""
        return self.choices.native_driver(device.modalias)

    def facts(self) -> dict[str, Any]:
        """The survey as ``pci_facts`` returns it."""
        return {
            "platform": self.platform,
            "kernel": self.kernel,
            "iommu": {
                "enabled": self.iommu_enabled, "groups": self.groups, "interrupt_remapping": self.interrupt_remapping,
            },
            "devices": {address: device.facts() for address, device in self.devices.items()},
        }


@dataclass(frozen=True)
class _Surroundings:
    """What is read once and belongs to many devices: maps from an address, and ``names`` of vendor and device ids.

    ``vfs``: PF -> (its Place, its VFs' address -> index), of the PFs that were asked for.
    """

    net: dict[str, list[Interface]]
    block: dict[str, list[str]]
    nvme_serials: dict[str, str | None]
    names: Callable[[str, str], tuple[str | None, str | None]]
    is_s390: bool
    stuck: Stuck
    vfs: dict[str, tuple[Place, dict[str | None, int]]]
    asleep: set[str]


def survey(fs: Sysfs) -> Survey:
    """Scan the host behind ``fs``. A function that vanishes during the scan is left out, with a warning."""
    modules = Modules(fs)
    warnings: list[str] = []
    pids: dict[str, int] = {}
    raw = _scan(fs, warnings, pids)
    vfio_drivers = _vfio_drivers(fs, modules, raw)
    noiommu = fs.read(f"{fs.modules}/vfio/parameters/enable_unsafe_noiommu_mode") == "Y"
    base = modules.state(BASE_MODULE) != ABSENT
    choices = Choices(modules)
    groups, members = bool(fs.names(fs.iommu_groups)), iommu.groups_of(raw)
    needed = registry.guards(fs, raw, is_vfio=vfio_drivers.__contains__)
    taken = bool(pids) or any(device.driver in vfio_drivers for device in raw)
    is_root, usage = fs.is_root, Usage(fs)
    if not is_root:
        warnings.append("not root: who holds a device, and serial numbers in the configuration space, are not known")
    devices = {}
    for device in raw:
        devices[device.address] = device.knowing(
            vfio=choices.facts(device.modalias, iommu.why_not_bindable(device, has_base_module=base, noiommu=noiommu)),
            guards=needed.get(device.address, []),
            holders=(usage.holders(device, device.driver in vfio_drivers) if taken else []) if is_root else None,
        )
    stuck = {address: sentence(devices[address], pid, note=f"{fs.stuck}/{address}") for address, pid in pids.items()}
    return Survey(
        platform=platform_of(fs),
        kernel=fs.kernel,
        iommu_enabled=groups,
        groups=members,
        others=Others(fs, members),
        devices=devices,
        modules=modules,
        choices=choices,
        vfio_drivers=vfio_drivers,
        noiommu=noiommu,
        interrupt_remapping=remaps_interrupts(fs) if groups else None,
        usage=usage,
        warnings=warnings + list(stuck.values()),
        stuck=stuck,
        awake=functools.partial(_awake, fs, choices, base, noiommu),
    )


def _vfio_drivers(fs: Sysfs, modules: Modules, devices: list[Device]) -> frozenset[str]:
    """The names of all VFIO drivers that are registered now, and the base driver's."""
    found = {BASE_DRIVER}
    for module in {alias.module for alias in modules.aliases(VFIO)}:
        found.update(modules.drivers(module))
    one_of_each = {device.driver: device.address for device in devices if device.driver}
    found.update(
        driver for driver, address in one_of_each.items() if fs.exists(f"{fs.device_directory(address)}/vfio-dev")
    )
    return frozenset(found)


def _scan(fs: Sysfs, warnings: list[str], stuck: dict[str, int]) -> list[Device]:
    around = _Surroundings(
        net=interfaces(fs),
        block=_disks(fs),
        nvme_serials=_nvme_serials(fs),
        names=pciids.Dictionary(fs.pci_ids, fs.read_file).names,
        is_s390=platform_of(fs) == S390,
        stuck=Stuck(fs),
        vfs={},
        asleep=set(),
    )
    found = []
    for address in fs.names(fs.pci_devices):
        directory = fs.device_directory(address)
        device = _read_device(fs, address, directory, around, stuck)
        unread = _unread(fs, directory) if fs.was_refused else []
        if unread:
            stuck.pop(address, None)
            warnings.append(f"{address} is left out, since what it is or what has it cannot be read: {'; '.join(unread)}")
        elif device is None and fs.is_link(f"{fs.pci_devices}/{address}"):
            warnings.append(f"{address} has no modalias in sysfs, which says what a device is, and is left out")
        elif device is None:
            gone = not fs.exists(fs.device_directory(address))
            why = "vanished during the scan" if gone else "has no modalias, which tells what it is,"
            warnings.append(f"{address} {why} and is left out")
        else:
            found.append(device)
            if device.is_dead:
                warnings.append(f"{address} ({device.name}): {iommu.DEAD}")
    return found


def _unread(fs: Sysfs, directory: str) -> list[str]:
    """What cannot be read of a device that nothing may be done with without it."""
    paths = [directory] + [f"{directory}/{name}" for name in _NEEDED]
    return [
        f"{os.path.basename(path)}: {errno_text(fs.refusal(path))}" for path in paths if fs.refusal(path) is not None
    ]


def _read_device(fs: Sysfs, address: str, directory: str, around: _Surroundings, stuck: dict[str, int]) -> Device | None:
    modalias = fs.read(directory + "/modalias")
    ids = parse_modalias(modalias) if modalias else None
    if modalias is None or ids is None:
        return None
    place, functions = place_and_functions(directory)
    above = functions[:-1]
    is_asleep = _is_asleep(fs, directory, above, around.asleep)
    if is_asleep:
        around.asleep.add(address)
        config = _Config(header_type=_header_type(fs, directory, ids))
    else:
        config = _read_config(fs, directory)
    revision = None if config.is_dead else config.revision or (fs.read(directory + "/revision") or "0x")[2:] or None
    driver, group = fs.link(directory + "/driver"), fs.link(directory + "/iommu_group")
    waiting = around.stuck.waiting(address, driver=driver, group=group)
    if waiting is not None:
        stuck[address] = waiting
    override = None if waiting is not None else fs.read(directory + "/driver_override")
    physfn = fs.link(directory + "/physfn")
    pf_place, vf = _pf(fs, around, physfn, address) if physfn else (place, None)
    vendor_name, device_name = around.names(ids["vendor"], ids["device"])
    return Device(
        address=address,
        ids=ids,
        modalias=modalias,
        revision=revision,
        driver=driver,
        driver_override=None if override in ("(null)", "") else override,
        iommu_group=group,
        numa_node=fs.number(directory + "/numa_node"),
        header_type=config.header_type,
        path=place.path if vf is None else vf_path(pf_place.path, vf),
        slots=place.slots,
        root=place.root,
        devpath=pf_place.devpath if vf is not None or physfn is None else None,
        above=above,
        is_dead=config.is_dead,
        is_asleep=is_asleep,
        physfn=physfn,
        vf=vf,
        sriov=None if physfn else _sriov(fs, directory),
        reset_methods=(fs.read(directory + "/reset_method") or "").split(),
        boot_vga=ids["class"].startswith("03") and _is_boot_vga(fs, directory + "/boot_vga"),
        serial=config.serial or around.nvme_serials.get(address),
        net=around.net.get(address, []),
        block=around.block.get(address, []),
        zpci=_zpci(fs, directory) if around.is_s390 else None,
        vendor_name=vendor_name,
        device_name=device_name,
    )


def _pf(fs: Sysfs, around: _Surroundings, physfn: str, address: str) -> tuple[Place, int | None]:
    """(Place of a VF's PF, the VF's number as the PF's links have it: N of virtfnN). (source: drivers/pci/iov.c
    pci_iov_sysfs_link())
    """
    if physfn not in around.vfs:
        directory = fs.device_directory(physfn)
        links = [name for name in fs.names(directory) if name.startswith(_VF_LINK) and name[len(_VF_LINK):].isdigit()]
        indexes = {fs.link(f"{directory}/{name}"): int(name[len(_VF_LINK):]) for name in links}
        around.vfs[physfn] = place_of(directory), indexes
    place, indexes = around.vfs[physfn]
    return place, indexes.get(address)


def _is_boot_vga(fs: Sysfs, path: str) -> bool:
    """Whether a display is the firmware's, or may be, where it does not say."""
    return fs.read(path) == "1" or fs.refusal(path) is not None


def _sriov(fs: Sysfs, directory: str) -> Sriov | None:
    total = fs.number(directory + "/sriov_totalvfs")
    if total is None:
        return None
    # The VFs are counted: reading sriov_numvfs waits for the device's lock, and for ever behind a stuck unbind.
    return {
        "total": total,
        "num": sum(1 for name in fs.names(directory) if name.startswith("virtfn")),
        "autoprobe": fs.read(directory + "/sriov_drivers_autoprobe") == "1",
    }


def _zpci(fs: Sysfs, directory: str) -> Zpci | None:
    read = {key: fs.read(f"{directory}/{key}") for key in _ZPCI}
    values = {key: text if text and _ZPCI_VALUE.match(text) else None for key, text in read.items()}
    function_id = values["function_id"]
    if function_id is None:
        return None
    return {
        "uid": values["uid"], "uid_is_unique": values["uid_is_unique"] == "1", "function_id": function_id, "pchid": values["pchid"],
        "pft": values["pft"], "pfgid": values["pfgid"], "vfn": values["vfn"], "port": values["port"],
    }


class _Config(NamedTuple):
    """What a function's configuration space says; each None where it cannot be read. ``is_dead``: all of it are ones."""

    revision: Optional[str] = None
    header_type: Optional[int] = None
    serial: Optional[str] = None
    is_dead: bool = False


def _read_config(fs: Sysfs, directory: str) -> _Config:
    """The _Config of a function.

    Without root the kernel shows the first 64 bytes only. Offsets: PCI_REVISION_ID 8, PCI_HEADER_TYPE 14 and the
    capability chain from 0x100 on (source: include/uapi/linux/pci_regs.h). The vendor of a VF reads all ones, and no more.
    """
    with fs.opened(directory + "/config") as read_at:
        head = read_at(16, 0)
        if len(head) < 16:
            return _Config()
        if head == b"\xff" * 16:
            return _Config(is_dead=True)
        return _Config(f"{head[8]:02x}", head[14] & 0x7F, _serial_number(read_at))


def _is_asleep(fs: Sysfs, directory: str, above: tuple[str, ...], asleep: set[str]) -> bool:
    """Whether a look at a function's configuration space would wake it: the kernel resumes one in D3cold for that, and no
    other (source: drivers/pci/pci.c, pci_config_pm_runtime_get). Kernels before 5.8 do not say in which state one is.
    """
    state = fs.read(directory + "/power_state")
    if state is None:
        return fs.read(directory + "/power/runtime_status") == "suspended" or not asleep.isdisjoint(above)
    return state == "D3cold" or not asleep.isdisjoint(above)


def _header_type(fs: Sysfs, directory: str, ids: dict[str, str]) -> int | None:
    """The header type that the kernel found when it scanned the bus: it shows a bridge by attributes, and takes no function of
    another type than these (source: drivers/pci/pci-sysfs.c pci_bridge_attrs, drivers/pci/probe.c pci_setup_device()).
    """
    if fs.exists(directory + "/secondary_bus_number"):
        return _CARDBUS if ids["class"].startswith("0607") else _BRIDGE
    return None if has_bridge_class(ids) else 0


def _awake(fs: Sysfs, choices: Choices, base: bool, noiommu: bool, device: Device) -> Device:
    """The device with what only its configuration space says; where it is asleep it is woken for that."""
    if not device.is_asleep:
        return device
    config = _read_config(fs, fs.device_directory(device.address))
    woken = device.knowing(
        is_asleep=False, is_dead=config.is_dead, header_type=None if config.is_dead else device.header_type,
        revision=config.revision, serial=device.serial or config.serial,
    )
    return woken.knowing(vfio=choices.facts(woken.modalias, iommu.why_not_bindable(woken, has_base_module=base, noiommu=noiommu)))


def _serial_number(read_at: Callable[[int, int], bytes]) -> str | None:
    """The Device Serial Number capability as lspci prints it, '52-54-00-ff-ff-12-34-56'; None where there is none."""
    offset = _EXTENDED_CONFIG
    for dummy in range(96):  # no more capabilities fit
        header = read_at(12, offset)
        if len(header) < 12:
            return None
        word = int.from_bytes(header[:4], "little")
        if word & 0xFFFF == _SERIAL_NUMBER_CAPABILITY:
            number = header[:3:-1]
            return None if number in _MEANINGLESS_SERIALS else number.hex("-")
        offset = (word >> 20) & 0xFFC
        if word in (0, 0xFFFFFFFF) or offset < _EXTENDED_CONFIG:
            return None
    return None


def _disks(fs: Sysfs) -> dict[str, list[str]]:
    """Address -> the names of its whole disks, as they are below /dev."""
    found: dict[str, list[str]] = {}
    for name in fs.names(fs.block):
        directory = f"{fs.block}/{name}"
        target = fs.target(directory) or ""
        paths = subsystem_controllers(fs, name) if NVME_SUBSYSTEM in target else [target]
        # A namespace's path through one controller (nvme0c0n1) is hidden: nothing can open it.
        if fs.exists(directory + "/partition") or fs.read(directory + "/hidden") == "1":
            continue
        for address in filter(None, map(last_address, paths)):
            found.setdefault(address, []).append(name)
    return found


def _nvme_serials(fs: Sysfs) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in fs.names(fs.nvme):
        address = last_address(fs.target(f"{fs.nvme}/{name}") or "")
        if address:
            found[address] = fs.read(f"{fs.nvme}/{name}/serial") or None
    return found


__all__ = ("Survey", "survey")
