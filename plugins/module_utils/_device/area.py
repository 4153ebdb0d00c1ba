# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The area of devices: read, plan, apply, report. What the modules call."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.vfio.host.plugins.module_utils._device import udev
from ansible_collections.vfio.host.plugins.module_utils._device.apply import Applier
from ansible_collections.vfio.host.plugins.module_utils._device.plan import make_plan
from ansible_collections.vfio.host.plugins.module_utils._device.survey import Survey, survey
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, InputError


@dataclass(frozen=True)
class Host:
    """What a plan is made from. ``policies``: name -> Records; ``files``: path -> text of the rules files there."""

    survey: Survey
    policies: dict
    files: dict
    boot_rules: str
    volatile_rules: str

    def rules_paths(self, policy):
        """Where a policy's rules are: for every boot, and for this boot only."""
        name = udev.file_name(policy)
        return f"{self.boot_rules}/{name}", f"{self.volatile_rules}/{name}"


class DeviceArea:
    """Devices of one host, through ``fs`` (the kernel's files) and ``files`` (configuration)."""

    def __init__(self, fs, files):
        self._fs = fs
        self._files = files

    def read(self):
        """The host as it is now."""
        if not self._fs.is_root:
            raise InputError("this task reads and changes what only root may: run it with become: true")
        policies, texts = {}, {}
        for directory in (self._files.boot_rules, self._files.volatile_rules):
            for name in self._files.names(directory):
                policy, path = udev.policy_of(name), f"{directory}/{name}"
                if policy is None:
                    continue
                texts[path] = self._files.read(path)
                known = {record.address for record in policies.get(policy, ())}
                records = [one for one in udev.parse(texts[path], path) if one.address not in known]
                policies.setdefault(policy, []).extend(records)
        return Host(survey(self._fs), policies, texts, self._files.boot_rules, self._files.volatile_rules)

    def plan(self, host, request):
        """The plan for a request; nothing is touched."""
        return make_plan(host, request)

    def settle(self, host, plan, request):
        """(host, plan) with every driver's name known: a variant's is, once its module is loaded."""
        if not (plan.unsettled and request.now):
            return host, plan
        for module in plan.unsettled:
            host.survey.modules.load(module)
        host = self.read()
        plan = self.plan(host, request)
        for module in plan.unsettled:
            raise ApplyError(
                f"module {module} is loaded and registers {len(host.survey.modules.drivers(module))} PCI drivers, not one: "
                "name the driver in the inventory"
            )
        return host, plan

    def apply(self, host, plan, timeout):
        """Carry the plan out. Raises ApplyError, with everything put back that could be."""
        Applier(self._fs, self._files, host.survey.modules, host.survey.is_vfio, timeout).apply(plan)

    def run(self, request, check, timeout):
        """Read, plan, apply unless ``check``, report: the result of a task as a dict."""
        host = self.read()
        plan = self.plan(host, request)
        if not check and plan.changed:
            host, plan = self.settle(host, plan, request)
            self.apply(host, plan, timeout)
        return report(host, plan)


def report(host, plan):
    """What a task returns: changed, devices, reboot_required, diff, and warnings."""
    return {
        "changed": plan.changed,
        "devices": [_device(one) for one in plan.devices],
        "reboot_required": plan.reboot_required,
        "diff": _diff(plan),
        "warnings": host.survey.warnings + plan.warnings,
    }


def _device(one):
    return {
        "address": one.device.address,
        "policy": one.policy,
        "identity": one.device.identity(),
        "driver_before": one.device.driver,
        "driver": one.driver,
        "override": one.override,
        "choice": one.choice.facts(),
        "status": one.status,
    }


def _diff(plan):
    changing = [one for one in plan.devices if one.steps]
    found = []
    if changing:
        found.append({
            "before_header": "PCI devices", "after_header": "PCI devices",
            "before": _state((one.device.address, one.device.driver, one.device.driver_override) for one in changing),
            "after": _state((one.device.address, one.driver, one.override) for one in changing),
        })
    for path, text in dict(plan.files, **plan.last_files).items():
        if text != plan.before.get(path):
            found.append({
                "before_header": path, "after_header": path,
                "before": plan.before.get(path) or "", "after": text or "",
            })
    return found


def _state(rows):
    return "".join(
        f"{address} driver={driver or '(none)'} driver_override={override or '(none)'}\n"
        for address, driver, override in rows
    )


__all__ = ("DeviceArea", "Host", "report")
