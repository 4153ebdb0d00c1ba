# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Why a plan must not be carried out: what the host needs, what a process holds, what nobody may have. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._core import objection
from ansible_collections.vfio.host.plugins.module_utils._core.force import GUARDS, UNDECLARED, how_to_force
from ansible_collections.vfio.host.plugins.module_utils._core.objection import DRIVER, GUARD, IN_USE, STUCK, VFS, Objection
from ansible_collections.vfio.host.plugins.module_utils._devices.groups import enumeration
from ansible_collections.vfio.host.plugins.module_utils._devices.holders import LOSES, UNPLUGS, UNTOLD, WAITS
from ansible_collections.vfio.host.plugins.module_utils._devices.iommu import DEAD
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import STORAGE
from ansible_collections.vfio.host.plugins.module_utils._devices.steps import UNBIND, UNCHANGED, DevicePlan

if TYPE_CHECKING:
    from typing import Collection, Mapping

    from ansible_collections.vfio.host.plugins.module_utils._devices.area import Host
    from ansible_collections.vfio.host.plugins.module_utils._devices.holders import InUse
    from ansible_collections.vfio.host.plugins.module_utils._devices.resolve import Target
    from ansible_collections.vfio.host.plugins.module_utils._devices.spec import Entry
    from ansible_collections.vfio.host.plugins.module_utils._devices.state import Survey

_EFFECTS = {
    WAITS: "the kernel would wait for ever to unbind it",
    LOSES: "an unbind would take it away in the middle of that",
}


def objections(
    host: Host, declared: dict[str, list[Entry]], *, plans: list[DevicePlan], targets: dict[str, Target], force: Collection[str],
) -> list[str]:
    """One sentence for each reason against the DevicePlans of a host's ``declared`` policies, as far as neither ``force`` nor an
    entry gives it up. ``targets``: address -> Target of all devices that are declared.
    """
    found: list[str] = [
        Objection(target.choice.undeclared, DRIVER, [target.device.address], UNDECLARED) for target in targets.values()
        if target.choice.undeclared and UNDECLARED not in _given_up(target, force)
    ]
    needed = _needed(host.survey, plans, targets, force)
    found += _stuck(host, declared, plans) + _dead(plans) + _guarded(needed)
    for one in plans:
        if unbinds(one):
            found += _held(host.uses[one.device.address], one) + _with_others(host.uses[one.device.address], one)
    return found


def concerned(survey: Survey, plans: list[DevicePlan], *, targets: dict[str, Target], force: Collection[str]) -> dict[str, bool]:
    """Address -> whether its disks count, of each device that loses its driver, so that its users have to be known.

    Who may not have the device anyhow needs no look at its disks, and who gives them up wants none.
    """
    addresses = [one.device.address for one in plans if unbinds(one)]
    if not addresses:
        return {}
    guarded = {one.device.address for some in _needed(survey, plans, targets, force).values() for one in some}
    return {address: address not in guarded and STORAGE not in _given_up(targets.get(address), force) for address in addresses}


def _stuck(host: Host, declared: dict[str, list[Entry]], plans: list[DevicePlan]) -> list[str]:
    """Of what is stuck neither driver nor override can be known, so nobody can say what is still to be done with it."""
    concerned = {one.device.address for one in plans if one.steps}
    concerned.update(record.address for policy in declared for record in host.policies.get(policy, ()))
    return [Objection(text, STUCK, [address]) for address, text in host.survey.stuck.items() if address in concerned]


def _dead(plans: list[DevicePlan]) -> list[str]:
    """What does not answer is left as it is, and all that was declared beside it: nobody can tell what it still is."""
    return [
        Objection(f"{one.name} is to change, and cannot: {DEAD}; then run again", objection.DEAD, [one.device.address]) for one in plans
        if one.device.is_dead and one.status != UNCHANGED and not one.choice.driver
    ]


