# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From a module to its areas and back: the one place where errors become fail_json."""

from __future__ import annotations

from contextlib import nullcontext

from ansible_collections.vfio.host.plugins.module_utils._core.area import report, require_root, run_areas
from ansible_collections.vfio.host.plugins.module_utils._core.endings import ENDINGS
from ansible_collections.vfio.host.plugins.module_utils._core.leaving import fail, printable, runner
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError, PlanError, Unfinished
from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
from ansible_collections.vfio.host.plugins.module_utils._host.lock import one_at_a_time
from ansible_collections.vfio.host.plugins.module_utils._host.numbers import is_whole, shown
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_PATIENCE = 10  # seconds to wait for another run, where the module has no option for it
_LONGEST = 86400  # seconds that a run may wait for anything
_SHORTEST = 5  # seconds in which somebody can come back by a new connection; ``true``, which Ansible takes for 1, is a slip


def run_task(module, make_wishes, make_result=None, after=None):
    """Run a module's task and leave through its exit_json or fail_json.

    ``make_wishes``: called with (Sysfs, Files), gives the wishes as run_areas() takes them. ``make_result``: called with
    name -> plan, gives the areas' part of the result; without it, what each plan has to say is put side by side. ``after``: called
    with (Sysfs, name -> plan) when all is applied, before another run may write; it gives what has ``result()``, ``warnings`` and
    ``failures``, with which the task fails and keeps what it did.
    """
    result = problem = None
    try:
        result = printable(_run(module, make_wishes, make_result or _side_by_side, after))
    except ENDINGS as error:
        problem = error
    if problem is not None:
        fail(module, problem)
    for warning in result.pop("warnings", ()):
        module.warn(warning)
    (module.fail_json if "msg" in result else module.exit_json)(**result)


def _run(module, make_wishes, make_result, after):
    """The task's result; with ``msg``, that of a task that failed."""
    _check(module)
    fs, files = Sysfs(run=runner(module)), Files()
    with _alone(module, fs, files):
        if module.params.get("state") == "confirmed":
            require_root(fs)
            return {"changed": _confirmation(fs, files).confirm(module.check_mode)}
        if fs.is_root and fs.exists(files.journal):
            _recover(module, fs, files, _confirmation(fs, files))
        confirmation = _confirmation(fs, files) if module.params.get("confirm") else None
        if confirmation:
            confirmation.check()
        try:
            plans, failures = run_areas(
                make_wishes(fs, files), module.check_mode, lambda: _journal(module, fs, files),
                confirmation and (lambda: confirmation.around(module.params["confirm"], module._name)),
            ), []
        except Unfinished as error:
            plans, failures = error.plans, error.messages
        more = after(fs, plans) if after and not failures else None
    result = report(list(plans.values()))
    result.update(make_result(plans))
    if more:
        result.update(more.result())
        result["warnings"] += more.warnings
        failures = more.failures
    if failures:
        result["msg"] = "\n".join(failures)
    if "confirm" in module.params:
        result["awaits_confirmation"] = bool(confirmation and confirmation.is_asked)
    return result


# What only a run with something to change needs is loaded there: most runs have nothing to do.


def _journal(module, fs, files):
    """The run's journal."""
    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    return Journal(fs, files, module._name, module.params.get("timeout", _PATIENCE))


def _confirmation(fs, files):
    """What knows of a change that waits for its confirmation."""
    from ansible_collections.vfio.host.plugins.module_utils._core.confirm import Confirmation
    return Confirmation(fs, files)


def _check(module):
    """Raise InputError where the task's seconds are none that a run can wait."""
    timeout, confirm, problems = module.params.get("timeout", _PATIENCE), module.params.get("confirm", 0), []
    # ansible-core 2.13 hands on a null as it is.
    if not is_whole(timeout, 9) or not 1 <= timeout <= _LONGEST:
        problems.append(f"timeout is {shown(timeout)}; it is a number of seconds from 1 to {_LONGEST}")
    if confirm is None or (confirm and not (is_whole(confirm, 9) and _SHORTEST <= confirm <= _LONGEST)):
        problems.append(
            f"confirm is {shown(confirm)}; it is a number of seconds from {_SHORTEST} to {_LONGEST}, or 0 where nothing has to be confirmed"
        )
    if problems:
        raise InputError(*problems)


def _alone(module, fs, files):
    """Nobody else writes meanwhile; what was read stays true. Who only reads waits for nobody."""
    if module.check_mode or not fs.is_root:
        return nullcontext()
    return one_at_a_time(files.lock, module._name, module.params.get("timeout", _PATIENCE))


def _recover(module, fs, files, confirmation):
    """Say what became of an earlier change, and put back what a run that was killed has left. Raises InputError where a change
    waits still: this run would not know what to go back to.
    """
    from ansible_collections.vfio.host.plugins.module_utils._core.journal import recover
    told, waits = confirmation.taken_back(), confirmation.waits()
    if waits and not module.check_mode:
        raise InputError(f"{waits}: confirm it (state: confirmed), or wait")
    try:
        cut_off = None if waits else recover(fs, files, module.check_mode)
    except PlanError as error:
        # What the timer had to say is not forgotten before its journal is.
        raise PlanError(*([told] if told else []) + error.messages) from error
    if told and not module.check_mode:
        confirmation.forget()
    if told and cut_off is not None and not module.check_mode:
        told += "" if cut_off.problems else "; that is put back now"
    elif cut_off is not None and not told:
        told = cut_off.sentence(module.check_mode)
    for sentence in (told, waits):
        if sentence:
            module.warn(printable(sentence))


def _side_by_side(plans):
    return {key: value for plan in plans.values() for key, value in plan.result().items()}


__all__ = ("run_task",)
