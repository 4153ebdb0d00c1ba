# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""One run over one or more areas of a host: all are read and planned before the first is written.

An area has three verbs: ``read(request)`` gives its state, values that hold all that the request asks of the host, and raises InputError
where it asks for nothing that could be; ``plan(state, request)`` gives a plan of these values alone, or raises InputError or PlanError
with every problem it finds; it may have ``ready(plan)``, which gives the plan as it is where something will be applied, with what is
not asked in check mode, or raises the same; ``apply(plan, journal)`` carries it out and returns the plan as it was carried out, or raises. It
only goes forward: before it touches a thing it has the journal remember it, and what the journal remembers is restored
whatever ends the run.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Dict, Iterable, List, Mapping, Optional, Tuple

from ansible_collections.vfio.host.plugins.module_utils._core.endings import ENDINGS, told
from ansible_collections.vfio.host.plugins.module_utils._core.objection import marked
from ansible_collections.vfio.host.plugins.module_utils._host import signals
from ansible_collections.vfio.host.plugins.module_utils._host.disk import no_place
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, InputError, PlanError, RolledBack

if TYPE_CHECKING:
    from typing import Protocol

    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

    class Plan(Protocol):
        """What an area would change. Where it writes files it has ``changed_files()``, path -> text or None.

        It may have ``failures`` as well, once applied: sentences about what could not be done, and
        keeps nothing else.
        """

        @property
        def changed(self) -> bool:
            """Whether there is anything to apply."""

        @property
        def diff(self) -> Iterable[Mapping[str, Any]]:
            """Mappings for Ansible: before, after, before_header, after_header."""

        @property
        def reboot_reasons(self) -> Iterable[str]:
            """Sentences; each is a reason why the host has to boot."""

        @property
        def warnings(self) -> Iterable[str]:
            """Sentences."""

        def result(self) -> Mapping[str, Any]:
            """The area's own keys of a task's result."""

    class Area(Protocol):
        """State, request and plan are of types that only the area knows."""

        def read(self, request: Any) -> Any:
            """The state of the host, as far as the request is about it. Raises InputError, PlanError."""

        def plan(self, state: Any, request: Any) -> Plan:
            """Of values alone: nothing is read. Raises InputError, PlanError."""

        def apply(self, plan: Any, journal: Journal) -> Plan:
            """The plan as it was carried out. Raises any of ENDINGS."""

    # Name of an area -> its plan, whose type is known to who asks for it by name.
    Plans = Dict[str, Any]
    # Name of an area -> (the area, its request, or a function from the plans so far to it).
    Wishes = Mapping[str, Tuple[Area, Any]]

_ALL_BACK = "everything that this task had changed was put back as it was"


class Unfinished(ApplyError):
    """All was applied but for single things, which the messages name; nothing is to be restored. ``plans``: name -> plan as applied."""

    def __init__(self, plans: Plans, *messages: str) -> None:
        super().__init__(*messages)
        self.plans = plans


