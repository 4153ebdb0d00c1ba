# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The one scan of a host's PCI functions and of what the kernel says about them."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._devices import iommu, pciids
from ansible_collections.vfio.host.plugins.module_utils._devices.configspace import Config, header_type_of, read_config, sleeps
from ansible_collections.vfio.host.plugins.module_utils._devices.drivers import Choices
from ansible_collections.vfio.host.plugins.module_utils._devices.holders import Usage
from ansible_collections.vfio.host.plugins.module_utils._devices.interfaces import interfaces
from ansible_collections.vfio.host.plugins.module_utils._devices.members import others_in
from ansible_collections.vfio.host.plugins.module_utils._devices.nvme import disk_paths
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import (
    UNREAD,
    Device,
    last_address,
    parse_modalias,
)
from ansible_collections.vfio.host.plugins.module_utils._devices.place import Place, place_and_functions, place_of, vf_path
from ansible_collections.vfio.host.plugins.module_utils._devices.stuck import Stuck, sentence
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError, errno_text
from ansible_collections.vfio.host.plugins.module_utils._host.platform import S390, platform_of, remaps_interrupts
from ansible_collections.vfio.host.plugins.module_utils._kernel.alias import BASE_DRIVER, BASE_MODULE, VFIO, matching
from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import ABSENT, Modules

