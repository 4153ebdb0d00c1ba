# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From declarations and a survey to targets: which device, which driver, and why; or every reason why not. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._core.force import UNDECLARED, how_to_force
from ansible_collections.vfio.host.plugins.module_utils._core.objection import UNMATCHED, Objection
from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import MOVES
from ansible_collections.vfio.host.plugins.module_utils._devices import owners
from ansible_collections.vfio.host.plugins.module_utils._devices.consumers import openable
from ansible_collections.vfio.host.plugins.module_utils._devices.drivers import named_driver
from ansible_collections.vfio.host.plugins.module_utils._devices.groups import (
    carried,
    group_refusals,
    groups_lost,
    members_to_take,
    of_chipset,
    unbindable,
)
from ansible_collections.vfio.host.plugins.module_utils._devices.hotplug_rules import Standing, standings
from ansible_collections.vfio.host.plugins.module_utils._devices.iommu import NO_GROUP
from ansible_collections.vfio.host.plugins.module_utils._devices.match import Selector
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
from ansible_collections.vfio.host.plugins.module_utils._devices.record import Record, Refusal
from ansible_collections.vfio.host.plugins.module_utils._devices.records import (
    Memory,
    below_other_root,
    followed,
    leaving,
    left_standing,
    other_in_slot,
    recall,
    waiting,
)
from ansible_collections.vfio.host.plugins.module_utils._devices.spec import AUTO, EXTEND, NATIVE, Entry
from ansible_collections.vfio.host.plugins.module_utils._devices.steps import called
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.words import nearest
from ansible_collections.vfio.host.plugins.module_utils._kernel.alias import Choice, matching

if TYPE_CHECKING:
    from typing import Sequence

    from ansible_collections.vfio.host.plugins.module_utils._devices.state import Survey

# Where a choice comes from, beside auto and native: the driver that the inventory names, and the one that it names for the
# case that the first refuses.
PINNED, FALLBACK = "pinned", "fallback"


# Fields that VFIO hides.
_OPTIONAL = "vfio.host.survey shows what there is; only where it may be absent, say optional: true"
_HIDDEN = frozenset(("driver", "mac", "net", "serial"))


@dataclass(frozen=True)
class Target:
    """What one device shall become. ``choice.driver`` is None for native, and for a driver whose module is still to be loaded.

    ``is_vfio``: the driver serves user space; ``is_met``: the device is so already; ``waits``: for an IOMMU that the next
    boot turns on; ``refused``: the Refusal for which the entry's fallback is taken; ``via``: the address of the device for
    whose IOMMU group it is taken along, where no entry names it.
    """

    device: Device
    entry: Entry
    choice: Choice
    is_vfio: bool
    is_met: bool
    waits: bool = False
    refused: Refusal | None = None
    via: str | None = None

    @property
    def name(self) -> str:
        """What a message calls the device, and what brings it in where no entry names it."""
        return called(self.device, self.via)

    @property
    def wish(self) -> str:
        """The driver that it shall have, or the module of that where only loading it tells the name."""
        return NATIVE if self.is_native else self.choice.driver or self.module

    @property
    def module(self) -> str:
        """The module of the driver that it shall have; "" for the native one, which the kernel picks."""
        return self.choice.module or ""

    @property
    def is_native(self) -> bool:
        """Whether the device shall have no override."""
        return self.choice.source == NATIVE


@dataclass(frozen=True)
class Resolution:
    """``targets``: address -> Target; ``leaving`` and ``waiting``: (policy, Record) pairs to give back, and of absent
    devices whose rule stays; ``standings``: policy -> list of Standing; ``unresolved``: modules whose driver's name is not
    known before they are loaded; ``problems`` and ``warnings``: sentences.
    """

    targets: dict[str, Target]
    leaving: list[tuple[str, Record]]
    waiting: list[tuple[str, Record]]
    standings: dict[str, list[Standing]]
    unresolved: set[str]
    memory: Memory
    problems: list[str]
    warnings: list[str]


