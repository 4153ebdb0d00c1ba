# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From targets and records to a plan: every step and every file, in order, before anything is done. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._core.force import FORCES
from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import RELEASE
from ansible_collections.vfio.host.plugins.module_utils._devices import clients, competitors, contradictions, iommu, owners, report, rules
from ansible_collections.vfio.host.plugins.module_utils._devices.consumers import OF_POLICIES
from ansible_collections.vfio.host.plugins.module_utils._devices.drivers import module_name
from ansible_collections.vfio.host.plugins.module_utils._devices.hotplug_rules import Standing, stand_in
from ansible_collections.vfio.host.plugins.module_utils._devices.loading import unloadable
from ansible_collections.vfio.host.plugins.module_utils._devices.record import Record
from ansible_collections.vfio.host.plugins.module_utils._devices.refusals import lost, objections
from ansible_collections.vfio.host.plugins.module_utils._devices.resolve import Resolution, Target, resolve
from ansible_collections.vfio.host.plugins.module_utils._devices.spec import Entry, parse_declarations, parse_policy_name
from ansible_collections.vfio.host.plugins.module_utils._devices.steps import PENDING, DevicePlan
from ansible_collections.vfio.host.plugins.module_utils._devices.taking import release, take
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError, PlanError

if TYPE_CHECKING:
    from typing import Any, Iterable, Mapping, Protocol, Sequence

    from ansible_collections.vfio.host.plugins.module_utils._devices.area import Host
    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import Named
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._devices.record import Refusal
    from ansible_collections.vfio.host.plugins.module_utils._devices.records import Memory
    from ansible_collections.vfio.host.plugins.module_utils._devices.state import Survey

    class Prediction(Protocol):
        """What an earlier plan of the same run makes of the devices: see _sriov/predict.py, of which nothing here knows."""

        @property
        def come(self) -> Mapping[str, Device]:
            """Address -> the VF that is to come there."""

        def when_there(self) -> Prediction:
            """What is left of it when the VFs are there."""

        def applied_to(self, survey: Survey) -> Survey:
            """The survey as it will be."""


@dataclass(frozen=True)
class Request:
    """What a task asks for. ``policies`` maps names to the user's device lists; None: every policy on the host.

    ``undeclared``: what is done about policies that it does not declare, of CHOICES; None: the task is about a part of the host.
    ``timeout``: seconds for a bind to show; ``iommu_comes``: the IOMMU, off now, is on from the next boot on; ``refusals``:
    address -> Refusal, found out by this run; ``prediction``: what the same task makes of the host's VFs before it looks at
    devices, or None; ``wakes``: addresses of what sleeps and is to be woken, to be asked what it is; ``consumers``: policy -> the program
    that gets its devices, and ``consumer_key``: the name of that option.
    """

    policies: dict[str, Any] | None
    present: bool = True
    now: bool = True
    at_boot: bool = True
    force: tuple[str, ...] = ()
    timeout: int = 10
    iommu_comes: bool = False
    refusals: dict[str, Refusal] = field(default_factory=dict)
    prediction: Prediction | None = None
    undeclared: str | None = None
    wakes: frozenset[str] = frozenset()
    consumers: dict[str, Any] | None = None
    consumer_key: str = OF_POLICIES

    def declared(self, on_host: Iterable[str]) -> dict[str, list[Entry]]:
        """Policy -> list of Entry; what is to be given back, ``on_host`` also where it is not declared, is there and empty.
        Raises InputError.
        """
        if not (self.now or self.at_boot):
            raise InputError("now and at_boot are both false, so there is nothing to do; say which of them you mean")
        unknown = sorted(set(self.force) - set(FORCES))
        if unknown:
            raise InputError(f"force: {', '.join(unknown)} cannot be forced; there are: {', '.join(FORCES)}")
        if self.present:
            declared = parse_declarations(
                self.policies or {}, self.undeclared is not None, consumers=self.consumers, consumer_key=self.consumer_key,
            )
            leftovers = on_host if self.undeclared == RELEASE else ()
            return dict({name: [] for name in leftovers}, **declared)
        return {parse_policy_name(name): [] for name in (on_host if self.policies is None else self.policies)}

    def why_released(self, policy: str) -> str:
        """Why what a policy took is given back."""
        if not self.present:
            return f"the task gives policy {policy} back"
        policies = self.policies or {}
        if policy not in policies:
            return f"nobody declares policy {policy} any more, and the task gives back what nobody declares"
        return f"policy {policy} {'no longer declares it' if policies[policy] else 'declares no device any more'}"


