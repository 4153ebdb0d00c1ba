# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image is made of, and the hash that names it in the cache."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Tuple

from . import paths
from .boot import BOOTS, DEFAULT_INITRAMFS, INITRAMFS
from .command import kernel_command_line
from .host import Host
from .machine import ARCHITECTURES

# Raised when the builder itself changes what comes out of the same recipe.
VERSION = 1

# Enough for a host that boots, is reached by Ansible, and lists its devices; the rest a test installs.
BASE_PACKAGES = (
    "iproute2", "kmod", "openssh-server", "pciutils", "procps", "python3", "systemd-sysv", "udev", "zstd",
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
    # Of a boot loader in the image: its scripts, and the kernel's arguments. Empty for a direct boot.
    loader_scripts: Tuple[str, ...] = ()
    command_line: Tuple[str, ...] = ()
    initramfs: str = DEFAULT_INITRAMFS

    @property
    def name(self) -> str:
        # A default is left out: so a field that is added later changes no name of an image that does not use it.
        values = {field.name: getattr(self, field.name) for field in fields(self)
                  if getattr(self, field.name) != field.default}
        text = json.dumps(values, sort_keys=True)
        return f"{self.suite}-{self.architecture}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def of(host: Host, ssh_key: str) -> Recipe:
    """The recipe of a host. Hosts that differ in hardware alone share one image; with a direct boot, in arguments too."""
    boot = BOOTS[host.boot]
    initramfs = INITRAMFS[host.initramfs]
    packages = {*BASE_PACKAGES, initramfs.package, *boot.packages, *host.packages,
                ARCHITECTURES[host.architecture].kernel_package}
    return Recipe(
        version=VERSION,
        suite=host.suite,
        architecture=host.architecture,
        packages=tuple(sorted(packages)),
        boot=host.boot,
        disk_size=host.disk_size,
        ssh_mac=host.nic.mac or "",
        ssh_key=ssh_key,
        essential_script=(paths.IMAGE_SCRIPTS / initramfs.script).read_text(encoding="utf-8"),
        finish_script=(paths.IMAGE_SCRIPTS / "finish.sh").read_text(encoding="utf-8"),
        loader_scripts=tuple(
            (paths.IMAGE_SCRIPTS / name).read_text(encoding="utf-8") for name in (boot.loader_script, boot.disk_script)
        ) if boot.loader_script else (),
        command_line=kernel_command_line(host) if boot.loader_script else (),
        initramfs=host.initramfs,
    )


__all__ = ("Recipe", "of")
