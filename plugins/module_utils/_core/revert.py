# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Restores a change that nobody has confirmed in its time: what a host's timer runs, with this room and _host alone beside it."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, TypeVar

from ansible_collections.vfio.host.plugins.module_utils._core import journal
from ansible_collections.vfio.host.plugins.module_utils._core.endings import ENDINGS, told, tried
from ansible_collections.vfio.host.plugins.module_utils._host import signals
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError, PlanError, VfioHostError
from ansible_collections.vfio.host.plugins.module_utils._host.lock import Busy, one_at_a_time
from ansible_collections.vfio.host.plugins.module_utils._host.versions import parsed, seconds, words

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_T = TypeVar("_T")
NAME = "vfio.host, taking back what nobody confirmed"
RECORD, OUTCOME, CODE = "record.json", "taken-back.json", "code"
RECORD_VERSION = OUTCOME_VERSION = 1  # of the formats
AGAIN = 60  # seconds until what could not be restored is tried again
_FARTHEST = 2 * 86400  # seconds; no run takes as long, nor is given more than a day
_PATIENCE = 10  # seconds for a driver to let go, and between two attempts where a run goes on


class Record(NamedTuple):
    """A change that waits for its confirmation: the module that made it, the seconds that were given, and until when, of
    time.monotonic(). ``has_failed``: its time is over, and not everything could be restored. ``is_whole``: its run came to its end,
    so that there is something to confirm.
    """

    task: str
    seconds: float
    deadline: float
    has_failed: bool = False
    is_whole: bool = True

    @property
    def left(self) -> int:
        """The seconds that are left."""
        return max(0, round(self.deadline - time.monotonic()))

    def text(self) -> str:
        """As it is kept."""
        return json.dumps({"v": RECORD_VERSION, **self._asdict()})


class Outcome(NamedTuple):
    """What became of a change that nobody confirmed in ``seconds`` (0: not known): restored at ``time``, but for ``problems``.

    ``is_left``: the journal was not restored to its end, as where it cannot be read.
    """

    task: str
    seconds: float
    problems: List[str]
    time: str
    is_left: bool

    def text(self) -> str:
        """As it is kept."""
        return json.dumps({"v": OUTCOME_VERSION, **self._asdict()})


def wait_and_revert(fs: Sysfs, files: Files) -> None:
    """Restore when the time is over, as often as it takes; nothing where the change was confirmed meanwhile. Raises SystemExit where a
    signal came while it restored, as when the host shuts down: half of a change is what no boot should find.
    """
    left: Optional[float] = 0
    while left is not None:
        time.sleep(left)
        try:
            with one_at_a_time(files.lock, NAME, timeout=_PATIENCE), signals.held_back():
                with signals.masked():
                    left = revert_if_due(fs, files)
                if left is not None:
                    signals.check()
        except signals.Interrupted as error:
            raise SystemExit(f"{NAME}: {error}, and what is not as it was is left to the next run") from error
        except Busy:
            left = 0  # a run goes on, and with its end the time begins again
        except InputError as error:
            # /run may have no room for the lock's file: this process runs, and needs the file that started it no more.
            _complain(error.messages)
            left = 0 if _has_made_room(files) else AGAIN
        except ENDINGS as error:
            # What is not restored yet is kept, and needs somebody who goes on.
            _complain(told(error, NAME))
            left = AGAIN


def _has_made_room(files: Files) -> bool:
    """Remove the file that started this process; whether it was there, and is gone."""
    try:
        if files.read(start(files)) is None:
            return False
        files.put(start(files), None)
    except ENDINGS:
        return False
    return True


def start(files: Files) -> str:
    """The file that the timer starts."""
    return f"{files.journal}/{CODE}/start.py"


