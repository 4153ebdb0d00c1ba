# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The area of devices: read, plan, apply, report. What the modules call."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._competitors.table import Competitors
from ansible_collections.vfio.host.plugins.module_utils._core.area import require_root
from ansible_collections.vfio.host.plugins.module_utils._devices import clients, hotplug_rules, rules
from ansible_collections.vfio.host.plugins.module_utils._devices.plan import Plan, Request, make_plan
from ansible_collections.vfio.host.plugins.module_utils._devices.spec import NATIVE
from ansible_collections.vfio.host.plugins.module_utils._devices.state import Survey, survey
from ansible_collections.vfio.host.plugins.module_utils._devices.steps import UNCHANGED
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, errno_name
from ansible_collections.vfio.host.plugins.module_utils._host.udevd import settle
from ansible_collections.vfio.host.plugins.module_utils._kernel.alias import BASE_DRIVER

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    from ansible_collections.vfio.host.plugins.module_utils._devices.apply import Applier
    from ansible_collections.vfio.host.plugins.module_utils._devices.hotplug_rules import Standing
    from ansible_collections.vfio.host.plugins.module_utils._devices.rules import Record
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs


@dataclass(frozen=True)
class Host:
    """What a plan is made from. ``policies``: name -> Records; ``standings``: name -> Standings; ``files``: path -> text
    of the rules files there; ``saved``: address -> (driver, file) of the overrides that driverctl sets at boot; ``obstacles``:
    of clients.obstacles(); ``competitors``: what other programs decide at boot.
    """

    survey: Survey
    policies: dict[str, list[Record]]
    standings: dict[str, list[Standing]]
    files: dict[str, str | None]
    boot_rules: str
    volatile_rules: str
    saved: dict[str, tuple[str, str]] = field(default_factory=dict)
    obstacles: dict[str, dict[str, str]] = field(default_factory=dict)
    competitors: Competitors | None = None

    @cached_property
    def recorded(self) -> dict[str, Record]:
        """Address -> Record of the device there, over all policies."""
        return {
            record.address: record for records in self.policies.values() for record in records
            if record.is_of(self.survey.devices.get(record.address))
        }

    def rules_paths(self, policy: str) -> tuple[str, str]:
        """Where a policy's rules are: for every boot, and for this boot only."""
        name = rules.file_name(policy)
        return f"{self.boot_rules}/{name}", f"{self.volatile_rules}/{name}"


