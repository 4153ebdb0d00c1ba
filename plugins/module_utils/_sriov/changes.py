# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From attributes that VFs shall have to what is set, or every reason why it cannot. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.vfio.host.plugins.module_utils._core.force import how_to_force
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import is_owed_to_pf
from ansible_collections.vfio.host.plugins.module_utils._devices.refusals import in_use
from ansible_collections.vfio.host.plugins.module_utils._host.vfattributes import GROUPS
from ansible_collections.vfio.host.plugins.module_utils._sriov.attributes import groups_of, same_addresses, shown_values

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._devices.state import Survey
    from ansible_collections.vfio.host.plugins.module_utils._sriov.links import Link
    from ansible_collections.vfio.host.plugins.module_utils._sriov.state import State

Values = Dict[str, Any]
Write = Tuple[int, str, Values]  # index of a VF, group, its attributes

# What a VF in use would notice: another address, or frames of another network.
_FELT = ("mac", "vlan", "node_guid", "port_guid")


@dataclass(frozen=True)
class AttributePlan:
    """What happens to the attributes of one PF's VFs. ``wanted``: index -> what it has in the end; ``told``: index -> what it has now, of VFs
    that stay; ``writes``: what the kernel is told; ``was``: index -> what is given back one day.
    """

    wanted: Dict[int, Values] = field(default_factory=dict)
    told: Dict[int, Values] = field(default_factory=dict)
    writes: Tuple[Write, ...] = ()
    was: Dict[int, Values] = field(default_factory=dict)
    warnings: Tuple[str, ...] = ()

    @property
    def changes(self) -> List[Write]:
        """The writes that change something: others ask whether the driver takes it."""
        return [one for one in self.writes if not _is_so(self.told.get(one[0], {}), one[2])]


NONE = AttributePlan()


def declared(state: State, pf: Device, *, settings: Dict[int, Values], resizes: bool, number: int, now: bool) -> AttributePlan:
    """The plan for what a task declares. ``settings``: index -> attributes; ``number``: of its VFs in the end; ``resizes``: they are made anew."""
    known = state.records.get(pf.address)
    known = known if known is not None and known.is_of(pf) else None
    before = {} if known is None else known.attributes
    was = {index: dict(values) for index, values in ({} if known is None else known.was.get("attributes", {})).items()}
    link = state.links.get(pf.address)
    there = {} if link is None else link.vfs
    for index, values in settings.items():
        # Of a VF that is not there yet there is nothing to give back.
        for group in groups_of(values) if now else ():
            if group not in groups_of(before.get(index, {})) and index in there:
                was.setdefault(index, {}).update(_part(there[index], group))
    returned, lost = _dropped(before, settings, was, number)
    told = {} if resizes else there
    wanted = {index: dict(returned.get(index, {}), **settings.get(index, {})) for index in sorted({*settings, *returned})}
    busy = {vf.vf for vf in state.host.survey.devices.values() if vf.physfn == pf.address and vf.holders}
    writes = [
        (index, group, _part(values, group)) for index, values in wanted.items() for group in groups_of(values)
        if not _is_so(told.get(index, {}), _part(values, group))
        # What nobody has tried is told once more, since the driver may not know it; a VF in use is left in peace.
        or (index not in busy and group in groups_of(settings.get(index, {})) and group not in groups_of(before.get(index, {})))
    ] if now else []
    kept = {index: {key: value for key, value in values.items() if _is_still(key, index, settings)} for index, values in was.items()}
    warnings = _warnings(pf, settings, writes, now=now)
    if lost and not resizes:
        warnings += [
            f"{pf.address} ({pf.name}): VF {index} keeps {shown_values(values)}, which nobody declares any more, until its VFs are made again, "
            "as at a boot" for index, values in lost.items()
        ]
    plan = AttributePlan(wanted, told, tuple(writes), {index: one for index, one in kept.items() if one})
    return _with(plan, warnings + _unfelt(state, pf, plan))