def resolve(
    survey: Survey, declared: dict[str, list[Entry]], *, policies: dict[str, list[Record]], standing_now: dict[str, list[Standing]],
    iommu_comes: bool = False, refusals: dict[str, Refusal] | None = None, undeclared: str | None = None,
) -> Resolution:
    """What the declarations mean on this host, and every reason why they cannot be met.

    ``declared``: policy -> list of Entry; ``policies`` and ``standing_now``: policy -> list of Record, of Standing, as the
    host has them. ``iommu_comes``: the IOMMU, off now, is on from the next boot on. ``refusals``: address -> Refusal, each
    of a driver that is not to be tried again. ``undeclared``: as of Request.
    """
    problems: list[str] = []
    targets: dict[str, Target] = {}
    unresolved: set[str] = set()
    memory = recall(survey.devices, policies)
    selector = Selector(survey.devices, memory.seen)
    forgotten = [
        address for address, device in survey.devices.items()
        if survey.is_vfio(device.driver) and address not in memory.records
    ]
    for entries in declared.values():
        for entry in entries:
            unknown = _unknown_drivers(survey, entry)
            problems += unknown
            if not unknown:
                _claim(survey, selector, entry, targets, problems, forgotten, memory)
    chipset = _extend_groups(survey, targets, problems)
    targets = {
        address: _or_fallback(survey, target, (refusals or {}).get(address), unresolved) for address, target in targets.items()
    }
    targets = {
        address: replace(target, waits=iommu_comes and _lacks_group(target)) for address, target in sorted(targets.items())
    }
    has_iommu = survey.iommu_enabled or survey.noiommu or iommu_comes
    try:
        standing, of_standing, warnings = standings(survey, declared, selector=selector, has_iommu=has_iommu)
    except PlanError as error:
        problems += [message for message in error.messages if message not in problems]
        standing, of_standing, warnings = {}, set(), []
    warnings += chipset
    gone, stay, conflicts = _given_up(
        survey, declared, policies=policies, standing_now=standing_now, targets=targets, moved=memory.moved, undeclared=undeclared,
    )
    warnings += stay
    problems += conflicts
    problems += unbindable(survey, targets) + carried(survey, targets)
    going = {record.address for dummy, record in gone}
    problems += group_refusals(survey, targets, leaving=going)
    warnings += groups_lost(survey, targets, leaving=going)
    absent = waiting(survey.devices, declared, policies=policies, targets=targets, moved=memory.moved, from_undeclared=undeclared in MOVES)
    unresolved.update(of_standing)
    unresolved.update(
        target.module for target in targets.values() if not target.is_native and target.choice.driver is None
    )
    return Resolution(targets, gone, absent, standing, unresolved, memory, problems, warnings)


def _given_up(
    survey: Survey, declared: dict[str, list[Entry]], *, policies: dict[str, list[Record]], standing_now: dict[str, list[Standing]],
    targets: dict[str, Target], moved: dict[tuple[str, str], str], undeclared: str | None,
) -> tuple[list[tuple[str, Record]], list[str], list[str]]:
    """((policy, Record) pairs that policies give up, warnings about devices that stay with another policy, problems: devices that another
    policy has). ``moved``: as of Memory; the rest as of resolve().
    """
    gone = leaving(survey, declared, policies=policies, targets=targets)
    gone += left_standing(survey.devices, declared, standing_now=standing_now, targets=targets, known=gone)
    others = owners.holders_of(
        survey.devices, policies={policy: records for policy, records in policies.items() if policy not in declared},
        standings={policy: kinds for policy, kinds in standing_now.items() if policy not in declared},
    )
    gone, stay = owners.last_held(gone, others)
    if undeclared in MOVES:
        gone += followed(survey, declared, policies=policies, targets=targets, moved=moved)
    return gone, stay, owners.conflicts(targets, others, undeclared=undeclared)


def _unknown_drivers(survey: Survey, entry: Entry) -> list[str]:
    """Why the drivers that an entry names cannot be had, whether it matches a device or not."""
    problems = []
    for driver in (entry.driver, entry.fallback):
        if driver not in (AUTO, NATIVE, None):
            try:
                named_driver(survey.modules, driver, where=entry.where, kernel=survey.kernel)
            except PlanError as error:
                problems += error.messages
    return problems


def _claim(
    survey: Survey, selector: Selector, entry: Entry, targets: dict[str, Target], problems: list[str], forgotten: list[str], memory: Memory,
) -> None:
    addresses = selector.select(entry.match)
    shared = selector.unclear(entry.match, where=entry.where, addresses=addresses)
    if shared:
        problems += shared
        return
    if entry.count is not None and len(addresses) != entry.count:
        problems.append(
            f"{entry.where}: count is {entry.count}, but {entry.match.words} matches {len(addresses)}"
            f"{': ' + ', '.join(addresses) if addresses else ''}"
            f"{'; count: 0 says that no device may match' if entry.count == 0 else ''}"
            f"{_unseen(survey, selector, entry, forgotten, memory) if len(addresses) < entry.count else ''}"
        )
        return
    if not addresses and entry.count is None and not entry.optional:
        hint = _unseen(survey, selector, entry, forgotten, memory)
        # Who has mistyped a value must not be told to do without the device; what was taken by this match was not mistyped.
        was_there = any(record.was_taken_by(entry.match.text) for record in memory.rules.values())
        no_vf = _no_vf(survey, selector, entry)
        remedy = ("" if was_there else selector.nearest(entry.match, has_vfs=not no_vf)) or ("" if no_vf else _OPTIONAL)
        remedy = f"{remedy}{hint}" if remedy else hint[2:]
        problems.append(Objection(f"{entry.where}: {entry.match.words} matches no device of this host; {remedy}", UNMATCHED, remedy=remedy))
    for address in addresses:
        device = survey.devices[address]
        other = other_in_slot(entry, device, memory=memory) or below_other_root(entry, device, devices=survey.devices, memory=memory)
        if other is None:
            _add(survey, targets, problems, device, entry)
        else:
            problems.append(other)


