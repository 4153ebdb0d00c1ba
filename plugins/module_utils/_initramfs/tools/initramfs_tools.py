# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Debian's and Ubuntu's initramfs-tools."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.base import HEAD, Tool

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.base import ImageFile


class InitramfsTools(Tool):
    """Debian's and Ubuntu's initramfs-tools.

    update-initramfs replaces an image without a look at the new one, and before its bytes are on disk: so this takes
    the builder behind it, mkinitramfs, and does by itself what update-initramfs does after that.
    """

    name = "initramfs-tools"
    program = "mkinitramfs"
    config_mode = 0o755
    in_boot = ("initrd.img-{}",)
    in_entry = ("initrd", "initrd.img-{}")

    def found(self) -> bool:
        """The builder stays where dracut took its place, and dracut may bring an update-initramfs of its own."""
        front = self._paths.program("update-initramfs")
        return super().found() and front is not None and "mkinitramfs" in (self._files.read(front) or "")

    @property
    def config_path(self) -> str:
        """A hook, which runs while an image is built and never else."""
        return self._paths.initramfs_tools_hook

    def config(self) -> str | None:
        """None where udev's own hook copies the rules files of /etc: it has on Debian since 2015, and on Ubuntu."""
        for path in self._paths.initramfs_tools_udev:
            text = self._files.read(path)
            if text is not None and re.search(r"^for \w+ in /etc/udev/rules\.d/\*\.rules", text, re.MULTILINE):
                return None
        return "#!/bin/sh\n" + HEAD + (
            '[ "${1:-}" != prereqs ] || exit 0\n'
            'mkdir -p "$DESTDIR/etc/udev/rules.d"\n'
            f"for rules in {self._rules}; do\n"
            '    [ ! -e "$rules" ] || cp -p "$rules" "$DESTDIR/etc/udev/rules.d/"\n'
            "done\n"
        )

    def build(self, image: ImageFile, output: str) -> list[str]:
        """mkinitramfs, as update-initramfs calls it."""
        return [self.path(), "-o", output, image.kernel]


__all__ = ("InitramfsTools",)
