# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A change that takes itself back unless somebody confirms it."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import subprocess
import sys
import time
from contextlib import redirect_stderr
from types import SimpleNamespace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._core import confirm, revert
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.faults import Killed
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME

WISH = {"devices": [{"match": {"address": one}} for one in (NIC, NVME, EDU)], "policy": "p"}


class Systemd:
    """What systemd-run and systemctl are told; ``ends`` is what the timer's end would do."""

    def __init__(self, host):
        self.host = host
        self.started = []
        self.is_armed = False
        self.refuses = False
        self._others, host.kernel.run = host.kernel.run, self._run
        host.tree.put(host.tree.root / "run/systemd/system/keep")

    def _run(self, words):
        if words[0] == "systemd-run":
            self.host.faults.step("timer", "armed")
            if self.refuses:
                return 1, "", "Failed to start transient timer unit\n"
            if self.is_armed:
                # source: systemd src/core/dbus-manager.c transient_unit_from_message()
                return 1, "", "Failed to start transient timer unit: Unit vfio-host-confirm.timer was already loaded or has a fragment file.\n"
            self.started, self.is_armed = words, True
            return 0, "", ""
        if words[0] == "systemctl":
            self.is_armed = False
            return 0, "", ""
        return self._others(words)

    def runs_out(self):
        """The time is over, and nobody has come."""
        assert self.is_armed
        with redirect_stderr(io.StringIO()) as complaints:
            self.left = revert.revert_if_due(self.host.kernel, self.host.files)
        self.complaints = complaints.getvalue()
        if self.left is None:
            revert.remove_code(self.host.files)


@pytest.fixture
def systemd(host):
    return Systemd(host)


def time_passes(monkeypatch, seconds=1000):
    now = time.monotonic
    monkeypatch.setattr(revert.time, "monotonic", lambda: now() + seconds)


def said(result):
    """The only warning; newer versions of Ansible wrap it."""
    assert len(result["warnings"]) == 1
    return str(result["warnings"][0])


def state(host):
    """All of a host, but the numbers of VFIO's character devices, and modules that were loaded and do no harm."""
    return {
        path: content for path, content in host.snapshot("/sys/class/vfio-dev", "/sys/module", "/sys/bus/pci/drivers").items()
        if "/vfio-dev/vfio" not in path
    }


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
    assert steps[0] == ("timer", "armed")
    assert len(steps) > 4


def killed_runs(run_module, make_host):
    """(step, host, its Systemd, its state before) of runs under confirm, each killed before one step more than the last, until one ends."""
    for index in range(100):
        host = make_host(hosts.x86())
        systemd, before = Systemd(host), state(host)
        host.faults.reset()
        host.faults.kill_at(index)
        try:
            run_module(host, "driver_override", confirm=30, **WISH)
        except Killed:
            yield index, host, systemd, before
        else:
            return
    raise AssertionError("the run never came to its end")


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


def test_a_failure_is_put_back_at_once_and_leaves_no_timer(run_module, host, systemd):
    before = state(host)
    host.kernel.refusals["vfio-pci", NVME] = 22
    result = run_module(host, "driver_override", confirm=30, **WISH)
    assert "EINVAL" in result["msg"]
    assert not systemd.is_armed
    assert state(host) == before


class Unforeseen(Exception):
    """What no code of this collection raises."""


@pytest.fixture
def half_done(run_module, host, systemd, monkeypatch):
    """A function: a run that ends with an error in the middle, and cannot put NVME back; its message."""

    def run(error):
        override, real = f"{NVME}/driver_override", host.kernel.write

        def write(path, value):
            if path.endswith("/vfio-pci/bind") and value == EDU:
                raise error
            if path.endswith(override) and value == "\n":
                raise OSError(errno.EIO, "no")
            real(path, value)

        monkeypatch.setattr(host.kernel, "write", write)
        result = run_module(host, "driver_override", confirm=30, **WISH)
        monkeypatch.setattr(host.kernel, "write", real)
        assert result["failed"]
        return result["msg"]

    return run


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), OSError(errno.ENOMEM, "no"), Unforeseen("odd")], ids=repr)
def test_where_the_roll_back_fails_the_timer_stays_and_takes_back_the_rest(host, systemd, monkeypatch, half_done, error):
    before = state(host)
    message = half_done(error)
    assert systemd.is_armed
    assert f"{NVME} (" in message.split("\n")[1] and "could not be put back to driver nvme" in message.split("\n")[1]
    # How many of the 30 seconds are left is the machine's business.
    assert re.search(r"the timer of confirm stays armed: in ([12]?\d|30) seconds the host takes back", message.split("\n")[-1])
    assert host.override(NVME) is not None
    time_passes(monkeypatch)
    systemd.runs_out()
    assert {path: text for path, text in state(host).items() if not path.startswith("/run/vfio-host")} == before


