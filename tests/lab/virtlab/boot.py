# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to boot a host: what is taken out of its image, and the QEMU arguments that start it; and who makes its initramfs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping, Optional, Sequence, Tuple

from .errors import LabError

# The firmware, from Debian's package ovmf. It keeps its variables in memory: no state beside the disk.
OVMF = "/usr/share/ovmf/OVMF.fd"


@dataclass(frozen=True)
class Boot:
    """What a way to boot adds to an image, and needs on the machine that builds and runs it."""

    # Debian packages of the host.
    packages: Tuple[str, ...] = ()
    # Scripts in image/: what puts a boot loader into the finished tree, and what makes the disk of that tree.
    loader_script: Optional[str] = None
    disk_script: str = "disk.sh"
    # Programs and files of the controller -> Debian package.
    run_needs: Mapping[str, str] = field(default_factory=dict)
    build_needs: Mapping[str, str] = field(default_factory=dict)

    def take(self, tree: Path, image: Path) -> None:
        """Copy what this boot needs from the unpacked tree into the image's directory."""

    def arguments(self, image: Path, command_line: Sequence[str], initrd: Optional[Path]) -> Tuple[str, ...]:
        """QEMU's arguments for it; ``initrd`` takes the place of the image's own initramfs."""
        raise NotImplementedError


class DirectBoot(Boot):
    """QEMU loads kernel and initramfs as they were when the image was built.

    Quick; what the host later writes into its own initramfs or boot loader has no effect,
    unless that initramfs is copied out and given as ``initrd``.
    """

    def take(self, tree: Path, image: Path) -> None:
        for name, pattern in (("vmlinuz", "vmlinu[xz]-*"), ("initrd", "initrd.img-*")):
            found = sorted((tree / "boot").glob(pattern))
            if len(found) != 1:
                raise LabError(f"the image has {len(found)} files /boot/{pattern}", "it has to hold exactly one kernel")
            shutil.copyfile(found[0], image / name)

    def arguments(self, image: Path, command_line: Sequence[str], initrd: Optional[Path]) -> Tuple[str, ...]:
        return ("-kernel", str(image / "vmlinuz"), "-initrd", str(initrd or image / "initrd"),
                "-append", " ".join(command_line))


class EfiBoot(Boot):
    """EFI firmware starts the boot loader on the host's own disk: what the host writes there is what boots next.

    The kernel's arguments are in the image, where the host can change them.
    """

    def arguments(self, image: Path, command_line: Sequence[str], initrd: Optional[Path]) -> Tuple[str, ...]:
        if initrd is not None:
            raise LabError("this host boots from its own disk", "leave --initrd out: it boots the initramfs that it has")
        return ("-bios", OVMF)


def _efi(packages: Tuple[str, ...], loader_script: str) -> EfiBoot:
    return EfiBoot(
        packages=packages, loader_script=loader_script, disk_script="esp-disk.sh", run_needs={OVMF: "ovmf"},
        build_needs={"mcopy": "mtools", "mkfs.vfat": "dosfstools", "sfdisk": "fdisk"},
    )


BOOTS: Mapping[str, Boot] = {
    "direct": DirectBoot(),
    "grub-efi": _efi(("grub-efi-amd64",), "loader-grub.sh"),
    "systemd-boot": _efi(("systemd-boot", "systemd-boot-efi"), "loader-systemd-boot.sh"),
}


@dataclass(frozen=True)
class Initramfs:
    """What makes the host's initramfs: its Debian package, and the script in image/ that configures it beforehand."""

    package: str
    script: str


DEFAULT_INITRAMFS = "initramfs-tools"
INITRAMFS: Mapping[str, Initramfs] = {
    DEFAULT_INITRAMFS: Initramfs("initramfs-tools", "initramfs-tools.sh"),
    "initramfs-tools-list": Initramfs("initramfs-tools", "initramfs-tools-list.sh"),
    "dracut": Initramfs("dracut", "dracut.sh"),
}

__all__ = ("BOOTS", "Boot", "DEFAULT_INITRAMFS", "DirectBoot", "EfiBoot", "INITRAMFS", "Initramfs")
