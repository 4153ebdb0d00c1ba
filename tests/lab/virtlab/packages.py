# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that the lab needs on the controller: find what is missing, install it or say how."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from . import apt, emulation, paths
from .boot import BOOTS
from .errors import LabError
from .host import Host
from .machine import ARCHITECTURES
from .process import run

# program -> package
RUN = {"qemu-img": "qemu-utils", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}
BUILD = {"mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs", "qemu-img": "qemu-utils", "zstd": "zstd", "tar": "tar"}
# QEMU has igb, and so SR-IOV, since 8.0; Debian 12 has 7.2, and a later one in its backports.
QEMU_MAJOR = 8


def _find(program: str) -> bool:
    if program.startswith("/"):
        return os.path.exists(program)
    # An ordinary user's PATH leaves out where Debian keeps mke2fs.
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None


def _qemu_suffices(host: Host) -> bool:
    qemu = ARCHITECTURES[host.architecture].qemu
    if not _find(qemu):
        return False
    models = run([qemu, "-device", "help"], timeout=60)
    return all(f'"{device.model}"' in models for device in host.devices)


def missing(host: Host, build: bool) -> Tuple[str, ...]:
    """Packages to install for this host; for a build as well, where one is wanted."""
    boot = BOOTS[host.boot]
    wanted: Dict[str, str] = {**RUN, **boot.run_needs}
    if build:
        wanted.update({**BUILD, **boot.build_needs})
    if build and os.geteuid() != 0:
        # What mmdebstrap and mke2fs stand in for root with.
        wanted.update({"fakeroot": "fakeroot", "newuidmap": "uidmap"})
    packages = {package for program, package in wanted.items() if not _find(program)}
    if build and emulation.is_foreign(host) and not emulation.rule(host).exists():
        packages.add(emulation.PACKAGE)
    if not _qemu_suffices(host):
        packages.add(ARCHITECTURES[host.architecture].qemu_package)
    return tuple(sorted(packages))


def ensure(host: Host, build: bool) -> None:
    """Have everything, or fail with the names and the command."""
    _ensure_installed(host, build)
    if build:
        emulation.register(host)


def _ensure_installed(host: Host, build: bool) -> None:
    packages = missing(host, build)
    if not packages:
        return
    names = " ".join(packages)
    if not shutil.which("apt-get"):
        raise LabError(f"this machine lacks {names} (Debian's names), and has no apt-get",
                       f"install them; QEMU has to be {QEMU_MAJOR}.0 or later")
    as_root = _as_root()
    if as_root is None:
        raise LabError(f"this machine lacks {names}",
                       f"run: sudo apt-get install --no-install-recommends {names}{_backports_hint(packages)}")
    with paths.locked(paths.cache() / "packages.lock", "installing packages", 1200):
        _install(packages, as_root)
    still = missing(host, build)
    if still:
        raise LabError(f"{' '.join(still)}: installed, but not enough for host {host.name}",
                       f"QEMU has to be {QEMU_MAJOR}.0 or later and know every model of the host")


def _codename() -> str:
    text = Path("/etc/os-release").read_text(encoding="utf-8")
    return apt.dict_of(text).get("VERSION_CODENAME", "")


def _needs_backports(packages: Tuple[str, ...]) -> bool:
    qemu = [package for package in packages if package.startswith(("qemu-system-", "qemu-user-"))]
    if not qemu:
        return False
    for line in run(["apt-cache", "policy", qemu[0]], timeout=60).splitlines():
        name, dummy, version = line.strip().partition(": ")
        if name == "Candidate":
            # Debian 12 itself has no package of this name for s390x.
            return version == "(none)" or int(version.partition(":")[2].partition(".")[0] or 0) < QEMU_MAJOR
    return False


def _backports_hint(packages: Tuple[str, ...]) -> str:
    return f" (QEMU from {_codename()}-backports: -t {_codename()}-backports)" if _needs_backports(packages) else ""


def _as_root() -> Optional[List[str]]:
    """What comes before a command for root: nothing, or a sudo that asks for no password; None where there is neither."""
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "--non-interactive"]
    try:
        run([*sudo, "true"], timeout=60)
    except LabError:
        return None
    return sudo


def _install(packages: Tuple[str, ...], as_root: List[str]) -> None:
    work = paths.cache() / "apt"
    (work / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    log = work / "apt.log"
    log.write_bytes(b"")
    # sudo drops the environment.
    apt_get = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    # The machine's own configuration stays as it is: lists, and the added source, are the lab's. apt's own user cannot
    # write there. The log is no terminal.
    options = ["-o", f"Dir::State::Lists={work / 'lists'}", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0",
               "-o", "APT::Sandbox::User=root"]
    run([*apt_get, *options, "update"], timeout=300, log=log)
    target: List[str] = []
    if _needs_backports(packages):
        suite = f"{_codename()}-backports"
        own = Path("/etc/apt/sources.list")
        listed = own.read_text(encoding="utf-8") if own.is_file() else ""
        added = work / "sources.list"
        added.write_text(f"{listed}\n{apt.line(suite)}\n", encoding="utf-8")
        options += ["-o", f"Dir::Etc::SourceList={added}"]
        target = ["-t", suite]
        run([*apt_get, *options, "update"], timeout=300, log=log)
    run([*apt_get, *options, "install", "-y", "--no-install-recommends", *target, *packages], timeout=1200, log=log)


__all__ = ("ensure", "missing")
