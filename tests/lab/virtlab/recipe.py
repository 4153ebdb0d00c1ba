# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image is made of, and the hash that names it in the cache."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Tuple

from . import paths
from .host import Host
from .machine import ARCHITECTURES

# Raised when the builder itself changes what comes out of the same recipe.
VERSION = 1

# Enough for a host that boots, is reached by Ansible, and lists its devices; the rest a test installs.
BASE_PACKAGES = (
    "initramfs-tools", "iproute2", "kmod", "openssh-server", "pciutils", "procps", "python3", "systemd-sysv", "udev",
    "zstd",
)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the content of an image, the mirror apart: that is this machine's business."""

    version: int
    suite: str
    architecture: str
    packages: Tuple[str, ...]
    boot: str
    disk_size: str
    ssh_mac: str
    ssh_key: str
    essential_script: str
    finish_script: str

    @property
    def name(self) -> str:
        text = json.dumps(asdict(self), sort_keys=True)
        return f"{self.suite}-{self.architecture}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def of(host: Host, ssh_key: str) -> Recipe:
    """The recipe of a host. Hosts that differ in hardware or kernel arguments alone share one image."""
    packages = {*BASE_PACKAGES, *host.packages, ARCHITECTURES[host.architecture].kernel_package}
    return Recipe(
        version=VERSION,
        suite=host.suite,
        architecture=host.architecture,
        packages=tuple(sorted(packages)),
        boot=host.boot,
        disk_size=host.disk_size,
        ssh_mac=host.nic.mac or "",
        ssh_key=ssh_key,
        essential_script=(paths.IMAGE_SCRIPTS / "essential.sh").read_text(encoding="utf-8"),
        finish_script=(paths.IMAGE_SCRIPTS / "finish.sh").read_text(encoding="utf-8"),
    )


__all__ = ("Recipe", "of")
