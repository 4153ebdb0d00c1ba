# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from virtlab import errors, host, lifecycle, paths


@pytest.fixture
def guest(description, tmp_path, monkeypatch):
    """A guest whose starts are played: ``outcomes`` are what each is, an exception or a run."""
    monkeypatch.setattr(paths, "state", lambda name: tmp_path)
    said = []
    found = lifecycle.Guest(host.parse("box", description), said.append)
    found.said, found.outcomes = said, []

    def boot(*dummy):
        outcome = found.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(found, "_boot", boot)
    return found


def test_a_guest_whose_timer_stops_is_started_again(guest):
    guest.outcomes = [errors.TimerStopped("it stopped"), errors.TimerStopped("it stopped"), "a run"]
    assert guest._boot_patiently(None, "tcg", 1, None) == "a run"
    assert len(guest.said) == 2


def test_not_for_ever(guest):
    guest.outcomes = [errors.TimerStopped("it stopped")] * lifecycle.STARTS
    with pytest.raises(errors.TimerStopped):
        guest._boot_patiently(None, "tcg", 1, None)
    assert guest.outcomes == []


def test_another_failure_is_not_tried_again(guest):
    guest.outcomes = [errors.GuestDied("a panic"), "a run"]
    with pytest.raises(errors.GuestDied):
        guest._boot_patiently(None, "tcg", 1, None)


@pytest.mark.parametrize("line, stopped", [
    ("rcu: rcu_preempt kthread timer wakeup didn't happen for 5247 jiffies!", True),
    ("Kernel panic - not syncing: timer doesn't work through Interrupt-remapped IO-APIC", True),
    ("Kernel panic - not syncing: VFS: Unable to mount root fs", False),
])
def test_a_stopped_timer_is_known_by_what_the_kernel_says(guest, line, stopped):
    assert not guest._has_said(lifecycle.TIMER_STOPPED)
    guest.console.write_text("\n".join([line] + ["  call trace"] * 100), encoding="utf-8")
    assert guest._has_said(lifecycle.TIMER_STOPPED) is stopped
