# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""sdbootutil of openSUSE, which has dracut build an image, gives it the name of its checksum, and has an entry name it.

An image that took the place of another would have the other's name, by which sdbootutil tells whether it is there already, and entries of
other snapshots load it as well. So the tool itself makes them all: it writes what is new beside what was, then the entries, then the
predictions of what a TPM measures. (source: install_kernel(), "mkinitrd" in sdbootutil)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.entries import EntryFiles
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.sdbootutil import Sdbootutil as Loader
from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.base import ImageFile
from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.dracut import Dracut

if TYPE_CHECKING:
    from typing import Sequence

_HASHED = re.compile(r"initrd-[0-9a-f]{40}\Z")


class Sdbootutil(Dracut):
    """sdbootutil."""

    name = "sdbootutil"

    def found(self) -> bool:
        """Where it is not, dracut builds images all the same, and puts them elsewhere."""
        return super().found() and self._paths.program(self.name) is not None

    def images(self, kernels: Sequence[str]) -> list[ImageFile]:
        """Those that entries of this system and snapshot load, of installed kernels."""
        entries: EntryFiles[None] = EntryFiles(self._fs, self._files, self._paths)
        running = entries.system().line
        found: dict[str, ImageFile] = {}
        for entry in entries.all_entries():
            # Before the version may be the number of a snapshot.
            kernel = entry.fields.get("version", "").rpartition("@")[2]
            if kernel in kernels and entry.fields.get("linux") and not entry.is_rescue and entry.other_root(running) is None:
                for name in entry.initrds:
                    path = f"{entry.place}/{name.lstrip('/')}"
                    if _HASHED.match(name.rpartition("/")[2]) and self._paths.is_image(path):
                        found.setdefault(path, ImageFile(path, kernel))
        return list(found.values())

    def problems(self, images: Sequence[ImageFile]) -> list[str]:
        """A sentence for each image that it would not build, and for each argument that it would not write into the entries again."""
        ready = sorted({f"{self._paths.modules}/{image.kernel}/initrd" for image in images})
        return [
            f"sdbootutil takes {path} as it is, and builds no image for that kernel: remove it, or leave the images out here"
            for path in ready if self._fs.exists(path)
        ] + Loader(self._fs, self._files, self._paths).losses()

    def remake(self) -> list[list[str]]:
        """The command that makes the images of all kernels of this snapshot anew, and the entries that load them."""
        return [[self._paths.program(self.name) or self.name, "mkinitrd"]]


__all__ = ("Sdbootutil",)
