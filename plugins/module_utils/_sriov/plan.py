# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From what each PF shall have to a plan: every file, and what devices there will be. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import RELEASE, REPORT, remedy
from ansible_collections.vfio.host.plugins.module_utils._devices.contradictions import target_of, warnings_of_vfs
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._sriov import late, rules
from ansible_collections.vfio.host.plugins.module_utils._sriov.predict import Prediction
from ansible_collections.vfio.host.plugins.module_utils._sriov.resolve import CHANGED, PENDING, RELEASED, Request, State, resolve


@dataclass(frozen=True)
class Plan:
    """The whole of a run. ``files``: path -> text or None, before the numbers; ``last_files``: when all is done."""

    state: State
    request: Request
    pfs: list
    files: dict
    last_files: dict
    prediction: object
    warnings: list = field(default_factory=list)
    undeclared: list = field(default_factory=list)

    @property
    def changed(self):
        """Whether setting the numbers changes anything."""
        return bool(self.files) or any(one.resizes for one in self.pfs)

    @property
    def reboot_reasons(self):
        """Which PFs wait for the next boot."""
        return [
            f"{one.device.address} ({one.device.name}) has {len(one.before)} VFs, and {len(one.vfs)} from the next boot on"
            for one in self.pfs if one.status == PENDING
        ]

    @property
    def diff(self):
        """PFs and files, before and after, as Ansible shows them."""
        changing = [one for one in self.pfs if one.status in (CHANGED, RELEASED)]
        found = [_piece(
            "SR-IOV",
            "".join(_line(one, len(one.before), one.device.sriov["autoprobe"]) for one in changing),
            "".join(_line(one, len(one.vfs), one.autoprobe) for one in changing),
        )] if changing else []
        return found + [
            _piece(path, self.state.files.get(path) or "", text or "") for path, text in self.changed_files().items()
        ]

    def result(self):
        """The area's own part of a task's result."""
        return {"sriov": [
            {
                "address": one.device.address,
                "name": one.device.name,
                "total": one.device.sriov["total"],
                "numvfs_before": len(one.before),
                "numvfs": len(one.vfs),
                "autoprobe_before": one.device.sriov["autoprobe"],
                "autoprobe": one.autoprobe,
                "vfs": [vf.address for vf in one.vfs],
                "status": one.status,
            }
            for one in self.pfs
        ]}

    def changed_files(self):
        """Path -> text or None, for each file that ends otherwise than it is."""
        return dict(self.files, **self.last_files)


def _piece(header, before, after):
    return {"before_header": header, "after_header": header, "before": before, "after": after}


def _line(one, number, autoprobe):
    return f"{one.device.address} sriov_numvfs={number} sriov_drivers_autoprobe={int(autoprobe)}\n"


def make_plan(state, request):
    """The Plan for a Request. Raises InputError, PlanError with every reason at once."""
    pfs, problems = resolve(state, request)
    if problems:
        raise PlanError(*problems)
    kept, new = _kept(state, request, pfs), [one.record for one in pfs if one.record]
    files = _files(state, kept, new, request)
    # What is given back stays on record until it is: a run that is killed on the way is gone on with by the next.
    going_back = [state.records[one.device.address] for one in pfs if one.record is None]
    first = _files(state, kept + going_back, new, request) if new else {}
    now = dict(state.files, **first)
    last = {path: _end(files, state, path) for path in (*files, *first) if _end(files, state, path) != now.get(path)}
    going, coming = set(), {}
    sriov = {one.device.address: dict(one.device.sriov, num=len(one.vfs), autoprobe=one.autoprobe) for one in pfs}
    for one in pfs:
        if len(one.before) != len(one.vfs):
            going.update(vf.address for vf in one.before)
            coming.update({vf.address: vf for vf in one.vfs})
    undeclared = _undeclared(state, kept) if request.present and request.undeclared == REPORT else []
    told = (late.warnings(state, pfs) if request.present else []) + _competing(state, request, pfs)
    return Plan(
        state, request, pfs, first, last, Prediction(frozenset(going), coming, sriov) if pfs else None,
        warnings=[one.warning for one in pfs if one.warning] + told + [one["reason"] for one in undeclared], undeclared=undeclared,
    )


def _undeclared(state, kept):
    """A mapping for each PF that has VFs by us and that the task does not name."""
    found = []
    for record in kept:
        if not record.vfs:
            continue  # declared to have none before it was left out
        pf = state.host.survey.devices.get(record.address)
        what = f"{pf.name}, {len(record.vfs)} VFs at every boot" if record.is_of(pf) else "which is absent"
        found.append({"kind": "sriov", "name": record.address, "reason": (
            f"the number of VFs of {record.address} ({what}) is set on the host and nobody declares it: {remedy('passthrough_sriov')}"
        )})
    return found


def _end(files, state, path):
    """A file's text when all is done."""
    return files[path] if path in files else state.files.get(path)


def _competing(state, request, pfs):
    """What else decides at boot how many VFs there are, or takes the PF's driver."""
    if not (request.present and request.at_boot):
        return []
    return warnings_of_vfs(state.host, [
        target_of(state.host, one.device, numvfs=len(one.vfs), autoprobe=bool(one.record and one.record.autoprobe)) for one in pfs
    ])


def _kept(state, request, pfs):
    """The records that stay as they are, of PFs that this task is not about."""
    if (not request.present and request.devices is None) or (request.present and request.undeclared == RELEASE):
        return []
    mine = {one.device.address for one in pfs}
    return [record for address, record in state.records.items() if address not in mine]


def _files(state, kept, new, request):
    """Path -> text or None, for each file that changes. What gains a record is written before what loses one."""
    volatile = {
        record.located(state.host.survey.devices, state.layouts).address
        for record in rules.parse(state.files.get(state.volatile[0]) or "", state.volatile[0])
    }
    boot = [one for one in kept if one.address not in volatile]
    short = [one for one in kept if one.address in volatile]
    (boot if request.at_boot else short).extend(new)
    ends = {}
    pairs = [(state.boot, boot), (state.volatile, short)]
    for paths, records in pairs if request.at_boot else reversed(pairs):
        numbers, probes = rules.render(records)
        # Without its probes a number does no harm, but devices lack drivers at a boot in between.
        order = ((paths[1], probes), (paths[0], numbers)) if numbers else ((paths[0], numbers), (paths[1], probes))
        ends.update(order)
    return {path: text for path, text in ends.items() if text != state.files.get(path)}


__all__ = ("Plan", "make_plan")
