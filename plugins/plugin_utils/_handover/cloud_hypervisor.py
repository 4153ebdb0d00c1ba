# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.
"""Cloud Hypervisor: arguments of its command line. Each device is found by its path in sysfs, whatever VFIO driver has it."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.plugin_utils._handover.model import Consumer, Wanted


def write(wanted: Wanted) -> str:
    """One line. --device takes all devices at once (source: cloud-hypervisor/src/main.rs, docs/vfio.md)."""
    words = ["--platform", "iommufd=on"] if wanted.options.get("iommufd") else []
    words += ["--device", *(f"path=/sys/bus/pci/devices/{device.address}/" for device in wanted.devices)]
    return " ".join(words)


CONSUMER = Consumer("Cloud Hypervisor", write, frozenset(("iommufd",)), variants=True)

__all__ = ("CONSUMER",)
