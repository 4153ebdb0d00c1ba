# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the timer of ``confirm`` does when its time is over: takes the change back, tries again, and says what it could not do."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
import venv
from types import SimpleNamespace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._core import confirm, revert
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError, PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.faults import Killed
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME
from ansible_collections.vfio.host.tests.unit.plugins.modules.confirming import WISH, Systemd, but_run, said, state, time_passes


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


def ended_by_itself(host, systemd, interpreter=sys.executable):
    """What the timer runs, started as systemd would, on the files of a host where nothing is due any more: it ends, and leaves nothing."""
    start = systemd.started[-1]
    assert systemd.started[-5:-1] == [sys.executable, "-B", "-E", "-s"]
    with open(start, encoding="utf-8") as stream:
        code = stream.read()
    os.unlink(host.files.journal + "/record.json")
    os.unlink(host.files.journal + "/journal.json")
    with open(start, "w", encoding="utf-8") as stream:
        stream.write(code.replace("Sysfs(run", f"Sysfs({host.root!r}, run").replace("Files()", f"Files({host.root!r})"))
    done = subprocess.run(
        [interpreter, *systemd.started[-4:]], check=False, cwd="/", env={}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
    )
    assert (done.returncode, done.stdout.decode()) == (0, "")
    assert not os.path.exists(host.root + "/run/vfio-host")


def test_the_copy_that_the_timer_runs_works_by_itself(run_module, host, systemd):
    run_module(host, "driver_override", confirm=30, **WISH)
    ended_by_itself(host, systemd)


def test_the_copy_comes_before_an_ansible_that_is_installed_there(run_module, host, systemd, tmp_path):
    run_module(host, "driver_override", confirm=30, **WISH)
    venv.create(tmp_path / "other")
    (packages,) = (tmp_path / "other/lib").glob("python*/site-packages")
    (packages / "ansible_collections").mkdir()
    (packages / "ansible_collections/__init__.py").write_text("")
    ended_by_itself(host, systemd, str(tmp_path / "other/bin/python"))


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


def test_what_the_timer_cannot_clear_away_at_its_end_is_a_sentence(run_module, host, systemd, monkeypatch, capsys):
    run_module(host, "driver_override", confirm=30, **WISH)
    time_passes(monkeypatch)
    real = os.unlink

    def unlink(path, **more):
        if str(path).endswith("/start.py"):
            raise OSError(errno.EIO, "no")
        real(path, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", unlink)
        revert.main(host.kernel, host.files)
    assert capsys.readouterr().err == f"{revert.start(host.files)} cannot be written: EIO (Input/output error)\n"
    assert host.driver(NIC) == "e1000e"
    run_module(host, "driver_override", **WISH)
    assert not os.path.exists(host.root + "/run/vfio-host")


@pytest.mark.parametrize("error", [PlanError("it cannot be read: EIO"), MemoryError()])
def test_the_timer_goes_on_where_nothing_tells_whether_there_is_room_to_be_made(host, monkeypatch, capsys, error):
    waited = []

    def refuse(*dummy, **more):
        if len(waited) > 1:
            raise Killed
        raise InputError("the lock has no room")

    def unread(*dummy):
        raise error

    monkeypatch.setattr(revert, "one_at_a_time", refuse)
    monkeypatch.setattr(revert.time, "sleep", waited.append)
    monkeypatch.setattr(host.files, "read", unread)
    with pytest.raises(Killed):
        revert.wait_and_revert(host.kernel, host.files)
    assert waited == [0, revert.AGAIN]
    assert capsys.readouterr().err == "the lock has no room\n"


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


class Ended(BaseException):
    """What SIGTERM does to a process that has no handler for it: nothing of it goes on."""


@pytest.fixture
def ends_by_sigterm():
    def end(*dummy):
        raise Ended

    before = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, before)


def stopped_at(host, path):
    """SIGTERM, at the first write to ``path``."""
    real = host.kernel.write_watched

    def write_watched(name, value, **how):
        if name.endswith(path):
            host.kernel.write_watched = real
            os.kill(os.getpid(), signal.SIGTERM)
        real(name, value, **how)

    host.kernel.write_watched = write_watched


def test_a_host_that_shuts_down_while_a_change_is_taken_back_has_all_of_it_back(run_module, host, systemd, monkeypatch, ends_by_sigterm):
    before = but_run(host)
    run_module(host, "driver_override", confirm=30, **WISH)
    time_passes(monkeypatch)
    stopped_at(host, "/driver_override")
    revert.wait_and_revert(host.kernel, host.files)
    assert but_run(host) == before


def test_a_timer_that_is_stopped_leaves_what_it_could_not_put_back_to_the_next_run(run_module, host, systemd, monkeypatch, capsys, ends_by_sigterm):
    before = but_run(host)
    run_module(host, "driver_override", confirm=30, **WISH)
    time_passes(monkeypatch)
    stopped_at(host, "/driver_override")
    host.kernel.refusals["nvme", NVME] = errno.EIO
    with pytest.raises(SystemExit, match=r"the run was interrupted \(SIGTERM\), and what is not as it was is left to the next run"):
        revert.wait_and_revert(host.kernel, host.files)
    assert f"{NVME} could not be put back" in capsys.readouterr().err
    assert host.driver(NIC) == "e1000e" and host.driver(NVME) != "nvme"
    del host.kernel.refusals["nvme", NVME]
    run_module(host, "driver_override", policy="none", state="absent")
    assert but_run(host) == before
