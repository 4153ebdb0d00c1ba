# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From what each PF shall have to a plan: every file, and what devices there will be. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Iterable

from ansible_collections.vfio.host.plugins.module_utils._core.diff import of_files, piece
from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import RELEASE, REPORT, remedy
from ansible_collections.vfio.host.plugins.module_utils._devices.contradictions import target_of, warnings_of_vfs
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._sriov import late, rules
from ansible_collections.vfio.host.plugins.module_utils._sriov.attributes import shown_values
from ansible_collections.vfio.host.plugins.module_utils._sriov.predict import Prediction
from ansible_collections.vfio.host.plugins.module_utils._sriov.resolve import CHANGED, PENDING, RELEASED, Draft, PfPlan, Request, objections, sriov_of

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import Sriov
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._sriov.rules import PfRecord
    from ansible_collections.vfio.host.plugins.module_utils._sriov.state import State


@dataclass(frozen=True)
class Plan:
    """The whole of a run. ``files``: path -> text or None, before the numbers; ``last_files``: when all is done."""

    state: State
    request: Request
    pfs: list[PfPlan]
    files: dict[str, str | None]
    last_files: dict[str, str | None]
    prediction: Prediction | None
    warnings: list[str] = field(default_factory=list)
    undeclared: list[dict[str, str]] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether setting the numbers changes anything."""
        return bool(self.files) or any(one.resizes or one.attributes.changes for one in self.pfs)

    @property
    def reboot_reasons(self) -> list[str]:
        """Which PFs wait for the next boot."""
        return [
            f"{one.device.address} ({one.device.name}) has {len(one.before)} VFs, and {len(one.vfs)} from the next boot on"
            for one in self.pfs if one.status == PENDING
        ]

    @property
    def diff(self) -> list[dict[str, str]]:
        """PFs and files, before and after, as Ansible shows them."""
        changing = [one for one in self.pfs if one.status in (CHANGED, RELEASED)]
        found = [piece(
            "SR-IOV",
            before="".join(_line(one, len(one.before), sriov_of(one.device)["autoprobe"]) + _attributes(one, one.attributes.told) for one in changing),
            after="".join(_line(one, len(one.vfs), one.autoprobe) + _attributes(one, one.attributes.wanted) for one in changing),
        )] if changing else []
        return found + of_files(self.state.files, self.changed_files())

    def result(self) -> dict[str, Any]:
        """The area's own part of a task's result."""
        return {"sriov": [
            {
                "address": one.device.address,
                "name": one.device.name,
                "total": sriov_of(one.device)["total"],
                "numvfs_before": len(one.before),
                "numvfs": len(one.vfs),
                "autoprobe_before": sriov_of(one.device)["autoprobe"],
                "autoprobe": one.autoprobe,
                "vfs": [vf.address for vf in one.vfs],
                "attributes": [dict({"vf": index}, **values) for index, values in sorted(one.attributes.wanted.items())],
                "status": one.status,
            }
            for one in self.pfs
        ]}

    def changed_files(self) -> dict[str, str | None]:
        """Path -> new text (None: it is removed) of each file that will change."""
        return dict(self.files, **self.last_files)


@dataclass(frozen=True)
class ProbePlan:
    """What is left to do when the declared VFs have their drivers. ``autoprobe``: PF -> (between, in the end);
    ``probes``: the VFs that their native drivers get.
    """

    numbers: Plan
    autoprobe: dict[str, tuple[bool, bool]]
    probes: list[Device]
    files: dict[str, str | None]
    reboot_reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether applying it changes anything."""
        return bool(self.autoprobe or self.probes or self.files)

    @property
    def diff(self) -> list[dict[str, str]]:
        """The VFs; PFs and files are in the diff of the numbers."""
        if not self.probes:
            return []
        native = self.numbers.state.host.survey.native_driver
        return [piece(
            "VFs",
            before="".join(f"{vf.address} driver=(none)\n" for vf in self.probes),
            after="".join(f"{vf.address} driver={native(vf)}\n" for vf in self.probes),
        )]

    def result(self) -> dict[str, Any]:
        """Nothing of its own: the numbers' result has it."""
        return {}


def _line(one: PfPlan, number: int, autoprobe: bool) -> str:
    return f"{one.device.address} sriov_numvfs={number} sriov_drivers_autoprobe={int(autoprobe)}\n"


def _attributes(one: PfPlan, values: dict[int, dict[str, Any]]) -> str:
    """A line for each VF whose attributes change."""
    changing: dict[int, set[str]] = {}
    for index, dummy, written in one.attributes.changes:
        changing.setdefault(index, set()).update(written)
    shown = {index: {name: value for name, value in values.get(index, {}).items() if name in names} for index, names in changing.items()}
    return "".join(f"{one.device.address} vf {index} {shown_values(some)}\n" for index, some in shown.items() if some)


