# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""dracut, of Fedora, SUSE and others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.base import HEAD, Tool

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.base import ImageFile


class Dracut(Tool):
    """dracut. By itself it copies both kinds of files where hostonly is on, and neither where it is off."""

    name = "dracut"
    program = "dracut"
    in_boot = ("initramfs-{}.img", "initrd.img-{}", "initrd-{}")
    in_entry = ("initrd", "initrd.img-{}")

    @property
    def config_path(self) -> str:
        """A drop-in file of dracut's."""
        return self._paths.dracut_conf

    def config(self) -> str:
        """The line that has dracut copy both kinds of files (source: man 5 dracut.conf, install_optional_items)."""
        return HEAD + f'install_optional_items+=" {self._rules} {self._options} "\n'

    def build(self, image: ImageFile, output: str) -> list[str]:
        """dracut with another output file than its own."""
        # Where dracut itself tells boot loaders of an image, it would tell them of the wrong file. With uefi=yes in its configuration it
        # makes unified kernel images, also in the place of an image (source: dracut.sh, "$uefi == yes").
        return [
            "env", "NO_POST_UPDATE_HOOKS=1",
            self.path(), "--quiet", "--force", "--no-uefi", output, image.kernel,
        ]


__all__ = ("Dracut",)
