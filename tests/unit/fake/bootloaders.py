# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that boot by one loader or another: real files below a root, and tools that do to them what the real ones do.

The tools' behaviour is as seen on hosts (update-grub, kernel-install), as read in their source (grubby,
proxmox-boot-tool), or as manuals tell (the others).
"""

from __future__ import annotations

import os
import re
import subprocess

from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse
from ansible_collections.vfio.host.tests.unit.fake.boothost import KERNEL, BootHost
from ansible_collections.vfio.host.tests.unit.fake.entries import EntriesHost, KernelstubHost, SdbootutilHost
from ansible_collections.vfio.host.tests.unit.fake.grubby import GrubbyHost
from ansible_collections.vfio.host.tests.unit.fake.unified import PresetHost, UkifyHost


class GrubHost(BootHost):
    """Debian's GRUB."""

    efi = False
    directory = "boot/grub"
    tool = "grub-mkconfig"

    def install(self):
        self.program("update-grub")
        self.program("grub-mkconfig", "for x in ${sysconfdir}/default/grub.d/*.cfg ; do\n")
        self.write_settings()
        (self.root / "etc/default/grub.d").mkdir()
        self.do_update_grub()

    def write_settings(self):
        """/etc/default/grub."""
        self.write(
            "etc/default/grub",
            f'# GRUB_CMDLINE_LINUX="x"\nGRUB_CMDLINE_LINUX=""\nGRUB_CMDLINE_LINUX_DEFAULT={_quoted(self.line)}\n',
        )

    def do_update_grub(self, *words):
        # grub-mkconfig takes the last -o.
        target = os.path.relpath(words[-1], self.root) if words else f"{self.directory}/grub.cfg"
        if "grub" in self.broken:
            return
        script = 'set -e; . "$1/etc/default/grub"; '
        if "default/grub.d" in self.read(f"usr/sbin/{self.tool}"):
            script += 'for x in "$1"/etc/default/grub.d/*.cfg; do if [ -e "$x" ]; then . "$x"; fi; done;'
        script += 'printf "%s %s" "$GRUB_CMDLINE_LINUX" "$GRUB_CMDLINE_LINUX_DEFAULT"'
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

    def do_grub_mkconfig(self, *words):
        self.do_update_grub(*words)

    do_grub2_mkconfig = do_grub_mkconfig

    def boots(self):
        return next(
            line.split(None, 2)[2]
            for line in self.read(f"{self.directory}/grub.cfg").splitlines()
            if line.startswith("\tlinux")
        )


class GrubMkconfigHost(GrubHost):
    """GRUB with grub-mkconfig alone, which reads one file (source: util/grub-mkconfig.in of GRUB): Arch, Void, Alpine."""

    def install(self):
        self.program(self.tool, "if test -f ${sysconfdir}/default/grub ; then\n  . ${sysconfdir}/default/grub\nfi\n")
        self.write_settings()
        self.do_update_grub()


class Grub2Host(GrubMkconfigHost):
    """The same by the names that it has on openSUSE."""

    directory = "boot/grub2"
    tool = "grub2-mkconfig"


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
        """In this order, whatever that of the words (source: kernel_arg_apply_patching() of rpm-ostree).

        Of equal words one goes for each time that it is named (source: ostree_kernel_args_delete()).
        """
        now = [word.text for word in parse(self.read("kargs")).words]
        given = [word.partition("=")[::2] for word in words]
        for text in (text for option, text in given if option == "--delete"):
            if text not in now:
                return 1, "", f"error: No karg '{text}' found\n"
            now.remove(text)
        now += [text for option, text in given if option == "--append"]
        for text in (text for option, text in given if option == "--append-if-missing"):
            now += [] if text in now else [text]
        before = list(now)
        for text in (text for option, text in given if option == "--delete-if-present" and text in before):
            now.remove(text)
        if "rpm-ostree" not in self.broken:
            self.write("kargs", " ".join(now))
        return None

    def boots(self):
        return self.read("kargs")


