# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.
"""Proxmox VE: one mapping of /etc/pve/mapping/pci.cfg.

A guest does not start where a mapping's properties differ from the node's, the number of the IOMMU group included
(source: PVE/Mapping/PCI.pm, assert_valid).
"""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.plugin_utils._handover.model import CARDS, Consumer, Device, Problem, Wanted
from ansible_collections.vfio.host.plugins.plugin_utils._handover.options import name_for

MOVING = (
    "the mapping has the IOMMU groups of this boot, and their numbers may differ after another: write it again after each boot, "
    "or the guests do not start"
)


def write(wanted: Wanted) -> str:
    """The section. Each line is one card; where there are several, a guest gets one that is free."""
    name = name_for("Proxmox VE", wanted.options["name"], pattern=r"[A-Za-z][A-Za-z0-9_-]+", words="a letter, then letters, digits, '_' and '-'")
    problems = _drivers(wanted)
    lines = [name]
    for unit in wanted.units:
        try:
            lines.append(f"\tmap {_map(wanted, unit)}")
        except Problem as error:
            problems += error.sentences
    if problems:
        raise Problem(*problems)
    if any(device.iommu_group for device in wanted.devices):
        wanted.warnings.append(MOVING)
    if any(device.is_wide for device in wanted.devices):
        wanted.warnings.append("QEMU 10.0 refuses PCI domains above ffff in what Proxmox VE passes on")
    return "\n".join(lines) + "\n"


def _drivers(wanted: Wanted) -> list[str]:
    # (source: PVE/QemuServer/PCI.pm: 'keep' means neither bind nor reset; else PVE/SysFSTools.pm binds to vfio-pci)
    if wanted.options.get("keep_driver"):
        return []
    return [
        f"{device.address} is on {device.driver}, and Proxmox VE binds vfio-pci before a guest starts: declare consumer: proxmox (or driver: "
        "vfio-pci) for it, or passthrough_consumers: {POLICY: proxmox} for its policy, or say driver=keep in the guest's hostpci line and keep_driver=true here"
        for device in wanted.devices if device.is_variant
    ]


def _map(wanted: Wanted, unit: tuple[Device, ...]) -> str:
    lead = unit[0]
    path = lead.address
    if len(unit) > 1:
        _check_whole(wanted, unit)
        path = lead.slot
    vendor, product = lead.ids()
    if lead.iommu_group is None:
        raise Problem(f"{lead.address}: a mapping has its IOMMU group; give the facts of this boot, facts=ansible_facts.vfio_host")
    if lead.subsystem_vendor is None or lead.subsystem_device is None:
        raise Problem(f"{lead.address}: a mapping has its subsystem ids; give facts that have the device")
    words = [f"id={vendor}:{product}"]
    if lead.iommu_group:
        words.append(f"iommugroup={int(lead.iommu_group)}")
    words += [f"node={wanted.options['node']}", f"path={path}", f"subsystem-id={lead.subsystem_vendor}:{lead.subsystem_device}"]
    return ",".join(words)


def _check_whole(wanted: Wanted, unit: tuple[Device, ...]) -> None:
    """A path without a function is the whole card, beginning with function 0. Raises Problem where that is not what is handed over."""
    lead, addresses = unit[0], [device.address for device in unit]
    there = wanted.siblings.get(lead.slot, ())
    missing = [address for address in (f"{lead.slot}.0", *there) if address not in addresses]
    if missing:
        raise Problem(
            f"{', '.join(addresses)}: a mapping has one function or all of a card, and {', '.join(dict.fromkeys(missing))} is not handed "
            "over: declare it too, or hand the functions over one after the other, under several names"
        )


CONSUMER = Consumer(
    "Proxmox VE", write, frozenset(("name", "node", "keep_driver")), frozenset(("name", "node")), variants=True, pools=CARDS,
)

__all__ = ("CONSUMER",)