def run_areas(
    wishes: Wishes, check: bool, *, open_journal: Optional[Callable[[], Journal]] = None,
    around: Optional[Callable[[], ContextManager[Callable[[], None]]]] = None, notes: Iterable[str] = (),
) -> Plans:
    """Run ``wishes``, in the order of applying, and return name -> plan.

    A function in place of a request returns the request, or None where the area has nothing to do and is left out. With
    ``check`` nothing is applied. ``open_journal`` is called where something is to be applied. ``around`` is called then, too. Its
    context gives a function that is called when all is applied; that may refuse, and the journal is kept for it. ``notes``: paths
    of what a run that changes anything writes of itself.

    Problems of all areas are raised together, before anything is touched: InputError or PlanError of single areas become one
    PlanError. An area whose plan failed is missing among the plans that a function is given. Raises RolledBack or ApplyError
    where applying failed, and Unfinished where a plan, applied, has ``failures``.
    """
    plans: Plans = {}
    problems: List[str] = []
    for name, (area, request) in wishes.items():
        try:
            wanted = request(plans) if callable(request) else request
            if wanted is not None or not callable(request):
                plans[name] = area.plan(area.read(wanted), wanted)
        except (InputError, PlanError) as error:
            problems += [one for one in marked(error.messages, isinstance(error, InputError)) if one not in problems]
        except ENDINGS as error:
            raise PlanError(*(problems + told(error, f"{name}: reading the host and planning, nothing was touched"))) from error
    areas, changing = {name: wishes[name][0] for name in plans}, [plan for plan in plans.values() if plan.changed]
    problems += _without_place(plans, notes if changing else ())
    if problems:
        raise PlanError(*problems)
    if check or not changing:
        return plans
    if open_journal is None:
        raise ValueError("nothing is applied without a journal")
    plans = _ready(areas, plans)
    with signals.held_back(), around() if around else nullcontext() as keep:
        done = _apply_all(areas, plans, open_journal(), keep)
    failures = [message for plan in done.values() for message in getattr(plan, "failures", ())]
    if failures:
        raise Unfinished(done, *failures)
    return done


def _without_place(plans: Plans, notes: Iterable[str]) -> List[str]:
    """A sentence for each file that a plan, or the run itself, would write, and that cannot be where it belongs."""
    paths = list(notes)
    for plan in plans.values():
        written: Optional[Callable[[], Mapping[str, Optional[str]]]] = getattr(plan, "changed_files", None)
        paths += [path for path, text in written().items() if text is not None] if written else []
    return list(dict.fromkeys(why for why in map(no_place, paths) if why is not None))


def _ready(areas: Mapping[str, Area], plans: Plans) -> Plans:
    """The plans as the areas have them before the first is applied. Raises PlanError with all problems."""
    problems: List[str] = []
    done: Plans = {}
    for name, plan in plans.items():
        ready: Optional[Callable[[Any], Plan]] = getattr(areas[name], "ready", None) if plan.changed else None
        try:
            done[name] = ready(plan) if ready else plan
        except (InputError, PlanError) as error:
            problems += marked(error.messages, isinstance(error, InputError))
        except ENDINGS as error:
            raise PlanError(*(problems + told(error, f"{name}: planning, nothing was touched"))) from error
    if problems:
        raise PlanError(*problems)
    return done


def _apply_all(areas: Mapping[str, Area], plans: Plans, journal: Journal, keep: Optional[Callable[[], None]]) -> Plans:
    """The plans as applied. Raises RolledBack where everything is as before, else ApplyError."""
    done: Plans = {}
    doing = ""
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
        problems = _said(journal.restore, "putting everything back")
        if problems and keep:
            # The timer goes on with the journal.
            raise ApplyError(*(messages + problems)) from error
        problems += _said(journal.drop_restored)
        if problems:
            raise ApplyError(*(messages + problems)) from error
        raise RolledBack(*(messages + [_ALL_BACK])) from error
    return done


def _said(call: Callable[[], List[str]], doing: str = "") -> List[str]:
    """What a call of the journal says, or what it ended with."""
    try:
        return call()
    except ENDINGS as error:
        return told(error, doing)


def require_root(fs: Sysfs) -> None:
    """Raise InputError where the host's files are not to be written, nor all of them to be read."""
    if not fs.is_root:
        raise InputError("this task reads and changes what only root may: run it with become: true")


def report(plans: Iterable[Plan]) -> Dict[str, Any]:
    """The common part of a task's result: changed, diff, reboot_required, reboot_reasons, warnings."""
    plans = list(plans)
    reasons = [reason for plan in plans for reason in plan.reboot_reasons]
    return {
        "changed": any(plan.changed for plan in plans),
        "diff": [piece for plan in plans for piece in plan.diff],
        "reboot_required": bool(reasons),
        "reboot_reasons": reasons,
        # What two areas have seen is said once.
        "warnings": list(dict.fromkeys(warning for plan in plans for warning in plan.warnings)),
    }


__all__ = ("Unfinished", "report", "require_root", "run_areas")
