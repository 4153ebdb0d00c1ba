# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From targets and records to a plan: every step and every file, in order, before anything is done. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ansible_collections.vfio.host.plugins.module_utils._device import iommu, report, rivals, udev
from ansible_collections.vfio.host.plugins.module_utils._device.alias import Choice
from ansible_collections.vfio.host.plugins.module_utils._device.declare import NATIVE, parse_declarations, parse_policy_name
from ansible_collections.vfio.host.plugins.module_utils._device.pci import FORCES, GUARDS, UNDECLARED, Device
from ansible_collections.vfio.host.plugins.module_utils._device.resolve import resolve
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError, PlanError

# What is done to a device. OVERRIDE "" clears; BIND names a driver; PROBE lets the kernel pick; with a value, a VF
# that the kernel keeps from drivers gets the driver of this name, or of the module of this name.
OVERRIDE, UNBIND, LOAD, LOAD_NATIVE, BIND, PROBE = "override", "unbind", "load", "load_native", "bind", "probe"

UNCHANGED, BOUND, RELEASED, PENDING = "unchanged", "bound", "released", "pending"


@dataclass(frozen=True)
class Step:
    """One action on one device; ``value`` is the driver, module or modalias that the action needs."""

    action: str
    value: str


@dataclass(frozen=True)
class DevicePlan:
    """What happens to one device: ``driver`` and ``override`` are how it ends.

    ``rebinds``: it changes its driver, now or at the next boot; ``must_bind``: it was given back, and some native driver
    must have it in the end; ``fallback``: the driver that its entry declares for the case that ``driver`` refuses it.
    """

    device: Device
    policy: str
    status: str
    driver: str
    override: str
    choice: Choice
    steps: list = field(default_factory=list)
    rebinds: bool = False
    must_bind: bool = False
    fallback: str | None = None


@dataclass(frozen=True)
class Request:
    """What a task asks for. ``policies`` maps names to the user's device lists; None: every policy on the host.

    ``timeout``: seconds for a bind to show; ``iommu_comes``: the IOMMU, off now, is on from the next boot on; ``refusals``:
    address -> Refusal, found out by this run; ``prediction``: what the same task makes of the host's VFs before it looks at
    devices, or None.
    """

    policies: dict
    present: bool = True
    now: bool = True
    at_boot: bool = True
    force: tuple = ()
    timeout: int = 10
    iommu_comes: bool = False
    refusals: dict = field(default_factory=dict)
    prediction: object = None

    def declared(self, on_host):
        """Policy -> list of Entry; for state absent each policy is there and empty. Raises InputError."""
        if not (self.now or self.at_boot):
            raise InputError("now and at_boot are both false, so there is nothing to do; say which of them you mean")
        unknown = sorted(set(self.force) - set(FORCES))
        if unknown:
            raise InputError(f"force: {', '.join(unknown)} cannot be forced; there are: {', '.join(FORCES)}")
        if self.present:
            return parse_declarations(self.policies)
        return {parse_policy_name(name): [] for name in (on_host if self.policies is None else self.policies)}


@dataclass(frozen=True)
class Plan:
    """The whole of a run. ``files``: path -> text or None, in writing order; ``last_files``: after all steps.

    ``unsettled``: variant modules whose driver's name is not known before they are loaded.
    """

    host: object
    request: Request
    devices: list
    files: dict
    last_files: dict
    unsettled: list
    warnings: list

    @property
    def changed(self):
        """Whether applying it changes anything."""
        return any(one.steps for one in self.devices) or bool(self.changed_files())

    @property
    def reboot_reasons(self):
        """Why a reboot is needed: one sentence for each device that waits for one."""
        return [
            f"{one.device.address} ({one.device.name}) waits for the next boot"
            for one in self.devices if one.status == PENDING
        ]

    @property
    def diff(self):
        """Drivers and files, before and after, as Ansible shows them."""
        return report.diff(self)

    def result(self):
        """The area's own part of a task's result."""
        return {"devices": report.devices(self)}

    def way_back(self):
        """The devices with a driver to lose or to get, and the files, as they are now."""
        return {
            "devices": [one.device.binding() for one in self.devices],
            "files": {path: self.host.files.get(path) for path in list(self.files) + list(self.last_files)},
        }

    def changed_files(self):
        """Path -> text or None in the end, for each file that ends otherwise than it is."""
        ends = dict(self.files, **self.last_files)
        return {path: text for path, text in ends.items() if text != self.host.files.get(path)}


