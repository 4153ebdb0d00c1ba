# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts with images of early user space, and tools that build them from what the host holds, as the real ones do."""

from __future__ import annotations

import glob
import gzip
import hashlib
import os
import re

from ansible_collections.vfio.host.plugins.module_utils._core.area import report, run_areas
from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
from ansible_collections.vfio.host.plugins.module_utils._host.images import ImageFiles
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
from ansible_collections.vfio.host.plugins.module_utils._initramfs.area import ImageArea, ImageRequest
from ansible_collections.vfio.host.tests.unit.fake.unified import unified

KERNEL = "6.12.1-amd64"
RULES = "/etc/udev/rules.d/60-vfio-host-p.rules"
OPTIONS = "/etc/modprobe.d/vfio-host.conf"
# The line of udev's own hook by which Debian and Ubuntu copy the rules of /etc.
UDEV_HOOK = 'for rules in /etc/udev/rules.d/*.rules; do\n  cp -p "$rules" "$DESTDIR/usr/lib/udev/rules.d/"\ndone\n'


def cpio(members, mode=0o100644, last=True):
    """A cpio archive of ``members``, name -> bytes."""
    out = b""
    for name, data in list(members.items()) + ([("TRAILER!!!", b"")] if last else []):
        name = name.encode() + b"\0"
        fields = [1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0]
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
        out += header + b"\0" * (-len(header) % 4) + data + b"\0" * (-len(data) % 4)
    return out + b"\0" * (-len(out) % 512)


def image(members):
    """An image as the tools make it: microcode first, uncompressed, then everything else."""
    early = cpio({"kernel/x86/microcode/GenuineIntel.bin": b"\1" * 5})
    return early + gzip.compress(cpio(dict({"init": b"#!"}, **members)), mtime=0)


class _Root(Sysfs):
    is_root = True


