# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written down about a host between two commands: its run, and its disk."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Mapping, Optional

from .errors import LabError
from .process import is_ours


def _write(path: Path, values: Mapping[str, Any]) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _read(path: Path) -> Optional[Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise LabError(f"{path} cannot be read ({error})",
                       "remove it, after a look whether its QEMU still runs") from None


@dataclass(frozen=True)
class Run:
    """A QEMU that was started: its process, the port that leads to its ssh, how it runs, and whether it began by resuming."""

    pid: int
    port: int
    accel: str
    resumed: bool = False

    def save(self, state: Path) -> None:
        _write(state / "run.json", asdict(self))

    @staticmethod
    def forget(state: Path) -> None:
        (state / "run.json").unlink(missing_ok=True)


def mark(state: Path) -> str:
    """The argument that only this host's QEMU has."""
    return str(state / "qemu.pid")


def running(state: Path) -> Optional[Run]:
    """The run of a host whose QEMU lives; None for one that was stopped, or has died."""
    values = _read(state / "run.json")
    run = Run(**values) if values else None
    return run if run and is_ours(run.pid, mark(state)) else None


def save_disk(state: Path, image: Path) -> None:
    """Which image the overlay was made on: it boots with that one's kernel, whatever the recipe says by now."""
    _write(state / "disk.json", {"image": str(image)})


def disk_image(state: Path) -> Path:
    """The image below the kept overlay."""
    values = _read(state / "disk.json")
    if not values or not (state / "disk.qcow2").exists():
        raise LabError("there is no disk to keep", "start without --keep first")
    image = Path(values["image"])
    if not image.is_dir():
        raise LabError(f"the image {image} below the kept disk is gone", "start without --keep")
    return image


__all__ = ("Run", "disk_image", "mark", "running", "save_disk")
