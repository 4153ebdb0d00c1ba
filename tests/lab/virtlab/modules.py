# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel modules that no package has, built for a running host's kernel in a system of its suite, and cached."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import tempfile
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Callable, List, Tuple

from . import apt, packages, paths, ssh
from .errors import LabError
from .host import Host
from .lifecycle import Guest
from .process import run

# Raised when the builder itself changes what comes out of the same sources.
VERSION = 1
# Those of another architecture take 20 minutes and more on a busy machine.
BUILD_TIMEOUT = 3600
# What `uname -rv` says of a kernel of Debian's: its release, and the version of its package.
UNAME = re.compile(r"(?P<release>(?P<series>\d+\.\d+)\S*) .*\bDebian (?P<version>\S+)")
# Where the sources are in the system that builds them.
INSIDE = "/usr/src/lab"


@dataclass(frozen=True)
class Build:
    """Everything that decides what the modules are; ``sources``: (name, text) of each file."""

    version: int
    suite: str
    architecture: str
    release: str
    series: str
    package_version: str
    sources: Tuple[Tuple[str, str], ...]

    @property
    def name(self) -> str:
        return f"{self.release}-{hashlib.sha256(json.dumps(astuple(self)).encode()).hexdigest()[:12]}"

    @property
    def packages(self) -> Tuple[str, ...]:
        """The headers come with the compiler of the kernel. Of the source, only the version of the kernel will do."""
        return f"linux-headers-{self.release}", f"linux-source-{self.series}={self.package_version}", "make"


def of(host: Host, uname: str) -> Build:
    """The build for a host whose kernel calls itself so."""
    found = UNAME.match(uname)
    if not found:
        raise LabError(f"host {host.name} runs no kernel of Debian's, but {uname!r}", "boot one of its suite")
    sources = tuple((path.name, path.read_text(encoding="utf-8")) for path in sorted(paths.MODULES.iterdir()))
    return Build(VERSION, host.suite, host.architecture, found["release"], found["series"], found["version"], sources)


def ensure(guest: Guest, say: Callable[[str], None]) -> Path:
    """The directory of the modules for the kernel that the host runs: from the cache, or built now."""
    host = guest.host
    uname = ssh.run(guest.ssh(guest.run()), "uname -rv", 60)
    if not uname:
        raise LabError(f"host {host.name} does not say what kernel it runs", f"look: vlab ssh {host.name} -- uname -a")
    wanted = of(host, uname)
    cache = paths.cache() / "modules"
    cache.mkdir(exist_ok=True)
    path = cache / wanted.name
    with paths.locked(cache / f"{wanted.name}.lock", f"modules {wanted.name}", BUILD_TIMEOUT):
        if not path.is_dir():
            packages.ensure(host, build=True)
            say(f"building modules {wanted.name} (minutes)")
            _build(wanted, path)
    return path


def _build(wanted: Build, path: Path) -> None:
    log = path.with_name(f"{path.name}.log")
    log.write_bytes(b"")
    for left in path.parent.glob(f".{wanted.name}.*"):
        # From a build that was killed; this one holds the lock.
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{wanted.name}.", dir=path.parent) as temporary:
        work = Path(temporary)
        work.chmod(0o755)
        # The headers need the kernel's package, which would make an image of its initramfs: minutes of another architecture.
        run(_mmdebstrap(wanted, work), timeout=BUILD_TIMEOUT, log=log, env={"INITRD": "No"})
        # Beside its final place, so that the modules are there all, or not at all.
        os.rename(work / "built", path)


def _mmdebstrap(wanted: Build, work: Path) -> List[str]:
    """A system that is there for its hooks alone: nothing of it is kept."""
    sources = " ".join(shlex.quote(str(paths.MODULES / name)) for name, dummy in wanted.sources)
    line = ["mmdebstrap", "--variant=apt", f"--architectures={wanted.architecture}", "--format=null",
            # A foreign architecture needs no arch-test: packages.py has looked whether it runs here.
            "--skip=cleanup,check/qemu", "--dpkgopt=force-unsafe-io"]
    line += [f"--aptopt={option}" for option in apt.options(wanted.suite)]
    line += [f"--customize-hook={hook}" for hook in (
        f'mkdir "$1{INSIDE}"',
        f"copy-in {sources} {INSIDE}",
        f'chroot "$1" sh {INSIDE}/build.sh {shlex.quote(wanted.release)}',
        f"copy-out {INSIDE}/built {shlex.quote(str(work))}",
    )]
    return [*line, f"--include={','.join(wanted.packages)}", wanted.suite, "/dev/null", apt.mirror()]


__all__ = ("Build", "ensure", "of")
