# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Emulated hosts keep what their Python has compiled of Ansible's modules: see guest/lab_bytecode.py."""

from __future__ import annotations

from pathlib import Path
from typing import List

from . import ssh

_FILE = Path(__file__).parents[1] / "guest" / "lab_bytecode.py"
# Where Debian's Python looks, of every version. Not in a place that the scenarios watch.
_PACKAGES = "/usr/lib/python3/dist-packages"
# systemd makes the directory at each boot.
_TMPFILES = "/usr/lib/tmpfiles.d/lab-bytecode.conf"


def script(text: str) -> str:
    """The shell's commands that install the text of guest/lab_bytecode.py."""
    return "\n".join([
        "set -e",
        f"cat >{_PACKAGES}/lab_bytecode.py <<'END'", text + "END",
        f"echo 'import lab_bytecode; lab_bytecode.install()' >{_PACKAGES}/lab_bytecode.pth",
        f"echo 'd /run/lab-bytecode 0755 root root' >{_TMPFILES}",
        "mkdir -p -m 0755 /run/lab-bytecode",
        # Half a file after a power cut would be an error of every Python.
        f"sync {_PACKAGES}/lab_bytecode.* {_TMPFILES}",
    ])


def install(base: List[str]) -> bool:
    """Install it on the host that ``base`` reaches; whether that worked."""
    return ssh.run(base, script(_FILE.read_text(encoding="utf-8")), 60) is not None


__all__ = ("install", "script")
