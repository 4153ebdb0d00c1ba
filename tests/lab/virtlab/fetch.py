# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian packages for a running host, fetched by the controller's apt: of the host's suite, and with what the host lacks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Sequence, Tuple

from . import apt, paths, ssh
from .errors import LabError
from .host import Host
from .lifecycle import Guest
from .process import run

# What apt would install, as its simulation says: name, the version before if any, version, archives, architecture.
PLANNED = re.compile(r"Inst (\S+) (?:\[\S+\] )?\((\S+) [^)]*\[(\w+)\]\)")
# Directories that apt expects, or complains about.
EXPECTED = (
    "etc/apt/apt.conf.d", "etc/apt/auth.conf.d", "etc/apt/preferences.d", "etc/apt/sources.list.d",
    "var/cache/apt/archives/partial", "var/lib/apt/lists/partial",
)


def planned(simulation: str) -> Tuple[str, ...]:
    """Names of the files that an installation takes, as apt's cache names them."""
    return tuple(f"{name}_{version.replace(':', '%3a')}_{architecture}.deb"
                 for name, version, architecture in PLANNED.findall(simulation))


def _configure(host: Host, work: Path, status: str) -> Path:
    """An apt of its own below ``work`` for the host's suite: nothing of the machine's apt is changed."""
    for name in EXPECTED:
        (work / name).mkdir(parents=True, exist_ok=True)
    (work / "status").write_text(status + "\n", encoding="utf-8")
    (work / "etc/apt/sources.list").write_text(apt.line(host.suite) + "\n", encoding="utf-8")
    configuration = work / "apt.conf"
    configuration.write_text("\n".join((
        f'Dir "{work}";',
        f'Dir::State::status "{work / "status"}";',
        # The keys that this machine trusts.
        'Dir::Etc::TrustedParts "/etc/apt/trusted.gpg.d";',
        f'APT::Architecture "{host.architecture}";',
        f'APT::Architectures "{host.architecture}";',
        # Its user for downloads cannot enter a cache in somebody's home.
        'APT::Sandbox::User "root";',
        'Acquire::Languages "none";',
        *apt.options(host.suite),
    )) + "\n", encoding="utf-8")
    return configuration


def packages(guest: Guest, names: Sequence[str]) -> Tuple[Path, ...]:
    """The .deb files of the named packages and of what they depend on, as far as the running host lacks them."""
    host = guest.host
    status = ssh.run(guest.ssh(guest.run()), "cat /var/lib/dpkg/status", 60)
    if not status:
        raise LabError(f"host {host.name} does not say what is installed", f"look: vlab ssh {host.name} -- dpkg -l")
    work = paths.cache() / "debs" / f"{host.suite}-{host.architecture}"
    work.mkdir(parents=True, exist_ok=True)
    with paths.locked(work / "lock", f"packages of {host.suite}", 900):
        env = {"APT_CONFIG": str(_configure(host, work, status))}
        install = ["apt-get", "install", "-y", "--no-install-recommends", "--no-remove"]
        run(["apt-get", "update"], timeout=300, env=env)
        files = planned(run([*install, "--simulate", "--", *names], timeout=120, env=env))
        if not files:
            raise LabError(f"host {host.name} has {' '.join(names)} already", "name a package that it lacks")
        run([*install, "--download-only", "--", *names], timeout=900, env=env)
    return tuple(work / "var/cache/apt/archives" / name for name in files)


__all__ = ("packages", "planned")
