# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""IOMMU groups: what VFIO can take, and what stands in its way. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import NO_TABLE

if TYPE_CHECKING:
    from typing import Iterable

    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._devices.state import Survey

# Drivers that do no DMA for themselves, beside VFIO's own (source: driver_managed_dma in the kernel's PCI drivers).
_WITHOUT_DMA = frozenset(("pci-stub", "pcieport"))

BACK_END, UNSAFE = "vfio_iommu_type1", "allow_unsafe_interrupts"

# Why nobody checks the interrupts of devices, and what to do about it; by platform, where it is not x86's IOMMU that would.
_UNCHECKED = (
    "the IOMMU does not remap interrupts", "switch it on in the firmware's setup and leave out intremap=off and nointremap",
)
_UNCHECKED_ON = {
    "arm64": (
        "interrupts of devices reach this host without a GICv3 ITS, and nothing else checks who sends them",
        "it takes a machine with an ITS, and a virtual one can have it (QEMU: -machine virt,gic-version=3,its=on)",
    ),
}

DEAD = (
    "it does not answer, its configuration space reads all ones: it is off the bus or without power; power-cycle the host, or remove "
    "the device and rescan the bus"
)


class NotBindable(NamedTuple):
    """Why vfio-pci would refuse a function: one of the kinds below, and a sentence."""

    kind: str
    reason: str


IS_DEAD, IS_BRIDGE, NO_MODULE, NO_GROUP = "dead", "bridge", "no module", "no group"
WITHOUT_GROUP = NotBindable(NO_GROUP, "no IOMMU group: the IOMMU is off, absent, or does not cover it")
_WITHOUT_MODULE = NotBindable(NO_MODULE, "this kernel has no module vfio_pci")
_WITHOUT_MODULES = NotBindable(NO_MODULE, "this kernel has no module vfio_pci" + NO_TABLE)


def groups_of(devices: Iterable[Device]) -> dict[str, list[str]]:
    """Group -> its members' addresses, sorted, from an iterable of devices."""
    groups: dict[str, list[str]] = {}
    for device in devices:
        if device.iommu_group is not None:
            groups.setdefault(device.iommu_group, []).append(device.address)
    return {group: sorted(members) for group, members in groups.items()}


def blocks_group(device: Device, *, driver: str | None, is_vfio: bool) -> bool:
    """Whether a member bound to ``driver`` keeps its group from user space.

    The kernel's rule: a group can be given away only when no member is bound to a driver that manages DMA itself;
    an unbound member is harmless (source: iommu_group_claim_dma_owner, drivers/iommu/iommu.c).
    """
    return not (driver is None or is_vfio or driver in _WITHOUT_DMA or device.is_bridge)


def why_not_bindable(device: Device, *, has_base_module: bool, noiommu: bool, has_table: bool = True) -> NotBindable | None:
    """Why vfio-pci would refuse this function, or None (source: vfio_pci_core_register_device, vfio_pci_probe). ``has_table``: as Modules
    has it.
    """
    if device.is_dead:
        return NotBindable(IS_DEAD, DEAD)
    if device.is_bridge:
        shown = "unknown" if device.header_type is None else device.header_type
        return NotBindable(IS_BRIDGE, f"a bridge (PCI header type {shown}): VFIO takes endpoints only")
    if not has_base_module:
        return _WITHOUT_MODULE if has_table else _WITHOUT_MODULES
    if device.iommu_group is None and not noiommu:
        return WITHOUT_GROUP
    return None


def unsafe_interrupts(survey: Survey) -> str | None:
    """What a client of any device will meet where interrupts are not remapped, a warning; None where it will not.

    VFIO's back end then takes no device, unless told to (source: vfio_iommu_type1_attach_group, allow_unsafe_interrupts).
    """
    if survey.interrupt_remapping is not False:
        return None
    # A bare flag is a yes.
    said = [one.value or "Y" for one in survey.modules.settings(BACK_END) if one.name.replace("-", "_") == UNSAFE]
    if (survey.unsafe_interrupts or (said or ["N"])[-1])[:1].lower() in ("y", "1", "t"):
        return None
    why, remedy = _UNCHECKED_ON.get(survey.platform, _UNCHECKED)
    return (
        f"{why}, so opening a device fails with 'Operation not permitted', in QEMU, libvirt, DPDK and every "
        f"other client: {remedy}; or, where guests are trusted, set {UNSAFE} of module {BACK_END}"
    )


__all__ = (
    "BACK_END", "DEAD", "IS_BRIDGE", "IS_DEAD", "NO_GROUP", "NO_MODULE", "NotBindable", "UNSAFE",
    "WITHOUT_GROUP", "blocks_group", "groups_of", "unsafe_interrupts", "why_not_bindable",
)
