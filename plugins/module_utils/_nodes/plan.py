# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From declared access and the nodes that there are to a plan: the rules file, and every node that changes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Tuple, Union

from ansible_collections.vfio.host.plugins.module_utils._core.diff import of_files, piece
from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import RELEASE, REPORT, remedy
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError, PlanError
from ansible_collections.vfio.host.plugins.module_utils._nodes.rules import Entry, link, render
from ansible_collections.vfio.host.plugins.module_utils._nodes.spec import Wish

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._host.accounts import Account

UNCHANGED, CHANGED, PENDING, RELEASED = "unchanged", "changed", "pending", "released"
_NOTHING = "(none)"
IOMMU = "/dev/iommu"


class Found(NamedTuple):
    """A node that is there: ``path`` from the host's root; who has it, by name, as far as the host's own files know it, and by ``numbers``,
    of user and group; ``links``: those of ours to it, from the root.
    """

    path: str
    owner: str
    group: str
    mode: int
    numbers: Tuple[int, int]
    links: FrozenSet[str] = frozenset()

    @property
    def words(self) -> str:
        """As a diff shows it."""
        return f"{self.owner}:{self.group} {self.mode:04o}"


@dataclass(frozen=True)
class State:
    """What is on the host. ``groups``: number of an IOMMU group -> the node; ``cdevs``: address -> the node; ``entries``: of the rules
    files there; ``texts``: path -> text of these files, of every boot and of this one; ``accounts``: ("owner" or "group", name) -> the
    user or group that a request, or what it leaves, names, None where there is none; ``strangers``: number of an IOMMU group -> {name: driver} of its members
    that VFIO has and no policy does.
    """

    groups: Mapping[str, Found]
    cdevs: Mapping[str, Found]
    iommu: Optional[Found]
    entries: Mapping[Optional[str], Entry]
    texts: Mapping[str, Optional[str]]
    boot_path: str
    volatile_path: str
    accounts: Mapping[Tuple[str, str], Optional[Account]] = field(default_factory=dict)
    strangers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What a task asks for. ``wishes``: as parse() gives them; None in place of a Wish gives back.

    ``devices``: address -> Device of the host; ``owners``: address -> the policy that has it on VFIO when the run has ended;
    ``coming``: those of them that this run binds; ``waiting``: those that the next boot binds; ``leaving``: addresses that this run
    takes off VFIO; ``policies``: the names that nodes may be declared for; ``ended``: those of them that the run gives back.
    ``decided``: addresses of which this run says what becomes of them; ``vfio_drivers``: names of drivers that serve VFIO;
    ``gives_all``: everything of this area goes; ``has_come``: some of ``devices`` are only to come, and are read again when they are there;
    ``unknown``: what is wrong with the wishes.
    """

    wishes: Mapping[Optional[str], Optional[Wish]]
    devices: Mapping[str, Device]
    owners: Mapping[str, str]
    policies: FrozenSet[str]
    coming: FrozenSet[str] = frozenset()
    ended: FrozenSet[str] = frozenset()
    leaving: FrozenSet[str] = frozenset()
    waiting: FrozenSet[str] = frozenset()
    decided: FrozenSet[str] = frozenset()
    vfio_drivers: FrozenSet[str] = frozenset()
    now: bool = True
    at_boot: bool = True
    undeclared: Optional[str] = None
    gives_all: bool = False
    has_come: bool = False
    unknown: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """The nodes of one device, or /dev/iommu, and how they end. ``changes``: the nodes that are not so, each (path, before, after)."""

    wish: Wish
    address: Optional[str]
    iommu_group: Optional[str]
    node: Optional[str]
    cdev: Optional[str]
    links: Tuple[str, ...]
    status: str
    changes: Tuple[Tuple[str, str, str], ...] = ()

    def facts(self) -> Dict[str, Any]:
        """As a task returns it."""
        wish = self.wish
        before = [words for dummy, words, dummy in self.changes if words != _NOTHING]
        return {
            "policy": wish.policy, "address": self.address, "iommu_group": self.iommu_group, "node": self.node, "cdev": self.cdev,
            "before": " ".join(before[0].split(" ")[:2]) if before else None, "owner": wish.owner, "group": wish.group,
            "mode": f"{wish.mode:04o}", "links": list(self.links), "status": self.status,
        }


@dataclass(frozen=True)
class Plan:
    """The whole of a run. ``files``: path -> text or None, of those that change; ``entries``: what the rules say in the end."""

    state: State
    request: Request
    rows: List[Row]
    files: Dict[str, Optional[str]]
    entries: Mapping[Optional[str], Entry]
    warnings: List[str]
    undeclared: List[Dict[str, str]] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether applying it changes anything."""
        return bool(self.files) or any(one.status in (CHANGED, RELEASED) for one in self.rows)

    @property
    def reboot_reasons(self) -> List[str]:
        """Of a device that waits its own plan says so."""
        return [
            f"{one.address or IOMMU} keeps its nodes as they are until the next boot" for one in self.rows
            if one.status == PENDING and one.address not in self.request.waiting
        ]

    @property
    def diff(self) -> List[Dict[str, str]]:
        """The nodes in one piece, then each file."""
        shown = [row for row in self.rows if row.status in (CHANGED, RELEASED) and row.address not in self.request.leaving]
        changes = dict.fromkeys(change for row in shown for change in row.changes)
        found = []
        if changes:
            found.append(piece(
                "VFIO nodes",
                before="".join(f"{path} {before}\n" for path, before, dummy in changes),
                after="".join(f"{path} {after}\n" for path, dummy, after in changes),
            ))
        return found + of_files(self.state.texts, self.files)

    def changed_files(self) -> Dict[str, Optional[str]]:
        """Path -> new text (None: it is removed) of each file that will change."""
        return dict(self.files)

    def result(self) -> Dict[str, Any]:
        """The area's own part of a task's result."""
        return {"nodes": [one.facts() for one in self.rows if one.address not in self.request.leaving]}


