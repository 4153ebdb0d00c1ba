# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From declared numbers of VFs to what each PF shall have, or every reason why it cannot. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Iterable, List, NamedTuple, Tuple

from ansible_collections.vfio.host.plugins.module_utils._core.force import GUARDS, how_to_force
from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import MOVES, RELEASE, REPORT
from ansible_collections.vfio.host.plugins.module_utils._devices.match import Selector
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import STORAGE, Device, is_owed_to_pf
from ansible_collections.vfio.host.plugins.module_utils._devices.refusals import in_use
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError
from ansible_collections.vfio.host.plugins.module_utils._sriov import changes, rules
from ansible_collections.vfio.host.plugins.module_utils._sriov.attributes import resolve_settings
from ansible_collections.vfio.host.plugins.module_utils._sriov.spec import MAX, Entry, parse_entries

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import Sriov
    from ansible_collections.vfio.host.plugins.module_utils._sriov.state import State

UNCHANGED, CHANGED, RELEASED, PENDING = "unchanged", "changed", "released", "pending"


@dataclass(frozen=True)
class Request:
    """What a task asks for. ``devices``: the user's list; None, with state absent, means every PF that has a record.

    ``policies``: those that the same task declares, whose VFs it judges itself; None: all. ``key``: the list's name.
    ``undeclared``: what is done about PFs that have a record and that it does not name, of CHOICES; None: nothing.
    """

    devices: list[Any] | None
    present: bool = True
    now: bool = True
    at_boot: bool = True
    force: tuple[str, ...] = ()
    timeout: int = 10
    policies: frozenset[str] | None = frozenset()
    key: str = "devices"
    undeclared: str | None = None


class Bound(NamedTuple):
    """The driver, and its module, that has a VF again when it is there."""

    driver: str
    module: str


@dataclass(frozen=True)
class PfPlan:
    """What happens to one PF. ``before``: its VFs now; ``vfs``: those that there will be, as Devices; ``bound``: address
    -> Bound of those that a policy takes again as soon as they are there; ``warnings``: sentences; ``where`` and
    ``force``: the entry that it is about, and the guards of its VFs that entries give up; ``attributes``: the AttributePlan of its VFs.
    """

    device: Device
    autoprobe: bool
    before: list[Device]
    vfs: list[Device]
    status: str
    now: bool
    record: rules.PfRecord | None
    bound: dict[str, Bound] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    where: str | None = None
    force: frozenset[str] = frozenset()
    attributes: changes.AttributePlan = changes.NONE

    @property
    def resizes(self) -> bool:
        """Whether the number of VFs changes in this run."""
        return self.now and len(self.before) != len(self.vfs)

    @property
    def autoprobe_between(self) -> bool:
        """Automatic probing after the number is set, and before drivers are looked at."""
        return not (self.resizes and self.vfs) and bool(sriov_of(self.device)["autoprobe"])


def sriov_of(pf: Device) -> Sriov:
    """{total, num, autoprobe} of a PF, which every Device here has."""
    return pf.sriov or {"total": 0, "num": 0, "autoprobe": True}


# A PfPlan for each PF that a request is about, and the reasons why there cannot be one.
Draft = Tuple[List[PfPlan], List[str]]


def resolve(state: State, request: Request) -> Draft:
    """The Draft of a request. Raises InputError."""
    entries = _checked(request)
    problems: list[str] = []
    pfs = (_present if request.present else _absent)(state, request, entries, problems)
    if request.present and request.undeclared == RELEASE:
        named = {one.device.address for one in pfs}
        pfs = sorted(pfs + _given_back(state, request, set(state.records) - named, problems), key=lambda one: one.device.address)
    return [_forced(one, entries or (), state) for one in pfs], problems


def concerned(state: State, pfs: Iterable[PfPlan], *, request: Request) -> dict[str, bool]:
    """Address -> whether its disks count, of each VF that goes away or gets attributes that its users feel."""
    found: dict[str, bool] = {}
    for one in pfs:
        with_disks = STORAGE not in one.force.union(request.force)
        vfs = list(one.before) if one.resizes else []
        found.update((vf.address, with_disks) for vf in vfs + changes.concerned(state, one.device, plan=one.attributes))
    return {address: with_disks for address, with_disks in found.items() if address not in state.host.survey.stuck}