def _unseen(survey: Survey, selector: Selector, entry: Entry, forgotten: list[str], memory: Memory) -> str:
    """What may keep a device that is there from being seen as what is wanted; each reason begins with a semicolon."""
    hint = ""
    if forgotten and _HIDDEN.intersection(entry.match.wanted):
        hint = f"; {', '.join(forgotten)} are on VFIO and no rules file of a policy remembers what they were: match these by address"
    asleep = [one.address for one in survey.devices.values() if one.is_asleep and one.address not in memory.records]
    if "serial" in entry.match.wanted and asleep:
        hint += (
            f"; {', '.join(asleep)} sleep (D3cold) and were not woken to be asked for a serial number: match these by address, or "
            "wake them: echo on > power/control"
        )
    if "uid" in entry.match.wanted and any(device.zpci and not device.zpci["uid_is_unique"] for device in survey.devices.values()):
        hint += "; UIDs are not unique on this host (uid_is_unique is 0): match by function_id"
    return hint + _macs_in_use(survey, entry) + _no_vf(survey, selector, entry)


def _macs_in_use(survey: Survey, entry: Entry) -> str:
    """What to say of wanted MACs that devices have at the moment, and that are not their own."""
    wanted = entry.match.wanted.get("mac", ())
    return "".join(
        f"; {one['address']} is in use by {one['name']} ({device.address}), whose permanent address, which counts, is {one['mac']}"
        for device in survey.devices.values() for one in device.net
        if one["address"] in wanted and one["address"] != one["mac"]
    )


def _no_vf(survey: Survey, selector: Selector, entry: Entry) -> str:
    """Why the PFs that an entry names have none of the VFs that it names; "" where they have, or it names none."""
    if not entry.match.pfs:
        return ""
    pfs = selector.pfs(entry.match)
    if not pfs:
        words = sorted({pf_match.words for pf_match in entry.match.pfs})
        there = {str(one["name"]) for device in survey.devices.values() if device.sriov for one in device.net}
        near = nearest(words[0], sorted(there), most=2, cutoff=0.75)
        return f"; no PF of this host is {' or '.join(words)}" + (f"; the nearest one is {' or '.join(near)}" if near else "")
    last: dict[str, int] = {}
    for device in survey.devices.values():
        if device.physfn in pfs and device.vf is not None:
            last[device.physfn] = max(device.vf, last.get(device.physfn, 0))
    if not last:
        return f"; there are no VFs of {', '.join(sorted(pfs))}: declare their number, in sriov (the role's passthrough_sriov) or by vfio.host.sriov_vfs"
    if "vf" not in entry.match.wanted:
        return ""
    return "".join(f"; of {pf} there are the VFs 0 to {number}" for pf, number in sorted(last.items()))


def _add(survey: Survey, targets: dict[str, Target], problems: list[str], device: Device, entry: Entry, via: str | None = None) -> None:
    note = f"; in the IOMMU group of {via}" if via else ""
    choice, is_vfio = _choose(survey, device, entry)
    if via:
        choice = choice.noted(f"in the IOMMU group of {via}")
    is_met = _is_met(survey, device, choice)
    if is_vfio and not is_met:
        device = survey.woken.get(device.address, device)
    target = Target(device, entry, choice, is_vfio, is_met, via=via)
    other = targets.setdefault(device.address, target)
    if set(entry.force) - set(other.entry.force):
        # Several entries may select a device, and each gives up what it says.
        targets[device.address] = replace(other, entry=replace(other.entry, force=other.entry.force + entry.force))
    differ = (other.choice.module, other.choice.driver) != (choice.module, choice.driver)
    if differ or other.entry.policy != entry.policy:
        remedy = "" if differ else ": a device belongs to one policy, take it out of one of them"
        problems.append(
            f"{device.address} is claimed twice: for {other.wish} by {other.entry.where}, "
            f"for {target.wish} by {entry.where}{note}{remedy}"
        )


