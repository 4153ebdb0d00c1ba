# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Which devices are opened, in which way, and what becomes of each: one row a device."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Optional, Tuple

from ansible_collections.vfio.host.plugins.module_utils._devices import iommu
from ansible_collections.vfio.host.plugins.module_utils._devices.below import vfio_nodes
from ansible_collections.vfio.host.plugins.module_utils._devices.clients import DIRECT, obstacles
from ansible_collections.vfio.host.plugins.module_utils._devices.groups import named_other
from ansible_collections.vfio.host.plugins.module_utils._devices.holders import Usage
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
from ansible_collections.vfio.host.plugins.module_utils._devices.spec import NATIVE
from ansible_collections.vfio.host.plugins.module_utils._devices.state import Survey, survey
from ansible_collections.vfio.host.plugins.module_utils._devices.steps import PENDING
from ansible_collections.vfio.host.plugins.module_utils._host.errors import errno_name, errno_text
from ansible_collections.vfio.host.plugins.module_utils._host.watched import Unfinished
from ansible_collections.vfio.host.plugins.module_utils._prove import conversation as steps
from ansible_collections.vfio.host.plugins.module_utils._prove.causes import Surroundings, cause
from ansible_collections.vfio.host.plugins.module_utils._prove.conversation import Conversation, Refused

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

OPENED, IN_USE, NOT_OPENED, FAILED = "opened", "in_use", "not_opened", "failed"
AUTO, GROUP, CDEV = WAYS = ("auto", "group", "cdev")
CHECK_MODE = "check mode opens nothing, since opening a device resets it"
WAITS = "it waits for the next boot"
_NODE_SUBSYSTEM = {GROUP: "vfio", CDEV: "vfio-dev"}
_NONE: Dict[str, Any] = {
    "way": None, "node": None, "step": None, "errno": None, "reason": None, "back_end": None, "regions": [], "interrupts": [],
    "can_reset": None, "reset": None,
}


@dataclass(frozen=True)
class Proof:
    """What became of all devices: ``rows``, one mapping each; ``failures`` and ``warnings``, sentences."""

    rows: List[Dict[str, Any]]
    failures: List[str] = field(default_factory=list)
    warnings: List[str] = field(default_factory=list)

    def result(self) -> Dict[str, Any]:
        """What a module returns."""
        return {"proof": self.rows}


def prove(fs: Sysfs, found: Survey, *, addresses: Iterable[str], timeout: float, way: str = AUTO, check: bool = False) -> Proof:
    """Open each of ``addresses``, one after the other. ``timeout``: seconds for each step; ``check``: open none."""
    rows, failures, warnings = [], [], []
    prover = _Prover(fs, found, timeout, way)
    for address in addresses:
        row = prover.row(address, check)
        rows.append(row)
        device = found.devices.get(address)
        name = f"{address} ({device.name})" if device else address
        if row["status"] == FAILED:
            failures.append(f"{name}: a client cannot open it: {row['reason']}")
        elif row["status"] == IN_USE:
            warnings.append(f"{name} was not opened: {row['reason']}")
        elif row["status"] == NOT_OPENED and not check:
            warnings.append(f"{name} was not opened, and whether a client can open it is not known: {row['reason']}")
    return Proof(rows, failures, warnings)


def prove_plan(fs: Sysfs, plan: Any, *, timeout: float, check: bool) -> Proof:
    """The Proof of what a plan of devices, applied, has for VFIO; one that waits for a boot is not opened. ``plan``: or None."""
    taken = [one for one in plan.devices if one.choice.source != NATIVE and not one.gives_back] if plan else []
    now = [one.device.address for one in taken if one.status != PENDING]
    proof = Proof([])
    if now:
        found = plan.host.survey if check else survey(fs, with_guards=False, with_loaded=False, with_others=True)
        proof = prove(fs, found, addresses=now, timeout=timeout, check=check)
    later = [
        dict(_NONE, address=one.device.address, driver=one.device.driver, status=NOT_OPENED, reason=WAITS)
        for one in taken if one.status == PENDING
    ]
    return Proof(sorted(proof.rows + later, key=lambda row: row["address"]), proof.failures, proof.warnings)


