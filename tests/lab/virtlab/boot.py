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


@dataclass(frozen=True)
class Firmware:
    """EFI firmware of an architecture: a file of a Debian package. It keeps its variables in memory: no state beside the disk."""

    architecture: str
    path: str
    package: str


OVMF = Firmware("amd64", "/usr/share/ovmf/OVMF.fd", "ovmf")
ARM_EFI = Firmware("arm64", "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd", "qemu-efi-aarch64")


@dataclass(frozen=True)
class Boot:
    """What a way to boot adds to an image, and needs on the machine that builds and runs it."""

    # The only architecture that boots so; None: any does.
    architecture: Optional[str] = None
    # The firmware that starts it, where QEMU does not bring it.
    firmware: Optional[Firmware] = None
    # Debian packages of the host.
    packages: Tuple[str, ...] = ()
    # Scripts in image/: what puts a boot loader into the finished tree, and what makes the disk of that tree.
    loader_script: Optional[str] = None
    disk_script: str = "disk.sh"
    # Whether each start has to be a boot, since the boots of such hosts are what tests look at.
    is_looked_at: bool = False
    # Whether QEMU ends where the guest reboots by itself.
    ends_with_reboot: bool = False
    # Programs and files of the controller -> Debian package.
    run_needs: Mapping[str, str] = field(default_factory=dict)
    build_needs: Mapping[str, str] = field(default_factory=dict)

    def take(self, tree: Path, image: Path) -> None:
        """Copy what this boot needs from the unpacked tree into the image's directory."""

    def installation(self, tree: Path, disk: Path, command_line: Sequence[str], said: Path) -> Tuple[str, ...]:
        """QEMU's arguments for a boot of the finished disk that installs the boot loader, with its console in ``said``; none where none has to."""
        return ()

    def arguments(self, image: Path, command_line: Sequence[str], initrd: Optional[Path]) -> Tuple[str, ...]:
        """QEMU's arguments for it; ``initrd`` takes the place of the image's own initramfs."""
        raise NotImplementedError


# What a kernel and its initramfs are named below /boot.
KERNEL, INITRD = "vmlinu[xz]-*", "initrd.img-*"


def _only(tree: Path, pattern: str) -> Path:
    found = sorted((tree / "boot").glob(pattern))
    if len(found) != 1:
        raise LabError(f"the image has {len(found)} files /boot/{pattern}", "it has to hold exactly one kernel")
    return found[0]


class DirectBoot(Boot):
    """QEMU loads kernel and initramfs as they were when the image was built.

    Quick; what the host later writes into its own initramfs or boot loader has no effect,
    unless that initramfs is copied out and given as ``initrd``.
    """

    def take(self, tree: Path, image: Path) -> None:
        for name, pattern in (("vmlinuz", KERNEL), ("initrd", INITRD)):
            shutil.copyfile(_only(tree, pattern), image / name)

    def arguments(self, image: Path, command_line: Sequence[str], initrd: Optional[Path]) -> Tuple[str, ...]:
        return ("-kernel", str(image / "vmlinuz"), "-initrd", str(initrd or image / "initrd"),
                "-append", " ".join(command_line))


class EfiBoot(Boot):
    """EFI firmware starts the boot loader on the host's own disk: what the host writes there is what boots next.

    The kernel's arguments are in the image, where the host can change them.
    """

    def arguments(self, image: Path, command_line: Sequence[str], initrd: Optional[Path]) -> Tuple[str, ...]:
        _refuse(initrd)
        assert self.firmware is not None
        return ("-bios", self.firmware.path)


# What the program that an image's first boot runs prints at its end, where all went well: see image/loader-zipl.sh.
INSTALLED = "lab: the boot record is written"


class IplBoot(Boot):
    """The machine's firmware loads what zipl has written to the host's own disk: what the host writes there is what boots next.

    zipl notes where a mounted file system has its files. So it runs in a guest, once an image: kernel and initramfs come from outside
    for that, and zipl is all that runs.
    """

    def installation(self, tree: Path, disk: Path, command_line: Sequence[str], said: Path) -> Tuple[str, ...]:
        kernel, initrd = (str(_only(tree, pattern)) for pattern in (KERNEL, INITRD))
        return ("-nodefaults", "-machine", "s390-ccw-virtio", "-accel", "tcg", "-cpu", "max", "-m", "1024", "-display", "none", "-no-reboot",
                "-kernel", kernel, "-initrd", initrd, "-append", " ".join((*command_line, "init=/usr/local/sbin/install-loader")),
                "-blockdev", f"driver=qcow2,node-name=system,file.driver=file,file.filename={disk}",
                "-device", "virtio-blk-ccw,drive=system", "-chardev", f"file,id=console,path={said}", "-serial", "chardev:console")

    def arguments(self, image: Path, command_line: Sequence[str], initrd: Optional[Path]) -> Tuple[str, ...]:
        _refuse(initrd)
        return ()


def _refuse(initrd: Optional[Path]) -> None:
    if initrd is not None:
        raise LabError("this host boots from its own disk", "leave --initrd out: it boots the initramfs that it has")


def _efi(firmware: Firmware, packages: Tuple[str, ...], loader_script: str) -> EfiBoot:
    return EfiBoot(
        architecture=firmware.architecture, firmware=firmware, packages=packages, is_looked_at=True, loader_script=loader_script, disk_script="esp-disk.sh",
        run_needs={firmware.path: firmware.package},
        build_needs={"mcopy": "mtools", "mkfs.vfat": "dosfstools", "sfdisk": "fdisk"},
    )


BOOTS: Mapping[str, Boot] = {
    "direct": DirectBoot(),
    "grub-efi": _efi(OVMF, ("grub-efi-amd64",), "loader-grub.sh"),
    "grub-efi-arm64": _efi(ARM_EFI, ("grub-efi-arm64",), "loader-grub.sh"),
    "systemd-boot": _efi(OVMF, ("systemd-boot", "systemd-boot-efi"), "loader-systemd-boot.sh"),
    # QEMU 10.0 ends, with status 0, where a guest that it has started by IPL restarts.
    "zipl": IplBoot(architecture="s390x", loader_script="loader-zipl.sh", ends_with_reboot=True),
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

__all__ = ("BOOTS", "Boot", "DEFAULT_INITRAMFS", "DirectBoot", "EfiBoot", "Firmware", "INITRAMFS", "INSTALLED", "Initramfs", "IplBoot")
