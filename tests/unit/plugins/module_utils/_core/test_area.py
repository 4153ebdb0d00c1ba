# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from contextlib import nullcontext

import pytest

from ansible_collections.vfio.host.plugins.module_utils._core.area import Unfinished, report, run_areas
from ansible_collections.vfio.host.plugins.module_utils._host.errors import (
    ApplyError,
    InputError,
    PlanError,
    RolledBack,
)

BACK = "everything that this task had changed was put back as it was"


class Plan:
    def __init__(self, changed):
        self.changed = changed
        self.diff = [{"before": "", "after": "x"}] if changed else []
        self.reboot_reasons = ["it waits"] if changed else []
        self.warnings = ["look"]


class Area:
    """An area that writes down what it is asked."""

    def __init__(self, log, name, changed=True, plan_error=None, apply_error=None):
        self.log, self.name, self.changed = log, name, changed
        self.plan_error, self.apply_error = plan_error, apply_error

    def _do(self, verb, error):
        self.log.append(f"{verb} {self.name}")
        if error:
            raise error

    def read(self, dummy_request):
        self._do("read", None)

    def plan(self, dummy_state, request):
        self._do("plan", self.plan_error)
        self.request = request
        return Plan(self.changed)

    def apply(self, plan, dummy_journal):
        self._do("apply", self.apply_error)
        return plan


class Kept:
    """A journal that writes down what it is asked."""

    def __init__(self, log, problems=(), error=None):
        self.log, self.problems, self.error = log, list(problems), error

    def restore(self):
        self.log.append("restore")
        if self.error:
            raise self.error
        return self.problems

    def drop(self):
        self.log.append("drop")

    def drop_restored(self):
        self.log.append("drop restored")
        return []


@pytest.fixture
def log():
    return []


def test_nothing_is_applied_without_a_journal(log):
    with pytest.raises(ValueError, match="without a journal"):
        run_areas({"a": (Area(log, "a"), 1)}, False)
    assert log == ["read a", "plan a"]


def run(*areas, check=False, problems=(), error=None, **more):
    journal = Kept(areas[0].log, problems, error)
    return run_areas({area.name: (area, None) for area in areas}, check, open_journal=lambda: journal, **more)


def test_every_area_is_planned_before_the_first_is_applied(log):
    run(Area(log, "a"), Area(log, "b"))
    assert log == ["read a", "plan a", "read b", "plan b", "apply a", "apply b", "drop"]


def test_check_mode_applies_nothing(log):
    assert len(run(Area(log, "a"), Area(log, "b"), check=True)) == 2
    assert not [one for one in log if one.startswith("apply")]


def test_an_area_that_is_as_declared_is_not_applied(log):
    run(Area(log, "a", changed=False))
    assert log == ["read a", "plan a"]


def test_problems_of_all_areas_come_at_once_and_nothing_is_applied(log):
    with pytest.raises(PlanError) as caught:
        run(
            Area(log, "a", plan_error=InputError("one", "two")),
            Area(log, "b"),
            Area(log, "c", plan_error=PlanError("three")),
        )
    assert caught.value.messages == ["one", "two", "three"]
    assert not [one for one in log if one.startswith("apply")]


def test_a_failure_restores_once_what_the_journal_has_and_forgets_it(log):
    with pytest.raises(RolledBack) as caught:
        run(Area(log, "a"), Area(log, "b"), Area(log, "c", apply_error=ApplyError("broken")))
    assert caught.value.messages == ["broken", BACK]
    assert log[-2:] == ["restore", "drop restored"]


def test_a_run_that_ends_well_forgets_its_journal(log):
    run(Area(log, "a"))
    assert log[-2:] == ["apply a", "drop"]


def test_what_cannot_be_restored_is_said_after_the_cause(log):
    with pytest.raises(ApplyError) as caught:
        run(Area(log, "a"), Area(log, "b", apply_error=ApplyError("broken")), problems=["stuck"])
    assert caught.value.messages == ["broken", "stuck"]
    assert not isinstance(caught.value, RolledBack)


