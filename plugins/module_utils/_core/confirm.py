# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""A change that takes itself back unless it is confirmed: the run's journal below /run, and a timer of systemd's.

What the timer runs is a copy of this room and of _host, beside the journal, since what Ansible brought is gone with the
task. Confirmed or taken back, nothing is left of either; of a change that was taken back a note is, for the next run.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, Optional

from ansible_collections.vfio.host.plugins.module_utils._core import journal, revert
from ansible_collections.vfio.host.plugins.module_utils._core.endings import ENDINGS, told, tried
from ansible_collections.vfio.host.plugins.module_utils._host import commands
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, InputError, RolledBack

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_UNIT = "vfio-host-confirm"
# What the timer stands on: these rooms import from no other.
_CORE, _HOST = (module.__name__.rpartition(".")[0] for module in (revert, commands))
_START = f"""import sys
from {_CORE} import revert
from {_HOST} import commands, files, sysfs
if sys.argv[1:] != ["check"]:
    revert.main(sysfs.Sysfs(run=commands.run), files.Files())
"""
_LONGEST = 60  # seconds that the check of it may take


class Confirmation:
    """The change of a host that waits for its confirmation, if there is one."""

    def __init__(self, fs: Sysfs, files: Files) -> None:
        self._fs = fs
        self._files = files
        self._record = f"{files.journal}/{revert.RECORD}"
        self._outcome = f"{files.journal}/{revert.OUTCOME}"
        self.is_asked = False  # whether this task's change waits now

    def waits(self) -> Optional[str]:
        """A sentence where a change waits that can be confirmed, else None. Raises PlanError."""
        record = revert.read_record(self._files)
        if record is None or record.has_failed or not record.is_whole or record.deadline <= time.monotonic():
            return None
        return f"a change by {record.task} waits {record.left} seconds more for its confirmation, and is taken back then"

    def overdue(self) -> Optional[str]:
        """What to say of the run where a change is here whose time is over and that its timer has not taken back, as where somebody has
        stopped that; else None. Raises PlanError.
        """
        record = revert.read_record(self._files)
        is_late = record is not None and record.is_whole and not record.has_failed and record.deadline <= time.monotonic()
        return "was not confirmed in its time, and its timer has not taken it back" if is_late else None

    def taken_back(self) -> Optional[str]:
        """A sentence where the last change was taken back, else None. Raises PlanError."""
        outcome = revert.read_outcome(self._files)
        if outcome is None:
            return None
        within = f"within {outcome.seconds} seconds" if outcome.seconds else "in its time"
        what = f"the last change, by {outcome.task}"
        if outcome.is_left:
            return f"{what}, was not confirmed {within}, and could not be taken back at {outcome.time}: {'; '.join(outcome.problems)}"
        end = "; ".join(outcome.problems) or "the host is as it was before"
        return f"{what}, was taken back at {outcome.time}, since nobody confirmed it {within}: {end}"

    def forget(self) -> None:
        """Remove the note of a change that was taken back, or that no run goes on with, and stop its timer. Raises ApplyError."""
        self._files.put(self._outcome, None)
        if revert.read_record(self._files) is not None:
            self._stop()
        else:
            revert.remove_code(self._files)

    def check(self) -> None:
        """Raise InputError where there is no timer on this host."""
        if not self._fs.exists(self._fs.systemd):
            raise InputError("confirm needs systemd, whose timer takes the change back, and this host runs without it; leave it out")

    def confirm(self, check: bool) -> bool:
        """Keep the change that waits; whether there was one. Raises InputError where it was taken back, or where its run did not come
        to its end. ``check``: only look.
        """
        sentence = self.taken_back()
        if sentence is not None:
            is_over = revert.read_record(self._files) is None
            if not check and is_over:
                self.forget()
            raise InputError(sentence if is_over else f"{sentence}; that is tried again every {revert.AGAIN} seconds")
        record = revert.read_record(self._files)
        if record is None:
            return False
        if record.has_failed or not record.is_whole:
            raise InputError(
                f"the run by {record.task} did not come to its end, so there is nothing whole to keep: what it changed is put back by the "
                f"next run, or by its timer in {record.left} seconds"
            )
        if not check:
            # In this order: without the journal there is nothing to take back, whoever comes in between.
            journal.Journal(self._fs, self._files).drop()
            self._stop()
        return True

    @contextmanager
    def around(self, seconds: int, task: str) -> Iterator[Callable[[], None]]:
        """Have a timer while plans are applied, and for ``seconds`` afterwards, which begin with a call of the function that
        this context gives. Raises ApplyError. The timer stays armed unless the host is as it was.
        """
        record = revert.Record(task, seconds, time.monotonic() + seconds, is_whole=False)
        try:
            self._arm(record)
        except ENDINGS as error:
            raise RolledBack(*(told(error, "arming the timer of confirm") + self._stopped())) from error
        try:
            yield lambda: self._begin(record)
        except RolledBack as error:
            raise RolledBack(*(error.messages + self._stopped())) from error
        except ENDINGS as error:
            raise ApplyError(*(told(error, task) + [
                f"the timer of confirm stays armed: in {record.left} seconds the host takes back what is not as it was"
            ])) from error

    def _begin(self, record: revert.Record) -> None:
        """Give the change its time from now on. Where that cannot be written, the earlier record stays."""
        self._write(record._replace(deadline=time.monotonic() + record.seconds, is_whole=True))
        self.is_asked = True

    def _write(self, record: revert.Record) -> None:
        self._files.put(self._record, record.text(), mode=0o600)

    def _arm(self, record: revert.Record) -> None:
        """Write the record and the code that the timer runs, and start the timer. Raises ApplyError."""
        code = f"{self._files.journal}/{revert.CODE}"
        self._files.own(self._files.journal)
        # A timer whose record is gone keeps its name, and one that has just ended removes its code, which has the same place.
        self._stop_units()
        self._write(record)
        for package in _packages():
            self._files.put(f"{code}/{package.replace('.', '/')}/__init__.py", "", mode=0o600)
        for name, module in sorted(sys.modules.items()):
            if name.rpartition(".")[0] in (_CORE, _HOST):
                path = f"{code}/{name.replace('.', '/')}.py"
                loader: Any = module.__spec__.loader if module.__spec__ else None
                self._files.put(path, loader.get_source(name), mode=0o600)
        self._files.put(revert.start(self._files), _START, mode=0o600)
        program = [sys.executable, "-B", "-E", "-s", revert.start(self._files)]
        self._check_program(program)
        status, dummy, complaint = self._fs.run([
            "systemd-run", "--quiet", "--collect", f"--unit={_UNIT}", f"--on-active={record.seconds}",
            "--timer-property=AccuracySec=100ms", "--description=Takes back a change of vfio.host that nobody confirmed", *program,
        ])
        if status:
            raise ApplyError(f"the timer that would take the change back does not start: systemd-run says: {complaint.strip()}")

    def _check_program(self, program: List[str]) -> None:
        """Have systemd run what the timer will, which looks then whether its code is whole, and ends. What this run can start, systemd
        may not: SELinux keeps it from an interpreter in a home directory, and an interpreter may need an environment. Raises ApplyError.
        """
        # A job for a oneshot is done when the program has ended. "--wait" would be the same where there is a bus, which systemd-run itself does
        # not need (source: systemd src/run/run.c run(): bus_connect_transport() or bus_connect_transport_systemd()).
        status, dummy, complaint = self._fs.run([
            "systemd-run", "--collect", f"--unit={_UNIT}-check", "--service-type=oneshot", f"--property=TimeoutStartSec={_LONGEST}",
            "--description=Checks what would take back a change of vfio.host", *program, "check",
        ])
        if status:
            raise ApplyError(
                "systemd cannot run what would take the change back: have Ansible use an interpreter that systemd can run "
                f"(ansible_python_interpreter), or run without confirm. Of {' '.join(program)} systemd-run says: {' '.join(complaint.split())}"
            )

    def _stopped(self) -> List[str]:
        """Stop the timer where nothing is left to take back; sentences for what did not work."""
        return [f"the timer of confirm was not cleared away: {problem}" for problem in tried(self._stop)]

    def _stop(self) -> None:
        # The record goes first: without it the timer does nothing.
        self._files.put(self._record, None)
        self._stop_units()
        revert.remove_code(self._files)

    def _stop_units(self) -> None:
        # Both, since the service may have begun, and waits for this run to end. Neither need be there.
        self._fs.run(["systemctl", "stop", f"{_UNIT}.timer", f"{_UNIT}.service"])


def _packages() -> List[str]:
    """The packages that the rooms are in, and they themselves. Without a file of its own one gives way to a package of the same name anywhere
    on Python's path, such as the ansible_collections of an Ansible that is installed there (source: PEP 420, "Specification").
    """
    parts = [name.split(".") for name in (_CORE, _HOST)]
    return sorted({".".join(words[:end]) for words in parts for end in range(1, len(words) + 1)})


__all__ = ("Confirmation",)
