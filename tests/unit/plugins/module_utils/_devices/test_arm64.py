# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices that are on arm64 alone, with the drivers that are: by their real ids and aliases, on the fake host.

Sources: drivers/vfio/pci/nvgrace-gpu/main.c nvgrace_gpu_vfio_pci_table, drivers/vfio/pci/hisilicon/hisi_acc_vfio_pci.c
hisi_acc_vfio_pci_table, include/linux/pci_ids.h. Both name their driver KBUILD_MODNAME.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.model import Function, Module, alias

GRACE_IDS = ("2342", "2345", "2348", "2941", "31c2")
HISI_IDS = ("a251", "a256", "a259")
NVGRACE = Module(
    "nvgrace_gpu_vfio_pci", ("nvgrace_gpu_vfio_pci",), tuple(alias("10de", one, bus="vfio_pci") for one in GRACE_IDS),
    file="vfio/pci/nvgrace-gpu/nvgrace-gpu-vfio-pci.ko.xz",
)
HISI = Module(
    "hisi_acc_vfio_pci", ("hisi_acc_vfio_pci",), tuple(alias("19e5", one, bus="vfio_pci") for one in HISI_IDS),
    file="vfio/pci/hisilicon/hisi-acc-vfio-pci.ko.xz",
)
ADDRESS = "0009:01:00.0"
NIC = "0000:02:00.0"


def with_device(ids, pci_class, *modules):
    """An arm64 host with one more function, behind a host bridge of its own as Grace has them."""
    spec = hosts.arm64()
    device = Function(ADDRESS, ids, pci_class, group="20", reset="bus")
    return hosts.with_modules(replace(spec, functions=spec.functions + (device,)), *modules)


def taken(host, **more):
    result = host.take(dict({"match": {"address": ADDRESS}}, **more))
    (row,) = [one for one in result["devices"] if one["address"] == ADDRESS]
    return row


@pytest.mark.parametrize("ids, pci_class, module", [
    *((f"10de:{one}:10de:16eb", "030200", NVGRACE) for one in GRACE_IDS),
    *((f"19e5:{one}:19e5:0000", "120000", HISI) for one in HISI_IDS),
])
def test_a_device_of_a_variant_gets_it_by_its_alias(make_host, ids, pci_class, module):
    host = make_host(with_device(ids, pci_class, NVGRACE, HISI))
    row = taken(host)
    assert (row["driver"], row["override"]) == (module.drivers[0], module.drivers[0])
    assert row["choice"]["alias"] == alias(*ids.split(":")[:2], bus="vfio_pci")
    assert taken(host)["status"] == "unchanged"


@pytest.mark.parametrize("ids, pci_class", [("10de:2342:10de:16eb", "030200"), ("19e5:a251:19e5:0000", "120000")])
def test_a_kernel_without_the_variant_gives_it_to_vfio_pci(make_host, ids, pci_class):
    assert taken(make_host(with_device(ids, pci_class)))["driver"] == "vfio-pci"


@pytest.mark.parametrize("ids", ["10de:2330", "19e5:a250"])
def test_a_near_relative_and_a_pf_are_of_no_variant(make_host, ids):
    assert taken(make_host(with_device(ids, "030200", NVGRACE, HISI)))["driver"] == "vfio-pci"


@pytest.mark.parametrize("driver", ["nvgrace_gpu_vfio_pci", "hisi_acc_vfio_pci"])
def test_a_variant_is_refused_for_a_foreign_device_before_anything_is_touched(make_host, driver):
    host = make_host(hosts.with_modules(hosts.arm64(), NVGRACE, HISI))
    before = host.snapshot()
    with pytest.raises(PlanError, match=f"driver {driver} does not declare {NIC}"):
        host.take({"match": {"address": NIC}, "driver": driver})
    assert host.snapshot() == before


def test_the_facts_of_a_host_are_complete(make_host):
    facts = make_host(with_device("10de:2342", "030200", NVGRACE)).survey().facts()
    assert facts["platform"] == "arm64"
    device = facts["devices"][ADDRESS]
    assert (device["path"], device["iommu_group"]) == ("0009:01/00.0", "20")
    assert device["vfio"]["module"] == "nvgrace_gpu_vfio_pci"
    assert device["vfio"]["bindable"]
    assert set(device) == set(make_host(hosts.x86()).survey().facts()["devices"][hosts.NIC])
