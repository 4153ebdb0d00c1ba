# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The facts: the contract of pci_facts, on hosts of all kinds."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import (
    EDU,
    NIC,
    NVME,
    PAIR,
    PAIR_BRIDGE,
    PF,
    TWIN,
    VF,
    VIRTIO,
)
from ansible_collections.vfio.host.tests.unit.fake.model import Disk, Module, Nvme, alias

# The contract: these keys for every device, and no other.
KEYS = {
    "address",
    "vendor",
    "device",
    "subsystem_vendor",
    "subsystem_device",
    "class",
    "revision",
    "driver",
    "driver_override",
    "modalias",
    "iommu_group",
    "numa_node",
    "header_type",
    "path",
    "is_vf",
    "physfn",
    "vf",
    "sriov",
    "reset_methods",
    "boot_vga",
    "serial",
    "net",
    "block",
    "zpci",
    "vendor_name",
    "device_name",
    "vfio",
    "holders",
    "guards",
}


@pytest.mark.parametrize(
    "spec", [hosts.x86(), hosts.s390(), hosts.p9(), hosts.x86(iommu=False)], ids=["x86", "s390", "p9", "no-iommu"]
)
def test_every_device_has_every_key(make_host, spec):
    facts = make_host(spec).survey().facts()
    assert set(facts) == {"platform", "kernel", "iommu", "devices"}
    assert list(facts["devices"]) == sorted(one.address for one in spec.functions)
    for device in facts["devices"].values():
        assert set(device) == KEYS
        assert set(device["vfio"]) == {"module", "driver", "alias", "ties", "bindable", "reason"}


def test_an_endpoint_is_told_in_full(host):
    assert host.facts(NIC) == {
        "address": NIC,
        "vendor": "8086",
        "device": "10d3",
        "subsystem_vendor": "8086",
        "subsystem_device": "0000",
        "class": "020000",
        "revision": "00",
        "driver": "e1000e",
        "driver_override": None,
        "modalias": "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00",
        "iommu_group": "14",
        "numa_node": -1,
        "header_type": 0,
        "path": "0000:00/06.0-00.0",
        "is_vf": False,
        "physfn": None,
        "vf": None,
        "sriov": None,
        "reset_methods": ["bus"],
        "boot_vga": False,
        "serial": "52-54-00-ff-ff-00-03-02",
        "net": [{"name": "enp2s0", "mac": "52:54:00:00:03:02", "address": "52:54:00:00:03:02"}],
        "block": [],
        "zpci": None,
        "vendor_name": "Intel Corporation",
        "device_name": "82574L Gigabit Network Connection",
        "vfio": {
            "module": "vfio_pci",
            "driver": "vfio-pci",
            "alias": "vfio_pci:v*d*sv*sd*bc*sc*i*",
            "ties": [],
            "bindable": True,
            "reason": None,
        },
        "holders": [],
        "guards": [],
    }


def test_a_bridge_is_told_and_cannot_be_taken(host):
    facts = host.facts(PAIR_BRIDGE)
    assert (facts["header_type"], facts["vfio"]["bindable"]) == (1, False)
    assert "a bridge" in facts["vfio"]["reason"]


def test_an_nvme_has_its_disks_and_its_serial_number(host):
    facts = host.facts(NVME)
    assert (facts["serial"], facts["block"]) == ("NV01", ["nvme0n1"])


def test_partitions_are_no_disks(host):
    assert host.facts(hosts.ROOT_DISK)["block"] == ["vda"]


def test_a_virtio_interface_is_found_below_its_own_bus(host):
    assert host.facts(VIRTIO)["net"] == [{"name": "enp6s0", "mac": "52:54:00:00:06:00", "address": "52:54:00:00:06:00"}]


def test_a_pf_counts_its_vfs_and_a_vf_names_its_pf(host):
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "2")
    assert host.facts(PF)["sriov"] == {"total": 7, "num": 2, "autoprobe": True}
    vf = host.facts(VF)
    assert (vf["is_vf"], vf["physfn"], vf["sriov"]) == (True, PF, None)


def test_reading_the_number_of_vfs_takes_no_lock(host, monkeypatch):
    asked = []
    read = host.kernel.read_bytes
    monkeypatch.setattr(host.kernel, "read_bytes", lambda path, *rest: (asked.append(path), read(path, *rest))[1])
    host.survey()
    assert not [path for path in asked if path.endswith(("/sriov_numvfs", "/uevent"))]


