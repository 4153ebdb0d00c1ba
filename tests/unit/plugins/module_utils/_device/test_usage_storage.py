# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guards 'storage' and 'console'."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NVME, ROOT_DISK, VGA
from ansible_collections.vfio.host.tests.unit.fake.model import Disk, Nvme, Stacked

TWO_PARTS = (("nvme0n1p1", "259:1"), ("nvme0n1p2", "259:2"))


def mount(number, where, source, kind="ext4"):
    return f"25 1 {number} / {where} rw,relatime shared:1 - {kind} {source} rw"


ON_VDA = mount("254:1", "/", "/dev/vda1")


def guarded(host, kind="storage"):
    return {
        address: [guard["reason"] for guard in device.guards if guard["kind"] == kind]
        for address, device in host.survey().devices.items()
        if any(one["kind"] == kind for one in device.guards)
    }


@pytest.fixture
def with_mounts(make_host):
    def make(*mounts, swaps=(), blocks=(), nvme=None):
        spec = hosts.x86(mounts=mounts, swaps=swaps, blocks=blocks)
        nvme = nvme or Nvme("nvme0", "NV01", Disk("nvme0n1", "259:0", "", TWO_PARTS))
        return make_host(hosts.changed(spec, NVME, nvme=nvme))

    return make


def test_the_disk_of_the_root_is_guarded(host):
    assert guarded(host) == {ROOT_DISK: ["/ is on vda1"]}


def test_a_disk_without_a_mount_is_free(with_mounts):
    assert NVME not in guarded(with_mounts(ON_VDA))


def test_a_partition_that_is_mounted_guards_its_disk(with_mounts):
    assert guarded(with_mounts(ON_VDA, mount("259:2", "/srv", "/dev/nvme0n1p2")))[NVME] == ["/srv is on nvme0n1p2"]


def test_swap_guards_its_disk(with_mounts):
    assert guarded(with_mounts(ON_VDA, swaps=("/dev/nvme0n1p1",)))[NVME] == ["swap is on nvme0n1p1"]


def test_a_swap_file_is_no_device(with_mounts):
    assert NVME not in guarded(with_mounts(ON_VDA, swaps=("/swapfile",)))


def test_a_logical_volume_guards_every_disk_under_it(with_mounts):
    host = with_mounts(
        mount("253:0", "/", "/dev/mapper/vg-root"),
        blocks=(Stacked("dm-0", ("vda1", "nvme0n1p1"), "253:0", "vg-root"),),
    )
    assert guarded(host) == {NVME: ["/ is on dm-0 on nvme0n1p1"], ROOT_DISK: ["/ is on dm-0 on vda1"]}


def test_encryption_on_a_volume_on_a_raid_guards_every_disk(with_mounts):
    host = with_mounts(
        mount("253:1", "/", "/dev/mapper/crypt"),
        blocks=(
            Stacked("md0", ("vda1", "nvme0n1p2"), "9:0"),
            Stacked("dm-0", ("md0",), "253:0", "vg-root"),
            Stacked("dm-1", ("dm-0",), "253:1", "crypt"),
        ),
    )
    assert sorted(guarded(host)) == [ROOT_DISK, NVME]
    assert guarded(host)[NVME] == ["/ is on dm-1 on dm-0 on md0 on nvme0n1p2"]


def test_a_partition_of_a_raid_guards_the_raids_disks(with_mounts):
    host = with_mounts(
        mount("259:9", "/", "/dev/md0p1"),
        blocks=(Stacked("md0", ("vda1", "nvme0n1p2"), "9:0", partitions=(("md0p1", "259:9"),)),),
    )
    assert sorted(guarded(host)) == [ROOT_DISK, NVME]


def test_btrfs_with_a_number_of_its_own_is_found_by_its_source(with_mounts):
    host = with_mounts(ON_VDA, mount("0:42", "/data", "/dev/nvme0n1p1", "btrfs"))
    assert guarded(host)[NVME] == ["/data is on nvme0n1p1"]


def test_btrfs_on_a_mapped_device_is_found_by_its_source(with_mounts):
    host = with_mounts(
        mount("0:42", "/", "/dev/mapper/root", "btrfs"), blocks=(Stacked("dm-0", ("nvme0n1p1",), "253:0", "root"),)
    )
    assert guarded(host) == {NVME: ["/ is on dm-0 on nvme0n1p1"]}


def test_a_multipath_namespace_guards_its_controller(with_mounts):
    nvme = Nvme("nvme0", "NV01", Disk("nvme0n1", "259:0", "", TWO_PARTS), subsystem="nvme-subsys0")
    host = with_mounts(mount("259:1", "/", "/dev/nvme0n1p1"), nvme=nvme)
    assert guarded(host) == {NVME: ["/ is on nvme0n1p1"]}


def test_where_the_root_cannot_be_told_every_disk_is_guarded(with_mounts):
    host = with_mounts(mount("0:30", "/", "tank/root", "zfs"))
    assert sorted(guarded(host)) == [ROOT_DISK, NVME]
    assert "cannot be told" in guarded(host)[NVME][0]


def test_without_mountinfo_every_disk_is_guarded(host):
    (host.tree.root / "proc/self/mountinfo").unlink()
    assert sorted(guarded(host)) == [ROOT_DISK, NVME]


@pytest.mark.parametrize("kind", ["tmpfs", "nfs4", "9p"])
def test_a_root_without_a_disk_guards_none(with_mounts, kind):
    assert guarded(with_mounts(mount("0:30", "/", "server:/root", kind))) == {}


def test_a_live_root_over_a_disk_guards_every_disk(with_mounts):
    assert sorted(guarded(with_mounts(mount("0:30", "/", "overlay", "overlay")))) == [ROOT_DISK, NVME]


def test_each_reason_is_given_once(with_mounts):
    host = with_mounts(ON_VDA, mount("259:1", "/a", "/dev/nvme0n1p1"), mount("259:1", "/a", "/dev/nvme0n1p1"))
    assert guarded(host)[NVME] == ["/a is on nvme0n1p1"]


def test_the_firmwares_display_is_the_console(host):
    assert list(guarded(host, "console")) == [VGA]


def test_boot_vga_of_what_is_no_display_is_not_asked(make_host):
    host = make_host(hosts.changed(hosts.x86(), EDU, boot_vga=True))
    assert list(guarded(host, "console")) == [VGA]


def test_a_root_on_an_unplugged_disk_does_not_free_the_others(make_host):
    spec = hosts.x86()
    host = make_host(replace(spec, functions=tuple(one for one in spec.functions if one.address != ROOT_DISK)))
    assert NVME in guarded(host)
