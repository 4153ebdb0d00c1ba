# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fake host with everything: devices, modules, a boot loader that gives the kernel its command line, and images."""

from __future__ import annotations

import os
from dataclasses import replace

from ansible_collections.vfio.host.plugins.module_utils._initramfs.image import read_image
from ansible_collections.vfio.host.tests.unit.fake.bootloaders import GrubHost
from ansible_collections.vfio.host.tests.unit.fake.host import FakeHost
from ansible_collections.vfio.host.tests.unit.fake.images import ImageHost

_PARAMETERS = {"vfio_pci": "disable_vga:Disable VGA resource access (bool)\0ids:Initial PCI IDs (string)\0"}


class WholeHost(FakeHost):
    """A Spec that boots through GRUB with ``line``, on firmware with an IOMMU ``table``: DMAR, IVRS or None.

    The kernel uses the IOMMU as it would: Intel's where asked to, AMD's unless asked not to.
    """

    def __init__(self, root, spec, line="", table="DMAR"):
        self.table = table
        self.images = ImageHost(root)
        self.grub = None
        super().__init__(root, spec)
        self.grub = GrubHost(root, line=line)
        self.image = self.images.add_kernel(spec.kernel)
        self._kernels = self.kernel.run
        self.kernel.run = self._run
        self.reboot()

    def reboot(self):
        """A boot with what the boot loader's configuration says by now."""
        if self.grub is not None:
            # source: GRUB's grub-core/loader/i386/linux.c grub_cmd_linux(), LINUX_IMAGE
            line = f"BOOT_IMAGE=/boot/vmlinuz {self.grub.boots()}"
            self.spec = replace(self.spec, cmdline=line, iommu=self._uses_iommu(line.split()))
            self.tree.spec = self.kernel.spec = self.spec
        super().reboot()
        for line in (self.files.read(self.files.modules_load_conf) or "").splitlines():
            if not line.startswith("#"):
                self.kernel.modprobe(line)
        self._set_parameters()
        if self.table:
            self.tree.put(self.tree.sys / "firmware/acpi/tables" / self.table)

    def _uses_iommu(self, words):
        if self.table is None or "iommu=off" in words:
            return False
        return "intel_iommu=on" in words if self.table == "DMAR" else "amd_iommu=off" not in words

    def _run(self, words):
        name = os.path.basename(words[0])
        if name in ("sh", "update-grub"):
            return self.grub.run(words)
        if name in ("env", "mkinitramfs", "update-initramfs"):
            return self.images.fs.run(words)
        if name == "modinfo":
            return 0, _PARAMETERS.get(words[-1], ""), ""
        result = self._kernels(words)
        self._set_parameters()
        return result

    def _set_parameters(self):
        """What a module that is loaded by now shows of its options: as modprobe.d says, or the kernel's default."""
        directory = self.tree.sys / "module/vfio_pci"
        if (directory / "initstate").exists() and not (directory / "parameters").exists():
            conf = self.files.read(self.files.modprobe_conf) or ""
            self.tree.put(directory / "parameters/disable_vga", "Y\n" if "disable_vga=" in conf else "N\n")
            # source: drivers/vfio/pci/vfio_pci.c, module_param(disable_vga, bool, S_IRUGO)
            os.chmod(directory / "parameters/disable_vga", 0o444)

    def held(self):
        """The files of ours in the image: path -> SHA-256."""
        return read_image(self.images.paths, self.images.paths.root + self.image).held


__all__ = ("WholeHost",)
