# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs commands for the benchmark in a mount namespace of its own, where a generated tree is /sys. Started by hosts.py.

It is small on purpose: the peak memory that the kernel reports of a process starts with that of the one it came from.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time


def run(command: list[str], output: str) -> dict[str, float]:
    """Run one command with its output in a file; seconds on the clock, seconds of processor, peak memory in KiB."""
    with open(output, "wb") as stream:
        before = time.perf_counter()
        pid = os.posix_spawn(command[0], command, dict(os.environ), file_actions=[
            (os.POSIX_SPAWN_DUP2, stream.fileno(), 1),
        ])
        dummy, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - before
    return {
        "status": os.waitstatus_to_exitcode(status), "wall": wall, "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss,
    }


def main() -> None:
    """Mount (arguments: SYS MODULES), then serve requests, one JSON line each."""
    for source, target in zip(sys.argv[1:3], ("/sys", "/lib/modules")):
        subprocess.run(["mount", "--bind", source, target], check=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(run(request["command"], request["output"])), flush=True)


if __name__ == "__main__":
    main()
