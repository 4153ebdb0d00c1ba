# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A change that takes itself back unless somebody confirms it."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC
from ansible_collections.vfio.host.tests.unit.plugins.modules.confirming import WISH, killed_runs, said, state, time_passes


def test_a_confirmed_change_stays_and_nothing_else_is_left(run_module, host, systemd):
    result = run_module(host, "driver_override", confirm=30, **WISH)
    assert (result["changed"], result["awaits_confirmation"]) == (True, True)
    assert "--on-active=30" in systemd.started
    confirmed = run_module(host, "driver_override", state="confirmed")
    assert (confirmed["changed"], systemd.is_armed) == (True, False)
    assert host.driver(NIC) == "vfio-pci"
    assert not os.path.exists(host.root + "/run/vfio-host")
    assert not run_module(host, "driver_override", state="confirmed")["changed"]
    assert not run_module(host, "driver_override", confirm=30, **WISH)["awaits_confirmation"]


def test_an_unconfirmed_change_is_taken_back_and_the_next_run_says_so_once(run_module, host, systemd, monkeypatch):
    before = state(host)
    run_module(host, "driver_override", confirm=30, **WISH)
    assert host.rules("p")
    time_passes(monkeypatch)
    systemd.runs_out()
    assert sorted(os.listdir(host.files.journal)) == ["taken-back.json"]
    os.rename(host.files.journal, host.root + "/aside")
    os.rmdir(host.root + "/run/vfio-host")
    assert state(host) == dict(before, **{key: value for key, value in state(host).items() if key.startswith("/aside")})
    os.makedirs(host.root + "/run/vfio-host")
    os.rename(host.root + "/aside", host.files.journal)
    checked = run_module(host, "driver_override", check=True, **WISH)
    told = run_module(host, "driver_override", **WISH)
    assert said(checked) == said(told)
    assert "the last change, by " in said(told)
    assert "was taken back at" in said(told)
    assert "since nobody confirmed it within 30 seconds: the host is as it was before" in said(told)
    assert "warnings" not in run_module(host, "driver_override", **WISH)
    assert not os.path.exists(host.root + "/run/vfio-host")


def test_a_confirmation_that_comes_too_late_is_an_error(run_module, host, systemd, monkeypatch):
    run_module(host, "driver_override", confirm=30, **WISH)
    time_passes(monkeypatch)
    systemd.runs_out()
    result = run_module(host, "driver_override", state="confirmed")
    assert result["failed"]
    assert "was taken back" in result["msg"]


def test_the_way_back_is_there_before_the_first_write(run_module, host, systemd):
    run_module(host, "driver_override", confirm=30, **WISH)
    steps = [step for step in host.faults.log if "/run/vfio-host/" not in step[1]]
    assert steps[:2] == [("timer", "checked"), ("timer", "armed")]
    assert len(steps) > 4


@pytest.mark.exhaustive
def test_a_run_that_is_killed_at_any_step_is_taken_back(run_module, make_host, monkeypatch):
    half_done = 0
    for index, host, systemd, before in killed_runs(run_module, make_host):
        half_done += any(step[0] == "write" for step in host.faults.log[:-1])
        assert systemd.is_armed or not half_done
        if systemd.is_armed:
            with monkeypatch.context() as later:
                time_passes(later)
                systemd.runs_out()
        found = {path: text for path, text in state(host).items() if not path.startswith("/run/vfio-host")}
        assert found == before, f"killed before step {index}"
    # With the devices before, between and behind three of them.
    assert half_done > 5


@pytest.mark.parametrize("seconds", [True, 1, 4, 86401, 10**12])
def test_a_time_in_which_nobody_could_come_back_is_an_error(run_module, host, systemd, seconds):
    before = state(host)
    result = run_module(host, "driver_override", confirm=seconds, **WISH)
    assert f"confirm is {seconds}; it is a number of seconds from 5 to 86400" in result["msg"]
    assert (state(host), systemd.started) == (before, [])


def test_without_systemd_nothing_is_touched(run_module, host):
    before = state(host)
    result = run_module(host, "driver_override", confirm=30, **WISH)
    assert result["msg"].startswith("confirm needs systemd")
    assert state(host) == before


def test_a_timer_that_does_not_start_stops_the_run_before_anything_is_touched(run_module, host, systemd):
    systemd.refuses = True
    before = state(host)
    result = run_module(host, "driver_override", confirm=30, **WISH)
    assert "systemd-run says: Failed to start transient timer unit" in result["msg"]
    assert state(host) == before


