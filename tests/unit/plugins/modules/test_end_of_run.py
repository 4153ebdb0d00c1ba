# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run clears away at its end never decides what became of it; and what check mode says beside a run that goes on."""

from __future__ import annotations

import errno
import fcntl
import json
import os

import pytest

from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, NVME
from ansible_collections.vfio.host.tests.unit.plugins.modules.confirming import said

WISH = {"devices": [{"match": {"address": NIC}}], "policy": "p"}


def refusing(monkeypatch, name, number, end):
    """Have ``os.NAME`` refuse every path that ends so."""
    real = getattr(os, name)

    def refuse(path, *more, **named):
        if str(path).endswith(end):
            raise OSError(number, os.strerror(number), path)
        return real(path, *more, **named)

    monkeypatch.setattr(os, name, refuse)


@pytest.mark.parametrize("name, number, end", [
    ("unlink", errno.EROFS, "/run/vfio-host.lock"), ("lstat", errno.EIO, "/run/vfio-host.lock"),
    ("rmdir", errno.EBUSY, "/run/vfio-host/journal"), ("rmdir", errno.EBUSY, "/run/vfio-host"),
    ("listdir", errno.EMFILE, "/run/vfio-host/journal"),
])
def test_what_cannot_be_cleared_away_makes_no_failure_of_a_run_that_was_none(run_module, host, monkeypatch, name, number, end):
    with monkeypatch.context() as patch:
        if name != "lstat":
            refusing(patch, name, number, end)
        else:
            # Only the last look: the first is part of taking the lock.
            host.kernel.on_reload = lambda real=host.kernel.on_reload: (real(), refusing(patch, name, number, end))
        result = run_module(host, "driver_override", **WISH)
    assert result.get("changed") is True, result
    assert host.driver(NIC) == "vfio-pci"
    assert not os.path.exists(host.files.journal + "/journal.json")
    assert not run_module(host, "driver_override", **WISH)["changed"]


def test_a_lock_whose_close_reports_an_error_is_released_and_the_run_ends_as_it_was(run_module, host, monkeypatch):
    real = os.close

    def close(handle):
        is_lock = "vfio-host.lock" in os.readlink(f"/proc/self/fd/{handle}")
        real(handle)
        if is_lock:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "close", close)
        assert run_module(host, "driver_override", **WISH).get("changed")
    assert not run_module(host, "driver_override", **WISH)["changed"]


def test_an_error_of_the_run_is_told_also_where_its_lock_stays(run_module, host, monkeypatch):
    host.kernel.refusals["vfio-pci", NIC] = errno.EINVAL
    with monkeypatch.context() as patch:
        refusing(patch, "unlink", errno.EROFS, "/run/vfio-host.lock")
        assert "vfio-pci does not bind" in run_module(host, "driver_override", **WISH)["msg"]


def test_what_an_earlier_boot_left_and_cannot_be_removed_is_in_nobodys_way(run_module, host):
    os.makedirs(host.files.boot_rules + "/.vfio-host-tmp-00000000-left")
    assert run_module(host, "driver_override", **WISH)["changed"]


def test_check_mode_takes_a_run_that_goes_on_for_none_that_was_cut_off(run_module, host):
    row = ["Binding", {"address": NVME, "driver": "nvme", "override": None}]
    host.tree.put(host.files.journal + "/journal.json", json.dumps({"v": 1, "task": "x", "time": "y", "resources": [row]}))
    with open(host.files.lock, "w", encoding="ascii") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.write("862 vfio.host.passthrough\n")
        stream.flush()
        result = run_module(host, "driver_override", check=True, **WISH)
        assert "another run changes this host now: process 862 (vfio.host.passthrough)" in said(result)
    assert "was cut off before its end" in said(run_module(host, "driver_override", check=True, **WISH))
