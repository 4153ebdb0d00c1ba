# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts to measure on: a generated /sys and /lib/modules, seen by the processes started there and by nobody else."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Iterator

from .module_tree import write_modules
from .sysfs_tree import write_sysfs
from .topology import functions

_WORKER = Path(__file__).with_name("worker.py")
_MODULES = Path("/lib/modules")
# Processes and network are the host's own. This machine's processes would count, and the mounts of its process 1 may not be readable. Its
# interfaces are not those of the generated /sys, so that nothing could be told of them: every card would have guards that say so.
_NAMESPACES = ("--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc", "--net")


@dataclass(frozen=True)
class Sample:
    """One process, from its start to its end; ``peak`` in KiB."""

    wall: float
    cpu: float
    peak: int


class Failed(Exception):
    """A measurement could not be made."""


class Host:
    """A generated host of ``size`` functions; ``tree`` holds its sys and lib/modules."""

    def __init__(self, size: int, tree: Path, to_worker: IO[str], from_worker: IO[str]) -> None:
        self.size = size
        self.tree = tree
        self.output = tree / "output"
        self._to_worker = to_worker
        self._from_worker = from_worker

    def run(self, command: list[str]) -> Sample:
        """Run a command on this host; what it printed is in ``output``."""
        print(json.dumps({"command": command, "output": str(self.output)}), file=self._to_worker, flush=True)
        answer = json.loads(self._from_worker.readline() or "{}")
        if answer.get("status") != 0:
            raise Failed(f"{' '.join(command)}: {answer or 'the worker died'}: {self._tail()}")
        return Sample(answer["wall"], answer["cpu"], int(answer["peak"]))

    def _tail(self) -> str:
        return self.output.read_text(errors="replace")[-2000:] if self.output.exists() else ""


@contextlib.contextmanager
def host(size: int, directory: Path) -> Iterator[Host]:
    """Generate a host below ``directory`` and enter it."""
    tree = directory / str(size)
    (tree / "sys").mkdir(parents=True)
    write_sysfs(tree / "sys", functions(size))
    write_modules(tree / "lib/modules" / os.uname().release)
    # Processes are started as on a managed host: nothing of the controller's environment leads them.
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(tree), "TMPDIR": str(tree)}
    command = ["unshare", *_NAMESPACES, sys.executable, "-I", str(_WORKER)]
    with modules_directory(), subprocess.Popen(
        [*command, str(tree / "sys"), str(tree / "lib/modules")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as worker:
        assert worker.stdin and worker.stdout
        yield Host(size, tree, worker.stdin, worker.stdout)
        worker.stdin.close()


@contextlib.contextmanager
def modules_directory() -> Iterator[None]:
    """A place to mount on, also on a machine that has none, such as a container."""
    if _MODULES.is_dir():
        yield
        return
    _MODULES.mkdir()
    try:
        yield
    finally:
        _MODULES.rmdir()
