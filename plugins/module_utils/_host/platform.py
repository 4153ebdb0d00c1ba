# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What kind of machine a host is, as far as VFIO is concerned."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Iterable, Optional

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

X86, S390, P9, ARM64, OTHER = PLATFORMS = ("x86", "s390", "p9", "arm64", "other")

_ARCHITECTURES = (
    ("x86_64", X86), ("i386", X86), ("i486", X86), ("i586", X86), ("i686", X86), ("s390x", S390), ("aarch64", ARM64), ("arm64", ARM64),
)

# Controllers of message-signalled interrupts, whoever's they are; not "pMSI" and "fMSI", of the platform and fsl-mc buses.
_ARM64_MSI = re.compile(r"(?<![pf])MSI", re.IGNORECASE)


def platform_of(fs: Sysfs) -> str:
    """One of PLATFORMS. On POWER, bare metal alone is P9: only there the firmware is OPAL, and a guest (pseries) has none (source:
    arch/powerpc/platforms/powernv/opal.c opal_sysfs_init()).
    """
    machine = fs.machine
    for start, platform in _ARCHITECTURES:
        if machine.startswith(start):
            return platform
    if machine.startswith("ppc64") and fs.exists(fs.firmware + "/opal"):
        return P9
    return OTHER


def remaps_interrupts(fs: Sysfs) -> Optional[bool]:
    """Whether what devices send as interrupts is checked; None where this is no question, or nothing tells.

    VFIO asks it on x86, where the IOMMU does it, and on arm64, where an ITS does (source: drivers/vfio/vfio_iommu_type1.c
    vfio_iommu_type1_attach_group(), kernel/irq/msi.c msi_device_has_isolated_msi()). s390 and POWER always do.
    """
    tells = {X86: _of_x86, ARM64: _of_arm64}.get(platform_of(fs))
    if tells is None:
        return None
    directory = fs.root + "/sys/kernel/irq"
    # On x86 the first that tells is enough.
    return tells(fs.read(f"{directory}/{number}/chip_name") or "" for number in fs.names(directory))


def _of_x86(chips: Iterable[str]) -> Optional[bool]:
    """Source: arch/x86/kernel/apic/io_apic.c, "IR-IO-APIC"; msi.c, "IR-"."""
    for chip in chips:
        if "IO-APIC" in chip or "PCI-MSI" in chip:
            return chip.startswith("IR-")
    return None


def _of_arm64(chips: Iterable[str]) -> Optional[bool]:
    """Of all that serve PCI devices, an ITS alone sets IRQ_DOMAIN_FLAG_ISOLATED_MSI (before 6.2 IRQ_DOMAIN_FLAG_MSI_REMAP).

    Sources: drivers/irqchip/irq-gic-v3-its-msi-parent.c, prefix "ITS-", before 6.11 irq-gic-v3-its-pci-msi.c "ITS-MSI";
    irq-gic-v2m.c "GICv2m-" and irq-gic-v3-mbi.c "MBI-", before "MSI"; those of drivers/pci/controller have names of their own.
    """
    kinds = [chip.startswith("ITS-") for chip in chips if _ARM64_MSI.search(chip)]
    return all(kinds) if kinds else None


__all__ = ("ARM64", "OTHER", "P9", "PLATFORMS", "S390", "X86", "platform_of", "remaps_interrupts")