def test_where_the_run_ends_with_what_nobody_foresaw_all_is_put_back_and_the_timer_goes(run_module, host, systemd):
    before, real = state(host), host.kernel.write
    for error in (KeyboardInterrupt(), SystemExit(1), Unforeseen("odd")):

        def write(path, value, error=error):
            if path.endswith("/vfio-pci/bind") and value == NVME:
                raise error
            real(path, value)

        host.kernel.write = write
        result = run_module(host, "driver_override", confirm=30, **WISH)
        assert result["failed"], error
        assert "bind vfio-pci" in result["msg"]
        assert not systemd.is_armed
        assert state(host) == before


def test_a_last_record_that_cannot_be_written_takes_the_change_back_at_once(run_module, host, systemd, monkeypatch):
    before, put, records = state(host), host.files.put, []

    def full(path, *content, **more):
        if path.endswith("/record.json") and content[0] is not None:
            records.append(path)
            if len(records) == 2:
                raise ApplyError(f"{path} cannot be written: ENOSPC (No space left on device)")
        put(path, *content, **more)

    monkeypatch.setattr(host.files, "put", full)
    result = run_module(host, "driver_override", confirm=30, **WISH)
    assert "ENOSPC" in result["msg"].split("\n")[0]
    assert len(records) == 2
    assert (state(host), systemd.is_armed) == (before, False)


def test_where_that_cannot_be_taken_back_the_earlier_record_and_its_time_stay(run_module, host, systemd, monkeypatch):
    put, records = host.files.put, []

    def full(path, *content, **more):
        if path.endswith("/record.json") and content[0] is not None:
            records.append(content[0])
            if len(records) == 2:
                host.kernel.refusals["nvme", NVME] = errno.EIO
                raise ApplyError(f"{path} cannot be written: ENOSPC (No space left on device)")
        put(path, *content, **more)

    monkeypatch.setattr(host.files, "put", full)
    result = run_module(host, "driver_override", confirm=30, **WISH)
    assert "ENOSPC" in result["msg"] and "stays armed" in result["msg"]
    assert systemd.is_armed
    assert host.files.read(host.files.journal + "/record.json") == records[0]


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


def test_the_time_begins_at_the_end_of_the_run(run_module, host, systemd, monkeypatch):
    now, ticks = time.monotonic(), iter((0, 20))
    monkeypatch.setattr(confirm, "time", SimpleNamespace(monotonic=lambda: now + next(ticks)))
    run_module(host, "driver_override", confirm=30, **WISH)
    record = json.loads(host.files.read(host.files.journal + "/record.json"))
    assert record["deadline"] == now + 20 + 30


def test_what_is_due_later_is_not_taken_back_now(run_module, host, systemd):
    run_module(host, "driver_override", confirm=30, **WISH)
    assert 25 < revert.revert_if_due(host.kernel, host.files) <= 30
    assert host.driver(NIC) == "vfio-pci"


def test_what_could_not_be_put_back_is_in_what_the_next_run_says(run_module, host, systemd, monkeypatch):
    run_module(host, "driver_override", confirm=30, **WISH)
    host.kernel.refusals["e1000e", NIC] = 5
    time_passes(monkeypatch)
    systemd.runs_out()
    warning = said(run_module(host, "driver_override", **WISH))
    assert f"{NIC} could not be put back to driver e1000e and override None: " in warning
    assert "writing" in warning and "EIO" in warning


