# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unified kernel images, and the hosts that boot them."""

from __future__ import annotations

import os
import struct
import subprocess

from ansible_collections.vfio.host.plugins.module_utils._boot.unified import command_line
from ansible_collections.vfio.host.tests.unit.fake.boothost import KERNEL, BootHost

ALIGNMENT = 512


def unified(*, signature=b"", **parts):
    """A PE program with a section for each of ``parts``, name without its dot -> bytes, padded in the file. Its ``signature`` is at its end."""
    parts = dict({"text": b"stub", "linux": b"MZ kernel"}, **parts)
    optional = struct.pack("<H", 0x20B) + b"\0" * 142 + struct.pack("<II", 1 << 20 if signature else 0, len(signature)) + b"\0" * 88
    start = 0x80
    at = start + 24 + len(optional) + 40 * len(parts)
    headers, body = b"", b""
    at += -at % ALIGNMENT
    first = at
    for name, data in parts.items():
        padded = data + b"\0" * (-len(data) % ALIGNMENT)
        headers += struct.pack("<8sIIIIIIHHI", b"." + name.encode(), len(data), 0, len(padded), at, 0, 0, 0, 0, 0)
        body += padded
        at += len(padded)
    head = b"MZ" + b"\0" * (0x3C - 2) + struct.pack("<I", start)
    head += b"\0" * (start - len(head)) + b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(parts), 0, 0, 0, len(optional), 0)
    head += optional + headers
    return head + b"\0" * (first - len(head)) + body + signature


class UnifiedHost(BootHost):
    """An image on the EFI system partition, which says that its stub started the running kernel."""

    image = "efi/EFI/Linux/arch-linux.efi"

    def install(self):
        self.loader_variable("StubInfo", "systemd-stub 257.9-1")
        self.loader_variable("StubImageIdentifier", "\\" + self.image.partition("/")[2].replace("/", "\\"))
        self.write("etc/kernel/cmdline", f"root=/dev/vda2 {self.line}\n")
        self.set_up()

    def set_up(self):
        """The tool and its configuration, and the image as it has built it."""

    def _build(self, line):
        target = self.root / self.image
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(unified(cmdline=line.encode("utf-8", "surrogateescape")))

    def boots(self):
        with open(self.root / self.image, "rb") as stream:
            return command_line(stream)


class PresetHost(UnifiedHost):
    """mkinitcpio with a preset, which joins the lines of its files that are no comments (source: build_uki())."""

    def set_up(self):
        self.program("mkinitcpio")
        self.write(
            "etc/mkinitcpio.d/linux.preset",
            'ALL_kver="/boot/vmlinuz-linux"\nPRESETS=(\'default\')\n#default_image="/boot/initramfs-linux.img"\n'
            'default_uki="/efi/EFI/Linux/arch-linux.efi"\n',
        )
        self.do_mkinitcpio("-p", "linux")

    def do_mkinitcpio(self, *words):
        assert words == ("-p", "linux")
        if "mkinitcpio" in self.broken:
            return
        first = [path for path in (self.root / "etc/kernel/cmdline", self.root / "usr/lib/kernel/cmdline") if path.exists()]
        paths = first[:1] + self._dropins() or [self.root / "proc/cmdline"]
        lines = [line for path in paths for line in path.read_text("utf-8", "surrogateescape").split("\n")]
        self._build(" ".join(line for line in lines if line and not line.startswith("#")) + " \n\0")

    def _dropins(self):
        """By the programs that mkinitcpio has find and sort them."""
        if not (self.root / "etc/cmdline.d").is_dir():
            return []
        out = ""
        for words in (["find", "etc/cmdline.d", "-xtype", "f", "-name", "*.conf", "-print0"], ["sort", "-zVu"]):
            env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
            out = subprocess.run(words, input=out, cwd=self.root, check=True, capture_output=True, text=True, env=env).stdout
        return [self.root / path for path in out.split("\0") if path]


class UkifyHost(UnifiedHost):
    """kernel-install with layout=uki, which takes the line apart by white space and adds the machine's id where the image is named
    after it (source: kernel_cmdline() in 60-ukify.install of systemd 257). ukify joins the words anew (finalize_options()).
    """

    version = KERNEL
    image = f"efi/EFI/Linux/0123-{KERNEL}.efi"

    def set_up(self):
        self.program("kernel-install")
        self.write("etc/machine-id", "0123\n")
        self.write("etc/kernel/install.conf", "# a comment\nlayout=uki\nuki_generator=ukify\n")
        self.write(f"lib/modules/{KERNEL}/vmlinuz", "")
        self.do_kernel_install("add", KERNEL, "")

    def do_kernel_install(self, verb, version, dummy):
        assert (verb, version) == ("add", KERNEL)
        if "kernel-install" not in self.broken:
            words = self.read("etc/kernel/cmdline").split()
            if not any(word.startswith("systemd.machine_id=") for word in words):
                words.append("systemd.machine_id=0123")
            self._build(" ".join(words))


__all__ = ("PresetHost", "UkifyHost", "UnifiedHost", "unified")