def test_groups_list_their_members(host):
    assert host.survey().facts()["iommu"]["groups"]["9"] == [PAIR_BRIDGE, PAIR, hosts.PAIR2]


def test_an_override_shows_and_an_unset_one_is_null(host):
    host.take(EDU)
    assert host.facts(EDU)["driver_override"] == "vfio-pci"
    assert host.facts(NIC)["driver_override"] is None


@pytest.mark.parametrize(
    ("spec", "platform"),
    [
        (hosts.x86(), "x86"),
        (hosts.x86(machine="i686"), "x86"),
        (hosts.x86(machine="ia64"), "other"),
        (hosts.s390(), "s390"),
        (hosts.p9(), "p9"),
        (hosts.p9(opal=False), "other"),
        (hosts.x86(machine="aarch64"), "arm64"),
        (hosts.x86(machine="riscv64"), "other"),
    ],
)
def test_the_platform_is_told(make_host, spec, platform):
    assert make_host(spec).survey().platform == platform


def test_zpci_fields_are_as_sysfs_prints_them(make_host):
    host = make_host(hosts.s390())
    assert host.facts("1234:00:00.0")["zpci"] == {
        "uid": "0x1234",
        "uid_is_unique": True,
        "function_id": "0x00000005",
        "pchid": "0x0000",
        "pft": "0x0a",
        "pfgid": "0xff",
        "vfn": "0x0000",
        "port": "0",
    }
    assert host.facts("1234:00:00.0")["numa_node"] is None


def test_a_bridge_without_a_group_is_normal_on_power(make_host):
    host = make_host(hosts.p9())
    assert host.facts("0001:00:00.0")["iommu_group"] is None
    assert host.facts("0001:01:00.0")["vfio"]["bindable"]


def test_without_an_iommu_nothing_is_bindable_and_the_reason_says_why(make_host):
    host = make_host(hosts.x86(iommu=False))
    assert host.survey().facts()["iommu"] == {"enabled": False, "groups": {}, "interrupt_remapping": None}
    assert "no IOMMU group" in host.facts(NIC)["vfio"]["reason"]


def test_a_host_without_pci_has_no_devices(make_host):
    host = make_host(hosts.x86(functions=()))
    for name in ("devices", "drivers"):
        os.rename(str(host.tree.pci / name), str(host.tree.root / name))
    facts = host.survey().facts()
    assert (facts["devices"], facts["iommu"]) == ({}, {"enabled": False, "groups": {}, "interrupt_remapping": None})


def test_without_root_what_cannot_be_read_is_null_and_said_once(host):
    host.take(EDU)
    host.kernel.is_root = False
    found = host.survey()
    assert len([one for one in found.warnings if "not root" in one]) == 1
    facts = found.facts()["devices"]
    assert facts[NIC]["serial"] is None
    assert facts[NIC]["holders"] is None
    assert (facts[NIC]["revision"], facts[NIC]["header_type"]) == ("00", 0)


def test_a_device_that_vanishes_during_the_scan_is_left_out_with_a_warning(host, monkeypatch):
    read = host.kernel.read

    def vanish(path):
        if path.endswith(f"{TWIN}/modalias"):
            host.unplug(TWIN)
        return read(path)

    monkeypatch.setattr(host.kernel, "read", vanish)
    found = host.survey()
    assert TWIN not in found.devices
    assert found.warnings == [f"{TWIN} vanished during the scan and is left out"]


@pytest.mark.parametrize(
    "name", ["config", "numa_node", "driver_override", "driver", "iommu_group", "revision", "reset_method"]
)
def test_a_device_that_vanishes_a_moment_later_is_no_traceback(host, monkeypatch, name):
    directory = host.kernel.device_directory(TWIN)
    for path in (directory, f"{host.kernel.pci_devices}/{TWIN}"):
        if os.path.lexists(f"{path}/{name}"):
            os.unlink(f"{path}/{name}")
    assert set(host.facts(TWIN)) == KEYS


def test_a_configuration_space_that_reads_empty_leaves_what_sysfs_says(host):
    host.tree.put(host.kernel.device_directory(NIC) + "/config", b"")
    facts = host.facts(NIC)
    assert (facts["revision"], facts["header_type"], facts["serial"]) == ("00", None, None)


def test_a_bridge_without_its_configuration_space_is_told_by_its_class(host):
    host.tree.put(host.kernel.device_directory(PAIR_BRIDGE) + "/config", b"")
    assert host.facts(PAIR_BRIDGE)["vfio"]["bindable"] is False