def test_what_systemd_cannot_run_stops_the_run_before_anything_is_touched(run_module, host, systemd):
    before, systemd.runs = state(host), lambda words: 203  # source: systemd src/shared/exit-status.h EXIT_EXEC
    result = run_module(host, "driver_override", confirm=30, **WISH)
    assert "systemd cannot run what would take the change back: have Ansible use an interpreter that systemd can run" in result["msg"]
    assert 'Job for vfio-host-confirm-check.service failed. See "systemctl status vfio-host-confirm-check.service"' in result["msg"]
    assert (state(host), systemd.started) == (before, [])


@pytest.mark.parametrize("missing, is_well", [("", True), ("_host/udevd.py", False)])
def test_what_the_timer_runs_is_run_once_to_see_whether_its_code_is_whole(run_module, host, systemd, missing, is_well):
    def run(words):
        code = os.path.dirname(words[-2])
        if missing:
            os.unlink(f"{code}/ansible_collections/vfio/host/plugins/module_utils/{missing}")
        return subprocess.run(words, cwd="/", env={}, stderr=subprocess.DEVNULL, check=False).returncode

    systemd.runs = run
    result = run_module(host, "driver_override", confirm=30, **WISH)
    assert result.get("awaits_confirmation", False) == is_well
    assert bool(systemd.started) == is_well
    assert host.driver(NIC) == ("vfio-pci" if is_well else "e1000e")


def test_a_negative_time_is_an_error(run_module, host, systemd):
    assert run_module(host, "driver_override", confirm=-1, **WISH)["msg"].startswith("confirm is -1")


def test_check_mode_starts_no_timer_and_confirms_nothing(run_module, host, systemd):
    before = state(host)
    assert not run_module(host, "driver_override", check=True, confirm=30, **WISH)["awaits_confirmation"]
    assert (systemd.started, state(host)) == ([], before)
    run_module(host, "driver_override", confirm=30, **WISH)
    assert run_module(host, "passthrough", check=True, state="confirmed")["changed"]
    assert systemd.is_armed


def test_another_run_is_refused_while_a_change_waits(run_module, host, systemd):
    run_module(host, "driver_override", confirm=30, **WISH)
    before = state(host)
    result = run_module(host, "driver_override", state="absent", policy="p")
    assert re.search(r"waits ([12]?\d|30) seconds more for its confirmation", result["msg"])
    assert state(host) == before
    assert "waits" in said(run_module(host, "driver_override", check=True, state="absent", policy="p"))


def test_what_only_a_boot_reads_waits_until_the_change_is_confirmed(run_module, host, systemd):
    result = run_module(host, "passthrough", confirm=30, devices={"p": WISH["devices"]}, kernel_cmdline={"iommu": "pt"})
    assert result["changed"]
    assert not {"kernel_cmdline", "initramfs"} & set(result)


@pytest.mark.parametrize("attack", ["a link", "for all to write", "a file"])
@pytest.mark.parametrize("place", ["/run/vfio-host", "/run/vfio-host/journal"])
def test_a_way_back_that_somebody_else_could_change_is_not_used(run_module, host, systemd, tmp_path, place, attack):
    os.makedirs(os.path.dirname(host.root + place), exist_ok=True)
    if attack == "a link":
        os.symlink(tmp_path, host.root + place)
    elif attack == "a file":
        host.tree.put(host.root + place)
    else:
        os.makedirs(host.root + place)
        os.chmod(host.root + place, 0o777)
    before = state(host)
    result = run_module(host, "driver_override", confirm=30, **WISH)
    assert result["failed"]
    assert place in result["msg"]
    assert (systemd.started, os.listdir(tmp_path)) == ([], [])
    assert {path: text for path, text in state(host).items() if path in before} == before


@pytest.mark.parametrize("name", ["record.json", "taken-back.json"])
@pytest.mark.parametrize("text", ["[]", "{}", "5", '{"task": 1, "time": 2, "problems": 5, "seconds": {}, "deadline": []}', "{\"v\": " + "9" * 5000 + "}"])
def test_a_damaged_deadline_or_outcome_is_one_sentence(run_module, host, name, text):
    path = f"{host.files.journal}/{name}"
    host.tree.put(path, text)
    before = host.snapshot()
    result = run_module(host, "driver_override", **WISH)
    assert result["msg"].startswith(f"{path} cannot be read") and result["msg"].endswith("remove it, and run again")
    assert "\n" not in result["msg"] and host.snapshot() == before
