# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of another architecture, which an image's build runs: by QEMU's user emulation, registered with the kernel."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from .errors import LabError
from .host import Host
from .machine import ARCHITECTURES
from .process import run

PACKAGE = "qemu-user-static"
# What the package says to register, and where the kernel takes it.
KNOWN = Path("/usr/lib/binfmt.d")
KERNEL = Path("/proc/sys/fs/binfmt_misc")


def is_foreign(host: Host) -> bool:
    return platform.machine() != ARCHITECTURES[host.architecture].uname


def rule(host: Host) -> Path:
    """The file with the line that has the kernel run the host's programs here."""
    return KNOWN / f"{ARCHITECTURES[host.architecture].binfmt}.conf"


def register(host: Host) -> None:
    """Have the kernel run the host's programs. systemd does it where it runs; in a container, or before its next start, nobody."""
    name = ARCHITECTURES[host.architecture].binfmt
    if not is_foreign(host) or (KERNEL / name).exists():
        return
    if os.geteuid() != 0:
        raise LabError(f"this machine does not run programs of {host.architecture}",
                       "run: sudo systemctl restart systemd-binfmt")
    if not (KERNEL / "register").exists():
        run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(KERNEL)], timeout=30)
    try:
        (KERNEL / "register").write_text(rule(host).read_text(encoding="utf-8").strip(), encoding="utf-8")
    except OSError as error:
        raise LabError(f"{rule(host)} cannot be registered ({error.strerror})", "look at " + str(KERNEL)) from None


__all__ = ("PACKAGE", "is_foreign", "register", "rule")
