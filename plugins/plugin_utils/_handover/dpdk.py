# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.
"""DPDK: arguments of its environment abstraction layer. It knows VFIO by the name vfio-pci alone.

(source: drivers/bus/pci/linux/pci.c, pci_scan_one: strcmp(driver, "vfio-pci"))
"""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.plugin_utils._handover.model import Consumer, Wanted


def write(wanted: Wanted) -> str:
    """One line."""
    words = [word for device in wanted.devices for word in ("-a", device.address)]
    if any(device.needs_token for device in wanted.devices):
        words.append(f"--vfio-vf-token={wanted.options['vf_token']}")
    return " ".join(words)


CONSUMER = Consumer("DPDK", write, frozenset(("vf_token",)), groupless=True, token=True)

__all__ = ("CONSUMER",)
