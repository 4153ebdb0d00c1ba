# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts of which the boot entries are files: by hand, of sdbootutil, of kernelstub."""

from __future__ import annotations

import json
import re

from ansible_collections.vfio.host.tests.unit.fake.boothost import BootHost

OTHERS = {
    "windows.conf": "title Windows\nefi /EFI/Microsoft/Boot/bootmgfw.efi\n",
    "memtest.conf": "title Memory test\nlinux /memtest86+x64.efi\n",
    "other.conf": "title Other\nlinux /other/vmlinuz\ninitrd /other/initrd\noptions root=UUID=other rw iommu=off\n",
    "rescue.conf": "title Rescue\nlinux /vmlinuz-linux\noptions root=/dev/vda2 rw systemd.unit=rescue.target\n",
}


class EntriesHost(BootHost):
    """systemd-boot on /boot, with entries of other systems, for rescue and of a memory test."""

    loader_info = "systemd-boot 257.9-1-arch"
    place = "boot"
    ours = "arch.conf"

    def install(self):
        self.program("kernel-install")
        self.write(f"{self.place}/EFI/systemd/systemd-bootx64.efi", "MZ")
        self.write("etc/machine-id", "0123\n")
        for name in ("vmlinuz-linux", "other/vmlinuz", "memtest86+x64.efi"):
            self.write(f"{self.place}/{name}", "")
        for name, text in OTHERS.items():
            self.write(f"{self.place}/loader/entries/{name}", text)
        self.loader_variable("LoaderEntrySelected", self.ours)
        self.set_up()

    def set_up(self):
        """The entries of this system, by hand: one, and the fallback."""
        for name, image in (("arch", "initramfs-linux"), ("arch-fallback", "initramfs-linux-fallback")):
            self.write(
                f"{self.place}/loader/entries/{name}.conf",
                f"# Created by: archinstall\ntitle   Arch Linux\nlinux   /vmlinuz-linux\ninitrd  /{image}.img\n"
                f"options root=/dev/vda2 {self.line}\n",
            )

    def entries(self):
        """Name -> text."""
        return {path.name: path.read_text() for path in (self.root / self.place / "loader/entries").iterdir()}

    def boots(self):
        return re.search("^options +(.*)$", self.read(f"{self.place}/loader/entries/{self.ours}"), re.MULTILINE).group(1)


class SdbootutilHost(EntriesHost):
    """openSUSE with snapshots: the options of this snapshot's entries are made anew of one file.

    Source: update_all_entries(), update_entry_conf(), create_boot_options(), sedrootflags() in sdbootutil.
    """

    place = "boot/efi"
    ours = "opensuse-tumbleweed-6.13.4-1-default-2.conf"
    flags = "rootflags=subvol=@/.snapshots/2/snapshot"

    def set_up(self):
        self.program("sdbootutil")
        self.write("proc/cmdline", f"initrd=x root=/dev/vda2 {self.line} {self.flags}\n")
        self.write("etc/kernel/cmdline", f"root=/dev/vda2 {self.line} {self.flags}\n")
        for snapshot in (1, 2):
            flags = self.flags.replace("/2/", f"/{snapshot}/")
            self.write(
                f"{self.place}/loader/entries/opensuse-tumbleweed-6.13.4-1-default-{snapshot}.conf",
                "# Boot Loader Specification type#1 entry\ntitle      openSUSE Tumbleweed\n"
                f"version    {snapshot}@6.13.4-1-default\nmachine-id 0123\nsort-key   opensuse-tumbleweed\n"
                f"options    root=/dev/vda2 {self.line} {flags}\nlinux      /opensuse-tumbleweed/linux\n",
            )
        self.do_sdbootutil("update-all-entries")

    def do_sdbootutil(self, *words):
        assert words == ("update-all-entries",)
        if "sdbootutil" in self.broken:
            return
        etc, usr = ([one for one in sorted((self.root / place).glob("[!.]*")) if one.is_file()] for place in ("etc/kernel/cmdline.d", "usr/kernel/cmdline.d"))
        paths = [self.root / "etc/kernel/cmdline", *(path for path in usr if path.name not in [one.name for one in etc]), *etc]
        lines = [line.strip() for path in paths for line in path.read_text("utf-8", "surrogateescape").split("\n")]
        options = re.sub("[ \t]+", " ", " ".join(line for line in lines if line and not line.startswith("#")))
        options = re.sub(r"^.*((?:initrd|BOOT_IMAGE)=[^ ]*)\s*", r"\1 ", options)
        options = re.sub(r"\b(?:BOOT_IMAGE|initrd)=[^ ]* ?", "", options, count=1)
        options = re.sub(r"\broot=[^ ]*", "root=/dev/vda2", options, count=1)
        options += "" if re.search(r"\broot=", options) else " root=/dev/vda2"
        if "rootflags=subvol=" not in options:
            options += f" {self.flags}"
        options = re.sub(r"\brootflags=subvol=[^ ]*", self.flags, options)
        for name, text in self.entries().items():
            if self.flags in text:
                # A line of sed: an & stands for what was found.
                text = re.sub(r"(?m)^options\s*.*$", lambda found: "options    " + options.replace("&", found.group()), text)
                self.write(f"{self.place}/loader/entries/{name}", text)


class KernelstubHost(EntriesHost):
    """Pop!_OS, with the configuration as kernelstub writes it (source: save_config(), make_loader_entry())."""

    place = "boot/efi"
    ours = "Pop_OS-current.conf"

    def set_up(self):
        self.program("kernelstub")
        user = {
            "kernel_options": self.line.split(" "), "esp_path": "/boot/efi", "setup_loader": True, "manage_mode": True,
            "force_update": False, "live_mode": False, "config_rev": 3,
        }
        default = dict(user, kernel_options=["quiet", "splash"], setup_loader=False)
        self.write("etc/kernelstub/configuration", json.dumps({"default": default, "user": user}, indent=2))
        self.do_kernelstub()

    def do_kernelstub(self):
        """What a kernel's hook runs."""
        options = " ".join(json.loads(self.read("etc/kernelstub/configuration"))["user"]["kernel_options"])
        for name in ("current", "oldkern"):
            self.write(
                f"{self.place}/loader/entries/Pop_OS-{name}.conf",
                f"title Pop!_OS\nlinux /EFI/Pop_OS-1/vmlinuz.efi\ninitrd /EFI/Pop_OS-1/initrd.img\noptions root=/dev/vda2 {options}\n",
            )


__all__ = ("EntriesHost", "KernelstubHost", "OTHERS", "SdbootutilHost")
