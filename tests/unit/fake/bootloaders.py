# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that boot by one loader or another: real files below a root, and tools that do to them what the real ones do.

The tools' behaviour is as seen on hosts (update-grub, kernel-install) or as manuals tell (the others).
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from ansible_collections.vfio.host.plugins.module_utils._boot.cmdline_area import CmdlineArea
from ansible_collections.vfio.host.plugins.module_utils._host.bootpaths import BootPaths
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
from ansible_collections.vfio.host.tests.unit.fake.faults import FakeFiles, Faults

KERNEL = "6.12.107-amd64"


class AsRoot(Sysfs):
    """Tests run as anybody."""

    is_root = True


class BootHost:
    """A host's boot configuration. ``fail``: tool -> how often it still fails; ``calls``: the tools run that write.

    ``faults`` counts these and the files that are written.
    """

    loader_info = None
    efi = True
    line = "ro quiet"

    def __init__(self, root, line=None):
        self.root = Path(root)
        self.line = self.line if line is None else line
        self.fail, self.calls, self.broken = {}, [], set()
        self.faults = Faults()
        self.write("proc/cmdline", f"BOOT_IMAGE=/boot/vmlinuz root=/dev/vda2 {self.line}\n")
        if self.efi:
            self.write("sys/firmware/efi/efivars/BootCurrent-8be4df61", "")
        if self.loader_info:
            path = self.root / "sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
            path.write_bytes(b"\6\0\0\0" + (self.loader_info + "\0").encode("utf-16-le"))
        self.install()

    def install(self):
        """Put the loader's files there."""

    def write(self, path, text):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode("utf-8", "surrogateescape"))

    def read(self, path):
        target = self.root / path
        return target.read_bytes().decode("utf-8", "surrogateescape") if target.exists() else None

    def program(self, name, text="#!/bin/sh\n"):
        self.write(f"usr/sbin/{name}", text)
        os.chmod(self.root / "usr/sbin" / name, 0o755)

    def run(self, argv):
        name = os.path.basename(argv[0])
        if name == "sh":
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            return done.returncode, done.stdout, done.stderr
        out = getattr(self, "asked_" + name.replace("-", "_"), lambda *words: None)(*argv[1:])
        if out is not None:
            return 0, out, ""
        self.faults.step("run", name)
        self.calls.append([name, *argv[1:]])
        if self.fail.get(name):
            self.fail[name] -= 1
            return 1, "", f"{name}: something is wrong\n{name}: no space left on device\n"
        return 0, getattr(self, "do_" + name.replace("-", "_"))(*argv[1:]) or "", ""

    @property
    def kernel(self):
        return AsRoot(str(self.root), self.run)

    @property
    def files(self):
        return FakeFiles(str(self.root), self.faults)

    @property
    def area(self):
        return CmdlineArea(self.kernel, self.files, BootPaths(str(self.root)))

    def boots(self):
        """The command line that the loader would give to the kernel."""
        raise NotImplementedError

    def reboot(self):
        self.write("proc/cmdline", self.boots() + "\n")


class GrubHost(BootHost):
    """Debian's GRUB."""

    efi = False

    def install(self):
        self.program("update-grub")
        self.program("grub-mkconfig", "for x in ${sysconfdir}/default/grub.d/*.cfg ; do\n")
        self.write(
            "etc/default/grub",
            f'# GRUB_CMDLINE_LINUX="x"\nGRUB_CMDLINE_LINUX=""\nGRUB_CMDLINE_LINUX_DEFAULT={_quoted(self.line)}\n',
        )
        (self.root / "etc/default/grub.d").mkdir()
        self.do_update_grub()

    def do_update_grub(self, *words):
        # grub-mkconfig takes the last -o.
        target = os.path.relpath(words[-1], self.root) if words else "boot/grub/grub.cfg"
        if "grub" in self.broken:
            return
        script = (
            'set -e; . "$1/etc/default/grub"; for x in "$1"/etc/default/grub.d/*.cfg; do if [ -e "$x" ]; then '
            '. "$x"; fi; done;'
            'printf "%s %s" "$GRUB_CMDLINE_LINUX" "$GRUB_CMDLINE_LINUX_DEFAULT"'
        )
        line = subprocess.run(["sh", "-c", script, "sh", str(self.root)], capture_output=True, check=True).stdout
        line = line.decode("utf-8", "surrogateescape")
        linux = f"linux\t/boot/vmlinuz-{KERNEL} root=UUID=1-2 ro"
        self.write(
            target,
            f"""\
if [ "${{next_entry}}" ] ; then
   set default="${{next_entry}}"
else
   set default="0"
fi
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1-2' {{
\tsearch --no-floppy --fs-uuid --set=root 1-2
\t{linux} {line}
\tinitrd\t/boot/initrd.img-{KERNEL}
}}
submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced-1-2' {{
\tmenuentry 'Debian GNU/Linux, recovery mode' $menuentry_id_option 'gnulinux-recovery-1-2' {{
\t\t{linux} single
\t}}
}}
""",
        )

    def boots(self):
        return next(
            line.split(None, 2)[2]
            for line in self.read("boot/grub/grub.cfg").splitlines()
            if line.startswith("\tlinux")
        )


