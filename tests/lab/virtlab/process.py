# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other programs: run them within a time limit, and end only those that are provably ours."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Mapping, Optional, Sequence

from .errors import LabError


def run(argv: Sequence[str], *, timeout: float, log: Optional[Path] = None,
        env: Optional[Mapping[str, str]] = None) -> str:
    """Run a program to its end and give its output; where a log is named, all output goes there instead."""
    environment = {**os.environ, **(env or {})}
    name = os.path.basename(argv[0])
    try:
        with contextlib.ExitStack() as stack:
            handle = stack.enter_context(open(log, "ab")) if log else subprocess.PIPE
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=handle, stderr=handle, text=True,
                                  errors="replace", timeout=timeout, env=environment, check=False)
    except FileNotFoundError:
        raise LabError(f"{name} is not installed") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{name} did not end within {timeout:.0f} s") from None
    if done.returncode != 0:
        if log is not None:
            raise LabError(f"{name} failed with status {done.returncode}", f"its output is in {log}")
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise LabError(f"{name} failed with status {done.returncode}", last)
    return done.stdout or ""


def is_ours(pid: int, mark: str) -> bool:
    """Whether the process lives and has the mark among its arguments. Pids are used again; the mark tells."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        # After the name, which may hold anything, comes the state. A zombie's cmdline is empty already.
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return status != "Z" and mark.encode() in arguments


def wait_gone(pid: int, mark: str, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while is_ours(pid, mark):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def kill(pid: int, mark: str) -> None:
    """End our process at once; nothing happens when it is gone or is no longer ours."""
    if not is_ours(pid, mark):
        return
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    if not wait_gone(pid, mark, 10):
        raise LabError(f"process {pid} does not end", f"look at it: ps -o pid,stat,wchan,args -p {pid}")


__all__ = ("is_ours", "kill", "run", "wait_gone")
