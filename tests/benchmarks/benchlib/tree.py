# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory tree of kernel files that costs little: equal texts are one file with many names (hard links)."""

from __future__ import annotations

import os
from pathlib import Path


class Tree:
    """Writes below ``root``, a directory that is there and empty."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self._store = self.root + ".contents"
        os.makedirs(self._store)
        self._masters: dict[str, str] = {}
        self._made: set[str] = set()

    def directory(self, path: str) -> str:
        """The absolute path of a directory below the root; it is made."""
        if path not in self._made:
            os.makedirs(f"{self.root}/{path}", exist_ok=True)
            self._made.add(path)
        return f"{self.root}/{path}"

    def text(self, path: str, text: str) -> None:
        """A file with its own contents."""
        self.data(path, text.encode())

    def data(self, path: str, data: bytes) -> None:
        """A file of bytes."""
        with open(f"{self.root}/{path}", "wb") as stream:
            stream.write(data)

    def shared(self, directory: str, texts: dict[str, str]) -> None:
        """Files whose texts many other files have too."""
        for name, text in texts.items():
            master = self._masters.get(text)
            if master is None:
                master = self._masters[text] = f"{self._store}/{len(self._masters)}"
                with open(master, "w", encoding="ascii") as stream:
                    stream.write(text)
            os.link(master, f"{self.root}/{directory}/{name}")

    def link(self, path: str, target: str) -> None:
        """A symbolic link as the kernel makes it: relative, from a path below the root to another."""
        up = "../" * path.count("/")
        os.symlink(up + target, f"{self.root}/{path}")
