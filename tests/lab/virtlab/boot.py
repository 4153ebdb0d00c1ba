# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to boot a host: what is taken out of its image, and the QEMU arguments that start it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Mapping, Sequence, Tuple

from .errors import LabError


class DirectBoot:
    """QEMU loads kernel and initramfs as they were when the image was built.

    Quick; what the host later writes into its own initramfs or boot loader has no effect.
    """

    def take(self, tree: Path, image: Path) -> None:
        """Copy what this boot needs from the unpacked tree into the image's directory."""
        for name, pattern in (("vmlinuz", "vmlinu[xz]-*"), ("initrd", "initrd.img-*")):
            found = sorted((tree / "boot").glob(pattern))
            if len(found) != 1:
                raise LabError(f"the image has {len(found)} files /boot/{pattern}", "it has to hold exactly one kernel")
            shutil.copyfile(found[0], image / name)

    def arguments(self, image: Path, command_line: Sequence[str]) -> Tuple[str, ...]:
        return ("-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd"), "-append", " ".join(command_line))


BOOTS: Mapping[str, DirectBoot] = {"direct": DirectBoot()}

__all__ = ("BOOTS", "DirectBoot")
