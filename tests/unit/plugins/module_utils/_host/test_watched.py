# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A write that may block for ever. A fifo without a reader stands for an attribute of the kernel that blocks."""

from __future__ import annotations

import errno
import gc
import os
import select
import signal
import time

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host import watched
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError, KernelRefusal, KernelStuck
from ansible_collections.vfio.host.plugins.module_utils._host.lock import one_at_a_time
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
from ansible_collections.vfio.host.plugins.module_utils._host.watched import started_at

ADDRESS = "0000:02:00.0"


@pytest.fixture
def fs(tmp_path):
    os.symlink("/proc", tmp_path / "proc")
    return Sysfs(str(tmp_path))


@pytest.fixture
def blocked(fs, tmp_path):
    """(path, pid) of a write that has been left behind."""
    path = str(tmp_path / "unbind")
    os.mkfifo(path)
    begin = time.monotonic()
    with pytest.raises(KernelStuck) as caught:
        fs.write_watched(path, ADDRESS, timeout=0.5, address=ADDRESS)
    assert time.monotonic() - begin >= 0.5
    yield path, caught.value.pid
    if started_at("/proc", caught.value.pid):
        os.kill(caught.value.pid, signal.SIGKILL)
        os.waitpid(caught.value.pid, 0)


def stops(pid):
    """Wait until a process has stopped; whoever started it has still to be told."""
    for dummy in range(600):
        if started_at("/proc", pid) is None:
            return
        time.sleep(0.05)
    raise AssertionError(f"{pid} goes on")


def ends(pid):
    """Wait until a process has ended."""
    stops(pid)
    os.waitpid(pid, 0)


def children():
    """The processes that this one has started and that go on."""
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as stream:
        return {int(pid) for pid in stream.read().split()}


def test_what_does_not_block_is_an_ordinary_write(fs, tmp_path):
    (tmp_path / "unbind").write_text("")
    fs.write_watched(str(tmp_path / "unbind"), ADDRESS, timeout=5, address=ADDRESS)
    assert (tmp_path / "unbind").read_text() == ADDRESS
    assert fs.stuck_writes() == {}


def test_one_process_makes_all_writes_and_ends_with_the_task(tmp_path):
    before = children()
    fs = Sysfs(str(tmp_path))
    (tmp_path / "override").write_text("")
    for value in ("vfio-pci", "\n", "", "caf\udce9"):
        (tmp_path / "override").write_text("")
        fs.write_watched(str(tmp_path / "override"), value, timeout=5, address=ADDRESS)
        assert (tmp_path / "override").read_bytes() == value.encode("utf-8", "surrogateescape")
    with pytest.raises(KernelRefusal, match="ENOENT"):
        fs.write_watched(str(tmp_path / "absent"), ADDRESS, timeout=5, address=ADDRESS)
    (pid,) = children() - before
    del fs
    gc.collect()  # as the end of a task does: its end of the line is closed
    ends(pid)


def test_a_process_that_is_killed_is_an_error_and_has_a_successor(fs, tmp_path):
    before = children()
    (tmp_path / "unbind").write_text("")
    fs.write_watched(str(tmp_path / "unbind"), "first", timeout=5, address=ADDRESS)
    (pid,) = children() - before
    os.kill(pid, signal.SIGKILL)
    stops(pid)
    with pytest.raises(KernelRefusal, match="EINTR"):
        fs.write_watched(str(tmp_path / "unbind"), "second", timeout=5, address=ADDRESS)
    fs.write_watched(str(tmp_path / "unbind"), "third", timeout=5, address=ADDRESS)
    assert (tmp_path / "unbind").read_text() == "third"
    assert pid not in children()


def test_after_a_write_that_blocks_another_process_makes_the_next(fs, blocked, tmp_path):
    dummy, pid = blocked
    (tmp_path / "override").write_text("")
    fs.write_watched(str(tmp_path / "override"), "e1000e", timeout=5, address=ADDRESS)
    assert (tmp_path / "override").read_text() == "e1000e"
    assert started_at("/proc", pid)
    assert fs.stuck_writes() == {ADDRESS: pid}


def test_a_refusal_has_the_kernels_errno(fs, tmp_path):
    with pytest.raises(KernelRefusal, match="ENOENT") as caught:
        fs.write_watched(str(tmp_path / "absent"), ADDRESS, timeout=5, address=ADDRESS)
    assert caught.value.errno == errno.ENOENT


