# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What the policies' records say of the devices that are there now: the same, moved, another, or absent. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._core.globs import fits as fits_glob
from ansible_collections.vfio.host.plugins.module_utils._devices.place import roots_in
from ansible_collections.vfio.host.plugins.module_utils._devices.record import Record
from ansible_collections.vfio.host.plugins.module_utils._devices.spec import AUTO, Entry

if TYPE_CHECKING:
    from typing import Collection, Iterable

    from ansible_collections.vfio.host.plugins.module_utils._devices.hotplug_rules import Standing
    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import Was
    from ansible_collections.vfio.host.plugins.module_utils._devices.match import Match
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._devices.resolve import Target
    from ansible_collections.vfio.host.plugins.module_utils._devices.state import Survey


@dataclass(frozen=True)
class Memory:
    """``records``: address -> the Record of the device there now, wherever it was recorded; ``moved``: (policy, address
    in the record) -> address now; ``seen``: address -> what was known of the device before VFIO hid it; ``rules``: (policy,
    address) -> the Record whose rule is for that address; ``left``: (policy, address) -> the Record of a device that was there,
    and whose slot has another bus number now.
    """

    records: dict[str, Record]
    moved: dict[tuple[str, str], str]
    seen: dict[str, Was]
    rules: dict[tuple[str, str], Record]
    left: dict[tuple[str, str], Record]


def recall(devices: dict[str, Device], policies: dict[str, list[Record]]) -> Memory:
    """The Memory over all policies. A device that moved is known again by its ids and serial number together."""
    with_serial: dict[str, list[Device]] = {}
    for device in devices.values():
        if device.serial is not None:
            with_serial.setdefault(device.serial, []).append(device)
    here: dict[str, Record] = {}
    moved: dict[tuple[str, str], str] = {}
    away: list[tuple[str, Record]] = []
    for policy, records in policies.items():
        for record in records:
            if record.is_of(devices.get(record.address)):
                here[record.address] = record
            else:
                away.append((policy, record))
    for policy, record in away:
        # Functions of one card have one serial number; those of s390 have no number that would tell them apart.
        found = [
            device.address for device in with_serial.get(record.serial or "", ())
            if device.ids == record.ids and (record.pin or device.address[-1] == record.address[-1])
        ]
        if len(found) == 1:
            moved[policy, record.address] = found[0]
            here.setdefault(found[0], record)
    seen = {address: _seen(devices[address], record, with_serial) for address, record in here.items()}
    rules = {
        (policy, record.address): record
        for policy, records in policies.items() for record in records if not record.released
    }
    left = {(policy, record.written): record for (policy, dummy), record in rules.items() if record.written}
    return Memory(here, moved, seen, rules, left)


def _seen(device: Device, record: Record, with_serial: dict[str, list[Device]]) -> Was:
    """A serial number that VFIO hides is believed until another device of the same ids shows it."""
    shown = device.serial is None and any(other.ids == record.ids for other in with_serial.get(record.serial or "", ()))
    if not shown:
        return record.was
    return {**record.was, "serial": None}


def leaving(
    survey: Survey, declared: Iterable[str], *, policies: dict[str, list[Record]], targets: dict[str, Target],
) -> list[tuple[str, Record]]:
    """(policy, Record) of devices that a declared policy took, no longer declares, and still controls.

    A rule compares ids only, so it may have taken the twin of the device that was recorded.
    """
    return [
        (policy, record)
        for policy in declared for record in policies.get(policy, ())
        if record.address not in targets and record.catches(survey.devices.get(record.address))
        and _is_ours(survey.devices[record.address], record)
    ]


def followed(
    survey: Survey, declared: Collection[str], *, policies: dict[str, list[Record]], targets: dict[str, Target],
    moved: dict[tuple[str, str], str],
) -> list[tuple[str, Record]]:
    """(policy, Record) of what the rules of policies that are not declared took in the old place of a device that a declared policy
    has now, in its new place. The declared one gives it back.
    """
    found = []
    for owner in sorted(set(policies).difference(declared)):
        for record in policies[owner]:
            target = targets.get(moved.get((owner, record.address), ""))
            if target is not None:
                found += leaving(survey, (target.entry.policy,), policies={target.entry.policy: [record]}, targets=targets)
    return found


def _is_ours(device: Device, record: Record) -> bool:
    """Whether the device is still as the policy left it; what somebody else changed since is theirs."""
    if device.driver_override is not None:
        return device.driver_override == record.driver
    if device.driver is None:
        return record.released  # a run that was killed on the way left it so
    return device.driver == record.driver != record.was["driver"]


def left_standing(
    devices: dict[str, Device], declared: Iterable[str], *, standing_now: dict[str, list[Standing]], targets: dict[str, Target],
    known: list[tuple[str, Record]],
) -> list[tuple[str, Record]]:
    """(policy, Record) of what a declared policy's standing rules took, what no record knows and no entry declares now."""
    seen = set(targets).union(record.address for dummy, record in known)
    return [
        (policy, Record(device.address, device.ids, one.driver, one.module, {"driver": None, "net": [], "serial": device.serial}))
        for policy in declared for one in standing_now.get(policy, ())
        for device in devices.values()
        if device.address not in seen and device.driver_override == one.driver and one.catches(device)
    ]


