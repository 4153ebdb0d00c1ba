# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""VFs that are not there yet, as devices: where they will be and what, from the PF's SR-IOV capability."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._devices.iommu import WITHOUT_GROUP
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device, guards_of_vfs
from ansible_collections.vfio.host.plugins.module_utils._devices.place import vf_path, vf_slots

# include/uapi/linux/pci_regs.h: PCI_EXT_CAP_ID_SRIOV, PCI_SRIOV_VF_OFFSET, _VF_STRIDE and _VF_DID.
if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import Sriov
    from ansible_collections.vfio.host.plugins.module_utils._devices.state import Survey
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_EXTENDED_CONFIG = 0x100
_SRIOV = 0x0010
_OFFSET, _STRIDE, _VF_DEVICE, _LENGTH = 0x14, 0x16, 0x1A, 0x1C


@dataclass(frozen=True)
class Layout:
    """Where a PF's VFs are: routing ids from the PF's own, and the VFs' device id."""

    offset: int
    stride: int
    device: str

    def addresses(self, address: str, number: int) -> list[str]:
        """The addresses of the first ``number`` VFs of the PF at ``address`` (source: pci_iov_virtfn_bus, _devfn)."""
        domain, bus, rest = address.split(":")
        slot, function = rest.split(".")
        first = (int(bus, 16) << 8 | int(slot, 16) << 3 | int(function)) + self.offset
        ids = [first + self.stride * index for index in range(number)]
        return [f"{domain}:{one >> 8:02x}:{one >> 3 & 0x1F:02x}.{one & 7}" for one in ids]


def read_layout(fs: Sysfs, address: str) -> Layout | None:
    """The Layout in a PF's configuration space; None where that cannot be read."""
    with fs.opened(fs.device_directory(address) + "/config") as read_at:
        offset = _EXTENDED_CONFIG
        for dummy in range(96):  # no more capabilities fit
            header = read_at(4, offset)
            word = int.from_bytes(header, "little")
            if len(header) < 4 or word in (0, 0xFFFFFFFF):
                return None
            if word & 0xFFFF == _SRIOV:
                found = read_at(_LENGTH, offset)
                parts = [int.from_bytes(found[at:at + 2], "little") for at in (_OFFSET, _STRIDE, _VF_DEVICE)]
                return Layout(parts[0], parts[1], f"{parts[2]:04x}") if len(found) == _LENGTH else None
            offset = (word >> 20) & 0xFFC
            if offset < _EXTENDED_CONFIG:
                return None
    return None


class Expected:
    """Makes Devices of VFs to come on one host. ``survey`` is the host's now."""

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self._names = survey.ids.names
        self._refusal = None if survey.iommu_enabled or survey.noiommu else WITHOUT_GROUP

    def vfs(self, pf: Device, layout: Layout, *, number: int) -> list[Device]:
        """The Devices that a PF's VFs will be: a VF has its PF's vendor, class and, nearly always, subsystem."""
        return [self._vf(pf, layout, *one) for one in enumerate(layout.addresses(pf.address, number))]

    def _vf(self, pf: Device, layout: Layout, index: int, address: str) -> Device:
        known = self._survey.devices.get(address)
        ids = known.ids if known is not None else dict(pf.ids, device=layout.device)
        modalias = (
            "pci:v{vendor:0>8}d{device:0>8}sv{subsystem_vendor:0>8}sd{subsystem_device:0>8}".format(
                **{key: value.upper() for key, value in ids.items()}
            ) + "bc{0}sc{1}i{2}".format(*(ids["class"].upper()[at:at + 2] for at in (0, 2, 4)))
        )
        vendor_name, device_name = self._names(ids["vendor"], ids["device"])
        return Device(
            address=address, ids=ids, modalias=modalias, header_type=0, numa_node=pf.numa_node, physfn=pf.address,
            vf=index, path=pf.path and vf_path(pf.path, index), slots=pf.slots and vf_slots(pf.slots, address), root=pf.root, devpath=pf.devpath,
            vendor_name=vendor_name, device_name=device_name,
            vfio=self._survey.choices.facts(modalias, self._refusal), not_bindable=self._refusal.kind if self._refusal else None,
            guards=guards_of_vfs(pf.address, pf.guards),
        )


@dataclass(frozen=True)
class Prediction:
    """What a change of VFs makes of a host's devices: addresses that go, Devices that come, and PF -> its ``sriov`` facts in
    the end.
    """

    gone: frozenset[str]
    come: dict[str, Device]
    sriov: dict[str, Sriov]

    def when_there(self) -> Prediction:
        """What is left of it when the VFs are there: automatic probing is off until all declared VFs have their drivers."""
        return replace(self, gone=frozenset(), come={})

    def applied_to(self, survey: Survey) -> Survey:
        """The survey as it will be. Groups of VFs to come are not known, so they are in none."""
        devices = {address: one for address, one in survey.devices.items() if address not in self.gone}
        devices.update(self.come)
        devices.update({
            address: replace(devices[address], sriov=facts) for address, facts in self.sriov.items() if address in devices
        })
        groups = {
            group: [one for one in members if one not in self.gone] for group, members in survey.groups.items()
        }
        return replace(survey, devices={address: devices[address] for address in sorted(devices)}, groups=groups)


__all__ = ("Expected", "Layout", "Prediction", "read_layout")