class ProxmoxHost(GrubHost):
    """proxmox-boot-tool with one partition for systemd-boot and one for GRUB, as in proxmox-kernel-helper 8.1 and 9.2.

    ``absent``: UUIDs of partitions that are gone; ``empty``: of those without a loader. It says everything on standard
    error, and skips such partitions with status 0.
    """

    absent: tuple = ()
    empty: tuple = ()

    def install(self):
        super().install()
        self.program("proxmox-boot-tool")
        self.write("etc/kernel/proxmox-boot-uuids", "AAAA-BBBB\nCCCC-DDDD\n")
        self.write("etc/kernel/cmdline", f"root=ZFS=rpool/ROOT/pve-1 {self.line}\n")
        self.do_proxmox_boot_tool("refresh")

    def asked_proxmox_boot_tool(self, *words):
        if words != ("status",):
            return None
        said, errors = "System currently booted with uefi\n", ""
        for uuid in self.read("etc/kernel/proxmox-boot-uuids").split():
            path = f"/dev/disk/by-uuid/{uuid}"
            if uuid in self.absent:
                errors += f"WARN: {path} does not exist - clean '/etc/kernel/proxmox-boot-uuids'! - skipping\n"
            else:
                loader = "grub" if uuid == "CCCC-DDDD" else "uefi"
                with_versions = "" if uuid in self.empty else f"{loader} (versions: 6.8.12-1-pve)"
                said += f"{uuid} is configured with: {with_versions}\n"
        return 0, said, errors

    def do_proxmox_boot_tool(self, *words):
        said = "Running hook script 'proxmox-auto-removal'..\nRunning hook script 'zz-proxmox-boot'..\n"
        line = self.read("etc/kernel/cmdline").split("\n")[0]
        if "root=" not in line:
            return 1, said, "No root= parameter in /etc/kernel/cmdline found!\n"
        errors = ""
        for uuid in self.read("etc/kernel/proxmox-boot-uuids").split():
            path = f"/dev/disk/by-uuid/{uuid}"
            if uuid in self.absent or "proxmox" in self.broken:
                errors += f"WARN: {path} does not exist - clean '/etc/kernel/proxmox-boot-uuids'! - skipping\n"
            elif uuid in self.empty:
                errors += f"{path} contains no loader.conf - skipping\n"
            else:
                errors += f"Copying and configuring kernels on {path}\n\tCopying kernel 6.8.12-1-pve\n"
                if uuid == "CCCC-DDDD":
                    self.do_update_grub()
                else:
                    self.write("esp/options", line)
        return 0, said, errors

    def boots(self):
        return self.read("esp/options")


def _quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


HOSTS = {
    "grub": GrubHost,
    "grub-mkconfig": GrubMkconfigHost,
    "grub2-mkconfig": Grub2Host,
    "kernel-install": SystemdBootHost,
    "grubby": GrubbyHost,
    "zipl": ZiplHost,
    "rpm-ostree": OstreeHost,
    "proxmox-boot-tool": ProxmoxHost,
    "systemd-boot": EntriesHost,
    "sdbootutil": SdbootutilHost,
    "kernelstub": KernelstubHost,
    "mkinitcpio": PresetHost,
    "ukify": UkifyHost,
}

# Hosts of which the name is not that of their back end.
BACKENDS = {"grub-mkconfig": "grub", "grub2-mkconfig": "grub", "mkinitcpio": "unified", "ukify": "unified"}
# What the tool of a host is called, where that is not the host's name; None: its files are written here, and no tool runs.
TOOLS = {
    "grub": "update-grub", "ukify": "kernel-install", "kernel-install": None, "systemd-boot": None, "kernelstub": None,
}

__all__ = (
    "BACKENDS",
    "HOSTS",
    "KERNEL",
    "BootHost",
    "Grub2Host",
    "GrubHost",
    "GrubMkconfigHost",
    "GrubbyHost",
    "EntriesHost",
    "KernelstubHost",
    "OstreeHost",
    "PresetHost",
    "ProxmoxHost",
    "SdbootutilHost",
    "SystemdBootHost",
    "TOOLS",
    "UkifyHost",
    "ZiplHost",
)
