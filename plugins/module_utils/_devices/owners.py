# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Which policy a device belongs to: policies that a task does not declare, and devices that only change their owner. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import IGNORE, MOVES, REPORT, remedy
from ansible_collections.vfio.host.plugins.module_utils._devices import rules as device_rules

if TYPE_CHECKING:
    from typing import Collection

    from ansible_collections.vfio.host.plugins.module_utils._devices.area import Host
    from ansible_collections.vfio.host.plugins.module_utils._devices.hotplug_rules import Standing
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._devices.record import Record
    from ansible_collections.vfio.host.plugins.module_utils._devices.resolve import Resolution, Target
    from ansible_collections.vfio.host.plugins.module_utils._devices.spec import Entry

_SHOWN = 8  # devices in a message


def holders_of(
    devices: dict[str, Device], *, policies: dict[str, list[Record]], standings: dict[str, list[Standing]],
) -> dict[str, list[str]]:
    """Address -> the policies whose rules take the device there now, as a list, each once.

    ``policies``: policy -> list of Record; ``standings``: policy -> list of Standing.
    """
    found: dict[str, list[str]] = {}
    for policy in sorted(set(policies) | set(standings)):
        addresses = {
            record.address for record in policies.get(policy, ())
            if not record.released and record.catches(devices.get(record.address))
        }
        for one in standings.get(policy, ()):
            addresses.update(address for address, device in devices.items() if one.catches(device))
        for address in addresses:
            found.setdefault(address, []).append(policy)
    return found


def conflicts(targets: dict[str, Target], others: dict[str, list[str]], *, undeclared: str | None) -> list[str]:
    """A sentence for each target that a policy has which the task does not declare, where it may not move from there.

    ``others``: address -> policies, as holders_of() gives them, of what the task does not declare.
    """
    if undeclared in MOVES:
        return []
    found = []
    for address, target in targets.items():
        for policy in others.get(address, ()):
            way = (
                "undeclared is ignore, so that policy is somebody else's: take the device out of one of them" if undeclared == IGNORE
                else f"give it back there first, or have it change its owner without an unbind: declare both policies in one task of "
                f"vfio.host.passthrough ({policy}: [] where nothing is left of it)"
            )
            found.append(f"{address} belongs to policy {policy}, and {target.entry.where} wants it too; {way}")
    return found


def last_held(gone: list[tuple[str, Record]], others: dict[str, list[str]]) -> tuple[list[tuple[str, Record]], list[str]]:
    """((policy, Record) of what is to be given back, each device once; warnings): what another policy has, too, stays with that.

    A run that was killed while a device changed its owner leaves it in the files of both.
    """
    found: dict[str, tuple[str, Record]] = {}
    warnings = []
    for policy, record in gone:
        keepers = [one for one in others.get(record.address, ()) if one != policy]
        if keepers:
            warnings.append(f"{record.address} is not given back with policy {policy}: policy {' and '.join(keepers)} has it, too")
        else:
            found.setdefault(record.address, (policy, record))
    return list(found.values()), warnings


def lost(
    host: Host, declared: dict[str, list[Entry]], *, kept: list[Record], resolution: Resolution, undeclared: str | None,
) -> dict[str, tuple[list[Record], list[Standing]]]:
    """Policy -> (Records, Standings) that a policy which the task does not declare loses to those that it declares.

    ``host``: as for make_plan(); ``kept``: the Records in the files of the declared; ``resolution``: what they come to. A kind of
    device is known by its patterns. Where nothing may change its owner, what others have recorded stays: it is what tells them
    of another device in the slot, and what gives back one that a boot took there.
    """
    if undeclared not in MOVES:
        return {}
    devices, policies, standings = host.survey.devices, host.policies, host.standings
    taken, moved = resolution.targets, resolution.memory.moved
    places = {record.known_by for record in kept}
    kinds = [one.patterns for some in resolution.standings.values() for one in some]
    found = {}
    for policy in sorted(set(policies).union(standings).difference(declared)):
        records = [
            record for record in policies.get(policy, ())
            if record.known_by in places or (record.address in taken and record.catches(devices.get(record.address)))
            or moved.get((policy, record.address)) in taken
        ]
        gone = [one for one in standings.get(policy, ()) if one.patterns in kinds]
        if records or gone:
            found[policy] = records, gone
    return found


def files_without(
    policy_paths: tuple[str, ...], *, texts: dict[str, str | None], records: list[Record], standings: list[Standing], policy: str,
) -> dict[str, str | None]:
    """Path -> text or None of a policy's files without these Records and Standings; all else stays byte for byte."""
    return {
        path: device_rules.without(text, path, policy=policy, records=records, standings=standings)
        for path, text in ((path, texts.get(path)) for path in policy_paths) if text is not None
    }


def left_over(
    policies: dict[str, list[Record]], standings: dict[str, list[Standing]], *, declared: Collection[str],
    losses: dict[str, tuple[list[Record], list[Standing]]],
) -> dict[str, str]:
    """Policy -> what is left of it on the host after the run, in words; of policies that the task does not declare."""
    found = {}
    for policy in sorted(set(policies).union(standings).difference(declared)):
        records, kinds = losses.get(policy, ((), ()))
        places = [one.place if one.pin else one.address for one in policies.get(policy, ()) if not one.released and one not in records]
        others = [one for one in standings.get(policy, ()) if one not in kinds]
        if places or others:
            more = [f"{len(places) - _SHOWN} more"] if len(places) > _SHOWN else []
            rules = ["a rule for devices that are plugged in"] if others else []
            found[policy] = ", ".join(sorted(places)[:_SHOWN] + more + rules)
    return found


def reports(left: dict[str, str], undeclared: str | None) -> tuple[list[dict[str, str]], list[str]]:
    """(mappings for a task's result, warnings) about policies that are ``left`` on the host, as left_over() gives them."""
    if undeclared == REPORT:
        found = [
            {"kind": "policy", "name": policy, "reason": f"policy {policy} is on the host and nobody declares it ({what}): "
             + remedy(f"passthrough_devices, where {policy}: [] gives it back")}
            for policy, what in left.items()
        ]
        return found, [one["reason"] for one in found]
    if undeclared is None:
        return [], [f"policy {policy} has devices on this host and is not declared here: it is left as it is" for policy in left]
    return [], []


__all__ = ("conflicts", "files_without", "holders_of", "last_held", "left_over", "lost", "reports")
