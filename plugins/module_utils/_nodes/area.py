# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The area of VFIO nodes: read, plan, apply. Devices, and who has them, come with the request."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Dict, Mapping, Optional, Set

from ansible_collections.vfio.host.plugins.module_utils._core.area import require_root
from ansible_collections.vfio.host.plugins.module_utils._devices.members import OF_OTHER_BUSES
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import last_address
from ansible_collections.vfio.host.plugins.module_utils._host.accounts import GROUP, USER, Accounts
from ansible_collections.vfio.host.plugins.module_utils._nodes import rules
from ansible_collections.vfio.host.plugins.module_utils._nodes.plan import IOMMU, Found, Plan, Request, State, make_plan

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs


_KINDS = {"owner": USER, "group": GROUP}


class NodeArea:
    """Access to the VFIO nodes of one host, through ``fs`` (the kernel's files) and ``files`` (configuration)."""

    def __init__(self, fs: Sysfs, files: Files) -> None:
        self._fs = fs
        self._files = files
        self._accounts = Accounts(fs)

    def read(self, request: Request) -> State:
        """The nodes as they are now, with the accounts that a request names, or entries that it leaves as they are, and who else is on VFIO
        in the groups of its devices.
        """
        state = self.scan()
        wishes = [wish for wish in request.wishes.values() if wish is not None]
        if not request.gives_all:
            wishes += [entry.wish for name, entry in state.entries.items() if name not in request.wishes]
        names = {one for wish in wishes for one in (("owner", wish.owner), ("group", wish.group))}
        return replace(
            state, accounts={(key, name): self._accounts.find(_KINDS[key], name) for key, name in names},
            strangers=self._strangers(state, request),
        )

    def scan(self) -> State:
        """The nodes as they are now."""
        require_root(self._fs)
        fs, files = self._fs, self._files
        boot, volatile = f"{files.boot_rules}/{rules.NAME}", f"{files.volatile_rules}/{rules.NAME}"
        texts = {path: files.read(path) for path in (boot, volatile)}
        entries = {**rules.parse(texts[volatile], volatile), **rules.parse(texts[boot], boot)}
        links = self._links()
        groups = {name: self._found(f"/dev/vfio/{name}", links) for name in fs.names(fs.vfio_groups) if name.isdecimal()}
        cdevs = {}
        for name in fs.names(fs.vfio_devices):
            address = last_address(fs.target(f"{fs.vfio_devices}/{name}") or "")
            # Without VFIO_DEVICE_CDEV there is the device, and no number of a node.
            if address is not None and fs.read(f"{fs.vfio_devices}/{name}/dev") is not None:
                cdevs[address] = self._found(f"/dev/vfio/devices/{name}", links)
        return State(
            {name: one for name, one in groups.items() if one}, {address: one for address, one in cdevs.items() if one},
            self._found(IOMMU, {}) if fs.exists(fs.iommu_device) else None, entries, texts, boot, volatile,
        )

    def _found(self, path: str, links: Dict[str, Set[str]]) -> Optional[Found]:
        access = self._fs.access(self._fs.root + path)
        if access is None:
            return None
        owner, group = self._accounts.name(USER, access.uid), self._accounts.name(GROUP, access.gid)
        return Found(path, owner, group, access.mode, (access.uid, access.gid), frozenset(links.get(path, ())))

    def _links(self) -> Dict[str, Set[str]]:
        """Path of a node -> the stable links of ours to it, all from the host's root."""
        fs = self._fs
        found: Dict[str, Set[str]] = {}
        top = f"/dev/{rules.LINKS}"
        for policy in fs.names(fs.root + top):
            for name in fs.names(f"{fs.root}{top}/{policy}"):
                for kind in ("group", "cdev"):
                    path = f"{top}/{policy}/{name}/{kind}"
                    target = fs.target(fs.root + path)
                    if target is not None:
                        found.setdefault(os.path.normpath(os.path.join(os.path.dirname(path), target)), set()).add(path)
        return found

    def plan(self, state: State, request: Request) -> Plan:
        """The plan for the request that the state was read for; nothing is touched. Raises InputError, PlanError."""
        return make_plan(state, request)

    def _strangers(self, state: State, request: Request) -> Dict[str, Dict[str, str]]:
        """State.strangers, of the groups of owned devices that have a node now: where none is, VFIO has no member yet."""
        fs = self._fs
        given = {name for name, wish in request.wishes.items() if wish is not None} | set(state.entries)
        groups = {request.devices[address].iommu_group or "" for address, policy in request.owners.items() if policy in given}
        known = set(request.owners) | request.decided
        found: Dict[str, Dict[str, str]] = {}
        for number in groups & set(state.groups):
            directory = f"{fs.iommu_groups}/{number}/devices"
            for name in fs.names(directory):
                driver = None if name in known else fs.link(f"{directory}/{name}/driver")
                if driver is not None and self._serves_vfio(f"{directory}/{name}", driver, request):
                    found.setdefault(number, {})[name] = driver
        return found

    def _serves_vfio(self, device: str, driver: str, request: Request) -> bool:
        """Whether a driver has a device for VFIO. Kernels before 6.1 show that by the driver's name alone (source:
        drivers/vfio/vfio_main.c __vfio_register_dev()).
        """
        return driver in request.vfio_drivers or driver in OF_OTHER_BUSES or self._fs.exists(f"{device}/vfio-dev")

    def apply(self, plan: Plan, journal: Journal) -> Plan:
        """Carry the plan out and return it as carried out. Raises ApplyError."""
        from ansible_collections.vfio.host.plugins.module_utils._nodes.apply import Applier
        return Applier(self._fs, self._files, self._accounts).apply(plan, journal, devices=self._devices, nodes=self.scan)

    def _devices(self) -> Mapping[str, Device]:
        """The devices as they are now."""
        from ansible_collections.vfio.host.plugins.module_utils._devices.area import Scan
        return Scan(self._fs, self._files).host.survey.devices


__all__ = ("NodeArea",)
