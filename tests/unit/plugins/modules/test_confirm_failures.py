# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run under ``confirm`` that fails: all is put back at once; where that fails too, the timer stays."""

from __future__ import annotations

import errno
import re

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NVME
from ansible_collections.vfio.host.tests.unit.plugins.modules.confirming import WISH, state, time_passes


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
