# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Writes the rules of nodes, has udev look at each node again, and reads them back."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Callable, Dict, List, Mapping, NamedTuple, Optional

from ansible_collections.vfio.host.plugins.module_utils._core.resources import NodeAccess
from ansible_collections.vfio.host.plugins.module_utils._host.accounts import GROUP, USER, Accounts
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, errno_text
from ansible_collections.vfio.host.plugins.module_utils._host.nodes import Access
from ansible_collections.vfio.host.plugins.module_utils._host.udevd import reload_rules, settle
from ansible_collections.vfio.host.plugins.module_utils._nodes.plan import RELEASED, Found, Plan, Row, State, disagreements, files_of
from ansible_collections.vfio.host.plugins.module_utils._nodes.spec import Wish

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs


class _Target(NamedTuple):
    """A node that is there: its path on this machine, the file by which udev hears of it, and what it shall be."""

    found: Found
    path: str
    uevent: str
    wish: Wish
    is_released: bool


class Applier:
    """Applies one plan through ``fs`` and ``files``."""

    def __init__(self, fs: Sysfs, files: Files, accounts: Accounts) -> None:
        self._fs = fs
        self._files = files
        self._accounts = accounts

    def apply(self, plan: Plan, journal: Journal, *, devices: Callable[[], Mapping[str, Device]], nodes: Callable[[], State]) -> Plan:
        """Do all of it; ``devices`` and ``nodes`` give these as they are. Raises ApplyError. Gives the plan as it was carried out.

        Devices have been bound by now, so there are nodes that the plan did not know.
        """
        if plan.request.now:
            # What udev has still to do for these devices it does by the rules as they were.
            settle(self._fs)
        if plan.request.has_come:
            plan = self._with_vfs(plan, devices())
        groups = {address: self._group(address) for address in plan.request.owners}
        problems = disagreements(plan.entries, plan.request.owners, groups=groups)
        if problems:
            raise ApplyError(*problems)
        targets = self._targets(plan, nodes(), groups) if plan.request.now else []
        journal.remember(*(self._resource(one) for one in targets), files=plan.files)
        for path, text in plan.files.items():
            self._files.put(path, text)
        if plan.files:
            reload_rules(self._fs)
        for one in targets:
            self._set(one)
        if targets:
            settle(self._fs)
        self._prove(targets)
        return replace(plan, warnings=plan.warnings + self._without(plan, targets, groups))

    def _with_vfs(self, plan: Plan, devices: Mapping[str, Device]) -> Plan:
        """The plan with the rules for VFs as they have come."""
        request = replace(plan.request, devices=devices)
        gone = sorted(set(request.owners) - set(devices))
        if gone:
            raise ApplyError(f"{', '.join(gone)} went away meanwhile; run again")
        return replace(plan, files=files_of(plan.state, request, entries=plan.entries))

    def _group(self, address: str) -> Optional[str]:
        return self._fs.link(f"{self._fs.device_directory(address)}/iommu_group")

    def _targets(self, plan: Plan, state: State, groups: Dict[str, Optional[str]]) -> List[_Target]:
        """The nodes that the rows of the plan are about."""
        found: Dict[str, _Target] = {}
        for row in plan.rows:
            for node in self._nodes(row, state, groups):
                path = self._fs.root + node.path
                found.setdefault(path, _Target(node, path, self._uevent(node.path), row.wish, row.status == RELEASED))
        return list(found.values())

    def _nodes(self, row: Row, state: State, groups: Dict[str, Optional[str]]) -> List[Found]:
        if row.address is None:
            nodes = [state.iommu]
        elif row.status == RELEASED:
            # Of a group that another policy has, the plan leaves the node out.
            nodes = [state.groups.get(row.iommu_group or "") if row.node else None, state.cdevs.get(row.address)]
        else:
            nodes = [state.groups.get(groups.get(row.address) or ""), state.cdevs.get(row.address)]
        return [one for one in nodes if one is not None]

    def _uevent(self, path: str) -> str:
        name = os.path.basename(path)
        if path.startswith("/dev/vfio/devices/"):
            return f"{self._fs.vfio_devices}/{name}/uevent"
        return f"{self._fs.vfio_groups}/{name}/uevent" if path.startswith("/dev/vfio/") else f"{self._fs.iommu_device}/uevent"

    def _resource(self, one: _Target) -> NodeAccess:
        access = self._access(one)
        return NodeAccess(one.path, access.number, access.uid, access.gid, access.mode, one.uevent)

    def _access(self, one: _Target) -> Access:
        access = self._fs.access(one.path)
        if access is None:
            raise ApplyError(f"{one.found.path} is gone: its device lost its driver meanwhile; run again")
        return access

    def _wanted(self, one: _Target) -> Access:
        owner, group = self._accounts.find(USER, one.wish.owner), self._accounts.find(GROUP, one.wish.group)
        if owner is None or group is None:
            raise ApplyError(f"{one.found.path}: user {one.wish.owner} or group {one.wish.group} is gone meanwhile; run again")
        return Access(owner.number, group.number, one.wish.mode, self._access(one).number)

    def _set(self, one: _Target) -> None:
        """By udev, since that proves that its rule is in force. Nobody else gives back, or does it where no udev runs."""
        if one.is_released or not self._fs.exists(self._fs.udev_control):
            try:
                self._fs.give(one.path, self._wanted(one))
            except OSError as error:
                raise ApplyError(f"{one.found.path} cannot be given to {one.wish.words}: {errno_text(error.errno)}") from error
        self._fs.write(one.uevent, "change")

    def _prove(self, targets: List[_Target]) -> None:
        """Raise ApplyError where a node is not as it shall be. What is given back may belong to whom a rule of others names."""
        problems = []
        for one in targets:
            now = self._access(one)
            if one.is_released or now == self._wanted(one):
                continue
            owner, group = self._accounts.name(USER, now.uid), self._accounts.name(GROUP, now.gid)
            problems.append(
                f"{one.found.path} belongs to {owner}:{group} {now.mode:04o} when udev has handled its rules, and not to {one.wish.words}: a rule "
                "of another file decides otherwise, or udev passes over a user or group that is not of the system; see what udevadm test "
                f"{os.path.dirname(one.uevent)[len(self._fs.root):]} says"
            )
        if problems:
            raise ApplyError(*problems)

    def _without(self, plan: Plan, targets: List[_Target], groups: Dict[str, Optional[str]]) -> List[str]:
        """Sentences about devices on VFIO of which there is no node."""
        if not plan.request.now:
            return []
        there = {one.found.path for one in targets}
        return [
            f"{row.address} has no node of its IOMMU group, so nobody but who may use no-IOMMU mode can open it: nodes of that mode are not given"
            for row in plan.rows
            if row.address is not None and row.address not in plan.request.waiting and row.status != RELEASED
            and f"/dev/vfio/{groups.get(row.address)}" not in there and not row.cdev
        ]


__all__ = ("Applier",)
