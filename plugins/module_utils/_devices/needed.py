# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Which kernel modules the host needs: those of the drivers on the way from its disks, interfaces and displays to PCI functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Iterator, List, Tuple

from ansible_collections.vfio.host.plugins.module_utils._core.force import GUARDS
from ansible_collections.vfio.host.plugins.module_utils._devices.nvme import disk_paths
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import normalize_module_name

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device

_UNREAD = "what it is cannot be read, so whether this host needs it cannot be told"


def modules_needed(fs: Sysfs) -> Dict[str, List[Tuple[str, str, str]]]:
    """Module -> (guard, device with its name, reason) of each need of the host's that its drivers serve."""
    # With it comes all of the survey, and few tasks take modules away.
    from ansible_collections.vfio.host.plugins.module_utils._devices.state import survey
    found: Dict[str, List[Tuple[str, str, str]]] = {}
    host = survey(fs)
    for device in host.devices.values():
        if not device.guards or device.driver is None or host.is_vfio(device.driver):
            continue
        modules = {fs.link(f"{fs.device_directory(device.address)}/driver/module")}
        modules.add(host.modules.driver_module(device.driver))
        for path in _ends(fs, device):
            modules.update(_drivers_below(fs, path, device.address))
        for module in sorted(normalize_module_name(one) for one in modules if one):
            found.setdefault(module, []).extend(
                (one["kind"], f"{device.address} ({device.name})", one["reason"]) for one in device.guards
            )
    for address in set(fs.names(fs.pci_devices)).difference(host.devices):
        # What could not be read was left out, and what the host needs it for is not known.
        directory = fs.device_directory(address)
        for module in _all_below(fs, directory) if not host.is_vfio(fs.link(f"{directory}/driver")) else ():
            found.setdefault(module, []).extend((kind, address, _UNREAD) for kind in GUARDS)
    return found


def _all_below(fs: Sysfs, directory: str) -> List[str]:
    """The modules of all drivers of a device and of what is below it, in whatever order."""
    links = {fs.link(f"{path}/driver/module") for path, names in fs.walk(directory) if "driver" in names}
    return [normalize_module_name(one) for one in links if one]


def _ends(fs: Sysfs, device: Device) -> Iterator[str]:
    """The sysfs paths of a device's interfaces and disks."""
    yield from filter(None, (fs.target(f"{fs.net}/{one['name']}") for one in device.net))
    for name in device.block:
        yield from disk_paths(fs, name)


def _drivers_below(fs: Sysfs, target: str, address: str) -> Iterator[str | None]:
    """The modules of the drivers of what is between a PCI function and an end: a device of virtio, a disk of SCSI."""
    before, dummy, rest = target.partition(f"/{address}/")
    path = fs.device_directory(address)
    for part in rest.split("/") if dummy else ():
        path = f"{path}/{part}"
        yield fs.link(f"{path}/driver/module")


__all__ = ("modules_needed",)