class DeviceArea:
    """Devices of one host, through ``fs`` (the kernel's files) and ``files`` (configuration)."""

    def __init__(self, fs: Sysfs, files: Files) -> None:
        self._fs = fs
        self._files = files

    def read(self) -> Host:
        """The host as it is now."""
        require_root(self._fs)
        policies: dict[str, list[Record]] = {}
        standings: dict[str, list[Standing]] = {}
        texts: dict[str, str | None] = {}
        for directory in (self._files.boot_rules, self._files.volatile_rules):
            for name in self._files.names(directory):
                policy, path = rules.policy_of(name), f"{directory}/{name}"
                text = None if policy is None else self._files.read(path)
                if policy is None or text is None:
                    continue  # a file of others; or one that is gone by now, or a link that leads nowhere
                texts[path] = text
                known = {record.place for record in policies.get(policy, ())}
                policies.setdefault(policy, []).extend(record for record in rules.parse(text, path) if record.place not in known)
                standings.setdefault(policy, []).extend(hotplug_rules.parse(text, path))
        found = survey(self._fs)
        policies = {name: [one.located(found.devices) for one in records] for name, records in policies.items()}
        return Host(
            found, policies, standings, texts, self._files.boot_rules, self._files.volatile_rules,
            self._saved(), clients.obstacles(self._fs, found.devices.values(), is_vfio=found.is_vfio), Competitors(self._fs),
        )

    def _saved(self) -> dict[str, tuple[str, str]]:
        """driverctl's files: their name is the device's address, in newer versions with the bus before it."""
        found = {}
        for name in self._fs.names(self._fs.driverctl_d):
            path = f"{self._fs.driverctl_d}/{name}"
            driver = self._fs.read(path)
            if driver:
                found[name[len("pci-"):] if name.startswith("pci-") else name] = (driver, path)
        return found

    def plan(self, host: Host, request: Request) -> Plan:
        """The plan for a request; nothing is touched. Raises InputError, PlanError."""
        if request.prediction is not None:
            host = replace(host, survey=request.prediction.applied_to(host.survey))
        return make_plan(host, request)

    def ready(self, plan: Plan) -> Plan:
        """The plan of a run that will change something: what sleeps and is to be taken is woken for it, and asked what it is. Raises
        PlanError where it does not answer.
        """
        if not any(one.device.is_asleep and one.status != UNCHANGED and one.choice.source != NATIVE for one in plan.devices):
            return plan
        return self.plan(self.read(), replace(plan.request, wakes=True))

    def apply(self, plan: Plan, journal: Journal) -> Plan:
        """Carry the plan out and return it as carried out. Raises ApplyError."""
        from ansible_collections.vfio.host.plugins.module_utils._devices.apply import FallbackNeeded, remember
        mark = journal.mark()
        if plan.request.prediction is None:
            # Before modules are loaded, which may take devices. With a prediction, this plan's VFs are not there yet.
            remember(journal, plan)
        plan = self._settle(plan)
        while True:
            try:
                return self._applier(plan).apply(plan, journal)
            except FallbackNeeded as needed:
                problems = journal.restore(mark)
                if problems:
                    raise ApplyError(*(needed.messages + problems)) from needed
                plan = self._fall_back(plan, needed.refusals)

    def _applier(self, plan: Plan) -> Applier:
        from ansible_collections.vfio.host.plugins.module_utils._devices.apply import Applier
        survey_ = plan.host.survey
        return Applier(self._fs, self._files, modules=survey_.modules, is_vfio=survey_.is_vfio, timeout=plan.request.timeout)

    def _fall_back(self, plan: Plan, refusals: dict[str, int]) -> Plan:
        """A new plan, of the host as it was put back, in which devices that a driver refused get their fallbacks."""
        kernel, found = plan.host.survey.kernel, dict(plan.request.refusals)
        for one in plan.devices:
            number = refusals.get(one.device.address)
            module, driver, fallback = one.choice.module, one.driver, one.fallback
            if number is not None and module is not None and driver is not None and fallback is not None:
                found[one.device.address] = rules.Refusal(module, driver, kernel, errno_name(number), fallback)
        return self.plan(self.read(), replace(plan.request, refusals=found))

    def _settle(self, plan: Plan) -> Plan:
        """The plan with every driver's name known, as it is once the driver's module is loaded; and with the VFs that are there
        by now, in place of those that were to come.
        """
        if plan.request.prediction is not None and plan.request.now:
            if plan.request.prediction.come:
                # By the rules as they were: what they do to a VF that this plan takes from a policy must not come later.
                settle(self._fs)
            plan = self.plan(self.read(), replace(plan.request, prediction=plan.request.prediction.settled()))
        if not plan.unsettled:
            return plan
        # For the next boot as well: no rule can name a driver whose name nobody knows.
        for module in plan.unsettled:
            try:
                plan.host.survey.modules.load(module)
            except ApplyError as error:
                raise ApplyError(f"{error.messages[0]}; mend that, or name another driver in the inventory, such as driver: {BASE_DRIVER}") from error
        plan = self.plan(self.read(), plan.request)
        if plan.unsettled:
            raise ApplyError(*(
                f"module {module} was loaded and does not register one PCI driver, but "
                f"{', '.join(plan.host.survey.modules.drivers(module)) or 'none'}: name the driver in the inventory"
                for module in plan.unsettled
            ))
        return plan


__all__ = ("DeviceArea", "Host")
