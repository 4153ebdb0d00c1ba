# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Why a plan must not be carried out: what the host needs, what a process holds, what nobody may have. Pure."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._device.iommu import DEAD
from ansible_collections.vfio.host.plugins.module_utils._device.pci import GUARDS, STORAGE, UNDECLARED
from ansible_collections.vfio.host.plugins.module_utils._device.steps import UNBIND, UNCHANGED
from ansible_collections.vfio.host.plugins.module_utils._device.usage import LOSES, UNPLUGS, WAITS

_EFFECTS = {
    WAITS: "the kernel would wait for ever to unbind it",
    LOSES: "an unbind would take it away in the middle of that",
}


def objections(host, declared, plans, choices, force):
    """One sentence for each reason against the DevicePlans of a host's ``declared`` policies, as far as ``force`` gives none up.

    ``choices``: those of all devices that are declared.
    """
    found = [] if UNDECLARED in force else [choice.undeclared for choice in choices if choice.undeclared]
    found += _stuck(host, declared, plans) + _dead(plans)
    for one in plans:
        guarded = _guarded(host.survey, one, force)
        found += guarded
        if _unbinds(one):
            # Who may not have the device anyhow needs no look at its disks, and who gives them up wants none.
            found += _held(host.survey, one, not guarded and STORAGE not in force) + _with_others(host.survey, one)
    return found


def unloadable(modules, resolution):
    """(problems, warnings): drivers that are to be had, whose modules are kept from loading.

    udev's "kmod load" respects a blacklist, as modprobe does not for a module's own name: a run would have what no boot has.
    """
    uses = {target.choice.module: target.choice.driver for target in resolution.targets.values() if not target.is_native}
    uses.update({one.module: one.driver for kinds in resolution.standings.values() for one in kinds})
    problems, warnings = [], []
    for module, driver in sorted(uses.items()):
        if module not in modules.disabled():
            continue
        said = f"module {module} is kept from loading by {' and '.join(modules.disabling(module))}"
        if driver is not None and modules.is_registered(driver):
            warnings.append(f"{said}: after the next boot devices that are declared for {driver} have no driver; remove that line")
        else:
            problems.append(f"{said}, and devices are declared for its driver: remove that line, or name another driver")
    return problems, warnings


def _stuck(host, declared, plans):
    """Of what is stuck neither driver nor override can be known, so nobody can say what is still to be done with it."""
    concerned = {one.device.address for one in plans if one.steps}
    concerned.update(record.address for policy in declared for record in host.policies.get(policy, ()))
    return [text for address, text in host.survey.stuck.items() if address in concerned]


def _dead(plans):
    """What does not answer is left as it is, and all that was declared beside it: nobody can tell what it still is."""
    return [
        f"{one.name} is to change, and cannot: {DEAD}; then run again" for one in plans
        if one.device.is_dead and one.status != UNCHANGED and not one.choice.driver
    ]


def _guarded(survey, plan, force):
    """Why the host needs a device that would lose its driver. A device that VFIO has serves the host no more."""
    device = plan.device
    if not plan.rebinds or survey.is_vfio(device.driver):
        return []
    needs = [(kind, [one["reason"] for one in device.guards if one["kind"] == kind]) for kind in GUARDS if kind not in force]
    return [
        f"{plan.name} is needed by this host: {' and '.join(reasons)}; "
        f"to give it up all the same, say force: [{kind}]" for kind, reasons in needs if reasons
    ]


def _unbinds(plan):
    return any(step.action == UNBIND for step in plan.steps)


def in_use(survey, device, with_disks=True):
    """(problems, warnings) for a device that is to lose its driver: who uses it, and what to do about it."""
    problems, warnings = [], []
    for use in survey.usage.of(device, survey.is_vfio(device.driver), with_disks):
        if use.pid is None:
            problems.append(
                f"{use.text}; unmount it, or take it out of what uses it, then run again; to give it up all the same, say "
                f"force: [{STORAGE}]"
            )
        elif use.effect == UNPLUGS:
            warnings.append(f"{use.text}, loses that, as if it were unplugged")
        else:
            problems.append(f"{use.text}: {_EFFECTS[use.effect]}; stop that process, then run again")
    return problems, warnings


def _held(survey, plan, with_disks):
    said = f"{plan.name} is in use by "
    return [said + one for one in in_use(survey, plan.device, with_disks)[0]]


def lost(survey, plans):
    """Warnings of processes that a plan takes a device away from, and that the kernel tells so, as if it were unplugged."""
    return [
        f"{one.name}: {text}" for one in plans if _unbinds(one)
        for text in in_use(survey, one.device, with_disks=False)[1]
    ]


def _with_others(survey, plan):
    """A driver takes along the VFs that it made, for ever where one of them is held, and mediated devices; nothing here could
    bring them back.
    """
    device = plan.device
    number, mediated = (device.sriov or {}).get("num"), survey.usage.below(device).mediated
    found = []
    if number:
        found.append(
            f"{plan.name} has {number} VFs, which would go with its driver {device.driver}; "
            "set their number to 0 first"
        )
    if mediated:
        found.append(
            f"{plan.name} has mediated devices, which would go with its driver {device.driver}: "
            f"{', '.join(sorted(mediated))}; remove them first"
        )
    return found


__all__ = ("in_use", "lost", "objections", "unloadable")
