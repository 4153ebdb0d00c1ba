# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs under ``confirm``: what they ask for, the timer that systemd has for them, and what a host is like before and after."""

from __future__ import annotations

import io
import sys
import time
from contextlib import redirect_stderr

from ansible_collections.vfio.host.plugins.module_utils._core import revert
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.faults import Killed
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME

WISH = {"devices": [{"match": {"address": one}} for one in (NIC, NVME, EDU)], "policy": "p"}


class Systemd:
    """What systemd-run and systemctl are told; ``runs_out`` is the end of the timer's time."""

    def __init__(self, host):
        self.host = host
        self.started = []
        self.is_armed = False
        self.refuses = False
        self.runs = None  # a function that runs what is to be checked; without one it is well
        self._others, host.kernel.run = host.kernel.run, self._run
        host.tree.put(host.tree.root / "run/systemd/system/keep")

    def _run(self, words):
        if words[0] == "systemd-run" and "--service-type=oneshot" in words:
            self.host.faults.step("timer", "checked")
            if self.runs and self.runs(words[words.index(sys.executable):]):
                # As systemd 257 says, whatever the program's status was.
                return 1, "", 'Job for vfio-host-confirm-check.service failed.\nSee "systemctl status vfio-host-confirm-check.service" for details.\n'
            return 0, "", "Running as unit: vfio-host-confirm-check.service\n"
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


def but_run(host):
    """All of a host but what a boot ends anyway."""
    return {path: content for path, content in state(host).items() if not path.startswith("/run")}
