# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.
"""VPP: the section dpdk of startup.conf. Its plugin is DPDK, so the driver has to be vfio-pci."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.plugin_utils._handover.model import Consumer, Wanted


def write(wanted: Wanted) -> str:
    """The section."""
    lines = ["dpdk {", "  uio-driver vfio-pci", *(f"  dev {device.address}" for device in wanted.devices), "}"]
    return "\n".join(lines) + "\n"


CONSUMER = Consumer(
    "VPP", write,
    wide=False,  # (source: src/vlib/pci/pci.c, unformat_vlib_pci_addr: the domain has 16 bits)
    groupless=True,
)

__all__ = ("CONSUMER",)
