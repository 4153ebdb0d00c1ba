# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that a signal ends restores the host; after one that was killed the next run does, before it plans."""

from __future__ import annotations

import json
import os
import resource
import signal
from itertools import cycle

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host import signals
from ansible_collections.vfio.host.tests.unit.fake.faults import Killed, deaths
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, NVME
from ansible_collections.vfio.host.tests.unit.plugins.modules.test_unforeseen import RUNS, check_message, state

LONG = bool(os.environ.get("VFIO_HOST_LONG"))
LEFT = ("/run/vfio-host", "/var/tmp")
# Those that runs do get, one that few think of, and the last one.
SOME = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGRTMAX)


@pytest.fixture(autouse=True)
def default_handlers():
    """As Python starts: nohup and a shell's background jobs have some ignored, and a run leaves that so."""
    own = {signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, own.get(number, signal.SIG_DFL)) for number in signals.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", SOME if LONG else SOME[:1])
@pytest.mark.parametrize("name", sorted(RUNS))
def test_a_signal_at_any_step_ends_the_run_and_all_is_put_back(run_module, host_path, name, first):
    make, module, wish, but = RUNS[name]
    turns, ended = cycle(SOME), 0
    while next(turns) != first:
        pass
    for index, number in zip(range(200), turns):
        host = make(host_path / f"host{index}")
        before = state(host, *but)
        host.faults.reset()
        host.faults.at(index, lambda number=number: os.kill(os.getpid(), number))
        result = run_module(host, module, **wish)
        if len(host.faults.log) <= index:
            assert result["changed"]
            break
        if result.get("failed"):
            ended += 1
            check_message(result, index)
            assert f"the run was interrupted ({signal.Signals(number).name})" in result["msg"].split("\n")[0]
            assert state(host, *but) == before, host.faults.log[index]
    else:
        raise AssertionError("the run never came to its end")
    assert ended > 4


def test_outside_of_a_change_signals_do_what_they_always_do():
    before = [signal.getsignal(number) for number in signals.SIGNALS]
    with signals.held_back():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(signals.Interrupted, match="SIGTERM"):
            signals.check()
        signals.check()
        os.kill(os.getpid(), signal.SIGHUP)
        with signals.masked():
            signals.check()
        signals.hold_all()
        signals.check()
    assert [signal.getsignal(number) for number in signals.SIGNALS] == before
    signals.check()


def test_whatever_would_end_the_process_ends_it_between_two_steps():
    """The kernel is asked, with a process for each signal that there is: what ends one that has no handler, is held back."""
    deadly = set()
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        pid = os.fork()
        if not pid:
            try:
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            finally:
                os._exit(0)
        status = os.waitpid(pid, os.WUNTRACED)[1]
        if os.WIFSTOPPED(status):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        elif os.WIFSIGNALED(status):
            deadly.add(number)
    # A fault of the process's own has no next step, and Python makes an errno of these two.
    faults = {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS, signal.SIGTRAP}
    named = {one for one in deadly if isinstance(one, signal.Signals)}
    assert named - faults - {signal.SIGPIPE, signal.SIGXFSZ} == set(signals.SIGNALS)
    for number in signals.SIGNALS:
        with signals.held_back():
            os.kill(os.getpid(), number)
            with pytest.raises(signals.Interrupted, match=signal.Signals(number).name):
                signals.check()


def test_a_signal_that_is_ignored_stays_ignored():
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with signals.held_back():
            os.kill(os.getpid(), signal.SIGHUP)
            signals.check()
    finally:
        signal.signal(signal.SIGHUP, old)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", sorted(RUNS))
def test_after_a_run_that_was_killed_at_any_step_the_next_one_restores_first(run_module, host_path, name):
    make, module, wish, but = RUNS[name]
    numbers, befores, warned = iter(range(1000)), [], 0

    def begin():
        host = make(host_path / f"host{next(numbers)}")
        befores.append(state(host, *but, *LEFT))
        return host

    for index, host in deaths(begin, lambda host: run_module(host, module, **wish), 4):
        before = befores[-1]
        checked = run_module(host, module, check=True, **wish)
        # Whoever declares something else then begins on a host as it was.
        result = run_module(host, "driver_override", policy="empty", state="absent")
        assert state(host, *but, *LEFT) == before, index
        assert bool(checked.get("warnings")) == bool(result.get("warnings"))
        if result.get("warnings"):
            warned += 1
            assert "was cut off before its end: the next run puts back what it changed" in str(checked["warnings"])
            assert "was cut off before its end: what it had changed was put back as it was" in str(result["warnings"])
        assert "warnings" not in run_module(host, "driver_override", policy="empty", state="absent")
    assert warned > 4


def test_what_cannot_be_put_back_is_named_and_the_run_goes_on(run_module, host, monkeypatch):
    def write(path, value, real=host.kernel.write):
        if path.endswith("/vfio-pci/bind") and value == NIC:
            raise Killed()
        real(path, value)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(host.kernel, "write", write)
        run_module(host, "driver_override", devices=[{"match": {"address": NIC}}, {"match": {"address": NVME}}], policy="p")
    assert host.driver(NVME) == "vfio-pci"
    host.kernel.refusals["nvme", NVME] = 5
    result = run_module(host, "driver_override", devices=[{"match": {"address": NIC}}], policy="other")
    assert f"{NVME} could not be put back to driver nvme" in str(result["warnings"])
    assert host.driver(NIC) == "vfio-pci"
    assert not os.path.exists(host.files.journal)