def _is_met(survey: Survey, device: Device, choice: Choice) -> bool:
    if choice.source == NATIVE:
        return device.driver_override is None and not survey.is_vfio(device.driver) and (
            device.driver is not None or survey.native_driver(device) is None
        )
    return choice.driver is not None and device.driver == device.driver_override == choice.driver


def _lacks_group(target: Target) -> bool:
    return target.is_vfio and not target.is_met and target.device.not_bindable == NO_GROUP


def _choose(survey: Survey, device: Device, entry: Entry) -> tuple[Choice, bool]:
    """(Choice, whether the driver serves VFIO) for one device of an entry."""
    if entry.driver == NATIVE:
        return Choice(None, None, NATIVE, because="no override: the kernel picks the driver", is_usual=True), False
    if entry.driver == AUTO:
        return openable(survey.choices.choice(device.modalias), entry.consumer, said=entry.consumer_said), True
    return _pinned(survey, device, entry, entry.driver)


def _pinned(survey: Survey, device: Device, entry: Entry, driver: str) -> tuple[Choice, bool]:
    modules = survey.modules
    module, name = named_driver(modules, driver, where=entry.where, kernel=survey.kernel)
    declared = modules.aliases_of(module)
    is_vfio = survey.is_vfio(driver) or any(alias.pattern.startswith("vfio_pci:") for alias in declared)
    found = matching(declared, device.modalias)
    alias = min(found, key=lambda pair: pair[0])[1].pattern if found else None
    reason, undeclared = "the inventory names it", ""
    # The kernel checks no id of a driver that an override names, so this is the only check there is.
    if declared and not found:
        reason += f", although none of module {module}'s aliases matches the device"
        undeclared = (
            f"{entry.where}: driver {driver} does not declare {device.address} ({device.name}): none of module "
            f"{module}'s aliases matches {device.modalias}; to bind it all the same, {how_to_force(UNDECLARED, entry.where)}"
        )
    return Choice(module, name, PINNED, alias=alias, because=reason, is_usual=not undeclared, undeclared=undeclared), is_vfio


def _or_fallback(survey: Survey, target: Target, refusal: Refusal | None, unresolved: set[str]) -> Target:
    """The target as it is, or with the fallback that its entry declares where its driver is known to refuse the device.

    ``unresolved`` gains the fallback's module where only loading it tells whether it has such a driver.
    """
    entry, device = target.entry, target.device
    if entry.fallback is None:
        return target
    choice, is_vfio = _pinned(survey, device, entry, entry.fallback)
    if choice.module is not None and choice.driver is None and not target.is_met:
        unresolved.add(choice.module)
    undeclared = target.choice.undeclared or choice.undeclared
    if refusal is None or (refusal.module, refusal.fallback) != (target.choice.module, entry.fallback):
        return replace(target, choice=replace(target.choice, undeclared=undeclared))
    reason = f"{refusal.driver} refused the device with {refusal.errno}, and {entry.where} declares this fallback"
    choice = replace(choice, source=FALLBACK, because=reason, is_usual=False, undeclared=undeclared)
    return replace(target, choice=choice, is_vfio=is_vfio, is_met=_is_met(survey, device, choice), refused=refusal)


def _extend_groups(survey: Survey, targets: dict[str, Target], problems: list[str]) -> list[str]:
    """Take along what shares a group with a target that says so. Warnings of what the chipset needs of that."""
    brought: list[Target] = []
    extended: dict[str, Entry] = {}
    for address in sorted(targets):
        target = targets[address]
        for member in _group_of(survey, target):
            if member in extended and extended[member].policy != target.entry.policy:
                problems.append(
                    f"{member} is claimed twice: it is in IOMMU group {target.device.iommu_group}, to which {extended[member].where} and "
                    f"{target.entry.where} extend; declare it in one of these policies"
                )
        for device in members_to_take(survey, targets, target=target):
            entry = replace(target.entry, driver=AUTO, force=())
            _add(survey, targets, problems, device, entry, via=address)
            extended[device.address] = entry
            brought.append(targets[device.address])
    return [warning for warning in map(of_chipset, brought) if warning]


def _group_of(survey: Survey, target: Target) -> Sequence[str]:
    """The members of the IOMMU group to which a target's entry extends."""
    group = target.device.iommu_group
    return survey.groups[group] if target.is_vfio and target.entry.iommu_group == EXTEND and group is not None else ()


__all__ = ("FALLBACK", "PINNED", "Resolution", "Target", "resolve")
