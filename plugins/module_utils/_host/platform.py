# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What kind of machine a host is, as far as VFIO is concerned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

X86, S390, P9, ARM64, OTHER = PLATFORMS = ("x86", "s390", "p9", "arm64", "other")

_ARCHITECTURES = (("x86_64", X86), ("i", X86), ("s390x", S390), ("aarch64", ARM64), ("arm64", ARM64))


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
    """Whether the IOMMU of an x86 remaps the interrupts of devices; None on other platforms, and where nothing tells.

    The kernel names the interrupt controllers that go through the IOMMU "IR-..." (source: arch/x86/kernel/apic/io_apic.c,
    "IR-IO-APIC"; msi.c, "IR-").
    """
    if platform_of(fs) != X86:
        return None
    directory = fs.root + "/sys/kernel/irq"
    for number in fs.names(directory):
        chip = fs.read(f"{directory}/{number}/chip_name") or ""
        if "IO-APIC" in chip or "PCI-MSI" in chip:
            return chip.startswith("IR-")
    return None


__all__ = ("ARM64", "OTHER", "P9", "PLATFORMS", "S390", "X86", "platform_of", "remaps_interrupts")