def test_what_could_not_be_put_back_is_tried_again_until_it_is(run_module, host, systemd, monkeypatch):
    before = state(host)
    run_module(host, "driver_override", confirm=30, **WISH)
    host.kernel.refusals["e1000e", NIC] = errno.EIO
    time_passes(monkeypatch)
    systemd.runs_out()
    assert (systemd.left, host.driver(NVME), host.driver(NIC)) == (revert.AGAIN, "nvme", None)
    assert "EIO" in systemd.complaints
    late = run_module(host, "driver_override", state="confirmed")
    assert "EIO" in late["msg"] and f"that is tried again every {revert.AGAIN} seconds" in late["msg"]
    del host.kernel.refusals["e1000e", NIC]
    time_passes(monkeypatch, 2000)
    systemd.runs_out()
    assert systemd.left is None
    assert {path: text for path, text in state(host).items() if not path.startswith("/run/vfio-host")} == before


def test_the_next_run_puts_back_what_the_timer_could_not_and_stops_it(run_module, host, systemd, monkeypatch):
    run_module(host, "driver_override", confirm=30, **WISH)
    host.kernel.refusals["e1000e", NIC] = errno.EIO
    time_passes(monkeypatch)
    systemd.runs_out()
    del host.kernel.refusals["e1000e", NIC]
    result = run_module(host, "driver_override", policy="other", devices=[{"match": {"address": NVME}}])
    assert "EIO" in said(result) and said(result).rstrip("'\"}").count("that is put back now")
    assert (host.driver(NIC), host.driver(NVME), host.rules("p")) == ("e1000e", "vfio-pci", None)
    assert not systemd.is_armed
    assert not os.path.exists(host.root + "/run/vfio-host")


def test_the_number_of_vfs_and_their_drivers_go_back_too(run_module, make_host, monkeypatch):
    host = make_host(hosts.x86())
    systemd = Systemd(host)
    pf = next(one for one in host.spec.functions if one.sriov_total).address
    before = state(host)
    result = run_module(
        host, "passthrough", confirm=30, sriov=[{"match": {"address": pf}, "numvfs": 2}],
        devices={"p": [{"match": {"physfn": pf}, "count": 2}]},
    )
    assert result["changed"], result
    time_passes(monkeypatch)
    systemd.runs_out()
    found = {path: text for path, text in state(host).items() if not path.startswith("/run/vfio-host")}
    assert found == before


def test_what_only_a_boot_reads_waits_until_the_change_is_confirmed(run_module, host, systemd):
    result = run_module(host, "passthrough", confirm=30, devices={"p": WISH["devices"]}, kernel_cmdline={"iommu": "pt"})
    assert result["changed"]
    assert not {"kernel_cmdline", "initramfs"} & set(result)


def test_the_copy_that_the_timer_runs_works_by_itself(run_module, host, systemd):
    """Started as systemd would, on the files of a host where nothing is due any more: it ends, and leaves nothing."""
    run_module(host, "driver_override", confirm=30, **WISH)
    start = systemd.started[-1]
    assert systemd.started[-5:-1] == [sys.executable, "-B", "-E", "-s"]
    with open(start, encoding="utf-8") as stream:
        code = stream.read()
    os.unlink(host.files.journal + "/record.json")
    os.unlink(host.files.journal + "/journal.json")
    with open(start, "w", encoding="utf-8") as stream:
        stream.write(code.replace("Sysfs(run", f"Sysfs({host.root!r}, run").replace("Files()", f"Files({host.root!r})"))
    done = subprocess.run(
        systemd.started[-5:], check=False, cwd="/", env={}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
    )
    assert (done.returncode, done.stdout.decode()) == (0, "")
    assert not os.path.exists(host.root + "/run/vfio-host")


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


def test_a_device_that_is_in_use_by_then_is_named_and_keeps_nobody_waiting(run_module, host, systemd, monkeypatch):
    run_module(host, "driver_override", confirm=30, **WISH)
    host.kernel.hold(NIC, 862, "qemu-system-x86")
    time_passes(monkeypatch)
    systemd.runs_out()
    assert host.kernel.now < 25
    assert (host.driver(NVME), host.driver(EDU), host.rules("p")) == ("nvme", None, None)
    warning = said(run_module(host, "pci_facts"))
    assert f"{NIC} " in warning and "is stuck" in warning
    result = run_module(host, "driver_override", **dict(WISH, devices=WISH["devices"][1:]))
    assert f"{NIC} could not be put back to driver e1000e" in str(result["warnings"])


