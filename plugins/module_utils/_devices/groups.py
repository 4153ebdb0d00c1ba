# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What goes to user space together: IOMMU groups, and functions that hang from an endpoint. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._core.objection import GROUP, Objection
from ansible_collections.vfio.host.plugins.module_utils._devices.iommu import NO_GROUP, NO_MODULE, blocks_group
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import ADDRESS
from ansible_collections.vfio.host.plugins.module_utils._devices.spec import EXTEND, IGNORE, NATIVE
from ansible_collections.vfio.host.plugins.module_utils._devices.steps import called

if TYPE_CHECKING:
    from typing import Collection, Mapping

    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._devices.resolve import Target
    from ansible_collections.vfio.host.plugins.module_utils._devices.state import Survey

_HOST_BRIDGE = "0600"
_MOST_NAMES = 16  # of devices in one sentence
# What a chipset is run by, and not what a guest was meant to get (source: include/linux/pci_ids.h).
_CHIPSET = {
    _HOST_BRIDGE: "host bridge", "0601": "bridge to LPC or ISA", "0580": "memory controller", "0c05": "controller of the SMBus",
    "0c80": "controller of the SPI bus",
}


def named_other(name: str, driver: str) -> str:
    """What a message calls a group's member that is none of the PCI functions that were read."""
    return f"{name} ({driver}, no PCI function{' that could be read' if ADDRESS.match(name) else ''})"


def _carrier(survey: Survey, device: Device) -> Device | None:
    """The endpoint that a function hangs from and vanishes with, such as Intel's VMD; None for one below bridges alone."""
    above = [survey.devices[address] for address in device.above if address in survey.devices]
    return next((one for one in above if not one.is_bridge), None)


def carried(survey: Survey, targets: dict[str, Target]) -> list[str]:
    """Why targets cannot be had: what they hang from is no bridge, and gives its whole IOMMU group or nothing (source:
    drivers/pci/search.c pci_for_each_dma_alias(), pci_real_dma_dev()).
    """
    found = []
    for target in targets.values():
        carrier = _carrier(survey, target.device)
        if carrier is not None and target.is_vfio and not target.is_met:
            found.append(
                f"{target.name} cannot be taken: it is behind {called(carrier)}, driver {carrier.driver or 'none'}, and is there with "
                f"that alone; take that one: address {carrier.address}"
            )
    return found


def unbindable(survey: Survey, targets: dict[str, Target]) -> list[str]:
    """Why VFIO would take a target from nobody. What is true of the host is said once."""
    found: dict[tuple[str | None, str | None], list[str]] = {}
    for address, target in targets.items():
        if target.is_vfio and not (target.is_met or target.waits or target.device.vfio["bindable"]):
            kind = target.device.not_bindable
            is_hosts = kind == NO_MODULE or (kind == NO_GROUP and not survey.iommu_enabled)
            found.setdefault((target.device.vfio["reason"], None if is_hosts else address), []).append(target.name)
    return [f"{enumeration(names)} cannot be taken: {reason}" for (reason, dummy), names in found.items()]


def enumeration(names: list[str]) -> str:
    """Some names, in full where they are few."""
    more = len(names) - _MOST_NAMES
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:_MOST_NAMES])} and {more} more"


def members_to_take(survey: Survey, targets: dict[str, Target], *, target: Target) -> list[Device]:
    """The devices that share a target's IOMMU group and go to user space with it, where its entry says ``extend``."""
    if not target.is_vfio or target.entry.iommu_group != EXTEND or target.device.iommu_group is None:
        return []
    devices = [survey.devices[member] for member in survey.groups[target.device.iommu_group] if member not in targets]
    return [
        device for device in devices
        if not (device.is_bridge or _carrier(survey, device) is not None or _is_idle_host_bridge(device))
    ]


def of_chipset(target: Target) -> str | None:
    """A warning where a device that a group brings along is one that the host is run by; None for any other."""
    kind = _CHIPSET.get(target.device.ids["class"][:4])
    if kind is None or target.is_met:
        return None
    return (
        f"{target.name} is a {kind} of the chipset, which this host may need for itself; it is taken along, since "
        f"{target.entry.where} says iommu_group: extend"
    )


def _is_idle_host_bridge(device: Device) -> bool:
    """Whether a function stands for a host bridge, and nothing drives it: it keeps no group, and no guest can use it."""
    return device.ids["class"].startswith(_HOST_BRIDGE) and device.driver is None