class SystemdBootHost(BootHost):
    """systemd-boot with kernel-install, the EFI system partition on /boot/efi."""

    loader_info = "systemd-boot 257.9-1~deb13u1"
    versions = (KERNEL, "6.12.90-amd64")

    def install(self):
        self.program("kernel-install")
        self.write("etc/machine-id", "0123\n")
        self.write("boot/efi/EFI/systemd/systemd-bootx64.efi", "MZ")
        self.write("boot/efi/loader/entries/other.conf", "title Other\nversion 5.1\nlinux /vmlinuz\noptions other\n")
        self.write("etc/kernel/cmdline", self.line + "\n")
        for version in self.versions:
            self.write(f"boot/vmlinuz-{version}", "")
            self.do_kernel_install("add", version, "")

    def do_kernel_install(self, verb, version, image):
        if "kernel-install" in self.broken:
            return
        line = " ".join((self.read("etc/kernel/cmdline") or "").split())
        self.write(
            f"boot/efi/loader/entries/lab-{version}.conf",
            f"# made\ntitle      Debian\nversion    {version}\nmachine-id 0123\nsort-key   debian\n"
            f"options    {line} systemd.machine_id=0123\nlinux      /lab/{version}/linux\ninitrd     "
            f"/lab/{version}/initrd\n",
        )

    def boots(self):
        text = self.read(f"boot/efi/loader/entries/lab-{KERNEL}.conf")
        return re.search("^options +(.*)$", text, re.MULTILINE).group(1)


class GrubbyHost(BootHost):
    """Fedora's grubby, which works by white space, and says root= apart."""

    efi = False

    def install(self):
        self.program("grubby")
        self.write("boot/grub2/grubenv", "# GRUB Environment Block\n")
        for version in ("6.11.4", "6.11.3"):
            self.write(
                f"boot/loader/entries/0123-{version}.conf",
                f"title Fedora ({version})\nversion {version}\nlinux /vmlinuz-{version}\noptions root=/dev/vda2 "
                f"{self.line}\n",
            )

    def entries(self):
        return sorted((self.root / "boot/loader/entries").iterdir(), reverse=True)

    def asked_grubby(self, *words):
        if words == ("--default-index",):
            return "0\n"
        if words != ("--info=ALL",):
            return None
        text = ""
        for index, path in enumerate(self.entries()):
            args = re.search("^options root=[^ ]+ ?(.*)$", path.read_text(), re.MULTILINE).group(1)
            text += f'index={index}\nkernel="/boot/vmlinuz-{index}"\nargs="{args}"\nroot="/dev/vda2"\n'
            text += f'title="x"\nid="{path.stem}"\n'
        return text

    def do_grubby(self, *words):
        if "grubby" in self.broken:
            return
        for path in self.entries():
            text = path.read_text()
            head, args = re.search("^(options root=[^ ]+)(.*)$", text, re.MULTILINE).groups()
            now = args.split()
            for word in words:
                option, dummy, value = word.partition("=")
                for arg in value.split():
                    name, equals, dummy = arg.partition("=")
                    if option == "--remove-args":
                        now = [one for one in now if one != arg and (equals or one.partition("=")[0] != name)]
            for word in words:
                option, dummy, value = word.partition("=")
                if option == "--args":
                    names = {arg.partition("=")[0] for arg in value.split()}
                    now = [one for one in now if one.partition("=")[0] not in names] + value.split()
            path.write_text(text.replace(head + args, " ".join([head, *now])))

    def do_zipl(self):
        self.write("boot/bootmap", "".join(path.read_text() for path in self.entries()))

    def boots(self):
        return re.search("^options (.*)$", self.entries()[0].read_text(), re.MULTILINE).group(1)