def objections(state: State, pfs: list[PfPlan], *, request: Request) -> list[str]:
    """Every reason against the PfPlans of a request, when the state has what uses their VFs."""
    problems: list[str] = []
    for one in pfs:
        problems += _cannot_create(state, one) + _in_use(state, one, request)
        problems += changes.refusals(state, one.device, plan=one.attributes, forced=one.force.union(request.force))
    mine = [(one.device, one.attributes) for one in pfs if one.record is not None]
    problems += changes.shared_addresses(state.host.survey, mine, links=state.links)
    return problems + changes.missing_programs(state, mine, at_boot=request.at_boot)


def _forced(one: PfPlan, entries: Iterable[Entry], state: State) -> PfPlan:
    """The PfPlan with what the entries that select its PF give up."""
    selector = Selector(state.host.survey.devices)
    mine = [entry for entry in entries if one.device.address in selector.select(entry.match)]
    if not mine:
        return one
    return replace(one, where=mine[0].where, force=frozenset(kind for entry in mine for kind in entry.force))


def _checked(request: Request) -> list[Entry] | None:
    if not (request.now or request.at_boot):
        raise InputError("now and at_boot are both false, so there is nothing to do; say which of them you mean")
    unknown = sorted(set(request.force) - set(GUARDS))
    if unknown:
        raise InputError(f"force: {', '.join(unknown)} is no guard; there are: {', '.join(GUARDS)}")
    if request.devices is None:
        return None
    entries = parse_entries(request.devices, request.key, present=request.present)
    if request.present and not entries and request.undeclared not in MOVES:
        raise InputError(f"{request.key} is an empty list; to give back what was made before, say state: absent")
    return entries


def _vfs_of(state: State, pf: Device) -> list[Device]:
    """A PF's VFs now, in their order."""
    return [one for one in state.host.survey.devices.values() if one.physfn == pf.address]


def _present(state: State, request: Request, entries: list[Entry] | None, problems: list[str]) -> list[PfPlan]:
    selector = Selector(state.host.survey.devices)
    wanted: dict[str, tuple[Device, int, Entry, dict[int, dict[str, Any]]]] = {}
    for entry in entries or ():
        for pf in _select(state, selector, entry, problems):
            total = sriov_of(pf)["total"]
            number = entry.number(total)
            if not total and entry.numvfs == MAX:
                problems.append(
                    f"{entry.where}: numvfs is max, but {pf.address} ({pf.name}) can have no VFs: its sriov_totalvfs is 0; switch "
                    "SR-IOV on in the card's firmware (with its vendor's tool, or in the setup of the host), or say numvfs: 0"
                )
                continue
            if number > total:
                problems.append(
                    f"{entry.where}: numvfs is {number}, but {pf.address} ({pf.name}) can have {total} VFs at most"
                )
                continue
            wrong: list[str] = []
            settings = resolve_settings(entry.settings, number, problems=wrong)
            problems += [f"{pf.address} ({pf.name}): {one}" for one in wrong]
            dummy, other_number, other, other_settings = wanted.setdefault(pf.address, (pf, number, entry, settings))
            if (other_number, other.autoprobe, other_settings) != (number, entry.autoprobe, settings):
                problems.append(f"{pf.address} is claimed twice, and otherwise: by {other.where} and by {entry.where}")
    found = []
    for pf, number, entry, settings in wanted.values():
        known = state.records.get(pf.address)
        was = {"numvfs": sriov_of(pf)["num"], "autoprobe": sriov_of(pf)["autoprobe"]}
        if known is not None and known.is_of(pf):
            was = known.was
        one = _pf_plan(state, request, pf, number, entry.autoprobe, was, problems)
        found.append(_with_attributes(one, changes.declared(state, pf, settings=settings, resizes=one.resizes, number=number, now=request.now), settings))
    return sorted(found, key=lambda one: one.device.address)