def make_plan(state: State, request: Request) -> Plan:
    """The Plan for a Request. Raises InputError, PlanError with every reason at once."""
    if not (request.now or request.at_boot):
        raise InputError("now and at_boot are both false, so there is nothing to do; say which of them you mean")
    unknown, of_accounts = _accounts(state, request)
    problems = [*request.unknown, *unknown]
    problems += [
        f"nodes.{name}: there is no policy {name}, neither declared nor on this host; there are: {', '.join(sorted(request.policies)) or 'none'}"
        for name, wish in request.wishes.items() if wish is not None and name is not None and name not in request.policies
    ]
    wishes = {name: wish for name, wish in request.wishes.items() if wish is not None and name not in request.ended}
    kept = _kept(state, request)
    wishes.update({name: entry.wish for name, entry in kept.items()})
    entries = {name: Entry(wish, _addresses(name, request)) for name, wish in wishes.items()}
    groups = {one.address: one.iommu_group for one in request.devices.values()}
    problems += disagreements(entries, request.owners, groups=groups) + _opened_along(entries, request, strangers=state.strangers)
    if problems:
        raise PlanError(*problems)
    undeclared, told = _undeclared(kept, request)
    rows = [_row(state, request, entry.wish, address) for entry in entries.values() for address in entry.addresses]
    warnings = of_accounts + told
    if None in entries:
        rows.append(_iommu_row(state, request, entries[None].wish))
        if state.iommu is None:
            warnings.append(
                f"iommu_node: there is no {IOMMU} on this host now: its kernel has no iommufd (IOMMUFD), or the module is not loaded"
            )
    rows += _given_back(state, request, entries)
    return Plan(state, request, rows, files_of(state, request, entries=entries), entries, warnings, undeclared)


def _accounts(state: State, request: Request) -> Tuple[List[str], List[str]]:
    """(sentences about names that nobody knows, about names that udev may not take)."""
    unknown: List[str] = []
    warnings: List[str] = []
    for policy, wish in request.wishes.items():
        if wish is None:
            continue
        where = "iommu_node" if policy is None else f"nodes.{policy}"
        for word, key, name in (("user", "owner", wish.owner), ("group", "group", wish.group)):
            account = state.accounts[key, name]
            if account is None:
                unknown.append(f"{where}: {key}: there is no {word} {name} on this host: make it first, or name another one")
            elif not account.is_system:
                # source: systemd NEWS of 258; pull request 40612, by which they are taken again
                warnings.append(
                    f"{where}: {key}: {name} is no {word} of the system ({account.number} is more than 999): udev 258 and 259 pass over "
                    "the whole rule then, and later ones discourage it; make a system group (groupadd --system), with the user in it"
                )
            elif not account.is_local:
                warnings.append(
                    f"{where}: {key}: {name} is in none of the host's own files: udev asks for it when it starts, before there is a network"
                )
    return unknown, warnings


