# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that have booted once, kept beside their images: memory, devices and disk, to be resumed in place of a boot."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Callable, Tuple

from . import paths
from .command import command
from .errors import LabError
from .host import Device, Host
from .machine import ARCHITECTURES
from .process import run
from .qmp import Qmp

# Raised when what is kept changes.
VERSION = 1
# Two GiB of memory, most of it empty, take three seconds; a busy disk takes longer.
MOVE = 300
# After so many days without a start from it, what is kept of a host is dropped for its successor.
UNUSED = 7
# QEMU says of these that they are non-migratable: a host is kept without them, and they are plugged in after each start.
UNSAVED_MODELS = frozenset({"nvme"})


def plugged_later(host: Host) -> Tuple[Device, ...]:
    """The devices that QEMU cannot save, in the order in which they are plugged in."""
    return tuple(device for device in host.devices
                 if device.present and (device.model in UNSAVED_MODELS or device.zpci is not None))


def directory(host: Host, image: Path) -> Path:
    """Where the booted host is kept: named by a hash of its image, of QEMU, and of everything that QEMU is told."""
    qemu = run([ARCHITECTURES[host.architecture].qemu, "--version"], timeout=60).splitlines()[0]
    line = command(host=host, accel="tcg", image=image, overlay=Path("disk"), state=Path("state"), ssh_port=0,
                   without={device.id for device in plugged_later(host)})
    # Not every way to boot names the image on that line.
    text = json.dumps([VERSION, str(image), qemu, line])
    return paths.cache() / "kept" / f"{host.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def save(qmp: Qmp, place: Path, end: Callable[[], None], console: Path, disk: Path) -> None:
    """Stop the guest, write what it is to ``place``, and have ``end`` end its QEMU. The guest goes on where QEMU refuses.

    ``place`` is there whole, or not at all.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as temporary:
        work = Path(temporary) / "kept"
        work.mkdir()
        qmp.execute("stop")
        try:
            _move(qmp, "migrate", work / "memory")
        except LabError:
            qmp.execute("cont")
            raise
        end()
        shutil.copyfile(console, work / "console.log")
        shutil.move(str(disk), str(work / "disk.qcow2"))
        _drop_unused(place)
        os.rename(work, place)


def load(qmp: Qmp, place: Path) -> None:
    """Have a QEMU that waits for it take over what was kept, and let the guest go on."""
    # Its time says when it was last of use.
    os.utime(place)
    _move(qmp, "migrate-incoming", place / "memory")
    qmp.execute("cont")


def _move(qmp: Qmp, verb: str, memory: Path) -> None:
    # Every page has its place in the file: pages that were never written cost nothing, and the file does not grow.
    qmp.execute("migrate-set-capabilities", {"capabilities": [{"capability": "mapped-ram", "state": True}]})
    qmp.execute(verb, {"uri": f"file:{memory}"})
    deadline = time.monotonic() + MOVE
    while True:
        answer = qmp.execute("query-migrate")
        status = answer.get("status")
        if status == "completed":
            return
        if status in ("failed", "cancelled") or time.monotonic() > deadline:
            raise LabError(f"QEMU's {verb} is {status}", answer.get("error-desc", f"it was given {MOVE} s"))
        time.sleep(0.05)


def _drop_unused(place: Path) -> None:
    """Drop what is kept of the same host and no start has used for days: of an older image, description or QEMU."""
    name = place.name.rpartition("-")[0]
    for other in place.parent.glob(f"{name}-????????????"):
        if time.time() - other.stat().st_mtime > UNUSED * 86400:
            shutil.rmtree(other)


__all__ = ("directory", "load", "plugged_later", "save")
