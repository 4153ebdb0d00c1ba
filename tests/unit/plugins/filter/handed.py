# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices, as facts and as rows of a result, that tests hand over."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vfio.host.plugins.filter import handover as plugin

handover = plugin.FilterModule().filters()["handover"]


def facts(address, ids, pci_class, **fields):
    """A device as pci_facts shows it once vfio-pci has it."""
    vendor, dummy, product = ids.partition(":")
    known = {
        "address": address, "vendor": vendor, "device": product, "subsystem_vendor": "1043", "subsystem_device": "88e2",
        "class": pci_class, "driver": "vfio-pci", "iommu_group": "14", "numa_node": 0, "header_type": 0, "is_vf": False,
        "physfn": None, "sriov": None, "net": [],
        "vfio": {"module": "vfio_pci", "driver": "vfio-pci", "alias": "vfio_pci:v*d*sv*sd*bc*sc*i*"},
    }
    return {**known, **fields}


def row(known, **fields):
    """The same device as a row of passthrough's result."""
    identity = {name: known[name] for name in ("vendor", "device", "subsystem_vendor", "subsystem_device", "class")}
    found = {
        "address": known["address"], "policy": "guests", "identity": {**identity, "serial": None, "path": None, "uid": None, "name": "a device"},
        "driver_before": None, "driver": known["driver"], "override": known["driver"], "status": "bound",
        "choice": {"module": known["vfio"]["module"], "driver": known["driver"], "source": "auto", "alias": known["vfio"]["alias"]},
    }
    return {**found, **fields}


def by_address(*devices, **fields):
    """The facts vfio_host of a host with these devices."""
    return {"platform": "x86", "devices": {one["address"]: one for one in devices}, **fields}


GPU = facts("0000:01:00.0", "10de:2684", "030000")
AUDIO = facts("0000:01:00.1", "10de:22ba", "040300")
PF = facts("0000:02:00.0", "8086:10c9", "020000", driver="igb", iommu_group="15", sriov={"total": 7, "num": 2, "autoprobe": False})
VF = facts(
    "0000:02:10.0", "8086:10ca", "020000", iommu_group="20", is_vf=True, physfn=PF["address"],
    net=[{"name": "enp2s0v0", "mac": "52:54:00:12:34:56"}],
)
VF2 = facts("0000:02:10.2", "8086:10ca", "020000", iommu_group="21", is_vf=True, physfn=PF["address"])
VARIANT = facts(
    "0000:3b:00.2", "15b3:101e", "020000", driver="mlx5_vfio_pci", iommu_group="30", is_vf=True, physfn="0000:3b:00.0",
    vfio={"module": "mlx5_vfio_pci", "driver": "mlx5_vfio_pci", "alias": "vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i*"},
)
DISK = facts("0000:05:00.0", "144d:a808", "010802", iommu_group="41")
VMD_DISK = facts("10000:01:00.0", "144d:a808", "010802", iommu_group="42")

# What each consumer cannot do without.
NEEDED = {
    "libvirt": {}, "qemu": {}, "kubevirt": {"name": "nvidia.com/gpu"}, "sriov_device_plugin": {"name": "vfs"}, "nova": {},
    "proxmox": {"name": "gpu0", "node": "node1"}, "incus": {}, "cloud_hypervisor": {}, "dpdk": {}, "vpp": {}, "spdk": {},
}


def refused(data, to, **options):
    """The message of the failure; any other exception than AnsibleFilterError is a failure of the test."""
    with pytest.raises(AnsibleFilterError) as caught:
        handover(data, to=to, **{**NEEDED.get(to, {}), **options})
    return str(caught.value)
