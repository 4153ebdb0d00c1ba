# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Why a plan must not be carried out: what the host needs, what a process holds, what nobody may have. Pure."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._device.pci import GUARDS, UNDECLARED
from ansible_collections.vfio.host.plugins.module_utils._device.steps import UNBIND


def objections(host, declared, plans, choices, force):
    """One sentence for each reason against the DevicePlans of a host's ``declared`` policies, as far as ``force`` gives none up.

    ``choices``: those of all devices that are declared.
    """
    found = [] if UNDECLARED in force else [choice.undeclared for choice in choices if choice.undeclared]
    found += _stuck(host, declared, plans)
    for one in plans:
        found += _guarded(host.survey, one, force) + _held(one) + _with_vfs(one)
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


def _guarded(survey, plan, force):
    """Why the host needs a device that would lose its driver. A device that VFIO has serves the host no more."""
    device = plan.device
    if not plan.rebinds or survey.is_vfio(device.driver):
        return []
    needs = [(kind, [one["reason"] for one in device.guards if one["kind"] == kind]) for kind in GUARDS if kind not in force]
    return [
        f"{device.address} ({device.name}) is needed by this host: {' and '.join(reasons)}; "
        f"to give it up all the same, say force: [{kind}]" for kind, reasons in needs if reasons
    ]


def _held(plan):
    if not any(step.action == UNBIND for step in plan.steps):
        return []
    return [
        f"{plan.device.address} ({plan.device.name}) is in use by process {holder['pid']} ({holder['command']}): the kernel "
        "would wait for ever to unbind it; stop that process, then run again"
        for holder in plan.device.holders or ()
    ]


def _with_vfs(plan):
    """A PF's driver takes the VFs along, for ever where one of them is held, and nothing here could bring them back."""
    number = (plan.device.sriov or {}).get("num")
    if not number or not any(step.action == UNBIND for step in plan.steps):
        return []
    return [
        f"{plan.device.address} ({plan.device.name}) has {number} VFs, which would go with its driver {plan.device.driver}; "
        "set their number to 0 first"
    ]


__all__ = ("objections", "unloadable")