def waiting(
    devices: dict[str, Device], declared: dict[str, list[Entry]], *, policies: dict[str, list[Record]], targets: dict[str, Target],
    moved: dict[tuple[str, str], str], from_undeclared: bool = False,
) -> list[tuple[str, Record]]:
    """(policy, Record) of devices that are absent and keep their rule: the optional entry that took them is declared, by the
    policy that took them or by another one, which has them then. ``from_undeclared``: also of policies that are not declared.

    No rule is kept that would take the device which is there instead.
    """
    found: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[str, Record]] = {}
    for owner in sorted(policies, key=lambda one: one not in declared):
        if owner not in declared and not from_undeclared:
            continue
        for record in policies[owner]:
            if record.released or record.address in targets or (owner, record.address) in moved:
                continue
            keeper = None if record.catches(devices.get(record.address)) else _keeper(owner, record, declared)
            if keeper is not None:
                found.setdefault(record.known_by, (keeper, record))
    return list(found.values())


def _keeper(owner: str, record: Record, declared: dict[str, list[Entry]]) -> str | None:
    """The policy of the optional entry that took a record, its own before others; None where no such entry is declared."""
    for policy in sorted(declared, key=lambda one: one != owner):
        if any(
            entry.optional and record.was_taken_by(entry.match.text) and entry.driver in (AUTO, record.driver)
            for entry in declared[policy]
        ):
            return policy
    return None


def other_in_slot(entry: Entry, device: Device, *, memory: Memory) -> str | None:
    """Why an entry that names an address does not take the device there: it is not the one recorded; None where it is.

    A serial number in the match says which device is meant, whatever was there before.
    """
    policy, record = _rule_for(entry, device.address, memory)
    if record is None or record.is_of(device):
        return None
    if "serial" in entry.match.wanted or not _names_address(entry.match, device.address, record):
        return None
    now = record.address if record.written else memory.moved.get((policy, record.address))
    boot = ""
    if device.driver_override == record.driver and record.catches(device):
        boot = f"; udev, which cannot compare serial numbers, gave it to {record.driver}"
    return (
        f"{entry.where}: another device is at {device.address}: {_identity(device.ids, device.serial)}{boot}; the policy "
        f"took {_identity(record.ids, record.serial)} there{', which is at ' + now + ' now' if now else ''}; to take the "
        f"new one, match it by serial, or by a path that no other device has, or release policy {policy} first"
    )


def _rule_for(entry: Entry, address: str, memory: Memory) -> tuple[str, Record | None]:
    """(policy, Record) of the rule for an address that an entry has made, in its policy or in the one that it was in before."""
    # As the rules name it now, and as they named it where its device has left.
    rules = {**memory.left, **memory.rules}
    if (entry.policy, address) in rules:
        return entry.policy, rules[entry.policy, address]
    found = [
        (policy, record) for (policy, place), record in rules.items() if place == address and record.was_taken_by(entry.match.text)
    ]
    return found[0] if found else (entry.policy, None)


def _names_address(match: Match, address: str, record: Record) -> bool:
    """Whether a match means a device by its address. Where bus numbers moved, the address of a PF does, and a glob of addresses
    that the recorded device has left.
    """
    addresses = match.wanted.get("address", ())
    if address in addresses:
        return True
    if not record.written:
        return False
    left = bool(addresses) and not any(fits_glob(record.address, one) for one in addresses)
    return left or any("address" in pf_match.wanted for pf_match in match.pfs)


def below_other_root(entry: Entry, device: Device, *, devices: dict[str, Device], memory: Memory) -> str | None:
    """Why an entry by path does not take a device below another root than the one it took; None where it may.

    The one is absent then, and its path is the same: with bus numbers that moved it would still be below its root.
    """
    if entry.match.path is None or "/" in entry.match.path or device.address in memory.records:
        return None
    for (policy, address), record in memory.rules.items():
        if record.pin or not record.was_taken_by(entry.match.text):
            continue
        root = roots_in(record.devpath) if record.devpath else _root_of(address, devices)
        if (policy, address) in memory.moved or record.is_of(devices.get(address)) or root in (None, device.root):
            continue
        return (
            f"{entry.where}: path {entry.match.path} is the place of {device.address} below root {device.root} now, and was that of "
            f"{address} below root {root}, which is absent; to take the other one, say its whole path, {device.path}, or address "
            f"beside path, or release policy {policy} first"
        )
    return None


def _root_of(address: str, devices: dict[str, Device]) -> str | None:
    """The root that an address is below: the last one of its domain that does not begin behind its bus; None for no such."""
    place = address.rsplit(":", 1)[0]
    domain = place.split(":")[0]
    return max((
        one.root for one in devices.values() if one.root and one.root.split(":")[0] == domain and one.root <= place
    ), default=None)


def _identity(ids: dict[str, str], serial: str | None) -> str:
    return f"{ids['vendor']}:{ids['device']} {'serial ' + serial if serial else 'without serial number'}"


__all__ = ("Memory", "below_other_root", "followed", "leaving", "left_standing", "other_in_slot", "recall", "waiting")