@pytest.mark.parametrize("number", SOME)
def test_a_signal_while_a_killed_run_is_put_back_costs_nothing(run_module, host, number):
    before = state(host, *LEFT)
    real = host.kernel.write

    def write(path, value, at, then):
        if path.endswith(at):
            then()
        real(path, value)

    def die():
        raise Killed

    host.kernel.write = lambda path, value: write(path, value, f"{NIC}/driver_override", die)
    with pytest.raises(Killed):
        run_module(host, "driver_override", devices=[{"match": {"address": NVME}}, {"match": {"address": NIC}}], policy="p")
    assert host.driver(NVME) == "vfio-pci"
    host.kernel.write = lambda path, value: write(path, value, "/nvme/bind", lambda: os.kill(os.getpid(), number))
    result = run_module(host, "driver_override", policy="none", state="absent")
    assert result["msg"] == f"the run was interrupted ({signal.Signals(number).name})"
    assert host.driver(NVME) == "nvme"
    host.kernel.write = real
    assert not run_module(host, "driver_override", policy="none", state="absent").get("failed")
    assert state(host, *LEFT) == before


@pytest.mark.parametrize("text, words", [
    ('{"v": 2, "task": "x", "time": "y", "resources": [["Moon", {}]]}', "another version of this collection (format 2"),
    ("no json", "cannot be read"), ("[]", "cannot be read"), ('{"v": 1}', "cannot be read"),
    ('{"v": 1, "task": "x", "time": "y", "resources": [["Moon", {}]]}', "cannot be read"),
])
def test_a_journal_that_this_version_cannot_read_stops_the_run_before_it_touches_anything(run_module, host, text, words):
    path = host.files.journal + "/journal.json"
    host.tree.put(path, text)
    before = host.snapshot()
    result = run_module(host, "driver_override", devices=[{"match": {"address": NIC}}])
    assert words in result["msg"] and path in result["msg"]
    assert host.snapshot() == before


@pytest.mark.parametrize("attack", ["for all to write", "a link"])
@pytest.mark.parametrize("place", ["/run/vfio-host", "/run/vfio-host/journal"])
def test_a_journal_where_somebody_else_could_write_is_not_believed(run_module, host, tmp_path, place, attack):
    victim = host.root + "/etc/cron.d/evil"
    row = ["File", {"path": victim, "text": "evil\n"}]
    path = host.root + place
    host.tree.put(host.files.journal + "/journal.json", json.dumps({"v": 1, "task": "x", "time": "y", "resources": [row]}))
    if attack == "a link":
        os.rename(path, tmp_path / "theirs")
        os.symlink(tmp_path / "theirs", path)
    else:
        os.chmod(path, 0o777)
    for check in (True, False):
        result = run_module(host, "driver_override", check=check, devices=[{"match": {"address": NIC}}])
        assert result["msg"] == f"{path} is not a directory that only root can write to: remove it, and run again"
    assert not os.path.exists(victim)


def test_a_journal_holds_what_is_needed_to_put_back_and_only_root_reads_it(run_module, host, monkeypatch):
    texts, put = [], host.files.put

    def seen(path, text, *more, **named):
        put(path, text, *more, **named)
        if path.endswith("/journal.json") and text:
            texts.append(json.loads(text))
            assert os.stat(path).st_mode & 0o777 == 0o600

    monkeypatch.setattr(host.files, "put", seen)
    run_module(host, "driver_override", devices=[{"match": {"address": NIC}}], policy="p")
    kinds = [kind for kind, dummy in texts[-1]["resources"]]
    assert kinds == ["File", "Binding"]
    assert texts[-1]["v"] == 1


@pytest.mark.parametrize("left", ["/etc/udev/rules.d", "/run/vfio-host/journal", "/run/vfio-host"])
def test_a_half_written_file_of_a_run_that_was_killed_goes_with_the_next_run(run_module, host, monkeypatch, left):
    before = state(host, *LEFT)
    boot = host.tree.root / "proc/sys/kernel/random/boot_id"
    host.tree.put(boot, "1a2b3c4d-0000-0000-0000-000000000000\n")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(host.kernel, "on_reload", killed)
        run_module(host, "driver_override", devices=[{"match": {"address": NVME}}], policy="p")
    host.tree.put(host.files.root + left + "/.vfio-host-tmp-1a2b3c4d-abc", "half")
    run_module(host, "driver_override", policy="empty", state="absent")
    boot.unlink()
    assert state(host, *LEFT) == before


def killed():
    raise Killed


def test_where_only_the_first_write_of_a_journal_was_begun_nothing_of_it_stays(run_module, host):
    before = state(host, *LEFT)
    host.tree.put(host.files.journal + "/.vfio-host-tmp-abc", "half")
    os.chmod(host.files.journal, 0o755)
    run_module(host, "driver_override", policy="empty", state="absent")
    assert state(host, *LEFT) == before
