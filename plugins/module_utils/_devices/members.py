# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Members of IOMMU groups that are no PCI functions, as devices of the platform bus are behind an SMMU."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Collection, Mapping

    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

# VFIO's drivers of other buses (source: driver_managed_dma below drivers/vfio). From Linux 6.1 on what they have is to be
# seen in vfio-dev.
OF_OTHER_BUSES = frozenset(("vfio-amba", "vfio-cdx", "vfio-fsl-mc", "vfio-platform"))


def others_in(fs: Sysfs, groups: Mapping[str, Collection[str]]) -> dict[str, dict[str, str]]:
    """IOMMU group -> {name: driver} of its members that were not read as PCI functions, and that keep it from user space.

    ``groups``: group -> addresses of the PCI functions. The kernel's rule does not ask for the bus: a member keeps its group
    while a driver has it that does DMA for itself (source: drivers/iommu/iommu.c iommu_group_claim_dma_owner()).
    """
    found: dict[str, dict[str, str]] = {}
    for group, addresses in groups.items():
        directory = f"{fs.iommu_groups}/{group}/devices"
        for name in fs.names(directory):
            driver = None if name in addresses else fs.link(f"{directory}/{name}/driver")
            if driver is not None and driver not in OF_OTHER_BUSES and not fs.exists(f"{directory}/{name}/vfio-dev"):
                found.setdefault(group, {})[name] = driver
    return found


__all__ = ("OF_OTHER_BUSES", "others_in")
