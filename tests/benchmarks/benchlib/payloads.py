# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that Ansible sends to a host, as it makes them itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .hosts import Failed

_FINDER = "plugins/module_utils/_once.py"


def payload(module: str, directory: Path, options: dict[str, object] | None = None, collections: str = "") -> Path:
    """The AnsiballZ file of a module: Ansible runs it here once, in check mode, and is told to leave it behind.

    ``collections``: the path of collections, where it is not that of the environment.
    """
    remote = directory / module
    environment = dict(
        os.environ, ANSIBLE_KEEP_REMOTE_FILES="1", ANSIBLE_REMOTE_TEMP=str(remote), ANSIBLE_PIPELINING="0",
        ANSIBLE_LOCAL_TEMP=str(directory / "local"), ANSIBLE_NOCOLOR="1",
        ANSIBLE_COLLECTIONS_PATH=collections or os.environ["ANSIBLE_COLLECTIONS_PATH"],
    )
    found = subprocess.run(
        ["ansible", "localhost", "--connection", "local", "--module-name", module, "--check",
         *(["--args", json.dumps(options)] if options else []),
         "--extra-vars", f"ansible_python_interpreter={sys.executable}"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )
    made = list(remote.glob("*/AnsiballZ_*.py"))
    if found.returncode != 0 or len(made) != 1:
        raise Failed(f"no payload of {module}: {found.stdout[-2000:]}")
    return made[0]


def payload_without_finder(collection: Path, module: str, directory: Path, options: dict[str, object]) -> Path:
    """The same of a copy of the collection, in which Python finds the files of the zip by itself."""
    without = directory / "without"
    copy = without.joinpath(*collection.parts[-3:])
    for name in ("meta", "plugins"):
        shutil.copytree(collection / name, copy / name)
    (copy / _FINDER).write_text("def install():\n    pass\n")
    return payload(module, without, options, str(without))