def given_back(state: State, pf: Device, *, resizes: bool, number: int, now: bool) -> AttributePlan:
    """The plan for a PF that is given back: its VFs get what they had before the first run."""
    record, link = state.records[pf.address], state.links.get(pf.address)
    told = {} if link is None or resizes else link.vfs
    wanted = {index: values for index, values in record.was.get("attributes", {}).items() if index < number and (resizes or index in told)}
    writes = [
        (index, group, _part(values, group)) for index, values in wanted.items() for group in groups_of(values)
        if not _is_so(told.get(index, {}), _part(values, group))
    ] if now else []
    plan = AttributePlan(wanted, told, tuple(writes))
    return _with(plan, _unfelt(state, pf, plan))


def concerned(state: State, pf: Device, *, plan: AttributePlan) -> List[Device]:
    """The VFs that there are and whose users feel what the plan sets."""
    felt = _felt(plan) if plan.told else {}
    return [vf for vf in state.host.survey.devices.values() if vf.physfn == pf.address and vf.vf in felt]


def refusals(state: State, pf: Device, *, plan: AttributePlan, forced: Iterable[str]) -> List[str]:
    """One sentence for each reason why the plan cannot be met. ``forced``: guards that are given up."""
    if not plan.wanted:
        return []
    named, found = f"{pf.address} ({pf.name})", []
    if plan.writes and not pf.net:
        return [
            f"{named}: attributes of VFs are set through the interface of their PF, and it has none in this network namespace: its driver is "
            f"{pf.driver or '(none)'}; leave vfs out, or bind the driver that makes its interface"
        ]
    if plan.writes and state.links.get(pf.address) is None:
        names = ", ".join(one["name"] for one in pf.net)
        found.append(f"{named}: the kernel does not say which of its interfaces ({names}) has its VFs, so their attributes cannot be set")
    by_index = {vf.vf: vf for vf in state.host.survey.devices.values() if vf.physfn == pf.address}
    # Where VFs are made anew, what keeps them in use is told of the number.
    for index, values in (_felt(plan) if plan.told else {}).items():
        vf = by_index.get(index)
        if vf is None:
            continue
        change = f"VF {index} of {pf.address} cannot get {shown_values(values)}"
        found += [f"{change}: {vf.address} is in use by {text}" for text in in_use(state.uses[vf.address])[0]]
        found += [
            f"{change}: {vf.address} is needed by this host: {guard['reason']}; to give it up all the same, "
            f"{how_to_force(guard['kind'], None, variable='passthrough_sriov')}" for guard in vf.guards
            if guard["kind"] not in forced and not is_owed_to_pf(guard, pf)
        ]
    return found


def missing_programs(state: State, pfs: Sequence[Tuple[Device, AttributePlan]], *, at_boot: bool) -> List[str]:
    """Why a boot cannot give VFs their attributes: a program that the rules start is not there."""
    names = [name for name, path in zip(("ip", "ls"), state.programs) if path is None]
    concerned = [pf for pf, plan in pfs if plan.wanted]
    if not (at_boot and names and concerned):
        return []
    return [
        f"{', '.join(pf.address for pf in concerned)}: udev gives VFs their attributes at boot by the program {' and '.join(names)}, which "
        "this host does not have: install iproute2 and coreutils, or say at_boot: false"
    ]


