# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.
"""QEMU: arguments of its command line. Each device is found by its address, whatever VFIO driver has it."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.plugin_utils._handover.model import Consumer, Device, Wanted

IOMMUFD = "vfio-iommufd"
# Of root ports the pair of chassis and slot must be unique (source: hw/pci/pcie_port.c, pcie_chassis_add_slot).
CHASSIS = 200


def write(wanted: Wanted) -> str:
    """One line. A card of several functions gets a root port of its own, and is one card in the guest as well."""
    words = ["-object", f"iommufd,id={IOMMUFD}"] if wanted.options.get("iommufd") else []
    for number, unit in enumerate(wanted.units):
        port = f"vfio-port{number}"
        if len(unit) > 1:
            words += ["-device", f"pcie-root-port,id={port},chassis={CHASSIS},slot={number}"]
        for function, device in enumerate(unit):
            options = _device(wanted, device)
            if len(unit) > 1:
                options += [f"bus={port}", f"addr=00.{function}"]
                options += ["multifunction=on"] if function == 0 else []
            words += ["-device", ",".join(options)]
    return " ".join(words)


def _device(wanted: Wanted, device: Device) -> list[str]:
    # Its property 'host' takes no domain above ffff (source: hw/core/qdev-properties-system.c, set_pci_host_devaddr).
    where = f"sysfsdev=/sys/bus/pci/devices/{device.address}" if device.is_wide else f"host={device.address}"
    options = ["vfio-pci", where]
    if wanted.options.get("iommufd"):
        options.append(f"iommufd={IOMMUFD}")
    if device.needs_token:
        options.append(f"vf-token={wanted.options['vf_token']}")
    return options


CONSUMER = Consumer("QEMU", write, frozenset(("iommufd", "vf_token")), variants=True, token=True)

__all__ = ("CONSUMER",)