def make_plan(host, request):
    """The Plan for a Request on a host as it was read. Raises InputError, PlanError with every reason at once."""
    declared = request.declared(host.policies)
    survey = host.survey
    resolution = resolve(
        survey, declared, host.policies, host.standings, request.iommu_comes and request.at_boot, _refusals(host, request)
    )
    memory = resolution.memory
    plans = [_take(survey, target, request) for target in resolution.targets.values()]
    gone = [(policy, record, _release(survey, policy, record, request, memory)) for policy, record in resolution.leaving]
    plans += [one for dummy, dummy, one in gone]
    problems = resolution.problems + _undeclared(resolution, request) + _stuck(host, declared, plans) + [
        problem for one in plans for problem in _guarded(survey, one, request.force) + _held(one) + _with_vfs(one)
    ]
    if problems:
        raise PlanError(*problems)
    first, last = {}, {}
    for policy in declared:
        standing = resolution.standings.get(policy, [])
        kept = [
            _record(survey, target, memory)
            for target in resolution.targets.values() if target.entry.policy == policy and not target.is_native
            if not _stands(target, memory, host.standings.get(policy, ()), standing)
        ] + [record for owner, record in resolution.waiting if owner == policy]
        released = [replace(record, released=True) for owner, record, dummy in gone if owner == policy]
        native_vfs = [
            target.device for target in resolution.targets.values()
            if target.entry.policy == policy and target.is_native and target.device.physfn
        ]
        _write(policy, (kept, standing, native_vfs), released, request, host, first, last)
    return Plan(
        host=host, request=request, devices=plans, files=_in_safe_order(first, host.files), last_files=last,
        unsettled=sorted(resolution.unsettled.union(
            target.choice.module for target in resolution.targets.values() if _is_unsettled(target)
        )),
        warnings=survey.warnings + resolution.warnings + _warnings(host, declared) + _client_warnings(survey, resolution.targets)
        + rivals.warnings(survey, host.saved, [(one.device, one.policy) for one in plans]),
    )


def _refusals(host, request):
    """Address -> Refusal that counts: of this run, and those remembered of this kernel.

    Another kernel is asked again, but not for the next boot, where nobody could take the fallback, and not of a device that
    a process has open.
    """
    found, devices = {}, host.survey.devices
    for record in host.recorded.values():
        device = devices.get(record.address)
        if record.refused is None or record.released or not record.is_of(device):
            continue
        if record.refused.kernel == host.survey.kernel or device.holders or not request.now:
            found[record.address] = record.refused
    return dict(found, **request.refusals)


def _undeclared(resolution, request):
    if UNDECLARED in request.force:
        return []
    return [target.choice.undeclared for target in resolution.targets.values() if target.choice.undeclared]


def _is_unsettled(target):
    return not target.is_native and target.choice.driver is None


def _stands(target, memory, before, after):
    """Whether a standing rule took the device and still would: then it needs no record of its own."""
    return target.is_met and target.device.address not in memory.records and any(
        one in before and one.driver == target.choice.driver and one.catches(target.device) for one in after
    )


def _client_warnings(survey, targets):
    """What stands in the way of clients, and not of drivers."""
    doubt = iommu.unsafe_interrupts(survey) if any(target.is_vfio for target in targets.values()) else None
    return [doubt] if doubt else []


def _warnings(host, declared):
    return [
        f"policy {policy} has devices on this host and is not declared here: it is left as it is"
        for policy in sorted(set(host.policies) - set(declared))
        if host.standings.get(policy) or any(not one.released for one in host.policies[policy])
    ]


def _write(policy, content, released, request, host, first, last):
    """The files of one policy: its rules, and a list of the devices on their way back, which a reboot ends.

    The list is written before the first device is touched, so that a run that was killed is gone on with by the next.
    """
    boot_path, volatile_path = host.rules_paths(policy)
    nothing = ([], [], [])
    boot, volatile = (content, nothing) if request.at_boot else (nothing, content)
    ends = {
        volatile_path: udev.render(policy, volatile[0] + released, *volatile[1:]),
        boot_path: udev.render(policy, *boot),
    }
    if released and request.now:
        last[volatile_path] = udev.render(policy, *volatile)
    first.update({path: text for path, text in ends.items() if text != host.files.get(path)})


def _in_safe_order(files, before):
    """Files that lose a device come last: a run that is killed between two of them leaves every device recorded."""
    def loses(path):
        return not _places(before.get(path)) <= _places(files[path])

    return {path: files[path] for path in sorted(files, key=loses)}


def _places(text):
    return {record.place for record in udev.parse(text or "", "")}