@dataclass(frozen=True)
class Plan:
    """The whole of a run. ``files``: path -> text or None, in writing order; ``last_files``: after all steps.

    ``unresolved``: modules whose driver's name is not known before they are loaded. Where there are any, ``files`` are drafts
    for the diff, which are never written. ``undeclared``: a mapping for each policy on the host that nobody declares. ``failures``,
    of a plan that was applied: a sentence for each device that could not be given back.
    """

    host: Host
    request: Request
    devices: list[DevicePlan]
    files: dict[str, str | None]
    last_files: dict[str, str | None]
    unresolved: list[str]
    warnings: list[str]
    undeclared: list[dict[str, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether applying it changes anything."""
        return any(one.steps for one in self.devices) or bool(self.changed_files() or self.unresolved)

    @property
    def reboot_reasons(self) -> list[str]:
        """Why a reboot is needed: one sentence for each device that waits for one."""
        return [
            f"{one.device.address} ({one.device.name}) waits for the next boot"
            for one in self.devices if one.status == PENDING
        ]

    @property
    def diff(self) -> list[dict[str, str]]:
        """Drivers and files, before and after, as Ansible shows them."""
        return report.diff(self)

    def result(self) -> dict[str, Any]:
        """The area's own part of a task's result."""
        return {"devices": report.devices(self)}

    def changed_files(self) -> dict[str, str | None]:
        """Path -> new text (None: it is removed) of each file that will change."""
        ends = dict(self.files, **self.last_files)
        return {path: text for path, text in ends.items() if text != self.host.files.get(path)}


@dataclass(frozen=True)
class Draft:
    """What a Request means on a host: what becomes of each device, before anybody has asked who uses it. ``declared``: policy -> its
    entries; ``gone``: (policy, Record, plan) of each device that is given back, whose plans are in ``plans``, too.
    """

    declared: dict[str, list[Entry]]
    resolution: Resolution
    plans: list[DevicePlan]
    gone: list[tuple[str, Record, DevicePlan]]


def make_draft(host: Host, request: Request) -> Draft:
    """The Draft for a Request on a host as it was read. Raises InputError."""
    declared, survey = request.declared(host.policies), host.survey
    resolution = resolve(
        survey, declared, policies=host.policies, standing_now=host.standings, iommu_comes=request.iommu_comes and request.at_boot,
        refusals=_refusals(host, request), undeclared=request.undeclared,
    )
    plans = [replace(take(survey, target, request=request), via=target.via) for target in resolution.targets.values()]
    gone = [
        (policy, record, release(survey, policy, record=record, request=request, memory=resolution.memory))
        for policy, record in resolution.leaving
    ]
    return Draft(declared, resolution, plans + [one[2] for one in gone], gone)


def make_plan(host: Host, draft: Draft, *, request: Request) -> Plan:
    """The Plan of a Draft, when the host knows what uses the devices that it unbinds. Raises PlanError with every reason at once."""
    survey, declared, resolution, plans = host.survey, draft.declared, draft.resolution, draft.plans
    memory = resolution.memory
    problems = resolution.problems + objections(host, declared, plans=plans, targets=resolution.targets, force=request.force)
    unloadables, warned = unloadable(survey.modules, resolution)
    problems += unloadables + _binding_loads(survey, declared, resolution, request)
    if problems:
        raise PlanError(*problems)
    for_clients = [target.device for target in resolution.targets.values() if target.is_vfio]
    doubt = iommu.unsafe_interrupts(survey) if for_clients else None
    first: dict[str, str | None] = {}
    last: dict[str, str | None] = {}
    kept_of_all: list[Record] = []
    old_standings = [one for kinds in host.standings.values() for one in kinds]
    for policy in declared:
        standing = resolution.standings.get(policy, [])
        kept = [
            _record(survey, target, memory)
            for target in resolution.targets.values() if target.entry.policy == policy and not target.is_native
            if not _stands(target, memory, old_standings, standing)
        ] + [record for owner, record in resolution.waiting if owner == policy]
        released = [replace(record, released=True) for owner, record, dummy in draft.gone if owner == policy]
        native_vfs = [
            target.device for target in resolution.targets.values()
            if target.entry.policy == policy and target.is_native and target.device.physfn
        ]
        content = _Content(policy, kept, standing, native_vfs, is_draft=_is_draft(resolution, [*kept, *standing]))
        _write(content, released, request, host, first, last)
        kept_of_all += kept
    losses = owners.lost(host, declared, kept=kept_of_all, resolution=resolution, undeclared=request.undeclared)
    for policy, (records, kinds) in losses.items():
        first.update(owners.files_without(host.rules_paths(policy), texts=host.files, records=records, standings=kinds, policy=policy))
    undeclared, told = owners.reports(owners.left_over(host.policies, host.standings, declared=declared, losses=losses), request.undeclared)
    return Plan(
        host=host, request=request, devices=plans, files=_in_safe_order(first, host.files), last_files=last,
        unresolved=sorted(resolution.unresolved),
        warnings=survey.warnings + resolution.warnings + warned + told + [one.warning for one in plans if one.warning]
        + ([doubt] if doubt else [])
        + lost(plans, host.uses)
        + competitors.warnings(survey, saved=host.saved, declared=[(one.device, one.policy) for one in plans])
        + (contradictions.warnings_of_devices(host, resolution.targets) if request.at_boot else [])
        + clients.warnings(host.obstacles, for_clients),
        undeclared=undeclared,
    )


def _refusals(host: Host, request: Request) -> dict[str, Refusal]:
    """Address -> Refusal that counts: of this run, and those remembered of this kernel.

    Another kernel is asked again, but not for the next boot, where nobody could take the fallback, and not of a device that
    a process has open.
    """
    found, devices = {}, host.survey.devices
    for record in host.recorded.values():
        device = devices.get(record.address)
        if device is None or record.refused is None or record.released or not record.is_of(device):
            continue
        if record.refused.kernel == host.survey.kernel or device.holders or not request.now:
            found[record.address] = record.refused
    return dict(found, **request.refusals)


def _is_draft(resolution: Resolution, content: Sequence[Record | Standing]) -> bool:
    """Whether a file can only be shown by now, since it lacks the name of a driver whose module the run will load first."""
    return any(one.driver is None and one.module in resolution.unresolved for one in content)


def _binding_loads(survey: Survey, declared: dict[str, list[Entry]], resolution: Resolution, request: Request) -> list[str]:
    """Why a task that must not bind anything now cannot load the modules that only then tell their drivers' names.

    Loading a VFIO variant binds nothing, since no device has one of its aliases; loading an ordinary driver does.
    """
    found = []
    for module in sorted(resolution.unresolved):
        if request.now or not survey.modules.takes_by_itself(module):
            continue
        wheres = {
            entry.where for entries in declared.values() for entry in entries
            if module in (module_name(entry.driver), module_name(entry.fallback or ""))
        }
        wheres.update(one.entry.where for one in resolution.targets.values() if one.choice.module == module)
        found.append(
            f"{' and '.join(sorted(wheres)) or 'a standing rule'}: no driver of module {module} is registered; loading the module would "
            "tell its name, and bind devices although now is false: load the module first, or say now: true"
        )
    return found


def _stands(target: Target, memory: Memory, before: list[Standing], after: list[Standing]) -> bool:
    """Whether a standing rule took the device and still would: then it needs no record of its own."""
    return target.is_met and target.device.address not in memory.records and any(
        one in before and one.driver == target.choice.driver and one.catches(target.device) for one in after
    )


@dataclass(frozen=True)
class _Content:
    """What one policy's rules say: Records, Standings and native VFs. ``is_draft``: not all drivers' names are known."""

    policy: str
    records: list[Record]
    standings: list[Standing]
    native_vfs: list[Device]
    is_draft: bool

    def render(self, released: Iterable[Record] = ()) -> str | None:
        """The text, with the records of what is ``released`` too."""
        return rules.render(
            self.policy, self.records + list(released), standings=self.standings, native_vfs=self.native_vfs, is_draft=self.is_draft
        )


def _write(
    content: _Content, released: list[Record], request: Request, host: Host, first: dict[str, str | None], last: dict[str, str | None],
) -> None:
    """The files of one policy: its rules, and a list of the devices that are being given back, which a reboot ends.

    The list is written before the first device is touched, so that the next run resumes after a crash.
    """
    boot_path, volatile_path = host.rules_paths(content.policy)
    nothing = _Content(content.policy, [], [], [], False)
    boot, volatile = (content, nothing) if request.at_boot else (nothing, content)
    ends = {volatile_path: volatile.render(released), boot_path: boot.render()}
    if released and request.now:
        last[volatile_path] = volatile.render()
    first.update({path: text for path, text in ends.items() if text != host.files.get(path)})


def _in_safe_order(files: dict[str, str | None], before: dict[str, str | None]) -> dict[str, str | None]:
    """Files that lose a device come last: a run that is killed between two of them leaves every device recorded."""
    def loses(path: str) -> bool:
        places = _places(before.get(path))
        return bool(places) and not places <= _places(files[path])

    return {path: files[path] for path in sorted(files, key=loses)}


def _places(text: str | None) -> set[str]:
    return {record.place for record in rules.parse(text or "", "")}


def _record(survey: Survey, target: Target, memory: Memory) -> Record:
    """What the rules file shall say of a target. Its ``driver`` is None where only loading the module tells the name."""
    device, choice = target.device, target.choice
    known = memory.records.get(device.address)
    if known is not None and device.driver_override in (known.driver, stand_in(known.module)):
        was = known.was  # it is taken, so what the device shows now is what VFIO leaves of it
    else:
        native = None if survey.is_vfio(device.driver) else device.driver
        if native is None:  # a rule for its twin took it: they have one native driver
            rule = memory.rules.get((target.entry.policy, device.address))
            native = rule.was["driver"] if rule is not None and rule.catches(device) else None
        net: list[Named] = [{"name": one["name"], "mac": one["mac"]} for one in device.net]
        was = {"driver": native, "net": net, "serial": device.serial}
        if device.nvme is not None:
            was["nvme"] = device.nvme
    return Record(
        device.address, device.ids, choice.driver, target.module, was, refused=target.refused, match=target.entry.match.text,
        # A VF of s390 comes by an event of its own, after that of its PF, under an address that nobody knows before.
        physfn=None if device.pin else device.physfn, pin=device.pin,
        devpath=None if device.pin else device.devpath, vf=None if device.pin else device.vf,
    )


__all__ = ("Draft", "Plan", "Request", "make_draft", "make_plan")
