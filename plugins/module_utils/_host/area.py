# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""One run over one or more areas of a host: all are read and planned before the first is written.

An area has three verbs: ``read()`` gives its state; ``plan(state, request)`` gives a plan or raises InputError or PlanError
with every problem it finds; ``apply(plan)`` carries it out and returns the plan as it was carried out, or puts everything
back and raises ApplyError; ``undo(plan)`` puts an applied plan back. A plan has ``changed``, ``diff`` (a list for Ansible), ``reboot_reasons`` and ``warnings``
(sentences), and ``result()``, the area's own keys of a task's result.
"""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._host.errors import (
    ApplyError,
    InputError,
    PlanError,
    VfioHostError,
)


def run_areas(wishes, check):
    """Run ``wishes``, a list of (area, request) in the order of applying, and give the list of their plans.

    With ``check`` nothing is applied. Problems of all areas are raised together, before anything is touched.
    """
    plans, problems = [], []
    for area, request in wishes:
        try:
            plans.append(area.plan(area.read(), request))
        except (InputError, PlanError) as error:
            problems += error.messages
    if problems:
        raise PlanError(*problems)
    return plans if check else _apply_all([area for area, dummy in wishes], plans)


def _apply_all(areas, plans):
    done = []
    for area, plan in zip(areas, plans):
        try:
            done.append((area, area.apply(plan) if plan.changed else plan))
        except VfioHostError as error:
            raise ApplyError(*(error.messages + _undo_all(done))) from error
    return [plan for dummy, plan in done]


def _undo_all(done):
    problems = []
    for area, plan in reversed(done):
        try:
            if plan.changed:
                area.undo(plan)
        except VfioHostError as error:
            problems += error.messages
    return problems


def require_root(fs):
    """Raise InputError where the host's files are not to be written, nor all of them to be read."""
    if not fs.is_root:
        raise InputError("this task reads and changes what only root may: run it with become: true")


def report(plans):
    """The common part of a task's result: changed, diff, reboot_required, reboot_reasons, warnings."""
    reasons = [reason for plan in plans for reason in plan.reboot_reasons]
    return {
        "changed": any(plan.changed for plan in plans),
        "diff": [one for plan in plans for one in plan.diff],
        "reboot_required": bool(reasons),
        "reboot_reasons": reasons,
        "warnings": [warning for plan in plans for warning in plan.warnings],
    }


__all__ = ("report", "require_root", "run_areas")
