# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard 'storage': functions under mounts and swap, and all that these stand on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, ROOT_DISK, UPLINK, VIRTIO
from ansible_collections.vfio.host.tests.unit.fake.model import Disk, Nvme, Stacked, alias
from ansible_collections.vfio.host.tests.unit.plugins.module_utils._devices.guards.mounting import ON_VDA, TWO_PARTS, guarded, members, mount


def test_the_disk_of_the_root_is_guarded(host):
    assert guarded(host) == {ROOT_DISK: [f"/ is on vda1 on {ROOT_DISK}"]}


def test_a_disk_without_a_mount_is_free(with_mounts):
    assert NVME not in guarded(with_mounts(ON_VDA))


def test_a_partition_that_is_mounted_guards_its_disk(with_mounts):
    assert guarded(with_mounts(ON_VDA, mount("259:2", "/srv", "/dev/nvme0n1p2")))[NVME] == [
        f"/srv is on nvme0n1p2 on {NVME}"
    ]


def test_swap_guards_its_disk(with_mounts):
    assert guarded(with_mounts(ON_VDA, swaps=("/dev/nvme0n1p1",)))[NVME] == [
        f"swap is on nvme0n1p1 on {NVME}"
    ]


def test_a_swap_file_guards_the_disk_that_holds_it(with_mounts):
    host = with_mounts(ON_VDA, mount("259:1", "/var", "/dev/nvme0n1p1"), swaps=("/var/swap\\040file",))
    assert guarded(host)[NVME] == [f"/var is on nvme0n1p1 on {NVME}"]
    btrfs = mount("0:42", "/var", "/dev/nvme0n1p1", "btrfs")
    host = with_mounts(ON_VDA, btrfs, swaps=("/var/swap",), **members("nvme0n1p1"))
    assert guarded(host)[NVME] == [f"/var is on nvme0n1p1 on {NVME}"]


def test_a_logical_volume_guards_every_disk_under_it(with_mounts):
    host = with_mounts(
        mount("253:0", "/", "/dev/mapper/vg-root"),
        blocks=(Stacked("dm-0", ("vda1", "nvme0n1p1"), "253:0", "vg-root"),),
    )
    assert guarded(host) == {
        NVME: [f"/ is on dm-0 on nvme0n1p1 on {NVME}"], ROOT_DISK: [f"/ is on dm-0 on vda1 on {ROOT_DISK}"],
    }


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
    assert guarded(host)[NVME] == [f"/ is on dm-1 on dm-0 on md0 on nvme0n1p2 on {NVME}"]


def test_a_partition_of_a_raid_guards_the_raids_disks(with_mounts):
    host = with_mounts(
        mount("259:9", "/", "/dev/md0p1"),
        blocks=(Stacked("md0", ("vda1", "nvme0n1p2"), "9:0", partitions=(("md0p1", "259:9"),)),),
    )
    assert sorted(guarded(host)) == [ROOT_DISK, NVME]


def test_what_is_assembled_guards_its_disks_without_a_mount(with_mounts):
    host = with_mounts(ON_VDA, blocks=(Stacked("md0", ("nvme0n1p1", "nvme0n1p2"), "9:0"),))
    assert guarded(host)[NVME] == [
        f"md0, which is assembled, is on nvme0n1p1 on {NVME}", f"md0, which is assembled, is on nvme0n1p2 on {NVME}",
    ]


def test_what_is_assembled_and_mounted_is_said_once(with_mounts):
    host = with_mounts(
        ON_VDA, mount("253:0", "/srv", "/dev/dm-0"),
        blocks=(Stacked("md0", ("nvme0n1p1",), "9:0"), Stacked("dm-0", ("md0",), "253:0")),
    )
    assert guarded(host)[NVME] == [f"/srv is on dm-0 on md0 on nvme0n1p1 on {NVME}"]


def test_btrfs_with_a_number_of_its_own_is_found_by_its_source(with_mounts):
    host = with_mounts(ON_VDA, mount("0:42", "/data", "/dev/nvme0n1p1", "btrfs"), **members("nvme0n1p1"))
    assert guarded(host)[NVME] == [f"/data is on nvme0n1p1 on {NVME}"]


