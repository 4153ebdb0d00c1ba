# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Sets numbers of VFs and lets drivers have them, and reads all of it back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Mapping

from ansible_collections.vfio.host.plugins.module_utils._core.endings import ENDINGS, told
from ansible_collections.vfio.host.plugins.module_utils._core.resources import Autoprobe, Binding, Vfs
from ansible_collections.vfio.host.plugins.module_utils._devices.apply import pci_bus
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError
from ansible_collections.vfio.host.plugins.module_utils._host.pcibus import NumberRefusal
from ansible_collections.vfio.host.plugins.module_utils._host.udevd import reload_rules
from ansible_collections.vfio.host.plugins.module_utils._kernel.control import ModuleControl
from ansible_collections.vfio.host.plugins.module_utils._sriov import late
from ansible_collections.vfio.host.plugins.module_utils._sriov.links import set_attributes
from ansible_collections.vfio.host.plugins.module_utils._sriov.resolve import sriov_of

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
    from ansible_collections.vfio.host.plugins.module_utils._sriov.links import Link
    from ansible_collections.vfio.host.plugins.module_utils._sriov.plan import Plan, ProbePlan
    from ansible_collections.vfio.host.plugins.module_utils._sriov.resolve import PfPlan


class _Pfs:
    """What both parts do to a PF. ``plan``: the Plan of the numbers."""

    def __init__(self, fs: Sysfs, files: Files, plan: Plan) -> None:
        self._files = files
        self._fs = fs
        self._timeout = plan.request.timeout
        self._modules = ModuleControl(fs)
        self._bus = pci_bus(fs, self._timeout)

    def _put(self, files: Mapping[str, str | None]) -> None:
        for path, text in files.items():
            self._files.put(path, text)
        if files:
            reload_rules(self._fs)


class Numbers(_Pfs):
    """Carries a Plan of numbers out."""

    def __init__(self, fs: Sysfs, files: Files, plan: Plan) -> None:
        super().__init__(fs, files, plan)
        self._plan = plan

    def apply(self, journal: Journal) -> None:
        """Do all of it. Raises ApplyError."""
        resized = [one for one in self._plan.pfs if one.resizes]
        kept = [one for one in self._plan.pfs if one.attributes.writes and not one.resizes]
        journal.names.update({one.device.address: one.device.name for one in resized + kept})
        journal.remember(
            *(
                self._remembered(one) for one in resized
            ),
            *(link.resource(one.device.address) for one, link in ((one, self._link(one)) for one in kept) if link is not None),
            files=[*self._plan.files, *self._plan.last_files],
        )
        self._put(self._plan.files)
        for one in resized:
            self._resize(one)
        for one in kept:
            self._set(one)

    def _link(self, one: PfPlan) -> Link | None:
        return self._plan.state.links.get(one.device.address)

    def _remembered(self, one: PfPlan) -> Vfs:
        """The PF with its VFs as they are, and what its interface keeps of them."""
        vfs = Vfs(
            one.device.address, bool(sriov_of(one.device)["autoprobe"]), [(vf.address, vf.driver, vf.driver_override) for vf in one.before],
        )
        link = self._link(one)
        if link is None or not link.vfs:
            return vfs
        kept = link.resource(one.device.address)
        return replace(vfs, interface=(kept.name, kept.index), attributes=kept.rows)

    def _set(self, one: PfPlan) -> None:
        try:
            set_attributes(self._fs, one.device, writes=one.attributes.writes)
        except ENDINGS as error:
            (message, *dummy) = told(error, "setting the attributes of its VFs")
            raise ApplyError(f"{one.device.address} ({one.device.name}): {message}") from error

    def _resize(self, one: PfPlan) -> None:
        pf = one.device.address
        try:
            self._bus.set_number_of_vfs(pf, len(one.vfs))
        except ENDINGS as error:
            (message, *dummy) = told(error, f"setting the number of its VFs to {len(one.vfs)}")
            hints = self._hints(one.device, len(one.vfs), error) if isinstance(error, NumberRefusal) else []
            raise ApplyError(f"{pf} ({one.device.name}): {'; '.join([message] + hints)}") from error
        if one.attributes.writes:
            # Before any driver has one: it reads its address when it binds.
            self._set(one)
        try:
            for address, bound in one.bound.items():
                if not self._modules.is_registered(bound.driver):
                    self._modules.load(bound.module)
                self._bus.bind_by_name(address, bound.driver, override=bound.driver)
        except ENDINGS as error:
            (message, *dummy) = told(error, "binding its VFs again")
            raise ApplyError(f"{pf} ({one.device.name}): {message}") from error

    def _hints(self, device: Device, asked: int, refusal: NumberRefusal) -> list[str]:
        is_up = late.interfaces_up(self._fs, device)
        found = late.hints(device, asked=asked, made=refusal.made, number=refusal.errno, is_up=is_up)
        return found + (["the kernel log may say why"] if refusal.errno is None else [])


class Probes(_Pfs):
    """Carries a ProbePlan out."""

    def __init__(self, fs: Sysfs, files: Files, plan: ProbePlan) -> None:
        super().__init__(fs, files, plan.numbers)
        self._plan = plan
        self.warnings: list[str] = []
        # Of a PF that is given back a VF need not have a driver: it may have had none before.
        self._given_back = {one.device.address for one in plan.numbers.pfs if one.record is None}

    def apply(self, journal: Journal) -> None:
        """Do all of it. Raises ApplyError. What it leaves without a driver is in ``warnings``."""
        journal.remember(
            *(Autoprobe(pf, before) for pf, (before, dummy) in self._plan.autoprobe.items()),
            *(Binding(vf.address, vf.driver, vf.driver_override, vf.physfn, vf.modalias or None) for vf in self._plan.probes),
            files=self._plan.files,
        )
        for pf, (dummy, wanted) in self._plan.autoprobe.items():
            self._bus.set_autoprobe(pf, wanted)
        for vf in self._plan.probes:
            self._probe(vf)
        self._put(self._plan.files)

    def _probe(self, vf: Device) -> None:
        self._modules.load_native(vf.modalias)
        self._bus.probe(vf.address)
        if not self._bus.wait_for(lambda: self._bus.driver(vf.address) is not None):
            message = f"{vf.address} ({vf.name}): no native driver took it in {self._timeout} seconds; see what the kernel log says of it"
            if vf.physfn not in self._given_back:
                raise ApplyError(f"{message}, or say autoprobe: false")
            self.warnings.append(message)


__all__ = ("Numbers", "Probes")
