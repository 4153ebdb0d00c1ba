# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a platform needs, as the role brings it, beside what is declared for a host."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.vfio.host.tests.unit.fake import hosts

ROLE = Path(__file__).parents[4] / "roles/passthrough/defaults/main.yml"
NEEDS = yaml.safe_load(ROLE.read_text(encoding="utf-8"))["passthrough_platforms"]
COMMON = "CONFIG_VFIO=m\nCONFIG_VFIO_PCI=m\n"
CONFIGS = {
    "x86": COMMON + "CONFIG_VFIO_IOMMU_TYPE1=m\n",
    "s390": COMMON + "CONFIG_VFIO_IOMMU_TYPE1=m\nCONFIG_VFIO_PCI_ZDEV_KVM=y\n",
    "p9": COMMON + "CONFIG_VFIO_IOMMU_SPAPR_TCE=m\n",
    "arm64": COMMON + "CONFIG_VFIO_IOMMU_TYPE1=m\nCONFIG_VFIO_PLATFORM=m\n",
}
DEVICES = {
    "x86": {"p": [{"match": {"address": hosts.NIC}}]}, "s390": {"p": [{"match": {"uid": "0x2"}}]},
    "p9": {"p": [{"match": {"address": "0001:01:00.0"}}]}, "arm64": {"p": [{"match": {"address": "0000:02:00.0"}}]},
}


@pytest.fixture
def make(make_host):
    def made(platform, config=None):
        host = make_host(getattr(hosts, platform)())
        text = CONFIGS[platform] if config is None else config
        host.tree.put(host.tree.root / "boot" / f"config-{host.spec.kernel}", text)
        return host
    return made


@pytest.mark.parametrize("platform", CONFIGS)
def test_the_needs_of_the_host_s_own_platform_are_met_and_nothing_else_is_asked(make, run_module, platform):
    host = make(platform)
    options = {"devices": DEVICES[platform], "platforms": NEEDS, "initramfs": False}
    result = run_module(host, "passthrough", **options)
    assert {symbol: one["met"] for symbol, one in result["kernel_config"].items()} == dict.fromkeys(
        NEEDS[platform]["kernel_config"], True
    )
    assert [one["driver"] for one in result["devices"]] == ["vfio-pci"]
    assert not run_module(host, "passthrough", **options)["changed"]


def test_type1_is_never_asked_of_power_and_every_platform_is_one_that_the_facts_know():
    assert "VFIO_IOMMU_TYPE1" not in NEEDS["p9"]["kernel_config"]
    assert set(NEEDS) == {"x86", "s390", "p9", "arm64"}


def test_vfio_for_the_platform_bus_is_no_vfio_for_pci(make, run_module):
    host = make("arm64", "CONFIG_VFIO=m\nCONFIG_VFIO_PLATFORM=m\n# CONFIG_VFIO_PCI is not set\nCONFIG_VFIO_IOMMU_TYPE1=m\n")
    before = host.snapshot()
    message = run_module(host, "passthrough", devices=DEVICES["arm64"], platforms=NEEDS, initramfs=False)["msg"]
    assert "VFIO_PCI: wanted y or m" in message
    assert host.snapshot() == before


def test_on_arm64_no_argument_of_x86_is_asked_for(make, run_module):
    result = run_module(make("arm64"), "passthrough", devices=DEVICES["arm64"], platforms=NEEDS, initramfs=False)
    assert "kernel_cmdline" not in result
    assert not result["reboot_required"]


@pytest.mark.parametrize("platform", ["arm64", "s390", "p9"])
def test_where_nothing_turns_an_iommu_on_its_absence_is_said_without_advice_for_x86(make_host, run_module, platform):
    host = make_host(getattr(hosts, platform)(iommu=False))
    before = host.snapshot()
    message = run_module(host, "passthrough", devices=DEVICES[platform], initramfs=False)["msg"]
    assert "cannot be taken: no IOMMU group" in message
    assert not [word for word in ("intel_iommu", "amd_iommu", "VT-d", "AMD-Vi", "DMAR", "iommu=pt") if word in message]
    assert host.snapshot() == before


def test_a_kernel_without_vfio_is_refused_with_what_it_would_take(make, run_module):
    host = make("s390", "# CONFIG_VFIO is not set\nCONFIG_KVM=m\n")
    before = host.snapshot()
    message = run_module(host, "passthrough", devices=DEVICES["s390"], platforms=NEEDS, initramfs=False)["msg"]
    assert "VFIO_PCI: wanted y or m" in message
    assert host.snapshot() == before


def test_what_is_declared_for_the_host_wins(make, run_module):
    host = make("s390", CONFIGS["s390"].replace("ZDEV_KVM=y", "ZDEV_KVM=n"))
    options = {"devices": DEVICES["s390"], "platforms": NEEDS, "initramfs": False}
    assert "VFIO_PCI_ZDEV_KVM" in run_module(host, "passthrough", **options)["msg"]
    result = run_module(host, "passthrough", kernel_config={"CONFIG_VFIO_PCI_ZDEV_KVM": ["y", "n"]}, **options)
    assert result["kernel_config"]["VFIO_PCI_ZDEV_KVM"]["met"] and result["kernel_config"]["VFIO_PCI"]["met"]


def test_modules_and_arguments_of_a_platform_give_way_by_name(make, run_module):
    host = make("x86")
    needs = {"x86": {"modules": [{"name": "vfio_pci", "state": "disabled"}, {"name": "e1000"}]}}
    result = run_module(
        host, "passthrough", devices=DEVICES["x86"], platforms=needs, modules=[{"name": "vfio-pci"}], initramfs=False,
    )
    assert {one["name"]: one["state"] for one in result["modules"]} == {"vfio_pci": "loaded", "e1000": "loaded"}


def test_no_platform_needs_anything_where_no_device_is_taken(make, run_module):
    host = make("s390", "# CONFIG_VFIO is not set\n")
    devices = {"p": [{"match": {"uid": "0x2"}, "driver": "native"}]}
    assert "kernel_config" not in run_module(host, "passthrough", devices=devices, platforms=NEEDS, initramfs=False)
    run_module(host, "passthrough", state="absent", platforms=NEEDS, initramfs=False)


@pytest.mark.parametrize("platforms, says", [
    ({"pseries": {}}, "'pseries' is no platform; there are: x86, s390, p9, arm64, other"),
    ({"p9": []}, "p9: must be a mapping"),
    ({"p9": None}, "platforms: p9: holds nothing: leave it out, or write p9: {}"),
    ({"p9": {"devices": {}}}, "p9: devices is unknown"),
    ({"p9": {"kernel_config": ["VFIO"]}}, "p9: kernel_config must be a mapping"),
    ({"p9": {"modules": {"name": "vfio"}}}, "p9: modules must be a list of mappings"),
    ({"p9": {"modules": ["vfio"]}}, "each must be a mapping with 'name', not 'vfio'"),
])
def test_what_no_platform_can_need_is_an_error_on_every_platform(make, run_module, platforms, says):
    host = make("x86")
    result = run_module(host, "passthrough", devices=DEVICES["x86"], platforms=platforms, initramfs=False)
    assert says in result["msg"]
