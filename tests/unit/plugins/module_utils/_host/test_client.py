# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes that a process of its own opens: real ones of this machine's kernel."""

from __future__ import annotations

import errno
import os
import signal
import time

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host import client
from ansible_collections.vfio.host.plugins.module_utils._host.client import Client
from ansible_collections.vfio.host.plugins.module_utils._host.watched import Unfinished, started_at

GET_FLAGS = 0x5450  # FIONCLEX, which every file answers (source: include/uapi/asm-generic/ioctls.h, fs/ioctl.c)


def test_a_node_is_opened_read_and_closed():
    one = Client(5)
    handle = one.open("/dev/zero", "1:5")
    assert one.read(handle, length=4, offset=0) == b"\0" * 4
    one.close(handle)
    with pytest.raises(OSError) as caught:
        one.read(handle, length=4, offset=0)
    assert caught.value.errno == errno.EBADF


def test_the_file_is_the_processes_and_not_this_ones():
    before = set(os.listdir("/proc/self/fd"))
    one = Client(5)
    one.open("/dev/null")
    assert len(set(os.listdir("/proc/self/fd")) - before) == 1  # the line to the process


@pytest.mark.parametrize("number, refusal", [("1:3", None), (None, None), ("1:5", errno.ESTALE)])
def test_a_node_of_another_number_is_not_opened(number, refusal):
    one = Client(5)
    if refusal is None:
        assert one.open("/dev/null", number) > 0
        return
    with pytest.raises(OSError) as caught:
        one.open("/dev/null", number)
    assert caught.value.errno == refusal


def test_what_is_no_character_device_is_not_opened(tmp_path):
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    for path in (fifo, str(tmp_path)):
        with pytest.raises(OSError) as caught:
            Client(5).open(path)
        assert caught.value.errno == errno.ESTALE


def test_a_call_that_the_kernel_refuses_is_its_errno():
    one = Client(5)
    handle = one.open("/dev/null")
    for value in (3, b"\x08\0\0\0"):
        with pytest.raises(OSError) as caught:
            one.ioctl(handle, 0x3B65, value=value)
        assert caught.value.errno == errno.ENOTTY
    with pytest.raises(OSError) as caught:
        one.open("/dev/not/there")
    assert caught.value.errno == errno.ENOENT


def test_a_call_gives_what_it_returned_and_the_structure():
    one = Client(5)
    assert one.ioctl(one.open("/dev/null"), GET_FLAGS, value=0) == (0, b"")
    assert one.ioctl(one.open("/dev/null"), GET_FLAGS, value=b"\1\2") == (0, b"\1\2")


def test_a_call_that_does_not_end_leaves_its_process_behind_with_what_it_has_open(monkeypatch):
    monkeypatch.setattr(client, "_ioctl", lambda *dummy: time.sleep(60))
    one = Client(0.5)
    handle = one.open("/dev/null")
    begin = time.monotonic()
    with pytest.raises(Unfinished) as caught:
        one.ioctl(handle, 1, value=0)
    assert 0.5 <= time.monotonic() - begin < 5
    pid = caught.value.pid
    assert started_at("/proc", pid) and os.readlink(f"/proc/{pid}/fd/{handle}") == "/dev/null"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