def test_btrfs_on_a_mapped_device_is_found_by_its_source(with_mounts):
    host = with_mounts(
        mount("0:42", "/", "/dev/mapper/root", "btrfs"),
        blocks=(Stacked("dm-0", ("nvme0n1p1",), "253:0", "root"),), **members("dm-0")
    )
    assert guarded(host) == {NVME: [f"/ is on dm-0 on nvme0n1p1 on {NVME}"]}


def test_a_multipath_namespace_guards_its_controller(with_mounts):
    nvme = Nvme("nvme0", "NV01", Disk("nvme0n1", "259:0", "", TWO_PARTS), subsystem="nvme-subsys0")
    host = with_mounts(mount("259:1", "/", "/dev/nvme0n1p1"), nvme=nvme)
    assert guarded(host) == {NVME: [f"/ is on nvme0n1p1 on {NVME}"]}


def test_where_the_root_cannot_be_told_every_disk_is_guarded(with_mounts):
    host = with_mounts(mount("0:30", "/", "tank/root", "zfs"))
    assert sorted(guarded(host)) == [ROOT_DISK, NVME]
    assert "cannot be told" in guarded(host)[NVME][0]


def test_without_mountinfo_every_disk_and_every_interface_is_guarded(host):
    (host.tree.root / "proc/self/mountinfo").unlink()
    assert {ROOT_DISK, NVME, UPLINK, NIC, VIRTIO} < set(guarded(host))


def test_a_disk_that_no_driver_has_is_none_that_cannot_be_told(make_host):
    """A root that cannot be told is on none that nothing drives, or that a guest has."""
    host = make_host(hosts.x86(mounts=(mount("0:30", "/", "what", "unheard"),)))
    assert {ROOT_DISK, NVME} < set(guarded(host))
    host.kernel.write(f"{host.kernel.pci_drivers}/nvme/unbind", NVME)
    assert ROOT_DISK in guarded(host) and NVME not in guarded(host)
    host.tree.link(host.tree.directory(NVME) / "driver", host.tree.pci / "drivers/pci-stub")
    assert host.survey().devices[NVME].driver == "pci-stub" and NVME not in guarded(host)
    host = make_host(hosts.x86(mounts=(ON_VDA,)))
    host.take(NVME)
    host.tree.put(host.tree.root / "proc/self/mountinfo", mount("0:30", "/", "what", "unheard") + "\n")
    assert ROOT_DISK in guarded(host) and NVME not in guarded(host)


def test_a_root_in_memory_guards_none(with_mounts):
    assert guarded(with_mounts(mount("0:30", "/", "tmpfs", "tmpfs"))) == {}


def test_a_live_root_over_what_cannot_be_told_guards_every_disk_and_every_interface(with_mounts):
    assert {ROOT_DISK, NVME, UPLINK} < set(guarded(with_mounts(mount("0:30", "/", "overlay", "overlay"))))


def test_each_reason_is_given_once(with_mounts):
    host = with_mounts(ON_VDA, mount("259:1", "/a", "/dev/nvme0n1p1"), mount("259:1", "/a", "/dev/nvme0n1p1"))
    assert guarded(host)[NVME] == [f"/a is on nvme0n1p1 on {NVME}"]


def test_a_root_on_an_unplugged_disk_does_not_free_the_others(make_host):
    spec = hosts.x86()
    host = make_host(replace(spec, functions=tuple(one for one in spec.functions if one.address != ROOT_DISK)))
    assert NVME in guarded(host)


def test_btrfs_guards_every_member(with_mounts):
    host = with_mounts(mount("0:42", "/", "/dev/vda1", "btrfs"), **members("vda1", "nvme0n1p2"))
    assert guarded(host) == {NVME: [f"/ is on nvme0n1p2 on {NVME}"], ROOT_DISK: [f"/ is on vda1 on {ROOT_DISK}"]}


def test_btrfs_that_sysfs_does_not_know_guards_every_disk(with_mounts):
    host = with_mounts(ON_VDA, mount("0:42", "/data", "/dev/nvme0n1p1", "btrfs"), **members("sdz1"))
    assert guarded(host)[NVME] == ["/data is on sdz1 on what cannot be told, so every disk counts"]


def test_bcachefs_guards_what_its_source_names(with_mounts):
    host = with_mounts(mount("0:42", "/", "/dev/vda1:/dev/nvme0n1p2", "bcachefs"))
    assert sorted(guarded(host)) == [ROOT_DISK, NVME]