if TYPE_CHECKING:
    from typing import Any, Callable, Collection, Mapping

    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import Guard, Interface, Sriov, Zpci
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_NEEDED = ("modalias", "driver", "driver_override", "iommu_group", "physfn", "sriov_totalvfs")
_VF_LINK = "virtfn"
_ZPCI = ("uid", "uid_is_unique", "function_id", "pchid", "pft", "pfgid", "vfn", "port")
_ZPCI_VALUE = re.compile(r"(0x)?[0-9a-f]{1,16}\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Survey:
    """One host at one moment. ``devices``: address -> Device, sorted; ``modules``: what the kernel's modules offer; ``ids``: the
    names of vendors and devices; ``others``: empty where the reader did not ask for it; ``unsafe_interrupts``: the present value of
    VFIO's parameter of that name, where interrupts are not remapped; ``woken``: address -> the Device as it says of itself, of those
    that slept and that the reader had woken.
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
    ids: pciids.Dictionary
    unsafe_interrupts: str | None
    warnings: list[str]
    stuck: dict[str, str]  # address -> a sentence, of each device that nothing can be done with
    woken: Mapping[str, Device] = field(default_factory=dict)

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
        declared = self.modules.aliases_of(self.modules.driver_module(driver) or driver)
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


def survey(
    fs: Sysfs, usage: Usage | None = None, *, with_guards: bool = True, with_loaded: bool = True, with_others: bool = False,
    wakes: Collection[str] = (),
) -> Survey:
    """Scan the host behind ``fs``. A function that vanishes during the scan is left out, with a warning. Raises PlanError where the bus cannot be read.

    ``usage``: of the same host, which will be asked more; ``with_guards``, ``with_others``: guards of devices, and ``others``, are wanted,
    for which the whole host is read; ``with_loaded``: of Modules; ``wakes``: addresses of devices that are woken where they sleep.
    """
    modules, ids = Modules(fs, with_loaded=with_loaded), pciids.Dictionary(fs.pci_ids, fs.read_file)
    warnings: list[str] = []
    pids: dict[str, int] = {}
    raw = _scan(fs, ids, warnings, pids)
    vfio_drivers = _vfio_drivers(fs, modules, raw)
    noiommu = fs.read(f"{fs.modules}/vfio/parameters/enable_unsafe_noiommu_mode") == "Y"
    refuse = functools.partial(
        iommu.why_not_bindable, has_base_module=modules.state(BASE_MODULE) != ABSENT, noiommu=noiommu, has_table=modules.has_table,
    )
    choices = Choices(modules)
    groups, members = bool(fs.names(fs.iommu_groups)), iommu.groups_of(raw)
    taken = bool(pids) or any(device.driver in vfio_drivers for device in raw)
    needed = _guards(fs, raw, vfio_drivers) if with_guards else None
    is_root, usage = fs.is_root, usage or Usage(fs)
    if not is_root:
        warnings.append("not root: who holds a device, and serial numbers in the configuration space, are not known")
    devices = {}
    for device in raw:
        refusal = refuse(device)
        devices[device.address] = device.knowing(
            vfio=choices.facts(device.modalias, refusal), not_bindable=refusal.kind if refusal else None,
            guards=UNREAD if needed is None else needed.get(device.address, []),
            holders=(usage.holders(device, device.driver in vfio_drivers) if taken else []) if is_root else None,
        )
    remapping = remaps_interrupts(fs) if groups else None
    stuck = {address: sentence(devices[address], pid, note=f"{fs.stuck}/{address}") for address, pid in pids.items()}
    return Survey(
        platform=platform_of(fs),
        kernel=fs.kernel,
        iommu_enabled=groups,
        groups=members,
        others=others_in(fs, members) if with_others else {},
        devices=devices,
        modules=modules,
        choices=choices,
        vfio_drivers=vfio_drivers,
        noiommu=noiommu,
        interrupt_remapping=remapping,
        ids=ids,
        unsafe_interrupts=fs.read(f"{fs.modules}/{iommu.BACK_END}/parameters/{iommu.UNSAFE}") if remapping is False else None,
        warnings=warnings + list(stuck.values()),
        stuck=stuck,
        woken={address: _awake(fs, choices, refuse, devices[address]) for address in wakes if address in devices},
    )


def guarded(fs: Sysfs, found: Survey) -> Survey:
    """A survey with the guards of its devices. They cost as much as all the rest, and a run in which no device loses its driver needs none."""
    needed = _guards(fs, list(found.devices.values()), found.vfio_drivers)
    devices, woken = (
        {address: device.knowing(guards=needed.get(address, [])) for address, device in some.items()} for some in (found.devices, found.woken)
    )
    return replace(found, devices=devices, woken=woken)


def _guards(fs: Sysfs, devices: list[Device], vfio_drivers: frozenset[str]) -> dict[str, list[Guard]]:
    from ansible_collections.vfio.host.plugins.module_utils._devices.guards import registry

    return registry.guards(fs, devices, is_vfio=vfio_drivers.__contains__)


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


def _scan(fs: Sysfs, ids: pciids.Dictionary, warnings: list[str], stuck: dict[str, int]) -> list[Device]:
    around = _Surroundings(
        net=interfaces(fs),
        block=_disks(fs),
        nvme_serials=_nvme_serials(fs),
        names=ids.names,
        is_s390=platform_of(fs) == S390,
        stuck=Stuck(fs),
        vfs={},
        asleep=set(),
    )
    found = []
    addresses = fs.names(fs.pci_devices)
    if fs.refusal(fs.pci_devices) is not None:
        raise PlanError(f"which devices this host has cannot be told: {fs.pci_devices}: {errno_text(fs.refusal(fs.pci_devices))}")
    for address in addresses:
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
    is_asleep = sleeps(fs, directory, above=above, asleep=around.asleep)
    if is_asleep:
        around.asleep.add(address)
        config = Config(header_type=header_type_of(fs, directory, ids=ids))
    else:
        config = read_config(fs, directory)
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
        nvme=around.nvme_serials.get(address) if config.serial else None,
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
        links = [name for name in fs.names(directory) if name.startswith(_VF_LINK) and name[len(_VF_LINK):].isdecimal()]
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


def _awake(fs: Sysfs, choices: Choices, refuse: Callable[[Device], iommu.NotBindable | None], device: Device) -> Device:
    """The device with what only its configuration space says; where it is asleep it is woken for that."""
    if not device.is_asleep:
        return device
    config = read_config(fs, fs.device_directory(device.address))
    woken = device.knowing(
        is_asleep=False, is_dead=config.is_dead, header_type=None if config.is_dead else device.header_type,
        revision=config.revision, serial=device.serial or config.serial,
    )
    refusal = refuse(woken)
    return woken.knowing(vfio=choices.facts(woken.modalias, refusal), not_bindable=refusal.kind if refusal else None)


def _disks(fs: Sysfs) -> dict[str, list[str]]:
    """Address -> the names of its whole disks, as they are below /dev."""
    found: dict[str, list[str]] = {}
    for name in fs.names(fs.block):
        directory = f"{fs.block}/{name}"
        # A namespace's path through one controller (nvme0c0n1) is hidden: nothing can open it.
        if fs.exists(directory + "/partition") or fs.read(directory + "/hidden") == "1":
            continue
        for address in filter(None, map(last_address, disk_paths(fs, name))):
            found.setdefault(address, []).append(name)
    return found


def _nvme_serials(fs: Sysfs) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in fs.names(fs.nvme):
        address = last_address(fs.target(f"{fs.nvme}/{name}") or "")
        if address:
            found[address] = fs.read(f"{fs.nvme}/{name}/serial") or None
    return found


__all__ = ("Survey", "guarded", "survey")