def make_plan(state: State, draft: Draft, *, request: Request) -> Plan:
    """The Plan for a Request. ``draft``: of resolve(). Raises PlanError with every reason at once."""
    pfs, problems = draft[0], draft[1] + objections(state, draft[0], request=request)
    if problems:
        raise PlanError(*problems)
    kept, new = _kept(state, request, pfs), [one.record for one in pfs if one.record]
    files = _files(state, kept, new, request)
    # What is given back stays on record until it is: the next run resumes after a crash.
    going_back = [state.records[one.device.address] for one in pfs if one.record is None]
    first = _files(state, kept + going_back, new, request) if new else {}
    now = dict(state.files, **first)
    last = {path: _end(files, state, path) for path in (*files, *first) if _end(files, state, path) != now.get(path)}
    going: set[str] = set()
    coming: dict[str, Device] = {}
    sriov: dict[str, Sriov] = {
        one.device.address: {"total": sriov_of(one.device)["total"], "num": len(one.vfs), "autoprobe": one.autoprobe} for one in pfs
    }
    for one in pfs:
        if len(one.before) != len(one.vfs):
            going.update(vf.address for vf in one.before)
            coming.update({vf.address: vf for vf in one.vfs})
    undeclared = _undeclared(state, kept) if request.present and request.undeclared == REPORT else []
    told = (late.warnings(state, pfs) if request.present else []) + _competing(state, request, pfs)
    return Plan(
        state, request, pfs, first, last, Prediction(frozenset(going), coming, sriov) if pfs else None,
        warnings=[warning for one in pfs for warning in one.warnings] + told + [one["reason"] for one in undeclared], undeclared=undeclared,
    )


def _undeclared(state: State, kept: Iterable[PfRecord]) -> list[dict[str, str]]:
    """A mapping for each PF that has VFs by us and that the task does not name."""
    found = []
    for record in kept:
        if not record.vfs:
            continue  # declared to have none before it was left out
        pf = state.host.survey.devices.get(record.address)
        what = f"{pf.name}, {len(record.vfs)} VFs at every boot" if pf is not None and record.is_of(pf) else "which is absent"
        found.append({"kind": "sriov", "name": record.address, "reason": (
            f"the number of VFs of {record.address} ({what}) is set on the host and nobody declares it: {remedy('passthrough_sriov')}"
        )})
    return found


def _end(files: dict[str, str | None], state: State, path: str) -> str | None:
    """A file's text when all is done."""
    return files[path] if path in files else state.files.get(path)


def _competing(state: State, request: Request, pfs: Iterable[PfPlan]) -> list[str]:
    """What else decides at boot how many VFs there are, or takes the PF's driver."""
    if not (request.present and request.at_boot):
        return []
    return list(warnings_of_vfs(state.host, [
        target_of(state.host, one.device, numvfs=len(one.vfs), autoprobe=bool(one.record and one.record.autoprobe)) for one in pfs
    ]))


def _kept(state: State, request: Request, pfs: Iterable[PfPlan]) -> list[PfRecord]:
    """The records that stay as they are, of PFs that this task is not about."""
    if (not request.present and request.devices is None) or (request.present and request.undeclared == RELEASE):
        return []
    mine = {one.device.address for one in pfs}
    return [record for address, record in state.records.items() if address not in mine]


def _files(
    state: State, kept: Iterable[PfRecord], new: Iterable[PfRecord], request: Request,
) -> dict[str, str | None]:
    """Path -> text or None, for each file that changes. What gains a record is written before what loses one."""
    volatile = {
        record.located(state.host.survey.devices, state.layouts).address
        for record in rules.parse(state.files.get(state.volatile[0]), state.volatile[0])
    }
    boot = [one for one in kept if one.address not in volatile]
    short = [one for one in kept if one.address in volatile]
    (boot if request.at_boot else short).extend(new)
    ends: dict[str, str | None] = {}
    programs = rules.Programs(*(found or usual for found, usual in zip(state.programs, rules.USUAL)))
    pairs = [(state.boot, boot), (state.volatile, short)]
    for paths, records in pairs if request.at_boot else reversed(pairs):
        numbers, probes = rules.render(records, programs)
        # Without its probes a number does no harm, but devices lack drivers at a boot in between.
        order = ((paths[1], probes), (paths[0], numbers)) if numbers else ((paths[0], numbers), (paths[1], probes))
        ends.update(order)
    return {path: text for path, text in ends.items() if text != state.files.get(path)}


__all__ = ("Plan", "ProbePlan", "make_plan")