def test_a_zfs_pool_without_a_mount_guards_every_disk(with_mounts):
    host = with_mounts(ON_VDA, files={"proc/spl/kstat/zfs/tank/state": "ONLINE\n", "proc/spl/kstat/zfs/arcstats": ""})
    assert guarded(host)[NVME] == ["the ZFS pool tank is on what cannot be told, so every disk counts"]


def test_a_disk_behind_usb_guards_its_controller(make_host):
    disk = Disk("sda", "8:0", "usb2/2-1/2-1:1.0/host0/target0:0:0/0:0:0:0/block", (("sda1", "8:1"),))
    spec = hosts.changed(hosts.x86(mounts=(ON_VDA, mount("8:1", "/backup", "/dev/sda1"))), EDU, disk=disk, pci_class="0c0330")
    spec = replace(spec, modules=tuple(
        replace(one, aliases=one.aliases + (alias("1234", "11e8"),)) if one.name == "nvme" else one for one in spec.modules
    ))
    assert guarded(make_host(spec))[EDU] == [f"/backup is on sda1 on {EDU}"]


LOOP = {"sys/devices/virtual/block/loop0/loop/backing_file": "/srv/images/one.img\n"}


def test_an_image_guards_the_disk_that_holds_it_where_no_mount_does(with_mounts):
    image = mount("7:0", "/mnt", "/dev/loop0")
    loop = Stacked("loop0", (), "7:0")
    host = with_mounts(ON_VDA, mount("0:42", "/srv", "/dev/nvme0n1p1", "btrfs"), image, blocks=(loop,),
                       files=dict(LOOP, **members("nvme0n1p1")["files"]))
    assert guarded(host) == {NVME: [f"/srv is on nvme0n1p1 on {NVME}"], ROOT_DISK: [f"/ is on vda1 on {ROOT_DISK}"]}
    host = with_mounts(
        image, mount("0:30", "/", "tmpfs", "tmpfs"), blocks=(loop, Stacked("dm-0", ("nvme0n1p1",), "253:0")),
        files={"sys/devices/virtual/block/loop0/backing_dev": "/dev/dm-0\n"},
    )
    assert guarded(host) == {NVME: [f"/mnt is on loop0 on dm-0 on nvme0n1p1 on {NVME}"]}


def test_a_live_root_is_followed_through_its_layers(with_mounts):
    overlay = "25 1 0:30 / / rw - overlay overlay rw,lowerdir=/run/live/root,upperdir=/run/up/d,workdir=/run/up/w"
    host = with_mounts(
        overlay, mount("7:0", "/run/live/root", "/dev/loop0", "squashfs"), mount("259:2", "/srv/images", "/dev/nvme0n1p2"),
        mount("0:31", "/run", "tmpfs", "tmpfs"), blocks=(Stacked("loop0", (), "7:0"),), files=LOOP,
    )
    assert guarded(host) == {NVME: [f"/srv/images is on nvme0n1p2 on {NVME}"]}
    host = with_mounts(overlay, mount("259:2", "/run/live/root", "/dev/nvme0n1p2"), mount("0:31", "/run", "tmpfs", "tmpfs"))
    assert guarded(host) == {NVME: [f"/run/live/root is on nvme0n1p2 on {NVME}"]}


@pytest.mark.parametrize("shown", [
    "lowerdir=/m/pci-0000\\07200\\0721f.2\\054x/l:/m/pci-0000\\07200\\0721f.2\\054x/k,upperdir=/run/a:b/u,workdir=/run/a:b/w",
    "lowerdir=/m/pci-0000\\134:00\\134:1f.2\\134\\054x/l,upperdir=/run/a\\134:b/u,workdir=/run/a\\134:b/w",
    "lowerdir+=/m/pci-0000:00:1f.2\\054x/l,datadir+=/m/pci-0000:00:1f.2\\054x/d",
])
def test_layers_are_told_apart_where_their_names_have_what_separates_them(with_mounts, shown):
    """As Linux 6.5 shows it; as most do, with what was escaped at the mount (seen on 6.18); and as it was given one by one (source:
    fs/overlayfs/params.c ovl_show_options()).
    """
    root = f"25 1 0:30 / / rw - overlay overlay rw,{shown}"
    host = with_mounts(root, mount("0:31", "/run", "tmpfs", "tmpfs"), mount("259:1", "/m/pci-0000:00:1f.2,x", "/dev/nvme0n1p1"))
    assert guarded(host) == {NVME: [f"/m/pci-0000:00:1f.2,x is on nvme0n1p1 on {NVME}"]}


