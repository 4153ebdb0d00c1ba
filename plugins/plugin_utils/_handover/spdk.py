# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.
"""SPDK: the environment of scripts/setup.sh, and the configuration that an application reads with --json.

setup.sh leaves a device alone that is on vfio-pci already (source: scripts/setup.sh, probe_driver); any other it would rebind, and
clear the override.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.vfio.host.plugins.plugin_utils._handover.model import NVME, Consumer, Wanted
from ansible_collections.vfio.host.plugins.plugin_utils._handover.options import name_for


def write(wanted: Wanted) -> dict[str, Any]:
    """A mapping: ``environment``, and ``config`` with one controller for each NVMe."""
    name = name_for("SPDK", wanted.options.get("name", "Nvme"), pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]{0,50}", words="a name without '/'")
    disks = [device for device in wanted.devices if device.is_of(NVME)]
    attach = [
        {
            "method": "bdev_nvme_attach_controller",
            "params": {"name": f"{name}{number}", "trtype": "PCIe", "traddr": device.address},
        }
        for number, device in enumerate(disks)
    ]
    return {
        "environment": {"PCI_ALLOWED": " ".join(device.address for device in wanted.devices)},
        "config": {"subsystems": [{"subsystem": "bdev", "config": attach}]},
    }


CONSUMER = Consumer("SPDK", write, frozenset(("name",)), groupless=True)

__all__ = ("CONSUMER",)
