# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""KVM or TCG: try what this machine offers once a boot of it, and remember."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Tuple

from . import paths
from .errors import LabError
from .host import Host
from .machine import ARCHITECTURES

FORCE = "VFIO_HOST_LAB_ACCEL"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _record() -> Path:
    return paths.cache() / "accel.json"


def _kvm_opens() -> bool:
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def candidates(host: Host) -> Tuple[str, ...]:
    """Accelerators to try, best first."""
    forced = os.environ.get(FORCE)
    if forced:
        if forced not in ("kvm", "tcg"):
            raise LabError(f"{FORCE} is {forced!r}", "set it to kvm or tcg")
        return (forced,)
    if platform.machine() != ARCHITECTURES[host.architecture].uname or not _kvm_opens():
        return ("tcg",)
    try:
        known = json.loads(_record().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if known.get("boot_id") == _boot_id():
        return ("kvm",) if known["kvm"] else ("tcg",)
    return ("kvm", "tcg")


def remember(kvm: bool) -> None:
    """Whether guests come up under KVM here. Another boot of this machine may be another machine: asked again."""
    temporary = _record().with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps({"boot_id": _boot_id(), "kvm": kvm}), encoding="utf-8")
    os.replace(temporary, _record())


__all__ = ("candidates", "remember")
