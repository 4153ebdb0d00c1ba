# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes that have a VFIO file open."""

from __future__ import annotations

import errno
import os

import pytest

from ansible_collections.vfio.host.plugins.module_utils._device.usage import holders
from ansible_collections.vfio.host.plugins.module_utils._host.errors import VfioHostError
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


@pytest.fixture
def unreadable(monkeypatch):
    """A function after which links that end so answer ENAMETOOLONG, as the kernel does for a path longer than a page."""

    def make(*ends):
        real = os.readlink

        def readlink(path, **more):
            if str(path).endswith(ends):
                raise OSError(errno.ENAMETOOLONG, "no")
            return real(path, **more)

        monkeypatch.setattr(os, "readlink", readlink)

    return make


def test_a_long_path_that_somebody_has_open_is_no_device_and_stops_no_run(host, unreadable):
    host.take(NIC)
    (host.tree.root / "proc/999/fd").mkdir(parents=True)
    host.tree.put(host.tree.root / "tmp/deep")
    (host.tree.root / "proc/999/fd/3").symlink_to(host.tree.root / "tmp/deep")
    unreadable("/999/fd/3")
    assert holders(host.kernel) == {}
    assert host.release()["changed"]


def test_a_link_that_cannot_be_read_counts_where_nothing_else_tells_what_is_behind_it(host, unreadable):
    host.take(NIC)
    host.kernel.hold(NIC, 862, "qemu")
    unreadable("/862/fd/12")
    (holder,) = host.facts(NIC)["holders"]
    assert holder["pid"] == 862 and "cannot be read" in holder["command"]
    assert host.facts(EDU)["holders"] == []
    with pytest.raises(VfioHostError, match="862"):
        host.release()
    assert host.driver(NIC) == "vfio-pci"


def test_a_group_behind_a_link_that_cannot_be_read_is_known_by_its_number(host, monkeypatch, unreadable):
    host.kernel.hold(NIC, 862, "qemu")
    os.unlink(host.root + "/proc/862/fd/12")
    os.symlink("/dev/null", host.root + "/proc/862/fd/12")
    monkeypatch.setattr(host.kernel, "device_numbers", lambda paths: {(1, 3): host.root + "/dev/vfio/14"})
    unreadable("/862/fd/12")
    assert holders(host.kernel) == {"14": [{"pid": 862, "command": "qemu"}]}


def test_a_process_whose_files_cannot_be_listed_may_hold_any_device(host, monkeypatch):
    host.take(NIC)
    (host.tree.root / "proc/999/fd").mkdir(parents=True)
    real = os.listdir

    def listdir(path):
        if str(path).endswith("/999/fd"):
            raise OSError(errno.EIO, "no")
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    assert [one["pid"] for one in host.facts(NIC)["holders"]] == [999]


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
