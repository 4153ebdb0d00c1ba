# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The area of devices: read, plan, apply, report. What the modules call."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Competition
from ansible_collections.vfio.host.plugins.module_utils._core.area import require_root
from ansible_collections.vfio.host.plugins.module_utils._devices import clients, hotplug_rules, rules
from ansible_collections.vfio.host.plugins.module_utils._devices.holders import InUse, Usage
from ansible_collections.vfio.host.plugins.module_utils._devices.lines import check_head
from ansible_collections.vfio.host.plugins.module_utils._devices.members import others_in
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import UNREAD, GuardsUnread
from ansible_collections.vfio.host.plugins.module_utils._devices.plan import Draft, Plan, Request, make_draft, make_plan
from ansible_collections.vfio.host.plugins.module_utils._devices.record import Refusal
from ansible_collections.vfio.host.plugins.module_utils._devices.refusals import concerned
from ansible_collections.vfio.host.plugins.module_utils._devices.spec import NATIVE
from ansible_collections.vfio.host.plugins.module_utils._devices.state import Survey, guarded, survey
from ansible_collections.vfio.host.plugins.module_utils._devices.steps import UNCHANGED
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, errno_name
from ansible_collections.vfio.host.plugins.module_utils._host.udevd import settle
from ansible_collections.vfio.host.plugins.module_utils._kernel.alias import BASE_DRIVER

if TYPE_CHECKING:
    from typing import Collection, Mapping

    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    from ansible_collections.vfio.host.plugins.module_utils._devices.apply import Applier
    from ansible_collections.vfio.host.plugins.module_utils._devices.hotplug_rules import Standing
    from ansible_collections.vfio.host.plugins.module_utils._devices.record import Record
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs


@dataclass(frozen=True)
class Host:
    """What a plan is made from. ``policies``: name -> Records; ``standings``: name -> Standings; ``files``: path -> text
    of the rules files there; ``saved``: address -> (driver, file) of the overrides that driverctl sets at boot.

    What follows is read for what a request names. ``obstacles``: of clients.obstacles(); ``uses``: address -> what uses a device that
    loses its driver; ``competition``: what other programs decide at boot.
    """

    survey: Survey
    policies: dict[str, list[Record]]
    standings: dict[str, list[Standing]]
    files: dict[str, str | None]
    boot_rules: str
    volatile_rules: str
    saved: dict[str, tuple[str, str]] = field(default_factory=dict)
    obstacles: dict[str, dict[str, str]] = field(default_factory=dict)
    uses: Mapping[str, InUse] = field(default_factory=dict)
    competition: Competition = Competition()

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


@dataclass(frozen=True)
class State:
    """A host, and what a request means on it."""

    host: Host
    draft: Draft


class Scan:
    """One look at a host's devices and policies, for all areas that are planned before anything is written. Each part of it is read when it
    is first asked for, and once.
    """

    def __init__(self, fs: Sysfs, files: Files) -> None:
        self._fs = fs
        self._files = files
        self.usage = Usage(fs)

    @cached_property
    def host(self) -> Host:
        """The host as it is, whatever is asked of it, without guards."""
        return self.waking(())

    @cached_property
    def guarded(self) -> Host:
        """The host with the guards of its devices."""
        return replace(self.host, survey=guarded(self._fs, self.host.survey))

    def waking(self, addresses: Collection[str]) -> Host:
        """The host, in which the devices of these addresses are woken."""
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
                check_head(text, path)
        found = survey(self._fs, self.usage, with_guards=False, wakes=addresses)
        policies = {name: [one.located(found.devices) for one in records] for name, records in policies.items()}
        return Host(found, policies, standings, texts, self._files.boot_rules, self._files.volatile_rules, self._saved())

    def _saved(self) -> dict[str, tuple[str, str]]:
        """driverctl's files: their name is the device's address, in newer versions with the bus before it."""
        found = {}
        for name in self._fs.names(self._fs.driverctl_d):
            path = f"{self._fs.driverctl_d}/{name}"
            driver = self._fs.read(path)
            if driver:
                found[name[len("pci-"):] if name.startswith("pci-") else name] = (driver, path)
        return found


def drafted(scan: Scan, fs: Sysfs, *, request: Request) -> tuple[Host, Draft]:
    """The host as a request has to know it, and its Draft. Guards are read only where a device may lose its driver, or something is refused.
    Raises InputError.
    """
    def seen(host: Host) -> Host:
        if request.policies is None or any(request.policies.values()):
            host = replace(host, survey=replace(host.survey, others=others_in(fs, host.survey.groups)))
        if request.prediction is not None:
            host = replace(host, survey=request.prediction.applied_to(host.survey))
        return host

    if request.wakes:
        host = scan.waking(request.wakes)
        host = seen(replace(host, survey=guarded(fs, host.survey)))
        return host, make_draft(host, request)
    with suppress(GuardsUnread):
        host = seen(scan.host)
        draft = make_draft(host, request)
        if draft.resolution.problems or any(one.steps or one.rebinds for one in draft.plans):
            host = replace(host, survey=with_guards(host.survey, scan.guarded.survey))
        return host, draft
    host = seen(scan.guarded)
    return host, make_draft(host, request)


def with_guards(found: Survey, other: Survey) -> Survey:
    """A survey with the guards that another of the same host has; what is only to come has its own."""
    return replace(found, devices={
        address: device.knowing(guards=other.devices[address].guards) if device.guards is UNREAD else device
        for address, device in found.devices.items()
    })


