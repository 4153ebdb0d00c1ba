# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What one part of a declaration takes away that its devices need at the next boot. Pure.

Each area finds its own part in order. A run would bind the devices, and a boot would leave them without IOMMU or driver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import normalize, parse, parse_wishes
from ansible_collections.vfio.host.plugins.module_utils._cmdline.iommu_arguments import lost, turned_off
from ansible_collections.vfio.host.plugins.module_utils._devices.spec import NATIVE
from ansible_collections.vfio.host.plugins.module_utils._devices.steps import RELEASED
from ansible_collections.vfio.host.plugins.module_utils._kernel.modprobe import parse_cmdline
from ansible_collections.vfio.host.plugins.module_utils._modules.spec import DISABLED, UNLOADED

if TYPE_CHECKING:
    from typing import Any, Mapping

    from ansible_collections.vfio.host.plugins.module_utils._cmdline.plan import CmdlinePlan
    from ansible_collections.vfio.host.plugins.module_utils._devices.plan import Plan as DevicePlan
    from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import Modules
    from ansible_collections.vfio.host.plugins.module_utils._kernel.modprobe import Directive
    from ansible_collections.vfio.host.plugins.module_utils._modules.area import KernelPlan
    from ansible_collections.vfio.host.plugins.module_utils._sriov.plan import Plan as SriovPlan

_REMEDY = "leave out one of them"


def without_iommu(arguments: Mapping[str, Any], plan: CmdlinePlan, *, table: str | None) -> list[str]:
    """A sentence for each declared argument with which the next kernel has no IOMMU; ``table``: firmware's, that describes it."""
    machine, running = plan.state.machine, plan.state.running
    found = [f"{text} turns {what} off" for text, what in turned_off(parse(_line(arguments)), table=table, machine=machine)]
    for name in [] if found else map(str, arguments):
        for dummy, line in plan.after[:1]:
            found += [f"{name} takes the place of {text}, which turns the IOMMU on" for text in lost(normalize(name), running, then=parse(line), table=table)]
    return [f"kernel_cmdline: {one}, and devices are declared for VFIO: {_REMEDY}" for one in found]


def needed_for_devices(plan: DevicePlan) -> dict[str, str]:
    """Module -> why it is needed, of the VFIO drivers of declared devices."""
    return {
        one.choice.module: f"policy {one.policy} has {one.device.address} for its driver" for one in reversed(plan.devices)
        if one.choice.module is not None and one.choice.source != NATIVE and one.status != RELEASED and not one.gives_back
    }


def needed_for_vfs(plan: SriovPlan) -> dict[str, str]:
    """Module -> why it is needed, of the native drivers that make declared VFs."""
    survey = plan.state.host.survey
    return {
        survey.modules.driver_module(pf.device.driver) or pf.device.driver: f"{pf.device.address} is declared to have VFs, which its driver makes"
        for pf in reversed(plan.pfs) if pf.vfs and pf.device.driver is not None and pf.record is not None
    }


def without_module(needed: Mapping[str, str], arguments: Mapping[str, Any], *, modules: Modules, kernel: KernelPlan | None) -> list[str]:
    """A sentence for each of the modules ``needed``, module -> why, or of those that it needs, which the declaration keeps from loading."""
    against = parse_cmdline(_line(arguments))
    states = {one.demand.module: one.demand.state for one in kernel.modules.modules} if kernel is not None else {}
    problems: list[str] = []
    for module, why in needed.items():
        for name in [module, *modules.dependencies(module)]:
            reason = why if name == module else f"{why}, {module}, which needs it"
            if states.get(name) in (DISABLED, UNLOADED):
                problems.append(f"modules: module {name} is to be {states[name]}, and {reason}: {_REMEDY}")
            problems += [
                f"kernel_cmdline: {_argument(one, arguments)} keeps module {name} from loading, and "
                f"{reason}: {_REMEDY}"
                # A blacklist is for what loads by alias, or by udev, and not for what a module needs.
                for one in against if one.module == name and (one.verb == "forbid" or (one.verb == "blacklist" and name == module))
            ]
    return problems


def _argument(line: Directive, arguments: Mapping[str, Any]) -> str:
    """The name of the declared argument that a line of the command line comes from."""
    if line.verb == "blacklist":
        return "modprobe.blacklist"
    alone = {name: value for name, value in arguments.items() if normalize(str(name)) == "module_blacklist"}
    return "module_blacklist" if line in parse_cmdline(_line(alone)) else "initcall_blacklist"


def _line(arguments: Mapping[str, Any]) -> str:
    """The declared arguments as a command line."""
    return " ".join(text for wish in parse_wishes(arguments, True) for text in wish.texts)


__all__ = ("needed_for_devices", "needed_for_vfs", "without_iommu", "without_module")