def _select(state: State, selector: Selector, entry: Entry, problems: list[str]) -> list[Device]:
    devices = [state.host.survey.devices[address] for address in selector.select(entry.match)]
    capable = [one for one in devices if one.sriov is not None]
    if not capable:
        others = ", ".join(f"{one.address} ({one.name})" for one in devices)
        why = f"only what cannot have VFs: {others}" if others else "no device of this host"
        problems.append(f"{entry.where}: {entry.match.words} matches {why}")
    shared = selector.unclear(entry.match, where=entry.where, addresses=[one.address for one in capable])
    shared += [message for one in capable for message in _moved_away(state, entry, one)]
    problems += shared
    return [] if shared else capable


def _moved_away(state: State, entry: Entry, pf: Device) -> list[str]:
    """Why an entry that names an address does not mean the PF there: bus numbers moved, and the one that was there is elsewhere."""
    if "address" not in entry.match.wanted or pf.address in state.records:
        return []
    return [
        f"{entry.where}: another device is at {pf.address} ({pf.name}): the one whose VFs were set there is at {record.address} now, since "
        "bus numbers moved; match it by mac, serial or path, by its new address, or give its VFs back first (state: absent)"
        for record in state.records.values() if record.written == pf.address
    ]


def _absent(state: State, request: Request, entries: list[Entry] | None, problems: list[str]) -> list[PfPlan]:
    devices = state.host.survey.devices
    addresses = set(state.records)
    if entries is not None:
        selector = Selector(devices)
        matched = [[address for address in selector.select(entry.match) if address in addresses] for entry in entries]
        for entry, some in zip(entries, matched):
            problems += selector.unclear(entry.match, where=entry.where, addresses=some)
        addresses &= {address for some in matched for address in some}
    return _given_back(state, request, addresses, problems)


def _given_back(state: State, request: Request, addresses: Iterable[str], problems: list[str]) -> list[PfPlan]:
    """The PfPlans of PFs that get the number back that they had before the first run."""
    devices = state.host.survey.devices
    found: list[PfPlan] = []
    for address in sorted(addresses):
        record, pf = state.records[address], devices.get(address)
        if pf is None or not record.is_of(pf) or pf.sriov is None:
            continue
        number, autoprobe = min(record.was["numvfs"], sriov_of(pf)["total"]), record.was["autoprobe"]
        # 0 is what a run leaves that is killed on the way; any other number is somebody else's by now.
        if sriov_of(pf)["num"] not in (len(record.vfs), number, 0):
            number, autoprobe = sriov_of(pf)["num"], sriov_of(pf)["autoprobe"]
        warnings: tuple[str, ...] = ()
        if request.now and number != sriov_of(pf)["num"] and (pf.driver is None or state.host.survey.is_vfio(pf.driver)):
            warnings = (
                f"{address} ({pf.name}) had {number} VFs, and has no driver now that could make them: it is given back with "
                f"{sriov_of(pf)['num']}",
            )
            number = sriov_of(pf)["num"]
        one = replace(_pf_plan(state, request, pf, number, autoprobe, None, problems), warnings=warnings)
        found.append(_with_attributes(one, changes.given_back(state, pf, resizes=one.resizes, number=number, now=request.now)))
    return found


def _with_attributes(one: PfPlan, attributes: changes.AttributePlan, settings: dict[int, dict[str, Any]] | None = None) -> PfPlan:
    """The PfPlan with the AttributePlan of its VFs, and in its record what they are given."""
    record = one.record
    if record is not None:
        was = {key: value for key, value in record.was.items() if key != "attributes"}
        record = replace(record, attributes=settings or {}, was=dict(was, attributes=attributes.was) if attributes.was else was)
    status = one.status
    if attributes.changes and status == UNCHANGED:
        status = RELEASED if one.record is None else CHANGED
    return replace(one, record=record, status=status, attributes=attributes, warnings=one.warnings + attributes.warnings)