class ZiplHost(BootHost):
    """s390 with sections."""

    efi = False

    def install(self):
        self.program("zipl")
        quote = "'" if '"' in self.line else '"'
        self.write(
            "etc/zipl.conf",
            f"""\
[defaultboot]
default = debian
:menu
target = /boot
1 = debian
default = 1
[old]
target=/boot
image=/boot/vmlinuz.old
parameters={quote}root=LABEL=root {self.line}{quote}
[debian]
target=/boot
image=/boot/vmlinuz
ramdisk=/boot/initrd.img
parameters = {quote}root=LABEL=root {self.line}{quote}
""",
        )
        self.do_zipl()

    def do_zipl(self):
        self.write("boot/bootmap", self.read("etc/zipl.conf"))

    def boots(self):
        return re.findall("^parameters *= *(?P<q>['\"])(.*)(?P=q)$", self.read("boot/bootmap"), re.MULTILINE)[-1][1]


class OstreeHost(BootHost):
    """rpm-ostree, which keeps arguments as a list of words."""

    def install(self):
        self.program("rpm-ostree")
        self.write("run/ostree-booted", "")
        self.write("kargs", self.line)

    def asked_rpm_ostree(self, *words):
        return self.read("kargs") + "\n" if words == ("kargs",) else None

    def do_rpm_ostree(self, verb, *words):
        now = self.read("kargs").split(" ")
        for word in words:
            option, dummy, value = word.partition("=")
            if option == "--append" or (option == "--append-if-missing" and value not in now):
                now.append(value)
            elif option == "--delete-if-present":
                now = [one for one in now if one != value]
        if "rpm-ostree" not in self.broken:
            self.write("kargs", " ".join(now))

    def boots(self):
        return self.read("kargs")


class ProxmoxHost(GrubHost):
    """proxmox-boot-tool with one partition for systemd-boot and one for GRUB."""

    def install(self):
        super().install()
        self.program("proxmox-boot-tool")
        self.write("etc/kernel/proxmox-boot-uuids", "AAAA-BBBB\nCCCC-DDDD\n")
        self.write("etc/kernel/cmdline", self.line + "\n")
        self.do_proxmox_boot_tool("refresh")

    def asked_proxmox_boot_tool(self, *words):
        if words == ("status",):
            return (
                "System currently booted with uefi\nAAAA-BBBB is configured with: uefi (versions: 6.8.12-1-pve)\n"
                "CCCC-DDDD is configured with: grub (versions: 6.8.12-1-pve)\n"
            )
        return None

    def do_proxmox_boot_tool(self, *words):
        if "proxmox" in self.broken:
            return "WARN: /dev/disk/by-uuid/AAAA-BBBB does not exist - clean '/etc/kernel/proxmox-boot-uuids'!\n"
        self.write("esp/options", self.read("etc/kernel/cmdline").strip())
        self.do_update_grub()
        return "Copying and configuring kernels on /dev/disk/by-uuid/AAAA-BBBB\n"

    def boots(self):
        return self.read("esp/options")


def _quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


HOSTS = {
    "grub": GrubHost,
    "kernel-install": SystemdBootHost,
    "grubby": GrubbyHost,
    "zipl": ZiplHost,
    "rpm-ostree": OstreeHost,
    "proxmox-boot-tool": ProxmoxHost,
}

__all__ = (
    "HOSTS",
    "KERNEL",
    "BootHost",
    "GrubHost",
    "GrubbyHost",
    "OstreeHost",
    "ProxmoxHost",
    "SystemdBootHost",
    "ZiplHost",
)