def files_of(state: State, request: Request, *, entries: Mapping[Optional[str], Entry]) -> Dict[str, Optional[str]]:
    """Path -> text or None of the rules files that change. Raises PlanError for what udev would not read."""
    ends: Dict[str, Optional[str]] = {state.boot_path: None, state.volatile_path: None}
    ends[state.boot_path if request.at_boot else state.volatile_path] = render(dict(entries), dict(request.devices))
    return {path: text for path, text in ends.items() if text != state.texts.get(path)}


def _addresses(policy: Optional[str], request: Request) -> Tuple[str, ...]:
    return tuple(sorted(address for address, owner in request.owners.items() if policy is not None and owner == policy))


def _kept(state: State, request: Request) -> Dict[Optional[str], Entry]:
    """The entries on the host that the task does not name and that stay: those of policies that are gone do not."""
    if request.gives_all or request.undeclared == RELEASE:
        return {}
    return {
        name: entry for name, entry in state.entries.items()
        if name not in request.wishes and (name is None or name in request.policies - request.ended)
    }


def _undeclared(kept: Mapping[Optional[str], Entry], request: Request) -> Tuple[List[Dict[str, str]], List[str]]:
    if request.undeclared != REPORT:
        return [], []
    found = [{
        "kind": "nodes", "name": name or "iommu", "reason":
        f"{'the nodes of policy ' + name if name else IOMMU} belong to {entry.wish.words} by this collection, and nobody declares that: "
        + remedy(f"passthrough_nodes, where {name}: {{}} gives them back" if name else "passthrough_iommu_node"),
    } for name, entry in kept.items()]
    return found, [one["reason"] for one in found]


def disagreements(
    entries: Mapping[Optional[str], Entry], owners: Mapping[str, str], *, groups: Mapping[str, Optional[str]],
) -> List[str]:
    """Why a node could not be as declared: devices of one IOMMU group have one node, and who opens it has all of them.

    ``owners``: address -> policy; ``groups``: address -> number of its group, or None.
    """
    by_group: Dict[str, Dict[str, List[str]]] = {}
    for address, policy in owners.items():
        number = groups.get(address)
        if number is not None:
            by_group.setdefault(number, {}).setdefault(policy, []).append(address)
    problems = []
    for number, policies in sorted(by_group.items()):
        wanted = {
            policy: entries[policy].wish if policy in entries else Wish(policy) for policy in sorted(policies)
        }
        if len({wish.access for wish in wanted.values()}) > 1:
            told = "; ".join(
                f"policy {policy} ({', '.join(sorted(policies[policy]))}) "
                + (f"wants {wish.words}" if policy in entries else f"declares no nodes, which leaves it to {wish.words}")
                for policy, wish in wanted.items()
            )
            problems.append(
                f"nodes: IOMMU group {number} has one node, and its policies disagree: {told}; declare the same for them, or have the "
                "devices in one policy"
            )
    return problems


def _opened_along(
    entries: Mapping[Optional[str], Entry], request: Request, *, strangers: Mapping[str, Mapping[str, str]],
) -> List[str]:
    """Why a group's node is not given away: a member would be opened along with it that is on VFIO and in no policy, so that nobody has said
    who may have it.
    """
    problems = []
    for name, entry in entries.items():
        if name is None or entry.wish.access == Wish(name).access:
            continue
        for number in sorted({request.devices[address].iommu_group or "" for address in entry.addresses} & set(strangers)):
            told = ", ".join(f"{member} (driver {driver})" for member, driver in sorted(strangers[number].items()))
            problems.append(
                f"nodes.{name}: IOMMU group {number} has one node, and who opens it for policy {name} has {told} as well, on VFIO by no policy: "
                f"declare it in policy {name}, or take it off VFIO first"
            )
    return problems