def test_a_containers_layers_are_where_their_directories_are(with_mounts):
    overlay = "99 1 0:77 / /var/lib/c/merged rw - overlay overlay rw,lowerdir=l/A:l/B,upperdir=/var/lib/c/diff"
    assert guarded(with_mounts(ON_VDA, overlay)) == {ROOT_DISK: [f"/ is on vda1 on {ROOT_DISK}"]}


def test_layers_that_begin_where_an_engine_mounted_them_from_are_above_the_mount_point(with_mounts):
    overlay = "99 1 0:77 / /var/lib/c/one/merged rw - overlay overlay rw,lowerdir=l/A:l/B,upperdir=one/diff,workdir=one/work"
    assert set(guarded(with_mounts(ON_VDA, overlay))) == {ROOT_DISK}
    host = with_mounts(ON_VDA, overlay, mount("259:1", "/var/lib/c", "/dev/nvme0n1p1"))
    assert set(guarded(host)) == {ROOT_DISK, NVME}
    assert {NVME, UPLINK} < set(guarded(with_mounts(mount("254:1", "/x", "/dev/vda1"), overlay.replace("/var/lib/c/one/merged", "/"))))


# As ostree and bootc have them (source: ostree src/libotcore/otcore-prepare-root.c otcore_mount_composefs()).
IMAGE_LAYERS = (
    "composefs ro,lowerdir+=/run/ostree/.private/cfsroot-lower,datadir+=/sysroot/ostree/repo/objects,redirect_dir=on,metacopy=on",
    "overlay ro,lowerdir=/run/ostree/.private/cfsroot-lower::/sysroot/ostree/repo/objects,redirect_dir=on,metacopy=on",
    "composefs:0123 ro,lowerdir+=/,datadir+=/sysroot/composefs/objects,redirect_dir=on,metacopy=on,verity=require",
)


@pytest.mark.parametrize("layers", IMAGE_LAYERS)
def test_a_root_of_composefs_is_where_the_data_of_its_files_is(with_mounts, layers):
    root, run = f"25 1 0:30 / / ro - overlay {layers}", mount("0:31", "/run", "tmpfs", "tmpfs")
    host = with_mounts(root, run, mount("259:1", "/sysroot", "/dev/nvme0n1p1"))
    assert guarded(host) == {NVME: [f"/sysroot is on nvme0n1p1 on {NVME}"]}
    assert {ROOT_DISK, NVME, UPLINK} < set(guarded(with_mounts(root, run, mount("0:32", "/sysroot", "tmpfs", "tmpfs"))))


def test_what_a_container_alone_has_mounted_is_guarded(with_mounts):
    host = with_mounts(ON_VDA, files={"proc/900/mountinfo": mount("259:1", "/data", "/dev/nvme0n1p1") + "\n"})
    proc = host.tree.root / "proc"
    for pid, number in (("self", 1), ("900", 2)):
        (proc / pid / "ns").mkdir(exist_ok=True)
        (proc / pid / "ns/mnt").symlink_to(f"mnt:[{number}]")
    assert guarded(host)[NVME] == [f"/data of process 900 is on nvme0n1p1 on {NVME}"]


def test_what_a_thread_alone_has_mounted_is_guarded(with_mounts):
    host = with_mounts(ON_VDA, files={"proc/900/task/901/mountinfo": mount("259:1", "/data", "/dev/nvme0n1p1") + "\n"})
    proc = host.tree.root / "proc"
    for pid, number in (("self", 1), ("900", 1), ("900/task/901", 2)):
        (proc / pid / "ns").mkdir(exist_ok=True)
        (proc / pid / "ns/mnt").symlink_to(f"mnt:[{number}]")
    assert guarded(host)[NVME] == [f"/data of process 900 is on nvme0n1p1 on {NVME}"]


def test_a_disk_that_is_on_no_pci_bus_leaves_the_others_free(with_mounts):
    dasd = {"sys/class/block/dasda1": "sys/devices/css0/0.0.0001/0.0.0150/block/dasda/dasda1"}
    dasd["sys/dev/block/94:1"] = dasd["sys/class/block/dasda1"]
    assert guarded(with_mounts(mount("94:1", "/", "/dev/dasda1"), links=dasd)) == {}


