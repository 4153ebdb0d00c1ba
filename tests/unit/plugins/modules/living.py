# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The life of a host: what happens to it, and what has to be true of it after each event."""

from __future__ import annotations

import io
import os
import time
from contextlib import redirect_stderr

from ansible_collections.vfio.host.plugins.module_utils._core import revert
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.faults import Killed
from ansible_collections.vfio.host.tests.unit.fake.host import FakeHost
from ansible_collections.vfio.host.tests.unit.fake.hosts import ROOT_DISK, UPLINK, VGA
from ansible_collections.vfio.host.tests.unit.plugins.modules.confirming import Systemd, state

DIES = "dies"  # in place of the errno of a step: the process ends before it
PREDICTED = ("changed", "devices", "modules", "sriov", "nodes", "memlock", "reboot_required")
_TRIES = 5  # of the timer, at most: a call fails once


class Life:
    """A host, and ``base``: what it goes back to where a change is under way; None where an event has decided anew."""

    def __init__(self, root, run_module, monkeypatch):
        self.host = FakeHost(root, hosts.x86())
        self.systemd = Systemd(self.host)
        self._run_module = run_module
        self._passed = 0.0  # seconds
        self._tries = 0
        now = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: now() + self._passed)
        monkeypatch.setattr(revert.time, "sleep", self._sleep)
        self._pulled = {}
        self._first = self.base = self.state()
        self.is_under_way = False

    def state(self):
        """All of the host, but records of what is under way."""
        return {path: text for path, text in state(self.host).items() if not path.startswith("/run/vfio-host")}

    def _sleep(self, seconds):
        self._tries += 1
        assert self._tries <= _TRIES, "the timer goes on for ever"
        self._passed += seconds

    def _arm(self, faults):
        self.host.faults.reset()
        for index, what in faults.items():
            if what == DIES:
                self.host.faults.kill_at(index)
            else:
                self.host.faults.fail_at(index, what)

    def _task(self, faults, **options):
        """The result of a task, None where its process died; and how many of the faults have struck."""
        self._arm(faults)
        try:
            result = self._run_module(self.host, "passthrough", timeout=1, **options)
        except Killed:
            result = None
        struck = sum(index < len(self.host.faults.log) for index in faults)
        self.host.faults.reset()
        assert "Traceback" not in str(result)
        return result, struck

    def _is(self, wanted):
        """The host is as it was once."""
        found = self.state()
        assert {path: text for path, text in found.items() if wanted.get(path) != text} == {}
        assert wanted.keys() == found.keys()

    def _has_journal(self):
        return os.path.exists(self.host.files.journal + "/journal.json")

    def happens(self, kind, *more):
        """One event."""
        getattr(self, kind)(*more)
        for address in (UPLINK, ROOT_DISK, VGA):
            assert self.host.driver(address), f"{address} has lost its driver"

    def run(self, wish, confirm, faults):
        """A task that declares the host."""
        options = dict(wish, confirm=confirm)
        if self.is_under_way and not self.systemd.is_armed:
            # What cannot be put back a second time is told and forgotten.
            faults = {index: what for index, what in faults.items() if what == DIES}
        if not self.is_under_way:
            self.base = self.state()
        predicted, dummy = self._task({}, check=True, **options)
        result, struck = self._task(faults, **options)
        if result is None:
            self.is_under_way = True
        elif result.get("failed"):
            self._has_failed(result["msg"], struck)
        elif result.get("awaits_confirmation"):
            self.is_under_way = True
        else:
            assert not self.systemd.is_armed
            if not struck:
                if not self.is_under_way and not predicted.get("failed"):
                    assert {key: predicted.get(key) for key in PREDICTED} == {key: result.get(key) for key in PREDICTED}
                self._is_as_declared(wish)
            self.is_under_way = False

    def _has_failed(self, message, struck):
        if "for its confirmation" in message:
            assert self.is_under_way and self.systemd.is_armed
        elif "all else was done" in message:
            self.is_under_way = self.systemd.is_armed
            self.base = self.base if self.is_under_way else None
        elif self._has_journal():
            # One fault is what the run failed of, and another one kept something from being put back.
            assert struck > 1 and ("stays armed" in message or "tries once more" in message), message
            self.is_under_way = True
        else:
            self.is_under_way = False
            if self.base is not None:
                self._is(self.base)

    def _is_as_declared(self, wish):
        """The same task again changes nothing, and says so."""
        now = self.state()
        again, dummy = self._task({}, **wish)
        assert (again.get("failed"), again["changed"]) == (None, False)
        self._is(now)
        for entries in wish.get("devices", {}).values():
            for one in entries:
                assert self.host.driver(one["match"]["address"]) == "vfio-pci"

    def confirm(self, faults):
        """A task that confirms what waits."""
        before = self.state()
        result, dummy = self._task(faults, state="confirmed")
        if self._has_journal():
            assert result is None or result.get("failed")
            return
        if result is not None and result.get("changed"):
            assert self.is_under_way
            self._is(before)
        # A change whose journal is gone is nobody's any more: it stays.
        self.is_under_way, self.base = False, None

    def wait(self, faults):
        """The time of every timer runs out."""
        self._passed += 1000
        self._tries = 0
        if not self.systemd.is_armed:
            return
        self._arm(faults)
        try:
            with redirect_stderr(io.StringIO()) as said:
                revert.main(self.host.kernel, self.host.files)
        except Killed:
            self.systemd.is_armed = False
            return
        except ApplyError:
            assert faults  # a file of the timer's own could not be removed
        finally:
            self.host.faults.reset()
        assert "Traceback" not in said.getvalue()
        self.systemd.is_armed = False
        if self.is_under_way:
            self.is_under_way = False
            if self.base is not None:
                self._is(self.base)

    def boot(self):
        """The host boots: /run is empty, and what was pulled out is there again."""
        self.host.reboot()
        self.host.tree.put(self.host.tree.root / "run/systemd/system/keep")
        self.systemd.is_armed = self.is_under_way = False
        self.base = None
        self._pulled = {}

    def move(self, address):
        """A card is pulled out, or plugged in again."""
        if address in self.host.kernel.functions:
            self._pulled[address] = self.host.kernel.functions[address]
            self.host.unplug(address)
        else:
            self.host.plug(self._pulled.pop(address))
        self.base = None

    def end(self):
        """Whatever has happened, everything can be given back, and nothing of ours is left."""
        for address in list(self._pulled):
            self.move(address)
        self.wait({})
        for is_first in (True, False):
            result, dummy = self._task({}, state="absent")
            assert not result.get("failed"), result["msg"]
            assert is_first or not result["changed"]
        assert not self.systemd.is_armed
        assert not os.path.exists(self.host.root + "/run/vfio-host")
        self._is(self._first)


__all__ = ("DIES", "Life")