def _row(state: State, request: Request, wish: Wish, address: str) -> Row:
    """How the nodes of one device get to a Wish."""
    device = request.devices[address]
    number = device.iommu_group
    group, cdev = state.groups.get(number or ""), state.cdevs.get(address)
    links = tuple(f"/dev/{link(wish.policy or '', device, kind=kind)}" for kind in ("group", "cdev")) if wish.symlink else ()
    changes = _changes(state, group, wish=wish, links=links[:1]) + _changes(state, cdev, wish=wish, links=links[1:])
    is_coming = address in request.coming and group is None
    if is_coming and number is not None:
        changes += ((f"/dev/vfio/{number}", _NOTHING, _ending(wish, links[:1])),)
    if address in request.waiting or (not request.now and (changes or is_coming)):
        status = PENDING
    else:
        status = CHANGED if changes or is_coming else UNCHANGED
    node = f"/dev/vfio/{number}" if number is not None else None
    has_cdev = cdev is not None
    return Row(wish, address, number, node, cdev.path if cdev else None, links if has_cdev else links[:1], status, changes)


def _changes(state: State, node: Optional[Found], *, wish: Wish, links: Tuple[str, ...]) -> Tuple[Tuple[str, str, str], ...]:
    if node is None:
        return ()
    kept = tuple(one for one in links if one in node.links)
    # A number may have several names, or one that no file of the host has.
    accounts = state.accounts.get(("owner", wish.owner)), state.accounts.get(("group", wish.group))
    is_whose = node.mode == wish.mode and node.numbers == tuple(one and one.number for one in accounts)
    before, after = _ending(wish if is_whose else node, kept), _ending(wish, links)
    return () if before == after else ((node.path, before, after),)


def _ending(node: Union[Found, Wish], links: Tuple[str, ...]) -> str:
    return " ".join((node.words, *links))


def _iommu_row(state: State, request: Request, wish: Wish) -> Row:
    changes = _changes(state, state.iommu, wish=wish, links=())
    status = UNCHANGED if not changes else CHANGED if request.now else PENDING
    return Row(wish, None, None, IOMMU if state.iommu else None, None, (), status, changes)


# What the kernel gives a new node (source: drivers/vfio/group.c vfio_devnode(), which sets no mode; drivers/iommu/iommufd/main.c
# iommu_misc_dev, 0660).
_OF_KERNEL, _IOMMU_OF_KERNEL = 0o600, 0o660


def _given_back(state: State, request: Request, entries: Mapping[Optional[str], Entry]) -> List[Row]:
    """Nodes that an entry on the host gave away, and that none gives any more. Those of a device that leaves VFIO go with it; where
    its native driver refuses it, they are root's.
    """
    rows: List[Row] = []
    kept = {address for entry in entries.values() for address in entry.addresses}
    kept_groups = {request.devices[address].iommu_group for address in kept}
    for name, entry in state.entries.items():
        if name is None and None not in entries and state.iommu is not None:
            rows.append(_back(Wish(None, mode=_IOMMU_OF_KERNEL), None, None, (state.iommu, None), request))
        for address in entry.addresses:
            device = request.devices.get(address)
            if device is None or address in kept:
                continue
            number = device.iommu_group
            group = None if number in kept_groups else state.groups.get(number or "")
            found = group, state.cdevs.get(address)
            if any(found):
                rows.append(_back(Wish(name, mode=_OF_KERNEL), address, number, found, request))
    return rows


def _back(wish: Wish, address: Optional[str], number: Optional[str], found: Tuple[Optional[Found], Optional[Found]], request: Request) -> Row:
    changes = tuple(
        (one.path, _ending(one, tuple(sorted(one.links))), wish.words) for one in found
        if one is not None and (one.words != wish.words or one.links)
    )
    paths = [one.path if one is not None else None for one in found]
    status = UNCHANGED if not changes else RELEASED if request.now else PENDING
    return Row(wish, address, number, paths[0], paths[1], (), status, changes)


__all__ = ("CHANGED", "Found", "IOMMU", "PENDING", "Plan", "RELEASED", "Request", "Row", "State", "UNCHANGED", "disagreements", "files_of", "make_plan")
