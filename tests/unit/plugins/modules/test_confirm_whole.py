# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a change under ``confirm`` can be confirmed, and what the next run puts back without waiting."""

from __future__ import annotations

import errno
import io
import json
import os
from contextlib import redirect_stderr

import pytest

from ansible_collections.vfio.host.plugins.module_utils._core import revert
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.faults import Killed
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME
from ansible_collections.vfio.host.tests.unit.plugins.modules.confirming import WISH, Systemd, killed_runs, said, state, time_passes


@pytest.mark.exhaustive
def test_after_a_run_that_was_killed_at_any_step_the_next_one_need_not_wait(run_module, make_host):
    restored = 0
    for index, host, systemd, before in killed_runs(run_module, make_host):
        host.faults.reset()
        if not os.path.exists(host.files.journal):
            continue
        is_whole = '"is_whole": true' in (host.files.read(host.files.journal + "/record.json") or "")
        late = run_module(host, "driver_override", state="confirmed")
        if is_whole:
            assert late["changed"]
            continue
        if os.path.exists(host.files.journal + "/record.json"):
            assert "basic.py did not come to its end, so there is nothing whole to keep" in late["msg"]
        result = run_module(host, "driver_override", policy="none", state="absent")
        assert not result.get("failed"), result
        assert (state(host), systemd.is_armed) == (before, False), f"killed before step {index}"
        if "warnings" in result:
            restored += 1
            assert "was cut off before its end: what it had changed was put back as it was" in said(result)
    assert restored > 5


@pytest.mark.exhaustive
def test_a_timer_that_is_killed_at_any_step_leaves_the_rest_to_the_next_run(run_module, make_host, monkeypatch):
    for index in range(30):
        host = make_host(hosts.x86())
        systemd, before = Systemd(host), state(host)
        run_module(host, "driver_override", confirm=30, **WISH)
        host.faults.reset()
        host.faults.kill_at(index)
        with monkeypatch.context() as later, pytest.raises(Killed):
            time_passes(later)
            systemd.runs_out()
        last = host.faults.log[-1][1]
        host.faults.reset()
        with monkeypatch.context() as later:
            time_passes(later)
            result = run_module(host, "driver_override", policy="none", state="absent")
        assert not result.get("failed") and said(result), last
        assert state(host) == before, last
        if "/run/vfio-host/journal/code/" in last:  # all is restored, and what follows are files of its own
            assert index > 5
            return
    raise AssertionError("the timer never came to its end")


def test_a_change_whose_timer_somebody_has_stopped_is_taken_back_by_the_next_run(run_module, host, systemd, monkeypatch):
    before = state(host)
    run_module(host, "driver_override", confirm=30, **WISH)
    systemd.is_armed = False
    time_passes(monkeypatch)
    checked = run_module(host, "driver_override", check=True, policy="none", state="absent")
    assert "was not confirmed in its time, and its timer has not taken it back: the next run puts back what it changed" in said(checked)
    result = run_module(host, "driver_override", policy="none", state="absent")
    assert "was not confirmed in its time, and its timer has not taken it back: what it had changed was put back as it was" in said(result)
    assert state(host) == before


def test_what_a_run_that_failed_has_left_cannot_be_confirmed_and_the_next_run_puts_it_back(run_module, host, systemd, monkeypatch):
    before, real = state(host), host.kernel.write

    def write(path, value):
        if path.endswith("/vfio-pci/bind") and value == EDU or path.endswith(f"{NVME}/driver_override") and value == "\n":
            raise OSError(errno.ENOMEM, "no")
        real(path, value)

    with monkeypatch.context() as patch:
        patch.setattr(host.kernel, "write", write)
        assert "stays armed" in run_module(host, "driver_override", confirm=30, **WISH)["msg"]
    for check in (True, False):
        result = run_module(host, "driver_override", state="confirmed", check=check)
        assert "did not come to its end, so there is nothing whole to keep" in result["msg"]
    assert systemd.is_armed and os.path.exists(host.files.journal + "/journal.json")
    assert not run_module(host, "driver_override", policy="none", state="absent").get("failed")
    assert (state(host), systemd.is_armed) == (before, False)


def test_a_change_that_could_not_be_taken_back_cannot_be_confirmed_where_no_note_says_so(run_module, host, systemd, monkeypatch):
    run_module(host, "driver_override", confirm=30, **WISH)
    host.kernel.refusals["e1000e", NIC] = errno.EIO
    time_passes(monkeypatch)
    systemd.runs_out()
    os.unlink(host.files.journal + "/taken-back.json")  # as where /run had no room for it
    assert "did not come to its end" in run_module(host, "driver_override", state="confirmed")["msg"]
    assert os.path.exists(host.files.journal + "/journal.json")


def test_a_record_of_before_there_was_is_whole_can_be_confirmed(run_module, host, systemd):
    run_module(host, "driver_override", confirm=30, **WISH)
    path = host.files.journal + "/record.json"
    kept = json.loads(host.files.read(path))
    del kept["is_whole"]
    host.files.put(path, json.dumps(kept))
    assert run_module(host, "driver_override", state="confirmed")["changed"]


def test_a_timer_whose_record_somebody_has_removed_is_in_nobodys_way(run_module, host, systemd):
    before = state(host)
    run_module(host, "driver_override", confirm=30, **WISH)
    os.unlink(host.files.journal + "/record.json")
    result = run_module(host, "driver_override", confirm=30, policy="other", devices=[{"match": {"address": NVME}}])
    assert result.get("awaits_confirmation"), result
    assert systemd.is_armed and host.driver(NIC) == "e1000e"
    assert run_module(host, "driver_override", state="confirmed")["changed"]
    assert not run_module(host, "driver_override", policy="other", state="absent").get("failed")
    assert state(host) == before


def test_where_the_lock_has_no_room_the_timer_makes_some_and_goes_on(run_module, host, systemd, monkeypatch):
    before, real, waits = state(host), os.open, []
    run_module(host, "driver_override", confirm=30, **WISH)
    time_passes(monkeypatch)

    def no_inode(path, *more, **named):
        if path == host.files.lock and os.path.exists(revert.start(host.files)):
            raise OSError(errno.ENOSPC, "no")
        return real(path, *more, **named)

    monkeypatch.setattr(revert.time, "sleep", waits.append)
    with monkeypatch.context() as patch, redirect_stderr(io.StringIO()) as complaints:
        patch.setattr(os, "open", no_inode)
        revert.main(host.kernel, host.files)
    assert "vfio-host.lock cannot be locked: ENOSPC" in complaints.getvalue()
    assert (waits, host.files.names(host.files.journal)) == ([0, 0], ["taken-back.json"])
    assert {path: text for path, text in state(host).items() if not path.startswith("/run/vfio-host")} == before
