# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lab keeps what it makes: never inside the checkout."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import Iterator

from .errors import LabError

LAB = Path(__file__).resolve().parent.parent
HOSTS = LAB / "hosts"
IMAGE_SCRIPTS = LAB / "image"
MODULES = LAB / "modules"

# A unix socket's path holds 107 characters; ssh adds 17 of its own while it makes one.
LONGEST_SOCKET = 107 - 17


def _home(variable: str, xdg: str, default: str) -> Path:
    if os.environ.get(variable):
        return Path(os.environ[variable]).absolute()
    base = os.environ.get(xdg) or os.path.join(os.path.expanduser("~"), default)
    return Path(base) / "vfio.host" / "lab"


def cache() -> Path:
    """Images, keys and what was learnt about this machine; may be deleted at any time when no host runs."""
    path = _home("VFIO_HOST_LAB_CACHE", "XDG_CACHE_HOME", ".cache")
    path.mkdir(parents=True, exist_ok=True)
    return path


def state(host: str) -> Path:
    """The directory of one host: its disk overlay, sockets, console log and the record of its run."""
    path = _home("VFIO_HOST_LAB_STATE", "XDG_STATE_HOME", ".local/state") / host
    if len(str(path / "ssh.sock")) > LONGEST_SOCKET:
        raise LabError(f"{path} is too long for a unix socket", "set VFIO_HOST_LAB_STATE to a shorter directory")
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


@contextlib.contextmanager
def locked(path: Path, what: str, timeout: float) -> Iterator[None]:
    """Hold an exclusive lock on a file; the kernel drops it when this process ends, however it ends."""
    deadline = time.monotonic() + timeout
    with open(path, "w", encoding="ascii") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LabError(f"another vlab has been busy with {what} for {timeout:.0f} s",
                                   "wait for it, or end it") from None
                time.sleep(0.2)
        yield


__all__ = ("HOSTS", "IMAGE_SCRIPTS", "MODULES", "cache", "locked", "state")
