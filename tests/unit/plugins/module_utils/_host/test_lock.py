# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One writing run at a time, also with real processes."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import signal
import time

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError
from ansible_collections.vfio.host.plugins.module_utils._host.lock import one_at_a_time

PROCESSES = multiprocessing.get_context("fork")


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "run/vfio-host.lock")


def keep(path, ready, ends, seconds):
    with one_at_a_time(path, "vfio.host.passthrough", timeout=0):
        ready.set()
        time.sleep(seconds)
        ends.set()


@pytest.fixture
def ends():
    """Set by the other process just before it gives the lock back by itself."""
    return PROCESSES.Event()


@pytest.fixture
def other(path, ends):
    """A function: another process that has the lock for so many seconds."""
    started = []

    def start(seconds):
        ready = PROCESSES.Event()
        process = PROCESSES.Process(target=keep, args=(path, ready, ends, seconds))
        process.start()
        started.append(process)
        assert ready.wait(60)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def test_a_second_run_waits_for_the_first(path, other, ends):
    other(0.5)
    with one_at_a_time(path, "x", timeout=60):
        assert ends.is_set()


def test_a_second_run_does_not_wait_longer_than_it_was_told_and_says_for_whom(path, other):
    process = other(600)
    begin = time.monotonic()
    with pytest.raises(InputError) as caught, one_at_a_time(path, "x", timeout=1):
        raise AssertionError("both have it")
    assert time.monotonic() - begin >= 1
    assert caught.value.messages == [
        f"another run changes this host: process {process.pid} (vfio.host.passthrough), and it did not end in 1 seconds; run "
        "again when it is done"
    ]


def test_a_killed_run_is_in_nobodys_way(path, other):
    process = other(30)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with one_at_a_time(path, "x", timeout=0):
        pass
    assert os.listdir(os.path.dirname(path)) == []


def test_nothing_is_left_of_it_also_after_an_error(path):
    with pytest.raises(ZeroDivisionError), one_at_a_time(path, "x", timeout=0):
        assert os.stat(path).st_mode & 0o777 == 0o600
        raise ZeroDivisionError
    assert os.listdir(os.path.dirname(path)) == []


def count(path, log, number):
    for dummy in range(number):
        with one_at_a_time(path, "x", timeout=60):
            with open(log, "a", encoding="ascii") as stream:
                stream.write(f"{os.getpid()} in\n")
            time.sleep(0.001)
            with open(log, "a", encoding="ascii") as stream:
                stream.write(f"{os.getpid()} out\n")


def test_many_runs_are_never_mixed(path, tmp_path):
    log = tmp_path / "log"
    processes = [PROCESSES.Process(target=count, args=(path, str(log), 10)) for dummy in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    lines = log.read_text().splitlines()
    assert len(lines) == 80
    for begin, end in zip(lines[::2], lines[1::2]):
        assert (begin.split()[1], end.split()[1]) == ("in", "out")
        assert begin.split()[0] == end.split()[0]


@pytest.mark.parametrize("attack", ["symlink", "directory", "fifo", "hard link"])
def test_what_somebody_else_has_put_there_is_refused_and_not_touched(path, tmp_path, attack):
    os.mkdir(os.path.dirname(path))
    victim = tmp_path / "victim"
    victim.write_text("precious")
    if attack == "symlink":
        os.symlink(victim, path)
    elif attack == "directory":
        os.mkdir(path)
    elif attack == "fifo":
        os.mkfifo(path)
    else:
        os.link(victim, path)
    with pytest.raises(InputError, match="cannot be locked: .*; remove it, and run again"), one_at_a_time(path, "x", timeout=0):
        raise AssertionError("it was used")
    assert victim.read_text() == "precious"
    assert os.path.lexists(path)


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EMFILE])
def test_a_lock_that_has_no_place_is_nothing_to_be_removed(path, monkeypatch, number):
    def refuse(*dummy):
        raise OSError(number, os.strerror(number))

    os.makedirs(os.path.dirname(path))
    with monkeypatch.context() as patch, pytest.raises(InputError, match=f"{errno.errorcode[number]} .*; mend that, then run again"):
        patch.setattr(os, "open", refuse)
        with one_at_a_time(path, "x", timeout=0):
            pass


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ENOLCK, errno.ENOMEM])
@pytest.mark.parametrize("module, name", [(os, "lstat"), (os, "fstat"), (fcntl, "flock")])
def test_a_lock_that_cannot_be_had_is_one_sentence_and_the_next_run_has_it(path, monkeypatch, module, name, number):
    real = getattr(module, name)

    def refuse(what, *more, **named):
        if what == path or isinstance(what, int):
            raise OSError(number, os.strerror(number))
        return real(what, *more, **named)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, refuse)
        with pytest.raises(InputError, match=rf"vfio-host\.lock cannot be locked: {errno.errorcode[number]}"), one_at_a_time(path, "x", timeout=0):
            pass
    assert not any(os.path.realpath(f"/proc/self/fd/{handle}") == path for handle in os.listdir("/proc/self/fd"))
    with one_at_a_time(path, "y", timeout=0):
        pass
    assert not os.path.exists(path)
