# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""One run over one or more areas of a host: all are read and planned before the first is written.

An area has three verbs: ``read()`` gives its state; ``plan(state, request)`` gives a plan or raises InputError or PlanError
with every problem it finds; ``apply(plan, journal)`` carries it out and returns the plan as it was carried out, or raises. It
only goes forward: before it touches a thing it has the journal remember it, and what the journal remembers is restored
whatever ends the run. A plan has ``changed``, ``diff`` (a list for Ansible), ``reboot_reasons`` and ``warnings`` (sentences),
and ``result()``, the area's own keys of a task's result.
"""

from __future__ import annotations

from contextlib import nullcontext

from ansible_collections.vfio.host.plugins.module_utils._core.endings import ENDINGS, told, tried
from ansible_collections.vfio.host.plugins.module_utils._host import signals
from ansible_collections.vfio.host.plugins.module_utils._host.errors import (
    ApplyError,
    InputError,
    PlanError,
    RolledBack,
    Unfinished,
)

_ALL_BACK = "everything that this task had changed was put back as it was"


def run_areas(wishes, check, open_journal=None, around=None):
    """Run ``wishes``, name -> (area, request) in the order of applying, and give name -> plan.

    A request may be a function of the plans made so far that gives the request, or None where the area has nothing to do
    and is left out. With ``check`` nothing is applied. ``open_journal``: called where something is to be applied, gives the
    Journal. ``around``: called then, too, gives a context for that; it gives a function to call when all is applied, which may
    refuse, and by which the journal is kept.
    Problems of all areas are raised together, before anything is touched; an area whose plan failed is missing among the
    plans that a function is given. Raises Unfinished where a plan, applied, has ``failures``: sentences about what could not be done and
    keeps nothing else.
    """
    plans, problems = {}, []
    for name, (area, request) in wishes.items():
        try:
            wanted = request(plans) if callable(request) else request
            if wanted is not None or not callable(request):
                plans[name] = area.plan(area.read(), wanted)
        except (InputError, PlanError) as error:
            problems += [message for message in error.messages if message not in problems]
        except ENDINGS as error:
            raise PlanError(*(problems + told(error, f"{name}: reading the host and planning, nothing was touched"))) from error
    if problems:
        raise PlanError(*problems)
    areas, changing = {name: wishes[name][0] for name in plans}, [plan for plan in plans.values() if plan.changed]
    if check or not changing:
        return plans
    with signals.held_back(), around() if around else nullcontext() as keep:
        done = _apply_all(areas, plans, open_journal(), keep)
    failures = [message for plan in done.values() for message in getattr(plan, "failures", ())]
    if failures:
        raise Unfinished(done, *failures)
    return done


def _apply_all(areas, plans, journal, keep):
    """The plans as applied. Raises RolledBack where everything is as before, else ApplyError."""
    done, doing = {}, ""
    try:
        for name, plan in plans.items():
            doing = f"{name}: applying the plan"
            done[name] = areas[name].apply(plan, journal) if plan.changed else plan
        doing = "ending the run"
        if keep:
            keep()
        else:
            journal.drop()
    except ENDINGS as error:
        signals.hold_all()
        messages = told(error, doing)
        problems = _restored(journal)
        if problems and keep:
            # The timer goes on with the journal.
            raise ApplyError(*(messages + problems)) from error
        problems += tried(journal.drop)
        if problems:
            raise ApplyError(*(messages + problems)) from error
        raise RolledBack(*(messages + [_ALL_BACK])) from error
    return done


def _restored(journal):
    """What could not be restored: sentences."""
    try:
        return journal.restore()
    except ENDINGS as error:
        return told(error, "putting everything back")


def require_root(fs):
    """Raise InputError where the host's files are not to be written, nor all of them to be read."""
    if not fs.is_root:
        raise InputError("this task reads and changes what only root may: run it with become: true")


def report(plans):
    """The common part of a task's result, of a list of plans: changed, diff, reboot_required, reboot_reasons, warnings."""
    reasons = [reason for plan in plans for reason in plan.reboot_reasons]
    return {
        "changed": any(plan.changed for plan in plans),
        "diff": [one for plan in plans for one in plan.diff],
        "reboot_required": bool(reasons),
        "reboot_reasons": reasons,
        # What two areas have seen is said once.
        "warnings": list(dict.fromkeys(warning for plan in plans for warning in plan.warnings)),
    }


__all__ = ("report", "require_root", "run_areas")