def but_run(host):
    """All of a host but what a boot ends anyway."""
    return {path: content for path, content in state(host).items() if not path.startswith("/run")}


@pytest.mark.parametrize("text", ["no json", '{"v": 1}', "[" * 100000, '{"v": 2, "by": "1.4.0"}'])
def test_a_journal_that_the_timer_cannot_read_is_kept_and_said_by_the_next_run(run_module, host, systemd, monkeypatch, text):
    before = but_run(host)
    run_module(host, "driver_override", confirm=30, **WISH)
    path = host.files.journal + "/journal.json"
    whole = host.files.read(path)
    host.files.put(path, text)
    time_passes(monkeypatch)
    systemd.runs_out()
    assert (systemd.left, host.files.read(path)) == (revert.AGAIN, text)
    assert path in systemd.complaints
    for dummy in range(2):
        result = run_module(host, "driver_override", **WISH)
        assert "was not confirmed within 30 seconds, and could not be taken back at 20" in result["msg"]
        assert path in result["msg"] and host.files.read(path) == text
        assert systemd.is_armed
    host.files.put(path, whole)
    time_passes(monkeypatch, 2000)
    systemd.runs_out()
    assert (systemd.left, but_run(host)) == (None, before)


@pytest.mark.parametrize("text", [
    "no json", "{}", '{"v": 1, "task": "x", "seconds": 30, "deadline": 1e300}', '{"v": 1, "task": "x", "seconds": 30, "deadline": "soon"}',
])
def test_a_deadline_that_the_timer_cannot_read_is_taken_as_over(run_module, host, systemd, text):
    before = but_run(host)
    run_module(host, "driver_override", confirm=30, **WISH)
    host.files.put(host.files.journal + "/record.json", text)
    systemd.runs_out()
    assert (systemd.left, but_run(host)) == (None, before)
    assert "record.json cannot be read" in systemd.complaints
    assert "was taken back at" in said(run_module(host, "driver_override", **WISH))


def test_the_timer_goes_on_after_an_error_that_nobody_foresaw(host, monkeypatch, capsys):
    ends, waits = iter((OSError(errno.ENOMEM, "x"), None)), []

    def due(fs, files):
        end = next(ends)
        if end is not None:
            raise end

    monkeypatch.setattr(revert, "revert_if_due", due)
    monkeypatch.setattr(revert.time, "sleep", waits.append)
    revert.wait_and_revert(host.kernel, host.files)
    assert waits == [0, revert.AGAIN]
    assert "ENOMEM" in capsys.readouterr().err


def test_the_timer_goes_on_where_nobody_takes_its_log(host, monkeypatch):
    ends = iter((OSError(errno.ENOMEM, "x"), None))

    def due(fs, files):
        end = next(ends)
        if end is not None:
            raise end

    def no_log(text):
        raise BrokenPipeError(errno.EPIPE, "journald is gone")

    waits = []
    monkeypatch.setattr(revert, "revert_if_due", due)
    monkeypatch.setattr(revert.time, "sleep", waits.append)
    with monkeypatch.context() as patch:
        patch.setattr(revert, "sys", SimpleNamespace(stderr=SimpleNamespace(write=no_log)))
        revert.wait_and_revert(host.kernel, host.files)
    assert waits == [0, revert.AGAIN]


@pytest.mark.parametrize("name", ["record.json", "taken-back.json"])
@pytest.mark.parametrize("text", ["[]", "{}", "5", '{"task": 1, "time": 2, "problems": 5, "seconds": {}, "deadline": []}', "{\"v\": " + "9" * 5000 + "}"])
def test_a_damaged_deadline_or_outcome_is_one_sentence(run_module, host, name, text):
    path = f"{host.files.journal}/{name}"
    host.tree.put(path, text)
    before = host.snapshot()
    result = run_module(host, "driver_override", **WISH)
    assert result["msg"].startswith(f"{path} cannot be read") and result["msg"].endswith("remove it, and run again")
    assert "\n" not in result["msg"] and host.snapshot() == before