def asked(fs: Sysfs, host: Host, *, usage: Usage, request: Request, draft: Draft) -> Host:
    """The host with what a Draft asks of it: what uses the devices that lose their drivers, what competes for those that are declared, and
    what their clients will meet.
    """
    devices, targets = host.survey.devices, draft.resolution.targets
    coming = request.prediction.come if request.prediction is not None else ()
    of_clients = [one.device for one in targets.values() if one.is_vfio and one.device.address not in coming]
    host = replace(host, obstacles=clients.obstacles(fs, of_clients, is_vfio=host.survey.is_vfio))
    disks = concerned(host.survey, draft.plans, targets=targets, force=request.force)
    uses = {
        address: usage.of(devices[address], host.survey.is_vfio(devices[address].driver), with_disks=with_disks)
        for address, with_disks in disks.items()
    }
    if not (request.at_boot and targets):
        return replace(host, uses=uses)
    # Compiled on the host each time, so only where something is declared.
    from ansible_collections.vfio.host.plugins.module_utils._competitors.table import competition

    return replace(host, uses=uses, competition=competition(
        fs, host.survey.modules.configured().directives, addresses={one.device.physfn or one.device.address for one in targets.values()},
    ))


class DeviceArea:
    """Devices of one host, through ``fs`` (the kernel's files) and ``files`` (configuration)."""

    def __init__(self, fs: Sysfs, files: Files, scan: Scan | None = None) -> None:
        self._fs = fs
        self._files = files
        self._shared = scan

    def read(self, request: Request) -> State:
        """The host as a run sees it that has written nothing yet, as far as a request is about it. Raises InputError."""
        return self._read(self._shared or Scan(self._fs, self._files), request)

    def _read(self, scan: Scan, request: Request) -> State:
        host, draft = drafted(scan, self._fs, request=request)
        return State(asked(self._fs, host, usage=scan.usage, request=request, draft=draft), draft)

    def plan(self, state: State, request: Request) -> Plan:
        """The plan for the request that the state was read for; nothing is touched. Raises PlanError."""
        return make_plan(state.host, state.draft, request=request)

    def ready(self, plan: Plan) -> Plan:
        """The plan of a run that will change something: what sleeps and is to be taken is woken for it, and asked what it is. Raises
        PlanError where it does not answer.
        """
        asleep = {one.device.address for one in plan.devices if one.device.is_asleep and one.status != UNCHANGED and one.choice.source != NATIVE}
        if asleep <= plan.request.wakes:
            return plan
        return self._planned(replace(plan.request, wakes=plan.request.wakes | asleep))

    def _planned(self, request: Request) -> Plan:
        """The plan for a request on the host as it is now. Raises PlanError."""
        return self.plan(self._read(Scan(self._fs, self._files), request), request)

    def apply(self, plan: Plan, journal: Journal) -> Plan:
        """Carry the plan out and return it as carried out. Raises ApplyError."""
        from ansible_collections.vfio.host.plugins.module_utils._devices.apply import FallbackNeeded, remember
        mark = journal.mark()
        remembered: Plan | None = None
        if plan.request.prediction is None:
            # Before modules are loaded, which may take devices. With a prediction, this plan's VFs are not there yet.
            remember(journal, plan)
            remembered = plan
        plan = self._resolved(plan)
        while True:
            if plan is not remembered:
                remember(journal, plan)
            try:
                return self._applier(plan).apply(plan)
            except FallbackNeeded as needed:
                problems = journal.restore(mark)
                if problems:
                    raise ApplyError(*(needed.messages + problems)) from needed
                plan = self._fall_back(plan, needed.refusals)

    def _applier(self, plan: Plan) -> Applier:
        from ansible_collections.vfio.host.plugins.module_utils._devices.apply import Applier
        from ansible_collections.vfio.host.plugins.module_utils._kernel.control import ModuleControl
        survey_ = plan.host.survey
        return Applier(self._fs, self._files, modules=ModuleControl(self._fs), is_vfio=survey_.is_vfio, timeout=plan.request.timeout)

    def _fall_back(self, plan: Plan, refusals: dict[str, int]) -> Plan:
        """A new plan, of the host as it was put back, in which devices that a driver refused get their fallbacks."""
        kernel, found = plan.host.survey.kernel, dict(plan.request.refusals)
        for one in plan.devices:
            number = refusals.get(one.device.address)
            module, driver, fallback = one.choice.module, one.driver, one.fallback
            if number is not None and module is not None and driver is not None and fallback is not None:
                found[one.device.address] = Refusal(module, driver, kernel, errno_name(number), fallback)
        return self._planned(replace(plan.request, refusals=found))

    def _resolved(self, plan: Plan) -> Plan:
        """The plan with every driver's name known, as it is once the driver's module is loaded; and with the VFs that are there
        by now, in place of those that were to come.
        """
        if plan.request.prediction is not None and plan.request.now:
            if plan.request.prediction.come:
                # By the rules as they were: what they do to a VF that this plan takes from a policy must not come later.
                settle(self._fs)
            plan = self.ready(self._planned(replace(plan.request, prediction=plan.request.prediction.when_there())))
        if not plan.unresolved:
            return plan
        from ansible_collections.vfio.host.plugins.module_utils._kernel.control import ModuleControl
        # For the next boot as well: no rule can name a driver whose name nobody knows.
        for module in plan.unresolved:
            try:
                ModuleControl(self._fs).load(module)
            except ApplyError as error:
                raise ApplyError(f"{error.messages[0]}; mend that, or name another driver in the inventory, such as driver: {BASE_DRIVER}") from error
        plan = self._planned(plan.request)
        if plan.unresolved:
            raise ApplyError(*(
                f"module {module} was loaded and does not register one PCI driver, but "
                f"{', '.join(plan.host.survey.modules.drivers(module)) or 'none'}: name the driver in the inventory"
                for module in plan.unresolved
            ))
        return plan


__all__ = ("DeviceArea", "Host", "Scan", "State", "asked", "drafted", "with_guards")
