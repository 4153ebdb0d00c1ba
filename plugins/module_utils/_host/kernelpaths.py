# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Where the kernel's files are, and which kernel runs: every path of /sys and /proc, and of what is read of /etc and /run beside them."""

from __future__ import annotations

import os
from typing import List, Optional


class KernelPaths:
    """The paths below ``root``. What reads them is in reader.py and sysfs.py."""

    def __init__(self, root: str = "/") -> None:
        self.root = root.rstrip("/")
        self.pci = self.root + "/sys/bus/pci"
        self.pci_devices = self.pci + "/devices"
        self.classes, self.buses, self.cxl = self.root + "/sys/class", self.root + "/sys/bus", self.root + "/sys/bus/cxl/devices"
        self.pci_drivers = self.pci + "/drivers"
        self.net = self.root + "/sys/class/net"
        self.block = self.root + "/sys/class/block"
        self.nvme = self.root + "/sys/class/nvme"
        self.nvme_subsystems = self.root + "/sys/class/nvme-subsystem"
        self.vfio_groups = self.root + "/sys/class/vfio"
        self.misc = self.root + "/sys/class/misc"
        self.vfio_devices = self.root + "/sys/class/vfio-dev"
        self.iommu_device = self.misc + "/iommu"
        self.configfs = self.root + "/sys/kernel/config"
        self.dev_block, self.dev_char = self.root + "/sys/dev/block", self.root + "/sys/dev/char"
        self.btrfs = self.root + "/sys/fs/btrfs"
        self.iscsi_connections = self.root + "/sys/class/iscsi_connection"
        self.iscsi_hosts = self.root + "/sys/class/iscsi_host"
        self.fc_hosts = self.root + "/sys/class/fc_host"
        self.infiniband = self.root + "/sys/class/infiniband"
        self.bcachefs, self.gfs2 = self.root + "/sys/fs/bcachefs", self.root + "/sys/fs/gfs2"
        self.rpc_transports = self.root + "/sys/kernel/sunrpc/xprt-switches"
        self.scst_devices = self.root + "/sys/kernel/scst_tgt/devices"
        self.ceph_clients = self.root + "/sys/kernel/debug/ceph"
        self.graphics = self.root + "/sys/class/graphics"
        self.ttys = self.root + "/sys/class/tty"
        self.udev_data = self.root + "/run/udev/data"
        self.virtio_drivers = self.root + "/sys/bus/virtio/drivers"
        self.iommu_groups = self.root + "/sys/kernel/iommu_groups"
        self.modules = self.root + "/sys/module"
        self.firmware = self.root + "/sys/firmware"
        self.efivars = self.firmware + "/efi/efivars"
        self.proc = self.root + "/proc"
        self.dev = self.root + "/dev"
        self.filesystems, self.journals = (self.root + "/sys/fs", self.proc + "/fs"), self.proc + "/fs/jbd2"
        self.resume = self.root + "/sys/power/resume"
        self.fstab = self.root + "/etc/fstab"
        self.kdumps = [self.root + place for place in ("/etc/kdump.conf", "/etc/default/kdump-tools", "/etc/sysconfig/kdump")]
        self.tables_of_mapped = [f"{self.root}/etc/{name}" for name in ("crypttab", "veritytab", "integritytab")]
        self.units = [self.root + place for place in (
            "/etc/systemd/system", "/run/systemd/system", "/run/systemd/generator.early", "/run/systemd/generator", "/run/systemd/generator.late",
        )]
        self.packaged_units = [self.root + place for place in ("/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")]
        self.stuck = self.root + "/run/vfio-host/stuck"
        self.systemd = self.root + "/run/systemd/system"
        self.udev_control = self.root + "/run/udev/control"
        self.modprobe_d = [
            self.root + place + "/modprobe.d"
            for place in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
        ]
        self.modules_load_d = [
            self.root + place + "/modules-load.d" for place in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
        ]
        self.driverctl_d = self.root + "/etc/driverctl.d"
        self.etc_modules = self.root + "/etc/modules"
        self.pci_ids = [
            self.root + place
            for place in ("/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids", "/usr/share/pci.ids")
        ]

    @property
    def kernel(self) -> str:
        """The running kernel's release, '6.12.107+deb13-amd64' (source: /proc/sys/kernel/osrelease)."""
        return self.read(self.proc + "/sys/kernel/osrelease") or os.uname().release

    @property
    def machine(self) -> str:
        """The architecture as uname prints it, 'x86_64' (source: /proc/sys/kernel/arch, 6.1 and later, else uname)."""
        return self.read(self.proc + "/sys/kernel/arch") or os.uname().machine

    @property
    def module_tree(self) -> str:
        """The directory of the running kernel's modules."""
        return f"{self.root}/lib/modules/{self.kernel}"

    @property
    def kernel_configs(self) -> List[str]:
        """Where the running kernel's configuration may be, the surest first."""
        return [
            self.proc + "/config.gz",
            self.module_tree + "/config",
            self.module_tree + "/build/.config",
            "{0}/boot/config-{1}".format(self.root, self.kernel),
        ]

    def read(self, path: str) -> Optional[str]:
        """The text of ``path`` without surrounding white space; None where it is absent or not to be read."""
        raise NotImplementedError


__all__ = ("KernelPaths",)
