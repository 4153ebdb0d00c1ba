# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From a module to its areas and back: the one place where errors become fail_json."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Dict, NoReturn, Optional, Tuple

from ansible_collections.vfio.host.plugins.module_utils._core.area import Unfinished, report, require_root, run_areas
from ansible_collections.vfio.host.plugins.module_utils._core.endings import ENDINGS
from ansible_collections.vfio.host.plugins.module_utils._core.leaving import fail, printable, runner
from ansible_collections.vfio.host.plugins.module_utils._core.options import wrong_seconds
from ansible_collections.vfio.host.plugins.module_utils._host import signals
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError, PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
from ansible_collections.vfio.host.plugins.module_utils._host.lock import holder, one_at_a_time
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

if TYPE_CHECKING:
    from typing import Iterable, List, Mapping, Protocol

    from ansible_collections.vfio.host.plugins.module_utils._core.area import Plans, Wishes
    from ansible_collections.vfio.host.plugins.module_utils._core.confirm import Confirmation
    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    from ansible_collections.vfio.host.plugins.module_utils._core.leaving import Module

    class Proof(Protocol):
        """What a look at the host has found, after all was applied."""

        @property
        def failures(self) -> List[str]:
            """Sentences. With one, the task fails, and keeps what it did."""

        @property
        def warnings(self) -> Iterable[str]:
            """Sentences."""

        def result(self) -> Mapping[str, Any]:
            """Its own keys of the task's result."""

    MakeWishes = Callable[[Sysfs, Files], Wishes]
    MakeResult = Callable[[Plans], Mapping[str, Any]]
    Prove = Callable[[Sysfs, Plans], Proof]

_PATIENCE = 10  # seconds to wait for another run, where the module has no option for it


def run_task(
    module: Module, make_wishes: MakeWishes, *, make_result: Optional[MakeResult] = None, after: Optional[Prove] = None,
) -> NoReturn:
    """Run a module's task and leave through its exit_json or fail_json.

    ``make_wishes`` returns the wishes of run_areas(). ``make_result`` returns the areas' part of the result; without it, the results
    of all plans are put side by side. ``after`` is called when all is applied, before another run may write.
    """
    result: Dict[str, Any] = {}
    problem: Optional[BaseException] = None
    try:
        result = printable(_run(module, make_wishes, make_result or _side_by_side, after))
    except ENDINGS as error:
        problem = error
    if problem is not None:
        fail(module, problem)
    for warning in result.pop("warnings", ()):
        module.warn(warning)
    if "msg" in result:
        module.fail_json(**result)
    module.exit_json(**result)


def _run(module: Module, make_wishes: MakeWishes, make_result: MakeResult, after: Optional[Prove]) -> Dict[str, Any]:
    """The task's result; with ``msg``, that of a task that failed. Raises any of ENDINGS."""
    _check(module)
    fs, files = Sysfs(run=runner(module)), Files()
    with _alone(module, fs, files):
        if module.params.get("state") == "confirmed":
            require_root(fs)
            return {"changed": _confirmation(fs, files).confirm(module.check_mode)}
        if fs.is_root and fs.exists(f"{files.journal}/."):
            _recover(module, fs, files, _confirmation(fs, files))
        confirmation, around = None, None
        if module.params.get("confirm"):
            confirmation, around = _confirmed(module, fs, files)
        failures: List[str] = []
        try:
            plans = run_areas(
                make_wishes(fs, files), module.check_mode, open_journal=lambda: _journal(module, fs, files), around=around,
                notes=[f"{files.journal}/"],
            )
        except Unfinished as error:
            plans, failures = error.plans, error.messages
        more = after(fs, plans) if after and not failures else None
    result = report(list(plans.values()))
    result.update(make_result(plans))
    if more:
        result.update(more.result())
        result["warnings"] += list(more.warnings)
        failures = more.failures
    if failures:
        result["msg"] = "\n".join(failures)
    if "confirm" in module.params:
        result["awaits_confirmation"] = bool(confirmation and confirmation.is_asked)
    return result


# What only a run with something to change needs is loaded there: most runs have nothing to do.


def _journal(module: Module, fs: Sysfs, files: Files) -> Journal:
    """The run's journal."""
    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    return Journal(fs, files, task=module._name, timeout=module.params.get("timeout", _PATIENCE))


def _confirmation(fs: Sysfs, files: Files) -> Confirmation:
    """What knows of a change that waits for its confirmation."""
    from ansible_collections.vfio.host.plugins.module_utils._core.confirm import Confirmation
    return Confirmation(fs, files)


def _confirmed(module: Module, fs: Sysfs, files: Files) -> Tuple[Confirmation, Callable[[], ContextManager[Callable[[], None]]]]:
    """The confirmation that this task asks for, and what run_areas() takes as ``around``. Raises InputError."""
    confirmation = _confirmation(fs, files)
    confirmation.check()
    return confirmation, lambda: confirmation.around(module.params["confirm"], module._name)


def _check(module: Module) -> None:
    """Raise InputError where the task's seconds are none that a run can wait."""
    problems = wrong_seconds(module.params.get("timeout", _PATIENCE), module.params.get("confirm", 0))
    if problems:
        raise InputError(*problems)


def _alone(module: Module, fs: Sysfs, files: Files) -> ContextManager[None]:
    """A context in which no other run writes, so that what was read stays true. A run that only reads waits for nobody. Raises
    InputError.
    """
    if module.check_mode or not fs.is_root:
        return nullcontext()
    return one_at_a_time(files.lock, module._name, timeout=module.params.get("timeout", _PATIENCE))


def _recover(module: Module, fs: Sysfs, files: Files, confirmation: Confirmation) -> None:
    """Say what became of an earlier change, and restore what a run that was killed has left. Raises InputError where a change
    still waits: this run would not know what to go back to. Raises PlanError where a record cannot be read.
    """
    from ansible_collections.vfio.host.plugins.module_utils._core.journal import recover
    other = holder(files.lock) if module.check_mode else None
    if other:
        # What is below /run is that run's, which goes on.
        module.warn(printable(f"another run changes this host now: {other}; what it has not done yet is predicted here as if nobody did it"))
        return
    told, waits, overdue = confirmation.taken_back(), confirmation.waits(), confirmation.overdue()
    if waits and not module.check_mode:
        raise InputError(f"{waits}: confirm it (state: confirmed), or wait")
    try:
        # A signal ends nothing in the middle of this: what it kept from being restored would be forgotten.
        with signals.held_back():
            cut_off = None if waits else recover(fs, files, is_check=module.check_mode)
            if not (waits or module.check_mode):
                confirmation.forget()
            signals.check()
    except PlanError as error:
        # What the timer had to say is not forgotten before its journal is.
        raise PlanError(*([told] if told else []) + error.messages) from error
    if told and cut_off is not None and not module.check_mode:
        told += "" if cut_off.problems else "; that is put back now"
    elif cut_off is not None and not told:
        told = cut_off.sentence(module.check_mode, *filter(None, [overdue]))
    for sentence in (told, waits):
        if sentence:
            module.warn(printable(sentence))


def _side_by_side(plans: Plans) -> Dict[str, Any]:
    return {key: value for plan in plans.values() for key, value in plan.result().items()}


__all__ = ("run_task",)
