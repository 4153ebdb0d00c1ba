# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fake host as data: what is plugged in, which modules are installed, what the host uses."""

from __future__ import annotations

from dataclasses import dataclass, field


def alias(vendor="*", device="*", pci_class="*", bus="pci"):
    """An alias as depmod writes it: 'pci:v00008086d000010D3sv*sd*bc*sc*i*'; ``pci_class`` is six digits or '*'."""
    ids = ["*" if one == "*" else one.upper().rjust(8, "0") for one in (vendor, device)]
    kind = ("*",) * 3 if pci_class == "*" else (pci_class[:2].upper(), pci_class[2:4].upper(), pci_class[4:].upper())
    return "{0}:v{1}d{2}sv*sd*bc{3}sc{4}i{5}".format(bus, *(tuple(ids) + kind))


@dataclass(frozen=True)
class Net:
    """An interface that a function has while a native driver serves it; ``via`` is the device between ('virtio0').

    ``mac`` is the address in use, ``permanent`` the card's own where that is another; ``told``: by netlink (Linux 5.6 on);
    ``bonded``: it is a port of a bond.
    """

    name: str
    mac: str
    via: str = ""
    is_up: bool = True
    permanent: str = ""
    told: bool = True
    bonded: bool = False


@dataclass(frozen=True)
class Disk:
    """A whole disk, with its partitions as (name, number); ``via`` is the path between ('virtio1/block')."""

    name: str
    number: str
    via: str
    partitions: tuple = ()


@dataclass(frozen=True)
class Nvme:
    """An NVMe controller with one namespace; in a ``subsystem`` the namespace hangs from that (native multipath)."""

    name: str
    serial: str
    disk: Disk = None
    subsystem: str = None


@dataclass(frozen=True)
class Made:
    """A device with a node that the native driver makes, at ``path`` below the function's; ``name`` is the node's below /dev."""

    path: str
    subsystem: str
    number: str
    name: str


@dataclass(frozen=True)
class Function:
    """One PCI function. ``ids`` is vendor:device[:subsystem vendor:subsystem device]; ``parent`` the bridge above."""

    address: str
    ids: str
    pci_class: str
    group: str = None
    parent: str = None
    header_type: int = 0
    revision: str = "00"
    numa: str = "-1"
    net: tuple = ()
    disk: Disk = None
    nvme: Nvme = None
    dsn: str = None
    sriov_total: int = 0
    vfs: tuple = ()
    vf_layout: tuple = (0x80, 2)  # First VF Offset and VF Stride
    physfn: str = None
    boot_vga: bool = False
    reset: str = ""
    zpci: dict = None
    bars: tuple = ()  # (start, end) of its memory
    root: str = None  # the bus of a host bridge between it and its parent, as behind VMD
    shows_serial: bool = False  # the kernel has serial_number (6.17 on)
    made: tuple = ()
    power: str = "D0"

    @property
    def id_parts(self):
        """The four ids, each four lower-case hex digits."""
        parts = self.ids.split(":")
        return tuple(parts + ["0000"] * (4 - len(parts)))

    @property
    def modalias(self):
        """As the kernel prints it (source: pci_uevent())."""
        vendor, device, sub_vendor, sub_device = (one.upper().rjust(8, "0") for one in self.id_parts)
        kind = self.pci_class.upper()
        return f"pci:v{vendor}d{device}sv{sub_vendor}sd{sub_device}bc{kind[:2]}sc{kind[2:4]}i{kind[4:]}"


@dataclass(frozen=True)
class Module:
    """A module with its PCI drivers. ``initramfs``: loaded before the rules of the real root run.

    ``nameless``: built in so that /sys/module does not know it (the driver has no module link).
    """

    name: str
    drivers: tuple
    aliases: tuple = ()
    builtin: bool = False
    initramfs: bool = False
    nameless: bool = False
    file: str = None

    @property
    def is_vfio(self):
        """Whether its drivers are VFIO's."""
        return self.name.endswith("vfio_pci")


@dataclass(frozen=True)
class Stacked:
    """A virtual interface or block device over others; ``number`` and ``mapper`` for block devices."""

    name: str
    lower: tuple
    number: str = None
    mapper: str = None
    partitions: tuple = ()


@dataclass(frozen=True)
class Spec:
    """A whole host. ``files`` and ``links`` are what else its kernel shows once it is up: path to text, path to path."""

    functions: tuple = ()
    modules: tuple = ()
    machine: str = "x86_64"
    kernel: str = "6.12.107+deb13-amd64"
    iommu: bool = True
    noiommu: bool = False
    reserved: dict = field(default_factory=dict)  # IOMMU group -> lines of reserved_regions
    msi_window: str = "0x00000000fee00000 0x00000000feefffff msi"  # the last line of reserved_regions of every group
    iomem: str = ""
    opal: bool = False
    udevd: bool = True
    interfaces: tuple = ()
    blocks: tuple = ()
    routes: tuple = ()
    routes6: tuple = ()
    mounts: tuple = ()
    swaps: tuple = ()
    cmdline: str = "BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro intel_iommu=on"
    modprobe_d: dict = field(default_factory=dict)
    modules_load: tuple = ()
    blacklist: tuple = ()
    pci_ids: str = ""
    programs: tuple = ("usr/sbin/ip", "usr/bin/ls")
    cdev: bool = False  # the kernel has VFIO_DEVICE_CDEV
    strict_udev: bool = False  # udev 258 or 259, which passes over a rule that names a user or group not of the system
    name_service: dict = field(default_factory=dict)  # ("passwd" or "group", name) -> number, or (own name, number), in a directory
    services: dict = field(default_factory=dict)  # unit -> (pid, soft and hard limit of locked memory)
    files: dict = field(default_factory=dict)
    links: dict = field(default_factory=dict)


__all__ = ("Disk", "Function", "Made", "Module", "Net", "Nvme", "Spec", "Stacked", "alias")
