# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard 'storage' of ZFS: a pool's members are known by udev's database or by their labels; where not, every disk counts."""

from __future__ import annotations

import os

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.nodes import probe_zfs
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, NVME, ROOT_DISK
from ansible_collections.vfio.host.tests.unit.fake.model import Disk, Nvme, Stacked

ON_TANK = "25 1 0:30 / / rw - zfs rpool/ROOT/debian rw"
ROOT_RECORDS = {"254:0": "E:ID_PART_TABLE_TYPE=gpt\n", "254:1": "E:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=rpool\nE:ID_FS_UUID=1111\n"}
FREE = {"259:0": "I:123\nE:ID_SERIAL=NV01\n"}


def guarded(host):
    return {
        address: [one["reason"] for one in device.guards if one["kind"] == "storage"]
        for address, device in host.survey().devices.items() if any(one["kind"] == "storage" for one in device.guards)
    }


@pytest.fixture
def with_pools(make_host):
    """A function: a host of pools, and of records of udev, number -> text."""

    def make(records, pools=("rpool",), mounts=(ON_TANK,), guids=(), **changes):
        files = {f"run/udev/data/b{number}": text for number, text in records.items()}
        files.update({f"proc/spl/kstat/zfs/{name}/state": "ONLINE\n" for name in pools})
        files.update({f"proc/spl/kstat/zfs/{name}/guid": f"{guid}\n" for name, guid in dict(guids).items()})
        spec = hosts.x86(mounts=mounts, cmdline="root=ZFS=rpool/ROOT/debian", files=files, **changes)
        return make_host(hosts.changed(spec, NVME, nvme=Nvme("nvme0", "NV01", Disk("nvme0n1", "259:0", "", (("nvme0n1p1", "259:1"),)))))

    return make


PARTED = {"259:0": "E:ID_PART_TABLE_TYPE=gpt\n"}


def test_a_free_disk_beside_a_root_on_zfs_can_be_taken_and_the_roots_cannot(with_pools):
    host = with_pools(dict(ROOT_RECORDS, **PARTED, **{"259:1": "E:ID_FS_TYPE=ext4\n"}))
    assert guarded(host) == {ROOT_DISK: [f"/ is on rpool/ROOT/debian on vda1 on {ROOT_DISK}"]}
    with pytest.raises(PlanError, match="is needed by this host: / is on rpool"):
        host.take(ROOT_DISK)
    assert host.take(NVME)["changed"]


def test_a_blank_disk_that_udev_has_looked_at_is_free(with_pools):
    assert NVME not in guarded(with_pools(dict(ROOT_RECORDS, **FREE, **{"259:1": "I:124\n"})))


@pytest.mark.parametrize("record", [None, "E:ID_FS_AMBIVALENT=filesystem:ext4 filesystem:zfs_member\nI:1\n", ""])
def test_a_disk_of_which_udev_does_not_tell_counts(with_pools, record):
    records = dict(ROOT_RECORDS, **PARTED)
    if record is not None:
        records["259:1"] = record
    assert guarded(with_pools(records))[NVME] == [
        f"/ is on rpool/ROOT/debian on what cannot be told, which may be on nvme0n1p1 on {NVME}"
    ]


def test_every_member_of_every_imported_pool_is_guarded_mounted_or_not(with_pools):
    records = dict(ROOT_RECORDS, **PARTED, **{"259:1": "E:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=tank\n"})
    host = with_pools(records, pools=("rpool", "tank"))
    assert guarded(host)[NVME] == [f"the ZFS pool tank is on nvme0n1p1 on {NVME}"]


def test_a_member_of_a_pool_that_is_not_imported_is_free(with_pools):
    records = dict(ROOT_RECORDS, **PARTED, **{"259:1": "E:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=guests\n"})
    assert NVME not in guarded(with_pools(records))


def test_a_pool_that_was_renamed_is_known_by_its_number(with_pools):
    records = dict(ROOT_RECORDS, **PARTED, **{"259:1": "E:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=old\nE:ID_FS_UUID=2222\n"})
    host = with_pools(records, pools=("rpool", "new"), guids={"rpool": "1111", "new": "2222"})
    assert guarded(host)[NVME] == [f"the ZFS pool new is on nvme0n1p1 on {NVME}"]


def test_a_pool_without_any_member_that_is_known_counts_everywhere(with_pools):
    records = dict(ROOT_RECORDS, **PARTED, **{"259:1": "E:ID_FS_TYPE=ext4\n"})
    assert guarded(with_pools(records, pools=("rpool", "gone")))[NVME] == [
        "the ZFS pool gone is on what cannot be told, so every disk counts"
    ]


def test_a_cache_which_does_not_name_its_pool_is_guarded(with_pools):
    records = dict(ROOT_RECORDS, **PARTED, **{"259:1": "E:ID_FS_TYPE=zfs_member\n"})
    assert NVME in guarded(with_pools(records))


def test_a_member_of_a_network_disk_guards_the_card_also_where_it_cannot_be_told(with_pools):
    disk = "sys/devices/platform/host2/session3/target2:0:0/2:0:0:0/block/sda"
    host = with_pools({}, links={"sys/class/block/sda": disk}, routes=(
        "enp2s0\t0009000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0",
    ))
    host.tree.put(host.tree.root / "sys/class/iscsi_connection/connection3:0/address", "10.0.9.7\n")
    assert {ROOT_DISK, NVME, NIC} <= set(guarded(host))


def test_a_volume_is_on_the_members_of_the_pools(with_pools):
    records = dict(ROOT_RECORDS, **PARTED, **{"259:1": "E:ID_FS_TYPE=ext4\n"})
    host = with_pools(
        records, swaps=("/dev/zd0",), blocks=(Stacked("zd0", (), "230:0"), Stacked("dm-0", ("zd0",), "253:0", "guest-root")),
    )
    assert set(guarded(host)) == {ROOT_DISK}


def test_many_file_systems_of_one_pool_are_one_reason(with_pools):
    more = tuple(f"{number} 25 0:{number} / /d{number} rw - zfs rpool/d{number} rw" for number in range(40, 90))
    host = with_pools(dict(ROOT_RECORDS, **PARTED, **{"259:1": "E:ID_FS_TYPE=ext4\n"}), mounts=(ON_TANK,) + more)
    assert len(guarded(host)[ROOT_DISK]) == 1


def test_a_label_is_read_from_a_block_device_of_that_number_alone(tmp_path, monkeypatch):
    """A regular file stands in for a disk, whose kind and number the fake answers."""
    path = tmp_path / "disk"
    for data, expected in (
        (bytes(16384) + b"\1\1\0\0pool_guid" + bytes(250000), True), (bytes(131072) + b"\x0c\xb1\xba\0\0\0\0\0" + bytes(1000), True),
        (bytes(131072 + 4096) + b"\0\0\0\0\0\xba\xb1\x0c" + bytes(1000), True), (b"pool_guid" + bytes(262144), False), (b"", False),
    ):
        path.write_bytes(data)
        assert Sysfs().is_zfs_member(str(path), "8:1") is None
        real = os.fstat

        class Status:
            st_mode, st_rdev = 0o060660, os.makedev(8, 1)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fstat", lambda handle: Status)
            if expected:
                assert probe_zfs(str(path), "8:1") is None
            else:
                with pytest.raises(OSError, match="25|Inappropriate|disk"):
                    probe_zfs(str(path), "8:1")
        assert os.fstat is real