class ImageHost:
    """A host with a tool.

    ``complaints``: a program's name -> what it says when it fails, or a function of its words that gives its result;
    ``hostonly``, ``uefi``: these settings of dracut's configuration; ``snapshot``: what entries have that sdbootutil makes anew;
    ``log``: the commands that were run; ``environment``: what the last one of "env" was given; ``reads``: how often the last task opened an image.
    """

    def __init__(self, root, tool="initramfs-tools"):
        self.root = str(root)
        self.log, self.reads, self.complaints = [], 0, {}
        self.fs = _Root(self.root, run=self._run)
        self.kernel = self.fs
        self.files, self.paths = Files(self.root), ImageFiles(self.root)
        self._open = self.paths.opened
        self.paths.opened = self._opened
        self.hostonly = True
        self.uefi = False
        self.environment = []
        self.snapshot = "rootflags=subvol=@/.snapshots/2/snapshot"
        for directory in ("/boot", "/var/tmp", "/run", "/usr/bin", "/etc"):
            os.makedirs(self.root + directory)
        if tool == "initramfs-tools":
            self.install("mkinitramfs")
            self.install("update-initramfs", text='mkinitramfs ${OPTS} "${initramfs}.new" "${version}"\n')
            self.put("/usr/share/initramfs-tools/hooks/udev", UDEV_HOOK)
        elif tool is not None:
            self.install(tool)

    def _opened(self, path):
        self.reads += 1
        return self._open(path)

    def put(self, path, data):
        """A file; None removes it."""
        path = self.root + path
        if data is None:
            os.unlink(path)
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(data.encode() if isinstance(data, str) else data)

    def get(self, path):
        """Its bytes; None where it is absent."""
        try:
            with open(self.root + path, "rb") as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    def install(self, name, place="/usr/bin", text=""):
        """A program, which only has to be there."""
        self.put(f"{place}/{name}", text)
        os.chmod(f"{self.root}{place}/{name}", 0o755)

    def add_kernel(self, version=KERNEL, path="/boot/initrd.img-{}", members=None):
        """An installed kernel with an image; the image's path."""
        os.makedirs(f"{self.root}/lib/modules/{version}", exist_ok=True)
        self.put(f"/boot/vmlinuz-{version}", "")
        if path is None:
            return None
        self.put(path.format(version), image(members or {}))
        return path.format(version)

    def _run(self, words):
        words = list(words)
        if words[0] == "env":
            self.environment = [word for word in words[1:] if re.match(r"\w+=", word)]
            words = words[1 + len(self.environment):]
        name = os.path.basename(words[0])
        if words[1:] == ["--help"]:
            return 0, "--nopost", ""
        self.log.append([name] + words[1:])
        if name in self.complaints:
            answer = self.complaints[name]
            return answer(words) if callable(answer) else (1, "", answer)
        if name == "mkinitramfs":
            self._build(words[2], self._of_initramfs_tools())
        elif name == "dracut":
            self._build(words[-2], self._of_dracut(), is_unified=self.uefi and "--no-uefi" not in words)
        elif name == "mkinitcpio" and "-U" in words:
            inside = image(self._of_mkinitcpio())
            line = (self.get("/etc/kernel/cmdline") or b"").strip() + b" \n\0"
            with open(words[words.index("-U") + 1], "wb") as stream:
                stream.write(unified(cmdline=line, initrd=inside))
        elif name == "mkinitcpio":
            self._build(words[words.index("-g") + 1], self._of_mkinitcpio())
        elif name == "sdbootutil":
            assert words[1:] == ["mkinitrd"]
            self._mkinitrd()
        return 0, "", ""

    def _build(self, output, members, is_unified=False):
        with open(output, "wb") as stream:
            stream.write(unified(cmdline=b"ro", initrd=image(members)) if is_unified else image(members))

    def _copies(self, pattern, place=None):
        found = sorted(glob.glob(self.root + pattern))
        return {(place or os.path.dirname(pattern))[1:] + "/" + os.path.basename(path): self.get(path[len(self.root):])
                for path in found}

    def _of_initramfs_tools(self):
        members = self._copies("/etc/modprobe.d/*.conf")
        if self.get("/usr/share/initramfs-tools/hooks/udev") == UDEV_HOOK.encode():
            members.update(self._copies("/etc/udev/rules.d/*.rules", "/usr/lib/udev/rules.d"))
        if os.access(self.paths.initramfs_tools_hook, os.X_OK):
            members.update(self._copies("/etc/udev/rules.d/*-vfio-host-*.rules"))
        return members

    def _of_dracut(self):
        config = (self.get("/etc/dracut.conf.d/vfio-host.conf") or b"").decode()
        items = config.partition('+="')[2].rstrip('"\n').split()
        if self.hostonly:
            items += ["/etc/udev/rules.d/*.rules", "/etc/modprobe.d/*.conf"]
        return {name: data for item in items for name, data in self._copies(item).items()}

    def _of_mkinitcpio(self):
        if self.get("/etc/mkinitcpio.conf.d/vfio-host.conf") is None:
            return self._copies("/etc/modprobe.d/*.conf")
        return dict(self._copies("/etc/udev/rules.d/*-vfio-host-*.rules"), **self._copies("/etc/modprobe.d/*.conf"))

    def _mkinitrd(self):
        """Of openSUSE's sdbootutil, for the entries of a snapshot (source: install_kernel() there; "bootctl cleanup" removes what no entry loads)."""
        kernels = os.listdir(f"{self.root}/lib/modules")
        place, directory = "/boot/efi", "/boot/efi/loader/entries"
        for name in os.listdir(self.root + directory):
            text = self.get(f"{directory}/{name}").decode()
            kernel = re.search(r"^version .*@(.*)$", text, re.MULTILINE).group(1)
            if kernel not in kernels or self.snapshot not in text:
                continue
            ready = self.get(f"/lib/modules/{kernel}/initrd")
            data = image(self._of_dracut()) if ready is None else ready
            path = f"/token/{kernel}/initrd-{hashlib.sha1(data).hexdigest()}"
            if self.get(place + path) is None:
                self.put(place + path, data)
            line = " ".join(self.get("/etc/kernel/cmdline").decode().split())
            text = re.sub(r"(?m)^options .*$", f"options    {line}", text)
            self.put(f"{directory}/{name}", re.sub(r"(?m)^initrd .*$", f"initrd     {path}", text))
        texts = [self.get(f"{directory}/{name}").decode() for name in os.listdir(self.root + directory)]
        for path in glob.glob(f"{self.root}{place}/token/*/initrd-*"):
            if not any(path[len(self.root + place):] in text for text in texts):
                os.unlink(path)

    def area(self):
        """A new area, as each task has one."""
        return ImageArea(self.fs, self.files, self.paths)

    def run(self, check=False, **wishes):
        """One task; its result."""
        self.reads = 0
        plans = list(run_areas({"images": (self.area(), ImageRequest(**wishes))}, check, open_journal=lambda: Journal(self.fs, self.files)).values())
        result = report(plans)
        for plan in plans:
            result.update(plan.result())
        return result

    def statuses(self, **options):
        """Image -> status, of one task."""
        return {self.paths.inner(row["path"]): row["status"] for row in self.run(**options)["images"] if row["path"]}

    def left_over(self):
        """What a run has left beside the images and in the spool."""
        places = [self.root + "/boot", self.root + "/var/tmp"]
        return sorted(name for place in places for name in os.listdir(place) if "vfio-host" in name)


__all__ = ("ImageHost", "KERNEL", "OPTIONS", "RULES", "UDEV_HOOK", "cpio", "image")