def test_what_is_left_behind_has_nothing_open_that_somebody_waits_for(blocked, tmp_path):
    dummy, pid = blocked
    opened = {os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
    assert {one for one in opened if not one.startswith("socket:")} == {"/dev/null"}
    assert len(opened) == 2
    assert os.getsid(pid) == pid


def test_what_is_left_behind_is_noted_until_it_ends(fs, blocked):
    path, pid = blocked
    assert fs.stuck_writes() == {ADDRESS: pid}
    reader = os.open(path, os.O_RDONLY)
    ends(pid)
    assert os.read(reader, 100) == ADDRESS.encode()
    os.close(reader)
    assert fs.stuck_writes() == {}
    assert os.listdir(fs.root + "/run") == []


def test_a_note_of_a_process_that_was_killed_is_not_believed(fs, blocked):
    dummy, pid = blocked
    os.kill(pid, signal.SIGKILL)
    ends(pid)
    assert fs.stuck_writes() == {}


def test_a_process_that_was_left_behind_has_no_lock(fs, tmp_path):
    lock, path = str(tmp_path / "lock"), str(tmp_path / "unbind")
    os.mkfifo(path)
    with one_at_a_time(lock, "x", timeout=0), pytest.raises(KernelStuck) as caught:
        fs.write_watched(path, ADDRESS, timeout=0.1, address=ADDRESS)
    try:
        with one_at_a_time(lock, "y", timeout=0):
            pass
    except InputError as error:
        raise AssertionError(error) from error
    finally:
        os.kill(caught.value.pid, signal.SIGKILL)
        os.waitpid(caught.value.pid, 0)


def test_a_link_in_the_place_of_a_note_is_not_followed(fs, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    os.makedirs(fs.stuck)
    os.symlink(victim, f"{fs.stuck}/{ADDRESS}")
    fs.remember_stuck(ADDRESS, os.getpid())
    assert victim.read_text() == "precious"
    assert fs.stuck_writes() == {ADDRESS: os.getpid()}


def test_an_interrupt_waits_for_the_answer_which_is_no_other_calls(fs, tmp_path, monkeypatch):
    """What the call did has to be known before anything is put back, and each answer is of its own call."""
    poll, interrupts = select.poll, [KeyboardInterrupt()]

    class Interrupted:
        def __init__(self):
            self._poll = poll()
            self.register = self._poll.register

        def poll(self, timeout):
            if interrupts:
                raise interrupts.pop()
            return self._poll.poll(timeout)

    (tmp_path / "a").write_text("")
    monkeypatch.setattr(watched.select, "poll", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        fs.write_watched(str(tmp_path / "a"), "x", timeout=5, address=ADDRESS)
    assert (tmp_path / "a").read_text() == "x"
    with pytest.raises(KernelRefusal, match="ENOENT"):
        fs.write_watched(str(tmp_path / "absent"), "x", timeout=5, address=ADDRESS)
    fs.write_watched(str(tmp_path / "a"), "y", timeout=5, address=ADDRESS)


def test_a_call_that_fails_without_an_errno_is_no_success():
    def act(word):
        raise OSError(f"{word} has no number")

    assert watched.Deputy(act, lambda *dummy: None).ask(("x",), 5) == (errno.EIO, "")


def test_a_note_that_has_no_room_counts_in_later_runs(fs, tmp_path, monkeypatch):
    real, path = os.write, str(tmp_path / "unbind")
    os.mkfifo(path)

    def write(handle, data):
        if os.path.dirname(os.readlink(f"/proc/self/fd/{handle}")) == fs.stuck:
            raise OSError(errno.ENOSPC, "no")
        return real(handle, data)

    with monkeypatch.context() as patch, pytest.raises(KernelStuck) as caught:
        patch.setattr(os, "write", write)
        fs.write_watched(path, ADDRESS, timeout=0.5, address=ADDRESS)
    pid = caught.value.pid
    assert fs.stuck_writes() == {ADDRESS: pid}
    assert Sysfs(str(tmp_path)).stuck_writes() == {ADDRESS: 0}
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))  # the device is let go
    ends(pid)
    assert fs.stuck_writes() == Sysfs(str(tmp_path)).stuck_writes() == {}


def test_a_process_that_cannot_be_started_costs_no_later_write(fs, tmp_path, monkeypatch):
    (tmp_path / "override").write_text("")

    def full():
        raise OSError(errno.EAGAIN, "no")

    with monkeypatch.context() as patch, pytest.raises(KernelRefusal, match="EAGAIN"):
        patch.setattr(os, "fork", full)
        fs.write_watched(str(tmp_path / "override"), "e1000e", timeout=5, address=ADDRESS)
    fs.write_watched(str(tmp_path / "override"), "e1000e", timeout=5, address=ADDRESS)
    assert (tmp_path / "override").read_text() == "e1000e"