def _take(survey, target, request):
    device, choice, policy = target.device, target.choice, target.entry.policy
    if target.is_native:
        return _give_native(survey, device, policy, choice, None, request, target.is_met)
    rebinds = not target.is_met and (choice.driver is None or device.driver != choice.driver)
    if target.is_met or target.waits or not request.now:
        status = UNCHANGED if target.is_met else PENDING
        return DevicePlan(device, policy, status, device.driver, device.driver_override, choice, rebinds=rebinds)
    steps = []
    if choice.driver is None or not survey.modules.is_registered(choice.driver):
        steps.append(Step(LOAD, choice.module))
    if device.driver_override != choice.driver:
        steps.append(Step(OVERRIDE, choice.driver))
    if rebinds and device.driver is not None:
        steps.append(Step(UNBIND, device.driver))
    if rebinds:
        steps.append(Step(BIND, choice.driver))
    fallback = None if target.refused else target.entry.fallback
    return DevicePlan(device, policy, BOUND, choice.driver, choice.driver, choice, steps, rebinds, fallback=fallback)


def _release(survey, policy, record, request, memory):
    device = survey.devices[record.address]
    reason = f"policy {policy} no longer declares it"
    if not record.is_of(device):
        now = memory.moved.get((policy, record.address))
        reason = f"the rule of serial {record.serial} took it{', which is at ' + now + ' now' if now else ''}"
    choice = Choice(None, None, NATIVE, reason=reason)
    pf = survey.devices.get(device.physfn)
    if pf is not None and pf.sriov and not pf.sriov["autoprobe"] and record.was["driver"] is None:
        return _leave_alone(device, policy, choice, request)
    return _give_native(survey, device, policy, choice, record.was["driver"], request, False)


def _leave_alone(device, policy, choice, request):
    """Take override and driver off a VF that had no driver, and that its PF keeps from getting one by itself."""
    if not request.now:
        return DevicePlan(device, policy, PENDING, device.driver, device.driver_override, choice, rebinds=True)
    steps = [Step(OVERRIDE, "")] if device.driver_override is not None else []
    if device.driver is not None:
        steps.append(Step(UNBIND, device.driver))
    return DevicePlan(device, policy, RELEASED, None, None, choice, steps, bool(steps))


def _give_native(survey, device, policy, choice, expected, request, is_met):
    """Clear the override and let the kernel pick; ``expected`` is the driver that the device had before, or None."""
    if is_met:
        return DevicePlan(device, policy, UNCHANGED, device.driver, device.driver_override, choice)
    rebinds = device.driver is None or not survey.is_native(device) or expected not in (None, device.driver)
    native = survey.native_driver(device)
    later = (expected or native) if rebinds else device.driver
    if not request.now:
        return DevicePlan(device, policy, PENDING, device.driver, device.driver_override, choice, rebinds=rebinds)
    steps = []
    if device.driver_override is not None:
        steps.append(Step(OVERRIDE, ""))
    if rebinds and device.driver is not None:
        steps.append(Step(UNBIND, device.driver))
    if rebinds:
        steps += [Step(LOAD_NATIVE, device.modalias), Step(PROBE, native if device.physfn and native else "")]
    return DevicePlan(
        device, policy, RELEASED, later, None, choice, steps, rebinds, must_bind=rebinds and later is not None,
    )


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


def _stuck(host, declared, plans):
    """Of what is stuck neither driver nor override can be known, so nobody can say what is still to be done with it."""
    concerned = {one.device.address for one in plans if one.steps}
    concerned.update(record.address for policy in declared for record in host.policies.get(policy, ()))
    return [text for address, text in host.survey.stuck.items() if address in concerned]


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


def _record(survey, target, memory):
    """What the rules file shall say of a target."""
    device, choice = target.device, target.choice
    known = memory.records.get(device.address)
    if known is not None and device.driver_override == known.driver:
        was = known.was  # it is taken, so what the device shows now is what VFIO leaves of it
    else:
        native = None if survey.is_vfio(device.driver) else device.driver
        if native is None:  # a rule for its twin took it: they have one native driver
            rule = memory.rules.get((target.entry.policy, device.address))
            native = rule.was["driver"] if rule is not None and rule.catches(device) else None
        was = {"driver": native, "net": device.net, "serial": device.serial}
    driver = choice.driver or f"driver_of_{choice.module}"
    return udev.Record(
        device.address, device.ids, driver, choice.module, was, refused=target.refused, match=target.entry.match.text,
        # A VF of s390 comes by an event of its own, after that of its PF, under an address that nobody knows before.
        physfn=None if device.pin else device.physfn, pin=device.pin,
    )


__all__ = (
    "BIND", "BOUND", "DevicePlan", "LOAD", "LOAD_NATIVE", "OVERRIDE", "PENDING", "PROBE", "Plan", "RELEASED", "Request",
    "Step", "UNBIND", "UNCHANGED", "make_plan",
)