class _Prover:
    """What is the same for all devices of a run."""

    def __init__(self, fs: Sysfs, found: Survey, timeout: float, way: str) -> None:
        self._fs = fs
        self._survey = found
        self._timeout = timeout
        self._way = way
        self._obstacles = obstacles(fs, found.devices.values(), is_vfio=found.is_vfio)

    def row(self, address: str, check: bool) -> Dict[str, Any]:
        """What became of one device."""
        device = self._survey.devices.get(address)
        start = dict(_NONE, address=address, driver=device.driver if device else None)
        # What the run would do first is not done in check mode, so nothing of now is a fault.
        status, reason = (NOT_OPENED, CHECK_MODE) if check else self._why_not(address, device)
        if status is not None or device is None:
            return dict(start, status=status, reason=reason)
        ways = self._nodes(device)
        chosen = next((one for one in (GROUP, CDEV) if one in ways and self._way in (AUTO, one)), None)
        if chosen is None:
            return dict(start, status=FAILED, reason=self._no_node(device))
        return dict(start, way=chosen, node=ways[chosen][0], **self._open(device, chosen, ways[chosen]))

    def _why_not(self, address: str, device: Optional[Device]) -> Tuple[Optional[str], Optional[str]]:
        """(status, reason) of a device that is not to be opened; (None, None) for one that is."""
        if device is None:
            return FAILED, "there is no such device"
        if address in self._survey.stuck:
            return FAILED, self._survey.stuck[address]
        if device.driver is not None and device.driver == device.driver_override and not self._survey.is_vfio(device.driver):
            return NOT_OPENED, f"driver {device.driver}, which it is overridden with, is none of VFIO's"
        if not self._survey.is_vfio(device.driver):
            return FAILED, f"driver {device.driver or '(none)'} has it, which is none of VFIO's"
        if device.is_dead:
            return FAILED, iommu.DEAD
        users = self._users(device)
        if users:
            return IN_USE, f"in use by {', '.join(users)}"
        for one in self._vfs(device):
            # Opening a PF resets it, and its VFs with it (source: PCI Express, SR-IOV: FLR that targets a PF).
            held = self._users(one)
            if held:
                return NOT_OPENED, f"that would reset its VF {one.address}, which is in use by {', '.join(held)}"
            if one.driver is not None and not self._survey.is_vfio(one.driver):
                return NOT_OPENED, f"that would reset its VF {one.address}, which driver {one.driver} of the host has"
        return None, None

    def _vfs(self, device: Device) -> List[Device]:
        return [one for one in self._survey.devices.values() if one.physfn == device.address]

    def _users(self, device: Device, usage: Optional[Usage] = None) -> List[str]:
        """Who holds a device or another member of its IOMMU group, one text each. ``usage``: of now; else as of the survey."""
        known, users = self._survey, {}
        members = known.groups.get(device.iommu_group, [device.address]) if device.iommu_group else [device.address]
        for address in members:
            member = known.devices[address]
            held = usage.holders(member, known.is_vfio(member.driver)) if usage else member.holders
            for one in held or ():
                users[one["pid"]] = f"process {one['pid']} ({one['command']})"
        return list(users.values())

    def _nodes(self, device: Device) -> Dict[str, Tuple[str, str]]:
        """Way -> (path, 'major:minor') of each node by which the kernel offers a device."""
        fs, found = self._fs, {}
        for node, place in vfio_nodes(fs, fs.device_directory(device.address), group=device.iommu_group).items():
            for way, subsystem in _NODE_SUBSYSTEM.items():
                if place.subsystem == subsystem:
                    found[way] = f"{fs.dev}/{place.name}", node.number
        return found

    def _no_node(self, device: Device) -> str:
        wanted = {GROUP: "no group (CONFIG_VFIO_GROUP)", CDEV: "no character device (CONFIG_VFIO_DEVICE_CDEV, Linux 6.6)"}
        missing = " and ".join(wanted[one] for one in (GROUP, CDEV) if self._way in (AUTO, one))
        return f"this kernel's VFIO has {missing} for it, in /sys/class/vfio or {device.address}/vfio-dev"

    def _open(self, device: Device, way: str, node: Tuple[str, str]) -> Dict[str, Any]:
        """status, and what else a row has of a device that was opened, or was to be."""
        fs, edge = self._fs, self._fs.client(self._timeout)
        talk = Conversation(edge, fs.machine)
        try:
            try:
                if way == GROUP:
                    handle = talk.by_group(device.address, container=(f"{fs.dev}/vfio/vfio", self._number("vfio")), node=node)
                else:
                    handle = talk.by_cdev(node, (f"{fs.dev}/iommu", self._number("iommu")))
                talk.look(handle, device.reset_methods)
            except Refused as refused:
                talk.close()
                return self._refused(device, refused)
            talk.close()
        except Refused as refused:
            return self._refused(device, refused)
        except Unfinished as unfinished:
            return {"status": FAILED, "step": talk.step, "reason": (
                f"{talk.step} did not end in {self._timeout} seconds, and goes on in process {unfinished.pid}: the device or its driver hangs; "
                "see the kernel log, and power-cycle the host where it stays so"
            )}
        return dict(steps.facts(talk.found), status=OPENED)

    def _number(self, name: str) -> Optional[str]:
        """The number of a node of the kernel's; None where its module is not loaded yet, which opening the node does."""
        return self._fs.read(f"{self._fs.misc}/{name}/dev")

    def _refused(self, device: Device, refused: Refused) -> Dict[str, Any]:
        about = f"{refused.step} ({refused.at})" if refused.at else refused.step
        known: Dict[str, Any] = {"step": refused.step, "errno": None if refused.number is None else errno_name(refused.number)}
        # Somebody may have come in between, and the kernel's errno for that depends on the step.
        users = [
            one for one in self._users(device, Usage(self._fs))
            if refused.number in (errno.EBUSY, errno.EINVAL, errno.EPERM)
        ]
        if users:
            return dict(known, status=IN_USE, reason=f"in use by {', '.join(users)}")
        if refused.number == errno.EBUSY and refused.step == steps.NODE:
            return dict(known, status=IN_USE, reason="in use by a process that is not to be seen here")
        around = self._around(device)
        told = cause(refused.step, refused.number, around=around)
        if refused.number == errno.EACCES and around.pf and refused.step in (steps.DEVICE, steps.BIND):
            return dict(known, status=NOT_OPENED, reason=told)
        answer = "the answer is no" if refused.number is None else errno_text(refused.number)
        return dict(known, status=FAILED, reason=f"{about}: {answer}: {told}")

    def _around(self, device: Device) -> Surroundings:
        known = self._survey
        pf = known.devices.get(device.physfn) if device.physfn else None
        return Surroundings(
            group=device.iommu_group, driver=device.driver or "(none)",
            # On a POWER guest as well.
            back_end="vfio_iommu_spapr_tce" if self._fs.machine.startswith("ppc") else "vfio_iommu_type1",
            blocking=[
                f"{one.address} ({one.driver}, {one.name})" for one in known.devices.values()
                if device.iommu_group is not None and one.iommu_group == device.iommu_group
                and iommu.blocks_group(one, driver=one.driver, is_vfio=known.is_vfio(one.driver))
            ] + [named_other(*one) for one in sorted(known.others.get(device.iommu_group or "", {}).items())],
            direct=self._obstacles.get(device.address, {}).get(DIRECT, ""),
            unsafe=iommu.unsafe_interrupts(known),
            pf=pf.address if pf is not None and known.is_vfio(pf.driver) else None,
            is_root=self._fs.is_root,
        )


__all__ = ("AUTO", "CDEV", "CHECK_MODE", "FAILED", "GROUP", "IN_USE", "NOT_OPENED", "OPENED", "Proof", "WAITS", "WAYS", "prove", "prove_plan")
