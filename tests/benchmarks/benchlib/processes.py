# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The look at who has a device open, on more and more processes, in this process."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ansible_collections.vfio.host.plugins.module_utils._devices.processes import Processes
from ansible_collections.vfio.host.plugins.module_utils._host.nodes import CHARACTER, Node
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

FILES = 20
LOOK, LISTING = "look", "listing"


def processes(directory: Path, counts: list[int], rounds: int) -> dict[str, dict[int, list[float]]]:
    """LOOK, or LISTING, the least that any way has to do -> number of processes -> seconds of processor time, a round each.

    Each process has FILES files open, of which three are /dev/null, and one thread; one has the device.
    """
    roots = {count: _make(directory / f"processes{count}", count) for count in counts}
    times: dict[str, dict[int, list[float]]] = {LOOK: {}, LISTING: {}}
    for dummy in range(rounds):
        for count, root in roots.items():
            before = time.process_time()
            found = Processes(Sysfs(str(root))).having([Node(CHARACTER, "1:5")])
            between = time.process_time()
            links = _list(root / "proc")
            times[LOOK].setdefault(count, []).append(between - before)
            times[LISTING].setdefault(count, []).append(time.process_time() - between)
            if list(found) != [count] or links != count * FILES:
                raise AssertionError(f"found {list(found)} of process {count}, and {links} files")
    return times


def _make(root: Path, count: int) -> Path:
    for pid in range(1, count + 1):
        base = root / f"proc/{pid}"
        for name in ("fd", "fdinfo", f"task/{pid}"):
            (base / name).mkdir(parents=True)
        (base / "comm").write_text("idle\n")
        for number in range(FILES):
            (base / f"fd/{number}").symlink_to("/dev/null" if number < 3 else "/etc/passwd")
    os.unlink(base / "fd/3")
    (base / "fd/3").symlink_to("/dev/zero")
    (base / "fdinfo/3").write_text("flags:\t0100002\n")
    return root


def _list(proc: Path) -> int:
    found = 0
    for pid in os.listdir(proc):
        for name in os.listdir(f"{proc}/{pid}/fd"):
            os.readlink(f"{proc}/{pid}/fd/{name}")
            found += 1
    return found