def _needed(
    survey: Survey, plans: list[DevicePlan], targets: dict[str, Target], force: Collection[str],
) -> dict[tuple[str, tuple[str, ...], str], list[DevicePlan]]:
    """(kind, reasons, remedy) -> the plans of devices that the host needs for them and that would lose their drivers.

    A device that VFIO has serves the host no more.
    """
    needed: dict[tuple[str, tuple[str, ...], str], list[DevicePlan]] = {}
    for plan in plans:
        device, target = plan.device, targets.get(plan.device.address)
        if not plan.rebinds or survey.is_vfio(device.driver):
            continue
        given_up = _given_up(target, force)
        for kind in GUARDS:
            reasons = tuple(one["reason"] for one in survey.devices[device.address].guards if one["kind"] == kind)
            if reasons and kind not in given_up:
                needed.setdefault((kind, reasons, _remedy(kind, target)), []).append(plan)
    return needed


def _guarded(needed: dict[tuple[str, tuple[str, ...], str], list[DevicePlan]]) -> list[str]:
    """One sentence for all devices that the host needs for the same reasons."""
    return [
        Objection(
            f"{enumeration([f'{one.device.address} ({one.device.name})' for one in plans])}{': each' if len(plans) > 1 else ''} is needed by "
            f"this host: {' and '.join(reasons)}; {remedy}", GUARD, [one.device.address for one in plans], kind, remedy,
        ) for (kind, reasons, remedy), plans in needed.items()
    ]


def _given_up(target: Target | None, force: Collection[str]) -> set[str]:
    """The kinds of guards that the task, or the entry that selects a device, gives up."""
    return set(force) | set(target.entry.force if target else ())


def _remedy(kind: str, target: Target | None) -> str:
    """How a guard is given up for a device, in the words of the inventory."""
    if target is None or target.via is None:
        return f"to give it up all the same, {how_to_force(kind, target.entry.where if target else None)}"
    return (
        f"it comes with the IOMMU group of {target.via}, to which {target.entry.where} extends; to give it up all the same, give it an "
        f"entry of its own with force: [{kind}], or {how_to_force(kind, None)}"
    )


def unbinds(plan: DevicePlan) -> bool:
    """Whether a plan takes a device from its driver."""
    return any(step.action == UNBIND for step in plan.steps)


def in_use(found: InUse) -> tuple[list[str], list[str]]:
    """(problems, warnings) for a device that is to lose its driver: who uses it, and what to do about it."""
    problems, warnings = [], []
    for use in found.uses:
        if use.pid is None and use.effect == UNTOLD:
            problems.append(f"{use.text}; see what the kernel log says of that, and run again when it can be read")
        elif use.effect == UNPLUGS:
            warnings.append(f"{use.text}, loses that, as if it were unplugged")
        elif use.pid is None:
            problems.append(
                f"{use.text}; unmount it, or take it out of what uses it, then run again; to give it up all the same, say "
                f"force: [{STORAGE}]"
            )
        elif use.effect == UNTOLD:
            problems.append(f"{use.text}; stop that process, or run on the host itself, as a root user that may look into it")
        else:
            problems.append(f"{use.text}: {_EFFECTS[use.effect]}; stop that process, then run again")
    return problems, warnings


def _held(found: InUse, plan: DevicePlan) -> list[str]:
    said = f"{plan.name} is in use by "
    return [Objection(said + text, IN_USE, [plan.device.address]) for text in in_use(found)[0]]


def lost(plans: list[DevicePlan], uses: Mapping[str, InUse]) -> list[str]:
    """Warnings of processes that a plan takes a device away from, and that the kernel tells so, as if it were unplugged."""
    return [
        f"{one.name}: {text}" for one in plans if unbinds(one)
        for text in in_use(uses[one.device.address])[1]
    ]


def _with_others(used: InUse, plan: DevicePlan) -> list[str]:
    """A driver takes along the VFs that it made, for ever where one of them is held, and mediated devices; nothing here could
    bring them back.
    """
    device = plan.device
    number = device.sriov["num"] if device.sriov is not None else 0
    found = []
    if number:
        found.append(
            f"{plan.name} has {number} VFs, which would go with its driver {device.driver}; "
            "set their number to 0 first"
        )
    if used.mediated:
        found.append(
            f"{plan.name} has mediated devices, which would go with its driver {device.driver}: "
            f"{', '.join(used.mediated)}; remove them first"
        )
    return [Objection(text, VFS, [device.address]) for text in found]


__all__ = ("concerned", "in_use", "lost", "objections", "unbinds")