@pytest.mark.parametrize("error", [
    RuntimeError("odd"), OSError(12, "no"), KeyboardInterrupt(), SystemExit(1), MemoryError(),
], ids=repr)
def test_whatever_ends_an_area_or_the_restoring_itself_is_told(log, error):
    with pytest.raises(ApplyError) as caught:
        run(Area(log, "a"), Area(log, "b", apply_error=error), error=error)
    assert log[-2:] == ["restore", "drop restored"]
    assert caught.value.messages[0].startswith("b: applying the plan: ")
    assert caught.value.messages[1].startswith("putting everything back: ")
    assert not isinstance(caught.value, RolledBack)


def test_with_a_timer_the_journal_is_kept_where_not_all_is_restored(log):
    def refuse():
        raise ApplyError("full")

    with pytest.raises(ApplyError):
        run(Area(log, "a"), around=lambda: nullcontext(refuse), problems=["stuck"])
    assert log[-2:] == ["apply a", "restore"]
    with pytest.raises(RolledBack, match="full"):
        run(Area(log, "a"), around=lambda: nullcontext(refuse))
    assert log[-2:] == ["restore", "drop restored"]


def test_what_nobody_foresaw_while_planning_touches_nothing_and_names_the_area(log):
    with pytest.raises(PlanError, match="b: reading the host and planning, nothing was touched: RuntimeError: odd"):
        run(Area(log, "a"), Area(log, "b", plan_error=RuntimeError("odd")))
    assert not [one for one in log if one.startswith("apply")]


def test_a_request_can_be_made_of_the_plans_before_it(log):
    area = Area(log, "b")
    run_areas({"a": (Area(log, "a"), 1), "b": (area, list)}, True)
    assert area.request == ["a"]


def test_an_area_with_nothing_to_ask_for_is_not_even_read(log):
    assert list(run_areas({"a": (Area(log, "a"), lambda plans: None), "b": (Area(log, "b"), 1)}, False, open_journal=lambda: Kept(log))) == ["b"]
    assert "read a" not in log


def test_a_plan_that_failed_is_missing_for_the_requests_after_it(log):
    seen = []
    with pytest.raises(PlanError):
        run_areas({
            "a": (Area(log, "a", plan_error=PlanError("no")), 1),
            "b": (Area(log, "b"), lambda plans: seen.extend(plans) or 1),
        }, False)
    assert seen == []
    assert "plan b" in log


def test_what_several_areas_say_in_the_same_words_is_said_once():
    areas = {name: (Area([], name, plan_error=InputError("root only")), None) for name in "ab"}
    with pytest.raises(PlanError) as caught:
        run_areas(areas, False)
    assert caught.value.messages == ["root only"]


def test_a_request_that_cannot_be_made_is_a_problem_like_others(log):
    def refuse(dummy):
        raise InputError("contradiction")

    with pytest.raises(PlanError) as caught:
        run_areas({"a": (Area(log, "a"), refuse), "b": (Area(log, "b", plan_error=PlanError("no")), 1)}, False)
    assert caught.value.messages == ["contradiction", "no"]


def test_a_report_joins_the_plans():
    found = report([Plan(False), Plan(True)])
    assert found == {
        "changed": True,
        "diff": [{"before": "", "after": "x"}],
        "reboot_required": True,
        "reboot_reasons": ["it waits"],
        "warnings": ["look"],
    }
    assert report([Plan(False)])["reboot_required"] is False


class Incomplete(Plan):
    failures = ("one thing is not done",)


def test_what_a_plan_could_not_do_ends_the_run_when_all_is_done_and_nothing_is_put_back(log):
    first, second = Area(log, "a"), Area(log, "b")
    first.apply = lambda plan, journal: Incomplete(True)
    kept = []
    with pytest.raises(Unfinished, match="one thing is not done") as caught:
        run(first, second, around=lambda: nullcontext(lambda: kept.append(True)))
    assert sorted(caught.value.plans) == ["a", "b"]
    assert (log[-1], kept) == ("apply b", [True])
    assert "restore" not in log


def test_where_a_later_area_fails_what_was_done_before_is_put_back_with_the_rest(log):
    first, second = Area(log, "a"), Area(log, "b", apply_error=ApplyError("no"))
    first.apply = lambda plan, journal: Incomplete(True)
    with pytest.raises(RolledBack, match="no"):
        run(first, second)
    assert log[-2:] == ["restore", "drop restored"]
