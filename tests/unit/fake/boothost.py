# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all hosts with a boot loader have in common: real files below a root, and tools that are run on them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ansible_collections.vfio.host.plugins.module_utils._cmdline.area import CmdlineArea
from ansible_collections.vfio.host.plugins.module_utils._host.bootpaths import BootPaths
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
from ansible_collections.vfio.host.tests.unit.fake.faults import FakeFiles, Faults

KERNEL = "6.12.107-amd64"


def result(said):
    """(status, output, error output) of a tool that gives these, or its output alone, or nothing."""
    return said if isinstance(said, tuple) else (0, said or "", "")


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
            self.loader_variable("LoaderInfo", self.loader_info)
        self.install()

    def install(self):
        """Put the loader's files there."""

    def loader_variable(self, name, text):
        """A variable that a boot loader, or the stub of a unified kernel image, leaves behind."""
        path = self.root / f"sys/firmware/efi/efivars/{name}-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
        path.write_bytes(b"\6\0\0\0" + (text + "\0").encode("utf-16-le"))

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
            done = subprocess.run(argv, capture_output=True, check=False)
            # Bytes that are no UTF-8 as surrogates, line ends as they are (source: ansible/module_utils/basic.py run_command).
            return (done.returncode, *(out.decode("utf-8", "surrogateescape") for out in (done.stdout, done.stderr)))
        out = getattr(self, "asked_" + name.replace("-", "_"), lambda *words: None)(*argv[1:])
        if out is not None:
            return result(out)
        self.faults.step("run", name)
        self.calls.append([name, *argv[1:]])
        if self.fail.get(name):
            self.fail[name] -= 1
            return 1, "", f"{name}: something is wrong\n{name}: no space left on device\n"
        return result(getattr(self, "do_" + name.replace("-", "_"))(*argv[1:]))

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


__all__ = ("KERNEL", "AsRoot", "BootHost", "result")
