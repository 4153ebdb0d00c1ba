# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The areas of VFs: how many there are, before devices are looked at, and the drivers of the undeclared, afterwards."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Iterable

from ansible_collections.vfio.host.plugins.module_utils._devices.area import Scan
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import GuardsUnread
from ansible_collections.vfio.host.plugins.module_utils._sriov import plan as planning
from ansible_collections.vfio.host.plugins.module_utils._sriov import rules
from ansible_collections.vfio.host.plugins.module_utils._sriov.links import read_link
from ansible_collections.vfio.host.plugins.module_utils._sriov.predict import Expected, read_layout
from ansible_collections.vfio.host.plugins.module_utils._sriov.resolve import concerned, resolve
from ansible_collections.vfio.host.plugins.module_utils._sriov.state import State

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    from ansible_collections.vfio.host.plugins.module_utils._devices.area import Host
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
    from ansible_collections.vfio.host.plugins.module_utils._sriov.resolve import Draft, Request


class NumberArea:
    """How many VFs the PFs of one host have. VFs that a policy on the host has taken before are bound again at once."""

    def __init__(self, fs: Sysfs, files: Files, scan: Scan | None = None) -> None:
        self._fs = fs
        self._files = files
        self._shared = scan

    def read(self, request: Request) -> tuple[State, Draft]:
        """The host as a run sees it that has written nothing yet, as far as a request is about it, and what the request means on it.
        Raises InputError.
        """
        scan = self._shared or Scan(self._fs, self._files)
        state, draft = self._drafted(scan, request)
        survey = state.host.survey
        uses = {
            address: scan.usage.of(survey.devices[address], survey.is_vfio(survey.devices[address].driver), with_disks=with_disks)
            for address, with_disks in concerned(state, draft[0], request=request).items()
        }
        if draft[0] and request.present and request.at_boot:
            # Compiled on the host each time, so only where VFs are declared.
            from ansible_collections.vfio.host.plugins.module_utils._competitors.table import competition

            directives, addresses = survey.modules.configured().directives, [one.device.address for one in draft[0]]
            state = replace(state, host=replace(state.host, competition=competition(self._fs, directives, addresses=addresses)))
        return replace(state, uses=uses), draft

    def _drafted(self, scan: Scan, request: Request) -> tuple[State, Draft]:
        """The state, and what the request means on it. Guards are read only where VFs come, go or get attributes, or something is refused."""
        state = self._state(scan.host)
        with suppress(GuardsUnread):
            draft = resolve(state, request)
            if not (draft[1] or concerned(state, draft[0], request=request)):
                return state, draft
        state = replace(state, host=scan.guarded, expected=Expected(scan.guarded.survey))
        return state, resolve(state, request)

    def _state(self, host: Host) -> State:
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
            found = [one.located(host.survey.devices, layouts) for one in rules.parse(texts[path], path)]
            records.update({one.address: one for one in found})
        links = {address: read_link(self._fs, host.survey.devices[address]) for address in layouts}
        programs = tuple(self._fs.program(name) for name in rules.Programs._fields)
        return State(host, records, texts, boot, volatile, layouts, Expected(host.survey), links, programs)

    def plan(self, state: tuple[State, Draft], request: Request) -> planning.Plan:
        """The plan for the request that the state was read for; nothing is touched. Raises PlanError."""
        return planning.make_plan(*state, request=request)

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

    def read(self, dummy: object) -> None:
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
