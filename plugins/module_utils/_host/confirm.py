# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""A change that takes itself back unless it is confirmed: the way back below /run, and a timer of systemd's.

What the timer runs is a copy of this room, beside the way back, since what Ansible brought is gone with the task. Confirmed
or taken back, nothing is left of either; of a change that was taken back a note is, for the next run.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager

from ansible_collections.vfio.host.plugins.module_utils._host import revert
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, InputError, RolledBack
from ansible_collections.vfio.host.plugins.module_utils._host.undo import ENDINGS, told, tried

SHORTEST = 5  # seconds in which somebody can come back by a new connection; ``true``, which Ansible takes for 1, is a slip
_UNIT = "vfio-host-confirm"
_ROOM = __name__.rpartition(".")[0]
_START = f"""from {_ROOM} import files, revert, sysfs
revert.main(sysfs.Sysfs(run=revert.run), files.Files())
"""


class Confirmation:
    """The change of a host that waits for its confirmation, if there is one."""

    def __init__(self, fs, files):
        self._fs = fs
        self._files = files
        self._record = f"{files.confirm}/{revert.RECORD}"
        self._outcome = f"{files.confirm}/{revert.OUTCOME}"
        self.is_asked = False  # whether this task's change waits now

    def waits(self):
        """A sentence where a change waits, else None."""
        text = self._files.read(self._record)
        if text is None:
            return None
        record = json.loads(text)
        left = max(0, round(record["deadline"] - time.monotonic()))
        return f"a change by {record['task']} waits {left} seconds more for its confirmation, and is taken back then"

    def taken_back(self):
        """A sentence where the last change was taken back, else None."""
        text = self._files.read(self._outcome)
        if text is None:
            return None
        outcome = json.loads(text)
        end = "; ".join(outcome["problems"]) or "the host is as it was before"
        return (
            f"the last change, by {outcome['task']}, was taken back at {outcome['time']}, since nobody confirmed it within "
            f"{outcome['seconds']} seconds: {end}"
        )

    def forget(self):
        """Remove the note of a change that was taken back."""
        self._files.put(self._outcome, None)
        revert.remove_code(self._files)

    def check(self):
        """Raise InputError where there is no timer on this host."""
        if not self._fs.exists(self._fs.systemd):
            raise InputError("confirm needs systemd, whose timer takes the change back, and this host runs without it; leave it out")

    def confirm(self, check):
        """Keep the change that waits; whether there was one. Raises InputError where it was taken back. ``check``: only look."""
        told = self.taken_back()
        if told is not None:
            if not check:
                self.forget()
            raise InputError(told)
        if self._files.read(self._record) is None:
            return False
        if not check:
            self._stop()
        return True

    @contextmanager
    def around(self, plans, seconds, task):
        """Have a way back while the plans are applied, and for ``seconds`` afterwards, which begin with a call of the function that
        this gives. Raises ApplyError. The timer stays armed unless the host is as it was.
        """
        record = _way_back(self._fs, plans)
        record.update(task=task, seconds=seconds, deadline=time.monotonic() + seconds)
        try:
            self._arm(record)
        except ENDINGS as error:
            raise RolledBack(*(told(error, "arming the timer of confirm") + self._stopped())) from error
        try:
            yield lambda: self._begin(record)
        except RolledBack as error:
            raise RolledBack(*(error.messages + self._stopped())) from error
        except ENDINGS as error:
            left = max(0, round(record["deadline"] - time.monotonic()))
            raise ApplyError(*(told(error, task) + [
                f"the timer of confirm stays armed: in {left} seconds the host takes back what is not as it was"
            ])) from error

    def _begin(self, record):
        """Give the change its time from now on. Where that cannot be written, the earlier record stays."""
        self._write(dict(record, deadline=time.monotonic() + record["seconds"]))
        self.is_asked = True

    def _write(self, record):
        self._files.put(self._record, json.dumps(record), 0o600)

    def _arm(self, record):
        code = f"{self._files.confirm}/{revert.CODE}"
        self._files.own(self._files.confirm)
        self._write(record)
        for name, module in sorted(sys.modules.items()):
            if name.rpartition(".")[0] == _ROOM:
                path = f"{code}/{name.replace('.', '/')}.py"
                self._files.put(path, module.__spec__.loader.get_source(name), 0o600)
        self._files.put(f"{code}/start.py", _START, 0o600)
        status, dummy, complaint = self._fs.run([
            "systemd-run", "--quiet", "--collect", f"--unit={_UNIT}", f"--on-active={record['seconds']}",
            "--timer-property=AccuracySec=100ms", "--description=Takes back a change of vfio.host that nobody confirmed",
            sys.executable, "-B", "-E", "-s", f"{code}/start.py",
        ])
        if status:
            raise ApplyError(f"the timer that would take the change back does not start: systemd-run says: {complaint.strip()}")

    def _stopped(self):
        """Stop the timer where nothing is left to take back; sentences for what did not work."""
        return [f"the timer of confirm was not cleared away: {one}" for one in tried(self._stop)]

    def _stop(self):
        # The record goes first: without it the timer does nothing.
        self._files.put(self._record, None)
        # Both, since the service may have begun, and waits for this run to end. Neither need be there.
        self._fs.run(["systemctl", "stop", f"{_UNIT}.timer", f"{_UNIT}.service"])
        revert.remove_code(self._files)


def _way_back(fs, plans):
    """What the plans would change, as it is now."""
    record = {"files": {}, "devices": [], "pfs": [], "modules": [], "options": []}
    for plan in plans:
        for key, found in plan.way_back().items():
            if key == "files":
                record["files"].update({path: text for path, text in found.items() if path not in record["files"]})
            else:
                record[key] += found
    # VFs that come and go with their PF's number are in what is known of that.
    resized = {pf["address"] for pf in record["pfs"] if pf["resizes"]}
    record["devices"] = [
        one for one in record["devices"]
        if fs.link(f"{fs.pci_devices}/{one['address']}/physfn") not in resized and fs.exists(f"{fs.pci_devices}/{one['address']}")
    ]
    return record


__all__ = ("Confirmation", "SHORTEST")
