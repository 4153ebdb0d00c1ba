# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.
"""The consumers by name, and what is checked for any of them before it writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.vfio.host.plugins.plugin_utils._handover import (
    cloud_hypervisor,
    dpdk,
    incus,
    kubevirt,
    libvirt,
    nova,
    options,
    proxmox,
    qemu,
    reading,
    spdk,
    sriov_device_plugin,
    vpp,
)
from ansible_collections.vfio.host.plugins.plugin_utils._handover.model import CARDS, Consumer, Device, Problem, Wanted

CONSUMERS: dict[str, Consumer] = {
    "libvirt": libvirt.CONSUMER,
    "qemu": qemu.CONSUMER,
    "kubevirt": kubevirt.CONSUMER,
    "sriov_device_plugin": sriov_device_plugin.CONSUMER,
    "nova": nova.CONSUMER,
    "proxmox": proxmox.CONSUMER,
    "incus": incus.CONSUMER,
    "cloud_hypervisor": cloud_hypervisor.CONSUMER,
    "dpdk": dpdk.CONSUMER,
    "vpp": vpp.CONSUMER,
    "spdk": spdk.CONSUMER,
}


def hand_over(data: Any, to: Any, *, given: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """(what the consumer ``to`` reads, warnings). ``given``: the filter's options by name. All values consist of the JSON types. Raises
    Problem with all that is wrong.
    """
    if not isinstance(to, str) or to not in CONSUMERS:
        raise Problem(f"option 'to' must be one of {', '.join(CONSUMERS)}; it is {to!r}")
    consumer = CONSUMERS[to]
    chosen = options.read(given)
    _check_options(consumer, to, chosen)
    reader, devices = _devices(data, chosen)
    wanted = Wanted(devices, reading.units(devices), chosen, reader.siblings())
    problems = reader.problems + [refusal for device in devices for refusal in _refusals(consumer, to, device, chosen)]
    problems += reader.blocked(devices)
    problems += _shared(consumer, wanted) if consumer.pools else []
    if problems:
        raise Problem(*problems)
    return consumer.write(wanted), wanted.warnings


def _check_options(consumer: Consumer, to: str, chosen: Mapping[str, Any]) -> None:
    problems = [
        f"option '{name}' means nothing to {consumer.title}" for name in chosen if name not in consumer.options.union(options.COMMON)
    ]
    problems += [f"to='{to}' needs the option '{name}'" for name in sorted(consumer.needed) if name not in chosen]
    if problems:
        raise Problem(*problems)


def _devices(data: Any, chosen: Mapping[str, Any]) -> tuple[reading.Reader, tuple[Device, ...]]:
    """The devices of the input, sorted by address, each once; the reader has the problems of those that are left out."""
    entries = reading.entries(data)
    rows = [entry for entry in entries if reading.is_row(entry)]
    facts = {entry["address"]: entry for entry in entries if not reading.is_row(entry)}
    facts.update(reading.facts_by_address(chosen["facts"]) if "facts" in chosen else {})
    reader = reading.Reader(entries, facts, reading.set_by_run(data))
    if "policy" in chosen:
        if len(rows) < len(entries):
            raise Problem("option 'policy': facts do not tell of policies; hand over the result of a run")
        there = sorted({str(entry.get("policy")) for entry in entries})
        entries = [entry for entry in entries if entry.get("policy") == chosen["policy"]]
        if there and not entries:
            raise Problem(f"option 'policy': no device is of policy {chosen['policy']}; there are: {', '.join(there)}")
    if chosen.get("only_vfio"):
        entries = [entry for entry in entries if reader.on_vfio(entry["address"]) and entry.get("status") not in ("pending", "released")]
    if not entries:
        raise Problem("no device to hand over: where a host has none, guard the task with 'when'")
    devices = {entry["address"]: reader.device(entry) for entry in entries}
    return reader, tuple(sorted((device for device in devices.values() if device is not None), key=lambda device: device.order))


def _refusals(consumer: Consumer, to: str, device: Device, chosen: Mapping[str, Any]) -> list[str]:
    """Why the consumer could not open the device."""
    sentences = []
    if device.is_variant and not consumer.variants:
        sentences.append(
            f"{device.address} is on {device.driver}, and {consumer.title} knows VFIO by the driver vfio-pci alone: declare "
            f"consumer: {to} (or driver: vfio-pci) for it, or passthrough_consumers: {{POLICY: {to}}} for its policy, and converge"
        )
    if device.is_wide and not consumer.wide:
        sentences.append(f"{device.address}: {consumer.title} takes no PCI domain above ffff")
    if device.iommu_group == "" and not consumer.groupless:
        sentences.append(f"{device.address} has no IOMMU group, so {consumer.title} cannot open it: turn the IOMMU on")
    if device.needs_token and not consumer.token:
        sentences.append(
            f"{device.address}: its PF is on a VFIO driver, so it is opened with a VF token, which {consumer.title} cannot give: give "
            "the PF its native driver"
        )
    elif device.needs_token and "vf_token" not in chosen:
        sentences.append(f"{device.address}: its PF is on a VFIO driver; say the VF token that the PF's user sets, vf_token=UUID")
    return sentences


def _shared(consumer: Consumer, wanted: Wanted) -> list[str]:
    """A sentence for each IOMMU group that two guests would share."""
    groups: dict[str, list[str]] = {}
    for unit in wanted.units if consumer.pools == CARDS else tuple((device,) for device in wanted.devices):
        if unit[0].iommu_group:
            groups.setdefault(unit[0].iommu_group, []).append(unit[0].address)
    return [
        f"{' and '.join(members)} share the IOMMU group {group}, which one guest can have, and {consumer.title} may give them to two: "
        "hand over one of them"
        for group, members in groups.items() if len(members) > 1
    ]


__all__ = ("CONSUMERS", "hand_over")
