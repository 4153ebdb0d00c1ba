# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between architectures and between QEMU's machines: one row each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Mapping, Tuple

# A busy machine takes longer than systemd waits for a serial console, and the login prompt on it would not come.
_PATIENCE = "systemd.default_device_timeout_sec=600"


@dataclass(frozen=True)
class Architecture:
    """A Debian architecture: its kernel package, and what runs it here."""

    kernel_package: str
    # As the machine that runs QEMU names itself: KVM is for the own kind only.
    uname: str
    qemu: str
    qemu_package: str
    # As binfmt.d of Debian's qemu-user names it: what runs its programs here while an image is built.
    binfmt: str


@dataclass(frozen=True)
class Machine:
    """A QEMU machine: arguments before any device, the console, what its kernel is told, and how its ports look."""

    architecture: str
    arguments: Tuple[str, ...]
    console: str
    root_bus: str
    bus_pattern: str
    port_model: str
    # QEMU arguments of each IOMMU that the machine can have; they precede the devices that it serves.
    iommus: Mapping[str, Tuple[str, ...]]
    kernel_args: Tuple[str, ...] = ()
    # The model that TCG emulates.
    cpu: str = "max"
    # Whether a port is a host bridge, so a PCI domain: QEMU numbers it by its slot, and its bus is its id with ".0".
    host_bridges: bool = False
    # Whether functions have no slots, but a UID and a FID each, from a device of QEMU's own.
    zpci: bool = False
    # Whether QEMU can resume a host that it has saved.
    resumes: bool = True
    # Whether nobody may send the guest a packet while it restarts.
    restarts_unheard: bool = False

    def owns_bus(self, bus: str) -> bool:
        return re.fullmatch(self.bus_pattern, bus) is not None


ARCHITECTURES: Mapping[str, Architecture] = {
    "amd64": Architecture(
        kernel_package="linux-image-amd64", uname="x86_64", qemu="qemu-system-x86_64", qemu_package="qemu-system-x86",
        binfmt="qemu-x86_64",
    ),
    "arm64": Architecture(
        kernel_package="linux-image-arm64", uname="aarch64", qemu="qemu-system-aarch64", qemu_package="qemu-system-arm",
        binfmt="qemu-aarch64",
    ),
    "ppc64el": Architecture(
        kernel_package="linux-image-powerpc64le", uname="ppc64le", qemu="qemu-system-ppc64", qemu_package="qemu-system-ppc",
        binfmt="qemu-ppc64le",
    ),
    "s390x": Architecture(
        kernel_package="linux-image-s390x", uname="s390x", qemu="qemu-system-s390x", qemu_package="qemu-system-s390x",
        binfmt="qemu-s390x",
    ),
}

MACHINES: Mapping[str, Machine] = {
    "q35": Machine(
        architecture="amd64",
        # Interrupt remapping needs the split interrupt chip under KVM; TCG does not mind.
        arguments=("-nodefaults", "-machine", "q35,kernel-irqchip=split"),
        console="ttyS0",
        root_bus="pcie.0",
        bus_pattern=r"pcie\.0",
        port_model="pcie-root-port",
        iommus={
            "none": (),
            "intel": ("-device", "intel-iommu,intremap=on,caching-mode=on"),
        },
        # On a busy machine the emulated timer may not tick while the kernel looks at it, and the kernel would panic.
        # The others spare emulated processors a fifth of their time, and change nothing that a test looks at.
        kernel_args=("no_timer_check", "mitigations=off", "init_on_alloc=0", "apparmor=0", "nokaslr"),
        # Page tables of four levels are walked quicker than those of five.
        cpu="max,la57=off",
    ),
    # GICv3 with its ITS, so that a device behind the SMMU has MSIs. With a direct boot the kernel gets a device tree; from EFI
    # firmware it gets ACPI tables.
    "virt": Machine(
        architecture="arm64",
        arguments=("-nodefaults", "-machine", "virt,gic-version=3,its=on"),
        console="ttyAMA0",
        root_bus="pcie.0",
        bus_pattern=r"pcie\.0",
        port_model="pcie-root-port",
        iommus={
            "none": (),
            "smmuv3": ("-machine", "iommu=smmuv3"),
        },
        kernel_args=(_PATIENCE,),
        cpu="neoverse-n1",
    ),
    # Bare metal, started by skiboot. Six host bridges, each with one root port's bus. Without its defaults it has no buses.
    "powernv9": Machine(
        architecture="ppc64el",
        arguments=("-machine", "powernv9", "-net", "none", "-monitor", "none", "-parallel", "none"),
        console="hvc0",
        root_bus="pcie.0",
        bus_pattern=r"pcie\.[0-5]",
        port_model="pcie-root-port",
        iommus={"powernv": ()},
        kernel_args=(_PATIENCE,),
        cpu="power9",
        # QEMU 10.0 saves it, and does not map the interrupt controller's pages again: the first interrupt is a machine check.
        resumes=False,
        # Linux 6.12 resets its host bridges (pnv_pci_ioda_shutdown) while virtio's interrupts come: an answer to a packet is then a
        # machine check, and its end. Linux 6.15 resets virtio devices before (virtio_dev_shutdown in drivers/virtio/virtio.c).
        restarts_unheard=True,
    ),
    # A guest of a POWER hypervisor, which translates for it; each host bridge is a partitionable endpoint. TCG has none of the
    # mitigations that the machine has by default.
    "pseries": Machine(
        architecture="ppc64el",
        arguments=("-nodefaults", "-machine", "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off"),
        console="hvc0",
        root_bus="pci.0",
        bus_pattern=r"pci\.0|[a-z0-9-]+\.0",
        port_model="spapr-pci-host-bridge",
        iommus={"hypervisor": ()},
        kernel_args=(_PATIENCE,),
        cpu="power9",
        # QEMU 10.0 saves it too; of the processors that it resumes, one does not wake any more.
        resumes=False,
        host_bridges=True,
    ),
    # Disk and NIC of the host are on the channel subsystem; every PCI function is free to take, and has its UID and FID.
    "s390-ccw-virtio": Machine(
        architecture="s390x",
        arguments=("-nodefaults", "-machine", "s390-ccw-virtio"),
        console="ttysclp0",
        root_bus="pci.0",
        bus_pattern=r"pci\.0|virtual-css",
        port_model="pcie-root-port",
        iommus={"zpci": ()},
        kernel_args=(_PATIENCE,),
        zpci=True,
    ),
}

__all__ = ("ARCHITECTURES", "Architecture", "MACHINES", "Machine")
