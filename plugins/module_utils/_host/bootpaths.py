# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Where boot loaders and their tools keep their files, and where a program is found."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, List, Optional

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

# The vendor of the Boot Loader Interface's variables (source: systemd.io/BOOT_LOADER_INTERFACE).
_LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"


class BootPaths:
    """Paths of the boot's configuration below ``root``."""

    def __init__(self, root: str = "/") -> None:
        self.root = root.rstrip("/")
        etc, boot = self.root + "/etc", self.root + "/boot"
        self.efi = self.root + "/sys/firmware/efi"
        self.grub_defaults = etc + "/default/grub"
        self.grub_dropins = etc + "/default/grub.d"
        self.grub_dropin = self.grub_dropins + "/zz-vfio-host.cfg"
        self.grub_cfg = boot + "/grub/grub.cfg"
        self.grub_env = boot + "/grub/grubenv"
        self.grub2_cfg = boot + "/grub2/grub.cfg"
        self.grub2_env = boot + "/grub2/grubenv"
        self.kernel_cmdline = etc + "/kernel/cmdline"
        self.vendor_cmdline = self.root + "/usr/lib/kernel/cmdline"
        self.kernelstub_conf = etc + "/kernelstub/configuration"
        # Where kernel-install looks for its configuration, the first that has a file counts.
        self.install_places = [self.root + place + "/kernel" for place in ("/etc", "/run", "/usr/local/lib", "/usr/lib")]
        self.cmdline_dropins = [etc + "/kernel/cmdline.d", self.root + "/usr/kernel/cmdline.d"]
        self.mkinitcpio_dropins = etc + "/cmdline.d"
        self.mkinitcpio_presets = etc + "/mkinitcpio.d"
        self.os_release = [etc + "/os-release", self.root + "/usr/lib/os-release"]
        self.zipl_conf = etc + "/zipl.conf"
        self.proxmox_esps = etc + "/kernel/proxmox-boot-uuids"
        self.ostree_booted = self.root + "/run/ostree-booted"
        self.machine_id = etc + "/machine-id"
        # Where the EFI system partition and the boot partition are mounted, by custom.
        self.boot_places = [self.root + place for place in ("/efi", "/boot/efi", "/boot")]
        self.boot = boot
        self.cmdline_record = self.root + "/var/lib/vfio-host/kernel-cmdline"
        self.modules = self.root + "/lib/modules"

    @property
    def boots(self) -> List[str]:
        """Those of them that are not another one again, by a link or a mount of the same."""
        found = {}
        for place in self.boot_places:
            try:
                status = os.stat(place)
            except OSError:
                found[place] = place  # nothing is read there
            else:
                found.setdefault(f"{status.st_dev} {status.st_ino}", place)
        return list(found.values())

    def loader_text(self, fs: Sysfs, name: str) -> Optional[str]:
        """The text of a variable of the Boot Loader Interface; None where the loader or stub of this boot left none."""
        data = fs.read_bytes(f"{self.efi}/efivars/{name}-{_LOADER}")
        # Four bytes of attributes, then UTF-16 with its end.
        return None if data is None else data[4:].decode("utf-16-le", "replace").rstrip("\0")

    def is_file(self, path: str) -> bool:
        """Whether there is a file of this name, or a link to one."""
        return os.path.isfile(path)

    def below(self, directory: str) -> List[str]:
        """The paths of the files in a directory and in the directories in it, but for those that are links to directories."""
        found = [f"{place}/{name}" for place, dummy, names in os.walk(directory) for name in names]
        return sorted(path for path in found if os.path.isfile(path))

    def opened(self, path: str) -> IO[bytes]:
        """A file's bytes, as a stream that can be sought in. Raises OSError."""
        return open(path, "rb")

    def program(self, name: str) -> Optional[str]:
        """The path of a program, as root's shell finds it; None where it is not installed."""
        for place in ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"):
            path = f"{self.root}{place}/{name}"
            if os.access(path, os.X_OK):
                return path
        return None


__all__ = ("BootPaths",)