def _pf_plan(
    state: State, request: Request, pf: Device, number: int, autoprobe: bool, was: dict[str, Any] | None, problems: list[str],
) -> PfPlan:
    before = _vfs_of(state, pf)
    bound: dict[str, Bound] = {}
    layout = state.layouts.get(pf.address)
    if number == len(before):
        vfs = before
    elif layout is None:
        problems.append(f"{pf.address} ({pf.name}): its SR-IOV capability cannot be read, so its VFs cannot be told")
        vfs = []
    else:
        vfs = state.expected.vfs(pf, layout, number=number)
        bound = _bound(state, vfs)
        vfs = [_taken(vf, bound.get(vf.address)) for vf in vfs]
    if len(before) != len(vfs):
        status = PENDING if not request.now else RELEASED if was is None else CHANGED
    elif autoprobe != sriov_of(pf)["autoprobe"] and request.now:
        status = RELEASED if was is None else CHANGED
    else:
        status = UNCHANGED
    record = None
    if was is not None:
        record = rules.PfRecord(pf.address, pf.ids, tuple(vf.address for vf in vfs), autoprobe, was, pf.devpath)
    shown = autoprobe if request.now else bool(sriov_of(pf)["autoprobe"])
    return PfPlan(pf, shown, before, vfs, status, request.now, record, bound)


def _bound(state: State, vfs: Iterable[Device]) -> dict[str, Bound]:
    """Address -> Bound, of the VFs that policies on the host have taken, and take again when they are there."""
    recorded = state.host.recorded
    pairs = [(vf, recorded.get(vf.address)) for vf in vfs]
    return {
        vf.address: Bound(record.driver, record.module) for vf, record in pairs
        if record is not None and record.driver is not None and not record.released and record.is_of(vf) and (vf.vfio or {})["bindable"]
    }


def _taken(vf: Device, bound: Bound | None) -> Device:
    return vf if bound is None else replace(vf, driver=bound.driver, driver_override=bound.driver)


def _cannot_create(state: State, one: PfPlan) -> list[str]:
    if not one.resizes:
        return []
    pf, stuck = one.device, state.host.survey.stuck
    if pf.address in stuck:
        return [stuck[pf.address]]
    if pf.driver is None:
        return [
            f"{pf.address} ({pf.name}) has no driver, and only a driver makes VFs: load it, or say now: false to have them "
            "at the next boot"
        ]
    if state.host.survey.is_vfio(pf.driver):
        return [f"{pf.address} ({pf.name}) has the driver {pf.driver}, which makes no VFs: give it back to its own first"]
    return []


def _in_use(state: State, one: PfPlan, request: Request) -> list[str]:
    """The kernel knows only one way from a number to another: through 0, which takes every VF away."""
    if not one.resizes:
        return []
    found = []
    pf, stays, forced = one.device, {vf.address for vf in one.vfs}, one.force.union(request.force)
    change = f"the number of VFs of {pf.address} cannot go from {len(one.before)} to {len(one.vfs)}"
    owners = {
        record.address: policy for policy, records in state.host.policies.items() for record in records
        if not record.released and record.is_of(state.host.survey.devices.get(record.address))
    }
    for vf in one.before:
        if vf.address in state.host.survey.stuck:
            found.append(f"{change}: {state.host.survey.stuck[vf.address]}")
            continue
        found += [
            f"{change}: {vf.address} is in use by {text}"
            for text in in_use(state.uses[vf.address])[0]
        ]
        if not state.host.survey.is_vfio(vf.driver):
            found += [
                f"{change}: {vf.address} is needed by this host: {guard['reason']}; to give it up all the same, "
                f"{how_to_force(guard['kind'], one.where, variable='passthrough_sriov')}" for guard in vf.guards
                # What a VF owes to its PF's guards is about taking it: the PF stays as it is without it.
                if guard["kind"] not in forced and not is_owed_to_pf(guard, pf)
            ]
        owner = owners.get(vf.address)
        judged = request.policies is None or owner in request.policies
        if owner and not judged and vf.address not in stays:
            way = "take it out of that policy first"
            if request.undeclared == REPORT:
                way = f"nobody declares that policy: say {owner}: [] in passthrough_devices, or undeclared: release (passthrough_undeclared)"
            found.append(f"{change}: {vf.address} belongs to policy {owner} and would not be there any more; {way}")
    return found


__all__ = ("CHANGED", "Draft", "PENDING", "PfPlan", "RELEASED", "Request", "UNCHANGED", "concerned", "objections", "resolve", "sriov_of")
