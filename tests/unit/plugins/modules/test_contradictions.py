# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One declaration whose parts undo each other at the next boot: refused before anything is touched, in check mode too."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse
from ansible_collections.vfio.host.plugins.module_utils._cmdline.iommu_arguments import INTEL, turned_off
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.whole import WholeHost

DEVICES = {"p": [{"match": {"address": hosts.NIC}}]}
PFS = [{"match": {"address": hosts.PF}, "numvfs": 2}]
OFF = "turns the IOMMU off, and devices are declared for VFIO"
NEEDED = "policy p has 0000:02:00.0 for its driver"


@pytest.fixture
def whole(tmp_path):
    return WholeHost(tmp_path, hosts.x86(), line="intel_iommu=on quiet")


def refused(run_module, host, **options):
    """The messages, which check mode and run have in common."""
    before = host.snapshot(), host.grub.read("boot/grub/grub.cfg"), host.grub.read("etc/default/grub.d/zz-vfio-host.cfg")
    said = [run_module(host, "passthrough", check=check, **options)["msg"] for check in (True, False)]
    assert (host.snapshot(), host.grub.read("boot/grub/grub.cfg"), host.grub.read("etc/default/grub.d/zz-vfio-host.cfg")) == before
    assert said[0] == said[1]
    return said[0]


@pytest.mark.parametrize("arguments, words", [
    ({"iommu": "off"}, f"iommu=off {OFF}"),
    ({"iommu": ["pt", "off"]}, f"iommu=off {OFF}"),
    ({"intel-iommu": "off"}, f"intel-iommu=off {OFF}"),
    ({"intel_iommu": "on,off"}, f"intel_iommu=on,off {OFF}"),
    ({"intel_iommu": None}, "intel_iommu takes the place of intel_iommu=on, which turns the IOMMU on"),
    ({"intel_iommu": "sm_on"}, "intel_iommu takes the place of intel_iommu=on, which turns the IOMMU on"),
    ({"pci": "off"}, "pci=off turns PCI off"),
    ({"module_blacklist": "a,vfio_pci"}, f"module_blacklist keeps module vfio_pci from loading, and {NEEDED}"),
    ({"module-blacklist": "vfio_pci"}, f"module_blacklist keeps module vfio_pci from loading, and {NEEDED}"),
    ({"initcall_blacklist": "vfio_pci_init"}, f"initcall_blacklist keeps module vfio_pci from loading, and {NEEDED}"),
    ({"modprobe.blacklist": "a,vfio_pci"}, f"modprobe.blacklist keeps module vfio_pci from loading, and {NEEDED}"),
])
def test_an_argument_that_takes_the_devices_away_is_refused(run_module, whole, arguments, words):
    assert f"kernel_cmdline: {words}" in refused(run_module, whole, devices=DEVICES, kernel_cmdline=arguments)


@pytest.mark.parametrize("state", ["disabled", "unloaded"])
def test_a_module_that_a_declared_device_needs_is_to_stay(run_module, whole, state):
    message = refused(run_module, whole, devices=DEVICES, modules=[{"name": "vfio-pci", "state": state}])
    assert message == f"modules: module vfio_pci is to be {state}, and {NEEDED}: leave out one of them"


def test_a_symbol_without_which_there_is_no_driver_is_refused(run_module, whole):
    assert "module vfio_pci is to be disabled" in refused(run_module, whole, devices=DEVICES, kernel_config={"VFIO_PCI": "n"})


@pytest.mark.parametrize("options, words", [
    ({"modules": [{"name": "igb", "state": "disabled"}]}, "modules: module igb is to be disabled"),
    ({"kernel_cmdline": {"module_blacklist": "igb"}}, "kernel_cmdline: module_blacklist keeps module igb from loading"),
])
def test_the_native_driver_that_makes_declared_vfs_is_to_stay(run_module, whole, options, words):
    message = refused(run_module, whole, sriov=PFS, **options)
    assert f"{words}, and 0000:01:00.0 is declared to have VFs, which its driver makes: leave out one of them" in message


@pytest.mark.parametrize("options", [
    {"kernel_cmdline": {"iommu": "pt"}},
    {"kernel_cmdline": {"intel_iommu": "on,sm_on"}},
    {"kernel_cmdline": {"amd_iommu": "off"}},
    {"kernel_cmdline": {"pci": "noaer"}},
    {"kernel_cmdline": {"module_blacklist": "igb"}},
    {"kernel_cmdline": {"module_blacklist": "vfio-pci", "initcall_blacklist": "sysfb_init"}},
    {"modules": [{"name": "vfio-pci", "state": "absent"}]},
    {"modules": [{"name": "bochs", "state": "disabled"}], "force": ["console"]},
])
def test_what_takes_nothing_away_is_set(run_module, whole, options):
    assert run_module(whole, "passthrough", devices=DEVICES, **options)["changed"]


@pytest.mark.parametrize("options", [
    {"kernel_cmdline": {"iommu": "off"}, "devices": {"p": [{"match": {"address": hosts.NIC}, "driver": "native"}]}},
    {"kernel_cmdline": {"iommu": "off"}, "devices": {"p": []}},
    {"kernel_cmdline": {"iommu": "off"}, "devices": DEVICES, "at_boot": False},
    {"modules": [{"name": "vfio-pci", "state": "disabled"}], "devices": {"p": []}},
])
def test_without_a_device_for_vfio_at_the_boot_nothing_is_contradicted(run_module, whole, options):
    assert not run_module(whole, "passthrough", check=True, **options).get("failed")


@pytest.mark.parametrize("line, machine, table, found", [
    ("iommu=off", "ppc64le", None, ["iommu=off"]),
    ("iommu=off", "aarch64", None, []),
    ("iommu=off", "s390x", None, []),
    ("pci=off", "s390x", None, ["pci=off"]),
    ("pci=off", "aarch64", None, []),
    ("pci=nomio,off", "s390x", None, ["pci=nomio,off"]),
    ("amd_iommu=off intel_iommu=off", "x86_64", None, ["amd_iommu=off", "intel_iommu=off"]),
    ("amd_iommu=off intel_iommu=off", "x86_64", INTEL, ["intel_iommu=off"]),
])
def test_what_turns_it_off_differs_by_machine(line, machine, table, found):
    assert sorted(text for text, dummy in turned_off(parse(line), table=table, machine=machine)) == found