@pytest.mark.parametrize("name", ["ram0", "zram0", "nullb0"])
def test_swap_in_memory_guards_none(with_mounts, name):
    assert NVME not in guarded(with_mounts(ON_VDA, swaps=(f"/dev/{name}",), blocks=(Stacked(name, (), "252:0"),)))


def test_a_virtual_disk_that_shows_nothing_below_guards_every_disk(with_mounts):
    host = with_mounts(ON_VDA, mount("253:0", "/odd", "/dev/dm-0"), blocks=(Stacked("dm-0", (), "253:0"),))
    assert guarded(host)[NVME] == ["/odd is on dm-0 on what cannot be told, so every disk counts"]


def test_a_device_in_any_option_of_a_mount_is_guarded(with_mounts):
    line = "25 1 254:1 / / rw,relatime shared:1 - reiserfs /dev/vda1 rw,jdev=/dev/nvme0n1p1,errors=panic"
    assert guarded(with_mounts(line))[NVME] == [f"/ is on nvme0n1p1 on {NVME}"]


def test_a_device_whose_node_is_called_otherwise_is_known_by_its_number(with_mounts):
    host = with_mounts(ON_VDA, swaps=("/dev/cciss/c0d0p1",))
    host.tree.node("dev/cciss/c0d0p1", "block", "259:1")
    assert guarded(host)[NVME] == [f"swap is on nvme0n1p1 on {NVME}"]


@pytest.mark.parametrize("kind", ["sys/fs/ext4", "sys/fs/xfs", "sys/fs/neverheardof", "proc/fs/ntfs3"])
def test_a_file_system_that_no_mount_shows_is_known_by_what_the_kernel_has_open(with_mounts, kind):
    """It was unmounted lazily, or in a namespace that a file keeps."""
    host = with_mounts(ON_VDA, files={f"{kind}/nvme0n1p1/x": "", f"{kind}/vda1/x": "", f"{kind}/features/x": ""})
    assert guarded(host) == {
        ROOT_DISK: [f"/ is on vda1 on {ROOT_DISK}"],
        NVME: [f"a file system of {kind.rpartition('/')[2]} that no mount shows is on nvme0n1p1 on {NVME}"],
    }


def test_a_file_system_that_is_mounted_over_those_of_sysfs_has_names_of_anybodys(with_mounts):
    assert NVME not in guarded(with_mounts(ON_VDA, mount("0:31", "/sys/fs/bpf", "bpf", "bpf"), files={"sys/fs/bpf/nvme0n1/x": ""}))


@pytest.mark.parametrize("kind", ["ecryptfs", "shiftfs"])
def test_a_file_system_over_a_directory_is_where_that_is_also_where_it_hides_it(with_mounts, kind):
    """Containers' engines mount shiftfs twice over what it is of."""
    over = mount("0:31", "/srv", "/srv", kind), mount("0:32", "/srv", "/srv", kind)
    assert guarded(with_mounts(ON_VDA, *over)) == {ROOT_DISK: [f"/ is on vda1 on {ROOT_DISK}"]}
    assert set(guarded(with_mounts(ON_VDA, mount("259:1", "/srv", "/dev/nvme0n1p1"), *over))) == {ROOT_DISK, NVME}


DISK_MAP = """Address Layout   :  4096B Block address (# of Segments)
 SB            :     0/1024B

Disk Map for multi devices:
Disk: 0 (zoned=0): 0x0000000000 - 0x00000fffff on /dev/vda1
Disk: 1 (zoned=1): 0x0000100000 - 0x00001fffff on /dev/{name}
"""


@pytest.mark.parametrize("name", ["nvme0n1p2", "gone"])
def test_each_device_of_f2fs_on_several_is_guarded(with_mounts, name):
    root = mount("254:1", "/", "/dev/vda1", "f2fs")
    host = with_mounts(root, files={"proc/fs/f2fs/vda1/disk_map": DISK_MAP.format(name=name)})
    assert guarded(host)[NVME][0].startswith("the file system of vda1 is on ")
    assert len(guarded(host)[ROOT_DISK]) == (1 if name != "gone" else 2)
    assert set(guarded(with_mounts(root, files={"proc/fs/f2fs/vda1/disk_map": DISK_MAP.partition("\n\n")[0]}))) == {ROOT_DISK}
