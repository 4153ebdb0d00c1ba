# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.
"""KubeVirt: what its custom resource has in spec. Its device plugin finds the devices itself, by ids and driver.

(source: pkg/virt-handler/device-manager/pci_device.go: the driver must be vfio-pci, and a device is known by its IOMMU group)
"""

from __future__ import annotations

from typing import Any

from ansible_collections.vfio.host.plugins.plugin_utils._handover.model import CARDS, Consumer, Wanted
from ansible_collections.vfio.host.plugins.plugin_utils._handover.options import name_for

# An extended resource. (source: kubernetes, pkg/apis/core/v1/helper IsExtendedResourceName)
NAME = r"(?!.*kubernetes\.io/)(?!requests\.)[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"


def write(wanted: Wanted) -> dict[str, Any]:
    """The mapping. Of a card of several functions the first one is offered, since the plugin passes one device a group on."""
    name = name_for("KubeVirt", wanted.options["name"], pattern=NAME, words="a domain and a name, such as nvidia.com/AD102,")
    selectors = list(dict.fromkeys(":".join(unit[0].ids()).upper() for unit in wanted.units))
    devices = [{"pciVendorSelector": selector, "resourceName": name, "externalResourceProvider": False} for selector in selectors]
    return {"spec": {"configuration": {"permittedHostDevices": {"pciHostDevices": devices}}}}


CONSUMER = Consumer(
    "KubeVirt", write, frozenset(("name",)), frozenset(("name",)),
    wide=False,  # (source: pkg/util/hardware/hw_utils.go, PCI_ADDRESS_PATTERN)
    pools=CARDS,
)

__all__ = ("CONSUMER",)
