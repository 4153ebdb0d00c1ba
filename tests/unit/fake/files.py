# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files and links below a root."""

from __future__ import annotations

import os
from pathlib import Path

_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


def _relative(path, target):
    """How a link at ``path`` names ``target``; both are absolute and without "..", which os.path.relpath() cannot know."""
    above, below = path.split("/")[:-1], target.split("/")
    common = 0
    for one, other in zip(above, below):
        if one != other:
            break
        common += 1
    return "/".join([".."] * (len(above) - common) + below[common:]) or "."


class Files:
    """Writes below ``root``."""

    def __init__(self, root):
        self.root = Path(root)

    def put(self, path, content=""):
        """A file with its directories; text or bytes."""
        place = str(path)
        try:
            number = os.open(place, _WRITE, 0o666)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            number = os.open(place, _WRITE, 0o666)
        try:
            os.write(number, content if isinstance(content, bytes) else content.encode())
        finally:
            os.close(number)

    def fill(self, directory, attributes):
        """The files of one directory: name -> content."""
        place = str(directory)
        for name, content in attributes.items():
            self.put(f"{place}/{name}", content)

    def link(self, path, target):
        """A relative symbolic link from ``path`` to ``target``, as sysfs has them."""
        place, text = str(path), _relative(str(path), str(target))
        try:
            os.symlink(text, place)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.symlink(text, place)


__all__ = ("Files",)