def shared_addresses(survey: Survey, pfs: Sequence[Tuple[Device, AttributePlan]], *, links: Mapping[str, Optional[Link]]) -> List[str]:
    """Addresses that VFs of several PFs would have, or that others on this host have."""
    wanted = {(pf.address, index): values for pf, plan in pfs for index, values in plan.wanted.items()}
    same = same_addresses(wanted, lambda key: f"VF {key[1]} of {key[0]}") if len({key[0] for key in wanted}) > 1 else []
    across = [told for dummy, dummy, told in same]
    others: Dict[str, str] = {}
    for device in survey.devices.values():
        if device.physfn is None:
            others.update((mac, f"{net['name']} ({device.address})") for net in device.net for mac in (net["mac"], net["address"]) if mac)
    for address, link in links.items():
        stays = next((plan.told for pf, plan in pfs if pf.address == address), None if link is None else link.vfs)
        for index, values in (stays or {}).items():
            if "mac" in values and "mac" not in wanted.get((address, index), {}):
                others[values["mac"]] = f"VF {index} of {address}"
    return across + [
        f"VF {index} of {address} is to have mac {values['mac']}, which {others[values['mac']]} has; give each its own"
        for (address, index), values in wanted.items() if values.get("mac") in others and values["mac"].strip("0:")
    ]


def _with(plan: AttributePlan, warnings: Iterable[str]) -> AttributePlan:
    return AttributePlan(plan.wanted, plan.told, plan.writes, plan.was, tuple(warnings))


def _part(values: Mapping[str, Any], group: str) -> Values:
    return {name: values[name] for name in GROUPS[group] if name in values}


def _is_so(told: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    return all(told.get(name) == value for name, value in values.items())


def _is_still(name: str, index: int, settings: Mapping[int, Values]) -> bool:
    return name in settings.get(index, {})


def _dropped(
    before: Mapping[int, Values], settings: Mapping[int, Values], was: Mapping[int, Values], number: int,
) -> Tuple[Dict[int, Values], Dict[int, Values]]:
    """(what is given back, what stays since nobody knows what it was) of attributes that were declared and are not: index -> attributes."""
    returned: Dict[int, Values] = {}
    lost: Dict[int, Values] = {}
    for index, values in before.items():
        for group in groups_of(values):
            if index < number and group not in groups_of(settings.get(index, {})):
                earlier = _part(was.get(index, {}), group)
                chosen, part = (returned, earlier) if group in groups_of(earlier) else (lost, _part(values, group))
                chosen.setdefault(index, {}).update(part)
    return returned, lost


def _felt(plan: AttributePlan) -> Dict[int, Values]:
    found: Dict[int, Values] = {}
    for index, group, values in plan.changes:
        if group in _FELT:
            found.setdefault(index, {}).update(values)
    return found


def _unfelt(state: State, pf: Device, plan: AttributePlan) -> List[str]:
    """Of VFs with a native driver: it has read its address when it was bound (source: drivers/net/ethernet/intel/igb/igb_main.c
    igb_ndo_set_vf_mac(): "Reload the VF driver to make this change effective").
    """
    by_index = {vf.vf: vf for vf in state.host.survey.devices.values() if vf.physfn == pf.address}
    return [
        f"{by_index[index].address} (VF {index} of {pf.address}) has the driver {by_index[index].driver}, which goes on with the address that it "
        "read when it was bound: the new one holds when a driver is bound to it next"
        for index, group, dummy in plan.changes
        if group == "mac" and index in by_index and plan.told and by_index[index].driver and not state.host.survey.is_vfio(by_index[index].driver)
    ]


def _warnings(pf: Device, settings: Mapping[int, Values], writes: Iterable[Write], *, now: bool) -> List[str]:
    found = []
    if any(group == "rate" and any(values.values()) for dummy, group, values in writes):
        found.append(
            f"{pf.address} ({pf.name}): rates of VFs are asked for at boot, when its interface has no link yet, and some drivers (igb, ixgbe) "
            "refuse them then: run this again when the network is up"
        )
    if settings and not now:
        found.append(
            f"{pf.address} ({pf.name}): nobody has asked its driver {pf.driver or '(none)'} for these attributes of VFs: where it refuses one "
            "at the next boot, there will be no VFs"
        )
    return found


__all__ = ("AttributePlan", "NONE", "concerned", "declared", "given_back", "missing_programs", "refusals", "shared_addresses")
