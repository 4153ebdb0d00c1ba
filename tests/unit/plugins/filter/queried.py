# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices that pci_query is asked about, and what it answers."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vfio.host.plugins.filter import pci_query as plugin

pci_query = plugin.FilterModule().filters()["pci_query"]


def device(address, ids, pci_class, **fields):
    vendor, _colon, product = ids.partition(":")
    facts = {
        "address": address,
        "vendor": vendor,
        "device": product,
        "class": pci_class,
        "driver": None,
        "iommu_group": "1",
        "numa_node": 0,
        "is_vf": False,
        "physfn": None,
        "sriov": None,
        "net": [],
        "guards": [],
    }
    return {**facts, **fields}


GPU = device("0000:01:00.0", "10de:2684", "030000", driver="nouveau")
GPU_AUDIO = device("0000:01:00.1", "10de:22ba", "040300", driver="snd_hda_intel")
NIC = device(
    "0000:02:00.0",
    "8086:10d3",
    "020000",
    driver="e1000e",
    iommu_group="11",
    net=[{"name": "enp2s0", "mac": "52:54:00:00:00:01"}],
    guards=[{"kind": "network", "reason": "enp2s0 carries the default route"}],
)
PF = device("0000:03:00.0", "8086:10c9", "020000", driver="igb", sriov={"total": 7, "num": 2, "autoprobe": False})
VF0 = device("0000:03:10.0", "8086:10ca", "020000", is_vf=True, physfn="0000:03:00.0")
VF1 = device("0000:03:10.2", "8086:10ca", "020000", is_vf=True, physfn="0000:03:00.0")
NVME = device("10000:01:00.0", "144d:a808", "010802", driver="nvme", numa_node=1)
DEVICES = [GPU, GPU_AUDIO, NIC, PF, VF0, VF1, NVME]


def entry(item, **options):
    return {"match": {"address": item["address"], "vendor": item["vendor"], "device": item["device"]}, **options}


def error(data, expression, **options):
    """The message of the failure; any other exception than AnsibleFilterError is a failure of the test."""
    with pytest.raises(AnsibleFilterError) as caught:
        pci_query(data, expression, **options)
    return str(caught.value)