@pytest.mark.parametrize("space", [b"\xff" * 4096, b"\0" * 4096, b"\0" * 256 + b"\x01\x00\x01\x10" + b"\0" * 4000])
def test_a_broken_capability_chain_ends(host, space):
    host.tree.put(host.kernel.device_directory(NIC) + "/config", space)
    assert host.facts(NIC)["serial"] is None


@pytest.mark.parametrize("dsn", ["00-00-00-00-00-00-00-00", "ff-ff-ff-ff-ff-ff-ff-ff"])
def test_a_serial_number_of_all_zeros_or_ones_is_none(make_host, dsn):
    assert make_host(hosts.changed(hosts.x86(), NIC, dsn=dsn)).facts(NIC)["serial"] is None


def test_a_multifunction_flag_is_no_header_type(host):
    with open(host.kernel.device_directory(NIC) + "/config", "rb") as stream:
        assert stream.read(15)[14] == 0x80
    assert host.facts(NIC)["header_type"] == 0


def test_a_variant_is_named_and_its_driver_stays_open_until_its_module_is_loaded(make_host):
    host = make_host(hosts.with_modules(hosts.x86(), hosts.VARIANT))
    assert (host.facts(VIRTIO)["vfio"]["module"], host.facts(VIRTIO)["vfio"]["driver"]) == ("virtio_vfio_pci", None)
    host.kernel.modprobe("virtio_vfio_pci")
    assert host.facts(VIRTIO)["vfio"]["driver"] == "virtio_vfio_pci"


def test_a_variant_that_is_built_in_is_chosen_too(make_host):
    host = make_host(hosts.with_modules(hosts.x86(), replace(hosts.VARIANT, builtin=True, file=None)))
    assert host.facts(VIRTIO)["vfio"]["driver"] == "virtio_vfio_pci"


def test_a_blacklisted_variant_is_not_chosen(make_host):
    spec = hosts.with_modules(hosts.x86(modprobe_d={"no.conf": "blacklist virtio-vfio-pci\n"}), hosts.VARIANT)
    assert make_host(spec).facts(VIRTIO)["vfio"]["module"] == "vfio_pci"


def test_without_vfio_pci_nothing_is_bindable(make_host):
    host = make_host(hosts.x86(modules=tuple(one for one in hosts.MODULES if one.name != "vfio_pci")))
    assert "no module vfio_pci" in host.facts(NIC)["vfio"]["reason"]


def test_a_driver_of_no_table_that_makes_vfio_devices_is_vfios(make_host):
    other = Module("other_vfio_pci", ("other-driver",), (alias("1234", "11e8"),))
    host = make_host(hosts.with_modules(hosts.x86(), other))
    assert host.survey().is_vfio("other-driver")
    assert not host.survey().is_vfio("e1000e")


def test_the_native_driver_is_told_from_the_table(host):
    found = host.survey()
    assert found.native_driver(found.devices[NIC]) == "e1000e"
    assert found.native_driver(found.devices[EDU]) is None


def test_a_native_module_that_is_blacklisted_is_no_native_driver(make_host):
    host = make_host(hosts.x86(modprobe_d={"no.conf": "blacklist e1000e\n"}, blacklist=("e1000e",)))
    found = host.survey()
    assert found.native_driver(found.devices[NIC]) is None


def test_a_multipath_nvme_still_has_its_serial_and_its_disk(make_host):
    nvme = Nvme("nvme0", "NV01", Disk("nvme0n1", "259:0", ""), subsystem="nvme-subsys0")
    host = make_host(hosts.changed(hosts.x86(), NVME, nvme=nvme))
    facts = host.facts(NVME)
    assert (facts["serial"], facts["block"]) == ("NV01", ["nvme0n1"])


def test_a_hidden_path_to_a_namespace_is_no_disk(host):
    (host.tree.root / "sys/class/block/nvme0n1/hidden").write_text("1\n")
    assert host.facts(NVME)["block"] == []


def test_a_survey_writes_nothing(host):
    before = host.snapshot()
    host.survey()
    assert host.snapshot() == before
    assert host.faults.log == []


def test_a_survey_reads_no_attribute_of_a_device_twice(host, monkeypatch):
    host.take(NIC)
    read, opened = Counter(), os.open

    def count(path, *more, **named):
        read[path] += 1
        return opened(path, *more, **named)

    monkeypatch.setattr(os, "open", count)
    host.survey()
    attributes = {path: number for path, number in read.items() if "/sys/devices/pci" in path}
    assert len(attributes) > 20
    assert {path for path, number in attributes.items() if number > 1} == set()
