# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bound, and of no use to a client: the task says which client fails, and how."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, PAIR, TWIN, VGA

DIRECT = "0x000000007f000000 0x000000007fffffff direct"
FORCED = {"force": ["network", "console"]}


def told(host, *entries, **options):
    """What a task says, in check mode, for real and a second time alike."""
    predicted = host.take(*entries, check=True, **options)["warnings"]
    assert host.take(*entries, **options)["warnings"] == predicted == host.take(*entries, **options)["warnings"]
    return predicted


def with_reserved(group, *lines):
    return hosts.x86(reserved={group: lines})


def test_a_region_of_type_direct_keeps_every_client_from_the_group(make_host):
    (warning,) = told(make_host(with_reserved("14", DIRECT)), NIC)
    assert warning.startswith(f"{NIC} (Intel Corporation 82574L Gigabit Network Connection: 0x000000007f000000-0x000000007fffffff): the firmware asks")
    assert "QEMU, libvirt, DPDK" in warning and "'Operation not permitted' or 'Invalid argument'" in warning


@pytest.mark.parametrize("line", [
    DIRECT + "-relaxable", DIRECT.replace("direct", "reserved"), "0x0000000008000000 0x00000000080fffff msi", "", "nonsense", "a direct",
])
def test_regions_of_other_types_are_normal(make_host, line):
    assert told(make_host(with_reserved("14", line)), NIC) == []


def test_only_devices_of_the_group_are_told_and_only_those_for_vfio(make_host):
    host = make_host(with_reserved("14", DIRECT))
    assert told(host, TWIN) == []
    assert told(host, {"match": {"address": NIC}, "driver": "native"}) == []


def with_framebuffer(name="BOOTFB", start=0xC0000000, **card):
    bars = ((0xC0000000, 0xC0FFFFFF), (0xFEBF0000, 0xFEBF0FFF))
    spec = hosts.changed(hosts.x86(), VGA, bars=bars, reset="pm", **card)
    spec = hosts.changed(spec, EDU, bars=((0xD0000000, 0xD00FFFFF),))
    iomem = f"c0000000-febfffff : PCI Bus 0000:00\n  c0000000-c0ffffff : {VGA}\n    {start:08x}-{start + 0xfff:08x} : {name}\n  d0000000-d00fffff : {EDU}\n"
    return replace(spec, iomem=iomem)


@pytest.mark.parametrize("name", ["BOOTFB", "simplefb", "simpledrm", "efifb", "vesafb", "simple-framebuffer", "efi-framebuffer.0", "ofdrm"])
@pytest.mark.parametrize("pci_class", ["030000", "038000", "030200"])
def test_a_framebuffer_of_the_firmware_in_its_memory_is_told(make_host, name, pci_class):
    host = make_host(with_framebuffer(name, pci_class=pci_class))
    (warning,) = told(host, VGA, **FORCED)
    assert f"{VGA} (Technical Corp. [1234:1111]: {name}): the firmware's framebuffer is in its memory: QEMU cannot map" in warning


def test_a_framebuffer_beside_its_line_is_told_by_its_numbers(make_host):
    spec = with_framebuffer()
    host = make_host(replace(spec, iomem="c0000000-c0000fff : BOOTFB\n"))
    assert "BOOTFB" in told(host, VGA, **FORCED)[0]
    assert host.take(EDU)["warnings"] == []


def test_a_framebuffer_elsewhere_and_a_reader_without_root_tell_nothing(make_host):
    host = make_host(replace(with_framebuffer(), iomem="d1000000-d1000fff : BOOTFB\n"))
    assert told(host, VGA, **FORCED) == []
    host = make_host(replace(with_framebuffer(), iomem=f"00000000-00000000 : {VGA}\n  00000000-00000000 : BOOTFB\n"))
    assert told(host, VGA, **FORCED) == []


def test_what_else_is_claimed_in_the_memory_of_a_device_without_a_driver_is_told(make_host):
    host = make_host(with_framebuffer("ioapic-like thing"))
    assert "ioapic-like thing" not in str(host.take(VGA, check=True, **FORCED)["warnings"])  # bochs has it now
    host.take(VGA, **FORCED)
    (warning,) = host.take(VGA, **FORCED)["warnings"]
    assert f"{VGA} (Technical Corp. [1234:1111]: ioapic-like thing): somebody else in the kernel has claimed a part" in warning


@pytest.mark.parametrize("name", ["vfio-pci", "0000:00:01.1"])
def test_a_client_and_a_vf_in_its_memory_are_nothing_to_tell(make_host, name):
    host = make_host(with_framebuffer(name))
    host.take(VGA, **FORCED)
    assert host.take(VGA, **FORCED)["warnings"] == []


@pytest.mark.parametrize("reset", ["absent", "empty"])
def test_a_device_that_cannot_be_reset_is_told_once_for_all_of_them(make_host, reset):
    host = make_host(hosts.x86())
    if reset == "empty":
        host.tree.put(f"{host.kernel.device_directory(PAIR)}/reset_method", "\n")
    (warning,) = told(host, {"match": {"device": "100e"}})
    assert warning.startswith("0000:05:01.0 (Intel Corporation [8086:100e]), 0000:05:02.0 (Intel Corporation [8086:100e]): the kernel knows no way to reset it")
    assert "a guest of QEMU or libvirt may fail at its second start" in warning


def test_before_there_were_methods_an_attribute_says_that_it_can_be_reset(make_host):
    host = make_host(hosts.x86())
    for address in (PAIR, hosts.PAIR2):
        host.tree.put(f"{host.kernel.device_directory(address)}/reset", "")
    assert told(host, {"match": {"device": "100e"}}) == []


def test_several_obstacles_of_one_device_are_several_warnings(make_host):
    host = make_host(replace(hosts.changed(with_framebuffer(), VGA, reset=""), reserved={"1": (DIRECT,)}))
    assert [len([one for one in told(host, VGA, **FORCED) if word in one]) for word in ("type direct", "BOOTFB", "reset it")] == [1, 1, 1]


def test_a_host_without_these_files_is_no_error(make_host):
    host = make_host(with_framebuffer())
    os.unlink(f"{host.root}/proc/iomem")
    os.unlink(f"{host.root}/sys/kernel/iommu_groups/1/reserved_regions")
    assert told(host, VGA, **FORCED) == []