def revert_if_due(fs: Sysfs, files: Files) -> Optional[float]:
    """Restore where the time is over. How many seconds are left until it is to be called again; None where it need not be."""
    record: Optional[Record] = None
    untold: List[str] = []
    try:
        record = read_record(files)
        if record is None:
            return None
    except VfioHostError as error:
        # The timer was started for that time, so it is about over; a host that nobody reaches is worse than a change that is lost.
        untold = error.messages
    left = 0 if record is None else record.deadline - time.monotonic()
    if left > 0:
        return left
    kept, is_left = journal.Journal(fs, files), False
    problems: Optional[List[str]] = None
    try:
        if kept.load():
            problems = kept.restore()
    except ENDINGS as error:
        # The journal stays, for whoever can read it, and is tried again.
        problems, is_left = told(error, NAME), True
    if problems is None:
        # It was confirmed a moment ago, or its run was killed before it touched anything.
        files.put(f"{files.journal}/{RECORD}", None)
        return None
    if record is None:
        record = Record(kept.task or "a run", 0, 0)
    outcome = Outcome(record.task, record.seconds, problems, time.strftime("%Y-%m-%d %H:%M:%S %z"), is_left)
    untold = untold + tried(lambda: files.put(f"{files.journal}/{OUTCOME}", outcome.text(), mode=0o600))
    if problems:
        # What the record says by then does not matter: a deadline that has passed is tried at once.
        failed = record._replace(deadline=time.monotonic() + AGAIN, has_failed=True)
        untold += tried(lambda: files.put(f"{files.journal}/{RECORD}", failed.text(), mode=0o600))
        _complain(untold + problems)
        return AGAIN
    # Without the record nobody waits any more; without the journal nothing is restored twice.
    files.put(f"{files.journal}/{RECORD}", None)
    kept.drop()
    _complain(untold)
    return None


def read_record(files: Files) -> Optional[Record]:
    """The change that waits; None where none does. Raises PlanError."""
    return _read(files, RECORD, RECORD_VERSION, lambda kept: Record(
        words(kept["task"]), seconds(kept["seconds"]), _deadline(kept["deadline"]), kept.get("has_failed") is True,
        kept.get("is_whole", True) is True,
    ))


def _deadline(value: object) -> float:
    """A deadline in a record. Raises ValueError."""
    deadline = seconds(value)
    if deadline - time.monotonic() > _FARTHEST:
        raise ValueError("its deadline is later than any that a run sets")
    return deadline


def read_outcome(files: Files) -> Optional[Outcome]:
    """What became of the last change that nobody confirmed; None where there is none. Raises PlanError."""
    return _read(files, OUTCOME, OUTCOME_VERSION, lambda kept: Outcome(
        words(kept["task"]), seconds(kept["seconds"]), [words(problem) for problem in list(kept["problems"])], words(kept["time"]),
        kept.get("is_left") is True,
    ))


def _read(files: Files, name: str, known: int, make: Callable[[Dict[str, Any]], _T]) -> Optional[_T]:
    """What ``make`` makes of a file's JSON, of a format up to version ``known``; None where it is absent. Raises PlanError."""
    path = f"{files.journal}/{name}"
    files.check_own(files.journal)
    text = files.read(path)
    if text is None:
        return None
    try:
        return make(parsed(text, path, known=known))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PlanError(f"{path} cannot be read ({type(error).__name__}: {error}): remove it, and run again") from error


def _complain(sentences: List[str]) -> None:
    """To the log of the timer's unit. A log that does not take it (journald is gone: EPIPE) ends nothing."""
    with suppress(OSError):
        for sentence in sentences:
            sys.stderr.write(sentence + "\n")


def main(fs: Sysfs, files: Files) -> None:
    """What the timer runs. Of its files only the outcome is left."""
    wait_and_revert(fs, files)
    # What stays of it the next run removes.
    _complain(tried(remove_code, files))


def remove_code(files: Files) -> None:
    """Remove the copy of the code, and the directories where nothing else is in them."""
    files.drop_tree(f"{files.journal}/{CODE}")
    for directory in (files.journal, os.path.dirname(files.journal)):
        files.tidy(directory, is_cut_off=True)
        files.drop_directory(directory)


__all__ = (
    "AGAIN", "CODE", "OUTCOME", "Outcome", "RECORD", "Record", "main", "read_outcome", "read_record", "remove_code", "revert_if_due",
    "start", "wait_and_revert",
)
