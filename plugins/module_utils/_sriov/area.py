# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The areas of VFs: how many there are, before devices are looked at, and the drivers of the undeclared, afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Iterable

from ansible_collections.vfio.host.plugins.module_utils._devices.area import DeviceArea
from ansible_collections.vfio.host.plugins.module_utils._sriov import plan as planning
from ansible_collections.vfio.host.plugins.module_utils._sriov import rules
from ansible_collections.vfio.host.plugins.module_utils._sriov.links import read_link
from ansible_collections.vfio.host.plugins.module_utils._sriov.predict import Expected, read_layout
from ansible_collections.vfio.host.plugins.module_utils._sriov.state import State

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
    from ansible_collections.vfio.host.plugins.module_utils._sriov.resolve import Request


class NumberArea:
    """How many VFs the PFs of one host have. VFs that a policy on the host has taken before are bound again at once."""

    def __init__(self, fs: Sysfs, files: Files) -> None:
        self._fs = fs
        self._files = files

    def read(self) -> State:
        """The host as it is now."""
        host = DeviceArea(self._fs, self._files).read()
        boot, volatile = (
            tuple(f"{directory}/{name}" for name in (rules.NUMBERS, rules.PROBES))
            for directory in (self._files.boot_rules, self._files.volatile_rules)
        )
        texts = {path: self._files.read(path) for path in boot + volatile}
        layouts = {
            address: read_layout(self._fs, address)
            for address, device in host.survey.devices.items() if device.sriov is not None
        }
        records: dict[str, rules.PfRecord] = {}
        for path in (volatile[0], boot[0]):
            found = [one.located(host.survey.devices, layouts) for one in rules.parse(texts[path] or "", path)]
            records.update({one.address: one for one in found})
        links = {address: read_link(self._fs, host.survey.devices[address]) for address in layouts}
        programs = tuple(self._fs.program(name) for name in rules.Programs._fields)
        return State(host, records, texts, boot, volatile, layouts, Expected(self._fs, host.survey), links, programs)

    def plan(self, state: State, request: Request) -> planning.Plan:
        """The plan for a request; nothing is touched. Raises InputError, PlanError."""
        return planning.make_plan(state, request)

    def apply(self, plan: planning.Plan, journal: Journal) -> planning.Plan:
        """Carry the plan out. Raises ApplyError."""
        from ansible_collections.vfio.host.plugins.module_utils._sriov.apply import Numbers
        Numbers(self._fs, self._files, plan).apply(journal)
        return plan


class ProbeArea:
    """Automatic probing as declared, and native drivers for the VFs that nobody declares where it is on."""

    def __init__(self, fs: Sysfs, files: Files) -> None:
        self._fs = fs
        self._files = files

    def read(self) -> None:
        """Nothing: the plans before this one know."""

    def plan(self, dummy: None, request: tuple[planning.Plan, Iterable[str]]) -> planning.ProbePlan:
        """``request``: (Plan of the numbers, addresses that policies declare or give back in the same task)."""
        numbers, declared = request
        host = numbers.state.host
        taken = set(declared) | set(host.recorded)
        autoprobe: dict[str, tuple[bool, bool]] = {}
        probes: list[Device] = []
        for one in numbers.pfs:
            if not one.now:
                continue
            if one.autoprobe_between != one.autoprobe:
                autoprobe[one.device.address] = (one.autoprobe_between, one.autoprobe)
            probes += [
                vf for vf in one.vfs
                if one.autoprobe and vf.address not in taken and vf.driver is None and vf.driver_override is None
                and host.survey.native_driver(vf) is not None
            ]
        return planning.ProbePlan(numbers, autoprobe, probes, numbers.last_files)

    def apply(self, plan: planning.ProbePlan, journal: Journal) -> planning.ProbePlan:
        """Carry the plan out. Raises ApplyError."""
        from ansible_collections.vfio.host.plugins.module_utils._sriov.apply import Probes
        probes = Probes(self._fs, self._files, plan)
        probes.apply(journal)
        return replace(plan, warnings=plan.warnings + probes.warnings)


__all__ = ("NumberArea", "ProbeArea")