def group_refusals(survey: Survey, targets: dict[str, Target], *, leaving: Collection[str]) -> list[str]:
    """Why a target's IOMMU group would still not be given to user space, with every member that is in the way."""
    found: list[str] = []
    for address in sorted(targets):
        target = targets[address]
        group = target.device.iommu_group
        if not target.is_vfio or target.entry.iommu_group == IGNORE or group is None:
            continue
        if not target.device.vfio["bindable"] or _carrier(survey, target.device):
            continue  # refused for that already, and no other member could mend it
        blocking = [
            member for member in survey.groups[group]
            if member not in targets or not targets[member].is_vfio
            if not _goes_along(survey, targets, group, member)
            if _blocks(survey, targets, leaving, member)
        ]
        others = survey.others.get(group, {})
        if blocking or others:
            named = [
                f"{member} ({survey.devices[member].driver or 'no driver now'}, {survey.devices[member].name}"
                f"{_why_it_stays(survey, targets, leaving, member)})" for member in blocking
            ]
            named += [named_other(name, driver) for name, driver in sorted(others.items())]
            remedy = _remedy(survey, target, blocking, others)
            found.append(Objection(
                f"{target.name}: user space cannot have its IOMMU group {group}, since these members "
                f"stay with the host: {', '.join(named)}; {remedy}", GROUP, [address, *blocking], remedy=remedy,
            ))
    return found


def groups_lost(survey: Survey, targets: dict[str, Target], *, leaving: Collection[str]) -> list[str]:
    """Warnings of groups that user space has, and that it loses since a member gets a driver of the host, while others stay on VFIO that
    nothing in this run is about, such as another policy's.
    """
    going = {one for one in leaving if one in survey.devices} | {one for one, target in targets.items() if not target.is_vfio}
    found: list[str] = []
    for group in sorted({survey.devices[one].iommu_group or "" for one in going}):
        own = [member for member in survey.groups.get(group, ()) if _carrier(survey, survey.devices[member]) is None]
        kept = [one for one in own if one not in going and one not in targets and survey.is_vfio(survey.devices[one].driver)]
        lost = [one for one in own if one in going and _blocks(survey, targets, leaving, one)]
        if kept and lost and not any(_blocks_now(survey, member) for member in own):
            found.append(
                f"{enumeration([called(survey.devices[one]) for one in kept])}: no client can open what stays on VFIO of IOMMU group "
                f"{group}, since {enumeration(lost)} of the same group goes to the host: give all of it back, or keep all of it"
            )
    return found


def _blocks_now(survey: Survey, member: str) -> bool:
    """Whether a group's member keeps it from user space as it is."""
    device = survey.devices[member]
    return blocks_group(device, driver=device.driver, is_vfio=survey.is_vfio(device.driver))


def _blocks(survey: Survey, targets: dict[str, Target], leaving: Collection[str], member: str) -> bool:
    """Whether a group's member keeps the group from user space after the run."""
    driver, is_vfio = _later(survey, targets, leaving, member)
    return blocks_group(survey.devices[member], driver=driver, is_vfio=is_vfio)


def _goes_along(survey: Survey, targets: dict[str, Target], group: str, member: str) -> bool:
    """Whether a member vanishes with the endpoint that it hangs from: that one counts, here or as a target."""
    carrier = _carrier(survey, survey.devices[member])
    if carrier is None:
        return False
    return carrier.iommu_group == group or (carrier.address in targets and targets[carrier.address].is_vfio)


def _remedy(survey: Survey, target: Target, blocking: list[str], others: Mapping[str, str]) -> str:
    """What to do about members of a group that stay with the host. ``others``: those that are no PCI functions, by name."""
    needed = [member for member in blocking if survey.devices[member].guards]
    if needed:
        return (
            f"a group goes to user space whole or not at all, and this host needs {', '.join(needed)}: put the device into another slot, "
            "or have the host do without these first"
        )
    if others:
        return (
            f"a group goes to user space whole or not at all, and this collection takes PCI functions alone: have the host do without "
            f"{', '.join(sorted(others))} first"
        )
    if target.entry.iommu_group == EXTEND:
        return "a group goes to user space whole or not at all"
    return f"declare them too, or say iommu_group: extend in {target.entry.where}"


def _why_it_stays(survey: Survey, targets: dict[str, Target], leaving: Collection[str], member: str) -> str:
    """What keeps a group's member with the host, beside its driver."""
    why = []
    if member in targets:
        why.append(f"declared for {targets[member].wish} by {targets[member].entry.where}")
    elif member in leaving:
        why.append("given back by this run")
    why += [f"needed by this host: {guard['reason']}" for guard in survey.devices[member].guards]
    return "".join("; " + one for one in why)


def _later(survey: Survey, targets: dict[str, Target], leaving: Collection[str], member: str) -> tuple[str | None, bool]:
    """(driver, whether it serves VFIO) of a group's member after the run, where no target gives it to VFIO."""
    device = survey.devices[member]
    if member in leaving or (member in targets and targets[member].is_native):
        return NATIVE, False
    if member in targets:
        return targets[member].wish, False
    return device.driver, survey.is_vfio(device.driver)


__all__ = ("carried", "enumeration", "group_refusals", "groups_lost", "members_to_take", "named_other", "of_chipset", "unbindable")
