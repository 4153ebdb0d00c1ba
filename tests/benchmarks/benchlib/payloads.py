# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that Ansible sends to a host, as it makes them itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .hosts import Failed


def payload(module: str, directory: Path) -> Path:
    """The AnsiballZ file of a module without options: Ansible runs it here once and is told to leave it behind."""
    remote = directory / module
    environment = dict(
        os.environ, ANSIBLE_KEEP_REMOTE_FILES="1", ANSIBLE_REMOTE_TEMP=str(remote), ANSIBLE_PIPELINING="0",
        ANSIBLE_LOCAL_TEMP=str(directory / "local"), ANSIBLE_NOCOLOR="1",
    )
    found = subprocess.run(
        ["ansible", "localhost", "--connection", "local", "--module-name", module,
         "--extra-vars", f"ansible_python_interpreter={sys.executable}"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )
    made = list(remote.glob("*/AnsiballZ_*.py"))
    if found.returncode != 0 or len(made) != 1:
        raise Failed(f"no payload of {module}: {found.stdout[-2000:]}")
    return made[0]
