# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes that have a VFIO file open."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._device.usage import holders
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, PAIR, PAIR2


def test_no_process_holds_anything(host):
    assert holders(host.kernel) == {}


def test_a_group_file_names_its_process(host):
    host.kernel.hold(NIC, 4242, "qemu-system-x86")
    assert holders(host.kernel) == {"14": [{"pid": 4242, "command": "qemu-system-x86"}]}


def test_character_devices_and_noiommu_groups_count_too(host):
    host.kernel.hold(NIC, 1, "a", node="devices/vfio3")
    host.kernel.hold(EDU, 2, "b", node="noiommu-0")
    assert sorted(holders(host.kernel)) == ["0", "vfio3"]


def test_the_container_file_holds_no_device(host):
    host.kernel.hold(NIC, 1, "a", node="vfio")
    assert holders(host.kernel) == {}


def test_one_process_is_named_once_a_node(host):
    host.kernel.hold(NIC, 1, "a")
    (host.tree.root / "proc/1/fd/13").symlink_to("/dev/vfio/14")
    assert holders(host.kernel) == {"14": [{"pid": 1, "command": "a"}]}


def test_a_process_that_ends_during_the_look_is_no_error(host):
    (host.tree.root / "proc/77").mkdir()
    assert holders(host.kernel) == {}


def test_the_facts_show_who_holds_a_device(host):
    host.take(NIC)
    host.kernel.hold(NIC, 4242, "qemu")
    assert host.facts(NIC)["holders"] == [{"pid": 4242, "command": "qemu"}]
    assert host.facts(EDU)["holders"] == []


def test_who_holds_a_group_holds_each_member(host):
    host.take(PAIR, PAIR2)
    host.kernel.hold(PAIR, 4242, "qemu")
    assert host.facts(PAIR2)["holders"] == [{"pid": 4242, "command": "qemu"}]


def test_a_character_device_holds_its_device_alone(host):
    host.take(PAIR, PAIR2)
    (name,) = host.kernel.names(host.kernel.device_directory(PAIR2) + "/vfio-dev")
    host.kernel.hold(PAIR2, 4242, "qemu", node=f"devices/{name}")
    assert host.facts(PAIR)["holders"] == []
    assert host.facts(PAIR2)["holders"] == [{"pid": 4242, "command": "qemu"}]


def test_without_an_iommu_the_holder_is_found_by_its_noiommu_node(make_host):
    host = make_host(hosts.x86(iommu=False, noiommu=True))
    host.take(EDU)
    (name,) = host.kernel.names(host.kernel.device_directory(EDU) + "/vfio-dev")
    host.kernel.hold(EDU, 5, "dpdk", node=f"devices/{name}")
    assert host.facts(EDU)["holders"] == [{"pid": 5, "command": "dpdk"}]
