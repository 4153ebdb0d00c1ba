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
from typing import Any, List, Optional

from ansible_collections.vfio.host.plugins.module_utils._core import journal
from ansible_collections.vfio.host.plugins.module_utils._core.endings import tried
from ansible_collections.vfio.host.plugins.module_utils._host.lock import Busy, one_at_a_time

NAME = "vfio.host, taking back what nobody confirmed"
RECORD, OUTCOME, CODE = "record.json", "taken-back.json", "code"
AGAIN = 60  # seconds until what could not be restored is tried again
_PATIENCE = 10  # seconds for a driver to let go, and between two attempts where a run goes on


def wait_and_revert(fs: Any, files: Any) -> None:
    """Restore when the time is over, as often as it takes; nothing where the change was confirmed meanwhile."""
    left: Optional[float] = 0
    while left is not None:
        time.sleep(left)
        try:
            with one_at_a_time(files.lock, NAME, _PATIENCE):
                left = revert_if_due(fs, files)
        except Busy:
            left = 0  # a run goes on, and with its end the time begins again


def revert_if_due(fs: Any, files: Any) -> Optional[float]:
    """None when there is nothing to wait for any more, else how many seconds are left."""
    text = files.read(f"{files.journal}/{RECORD}")
    if text is None:
        return None
    record = json.loads(text)
    left = record["deadline"] - time.monotonic()
    if left > 0:
        return left
    found = journal.Journal(fs, files)
    if not found.load():
        # It was confirmed a moment ago, or its run was killed before it touched anything.
        files.put(f"{files.journal}/{RECORD}", None)
        return None
    problems = found.restore()
    outcome = {
        "v": journal.VERSION, "task": record["task"], "seconds": record["seconds"], "problems": problems,
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }
    untold = tried(files.put, f"{files.journal}/{OUTCOME}", json.dumps(outcome), 0o600)
    if problems:
        # What the record says by then does not matter: a deadline that has passed is tried at once.
        untold += tried(
            files.put, f"{files.journal}/{RECORD}",
            json.dumps(dict(record, deadline=time.monotonic() + AGAIN, has_failed=True)), 0o600,
        )
        _complain(untold + problems)
        return AGAIN
    # Without the record nobody waits any more; without the journal nothing is restored twice.
    files.put(f"{files.journal}/{RECORD}", None)
    found.drop()
    _complain(untold)
    return None


def _complain(sentences: List[str]) -> None:
    """To the log of the timer's unit."""
    for sentence in sentences:
        sys.stderr.write(sentence + "\n")


def main(fs: Any, files: Any) -> None:
    """What the timer runs; nothing is left of it but what it has to say."""
    wait_and_revert(fs, files)
    remove_code(files)


def remove_code(files: Any) -> None:
    """Remove the copy of the code, and the directories where nothing else is in them."""
    top = f"{files.journal}/{CODE}"
    for folder, folders, names in os.walk(top, topdown=False):
        for name in names:
            files.put(f"{folder}/{name}", None)
        for name in folders:
            files.drop_directory(f"{folder}/{name}")
    for directory in (top, files.journal, os.path.dirname(files.journal)):
        files.drop_directory(directory)


__all__ = ("AGAIN", "CODE", "OUTCOME", "RECORD", "main", "remove_code", "revert_if_due", "wait_and_revert")
