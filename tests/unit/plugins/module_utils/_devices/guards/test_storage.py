# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard 'storage': functions under mounts, swap, and what the next boot wants."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, ROOT_DISK, UPLINK, VIRTIO
from ansible_collections.vfio.host.tests.unit.fake.model import Disk, Nvme, Stacked, alias

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
    def make(*mounts, swaps=(), blocks=(), nvme=None, **changes):
        spec = hosts.x86(**dict({"mounts": mounts, "swaps": swaps, "blocks": blocks, "cmdline": "quiet"}, **changes))
        nvme = nvme or Nvme("nvme0", "NV01", Disk("nvme0n1", "259:0", "", TWO_PARTS))
        return make_host(hosts.changed(spec, NVME, nvme=nvme))

    return make


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


def members(*names):
    """What sysfs says of one btrfs file system of these devices."""
    return {"files": {f"sys/fs/btrfs/1234/devices/{name}": "" for name in names}}


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


def test_a_containers_layers_are_where_their_directories_are(with_mounts):
    overlay = "99 1 0:77 / /var/lib/c/merged rw - overlay overlay rw,lowerdir=l/A:l/B,upperdir=/var/lib/c/diff"
    assert guarded(with_mounts(ON_VDA, overlay)) == {ROOT_DISK: [f"/ is on vda1 on {ROOT_DISK}"]}


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


# Over a network.

LAN = "enp2s0\t0009000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0"


def nfs(options):
    return f"25 1 0:50 / /home rw - nfs4 nas:/home {options}"


def test_a_file_system_of_a_server_guards_the_card_that_reaches_it(with_mounts):
    host = with_mounts(ON_VDA, nfs("rw,vers=4.2,clientaddr=10.0.9.2,addr=10.0.9.7"), routes=(hosts.DEFAULT_ROUTE, LAN))
    assert guarded(host)[NIC] == [f"/home is on nas:/home over enp2s0 on {NIC}"]
    assert UPLINK not in guarded(host)


def test_a_server_of_no_known_address_may_be_reached_over_any_interface(with_mounts):
    host = with_mounts(ON_VDA, nfs("rw"))
    assert {UPLINK, NIC, VIRTIO} < set(guarded(host))
    assert "so every interface that is up counts" in guarded(host)[NIC][0]


def test_iscsi_guards_the_card_that_reaches_the_target(with_mounts):
    host = with_mounts(
        mount("8:0", "/", "/dev/sda"), routes=(LAN,),
        links={"sys/class/block/sda": "sys/devices/platform/host2/session3/target2:0:0/2:0:0:0/block/sda",
               "sys/dev/block/8:0": "sys/devices/platform/host2/session3/target2:0:0/2:0:0:0/block/sda"},
        files={"sys/class/iscsi_connection/connection3:0/address": "10.0.9.7\n",
               "sys/class/iscsi_connection/connection4:0/address": "10.8.8.8\n"},
    )
    assert guarded(host) == {NIC: [f"/ is on sda over enp2s0 on {NIC}"], hosts.ROOT_PORT: [
        f"/ is on sda over enp2s0 on {NIC}, which is behind it"
    ]}


def test_nvme_over_tcp_guards_the_card_that_reaches_it(with_mounts):
    host = with_mounts(
        ON_VDA, mount("259:7", "/srv", "/dev/nvme5n1"), routes=(LAN,),
        links={"sys/class/nvme/nvme5": "sys/devices/virtual/nvme-fabrics/ctl/nvme5",
               "sys/class/block/nvme5n1": "sys/devices/virtual/nvme-fabrics/ctl/nvme5/nvme5n1",
               "sys/dev/block/259:7": "sys/devices/virtual/nvme-fabrics/ctl/nvme5/nvme5n1"},
        files={"sys/devices/virtual/nvme-fabrics/ctl/nvme5/address": "traddr=10.0.9.7,trsvcid=4420\n"},
    )
    assert guarded(host)[NIC] == [f"/srv is on nvme5n1 over enp2s0 on {NIC}"]


def test_a_directory_that_the_hypervisor_shares_guards_the_function_that_brings_it(make_host):
    function = f"sys/devices/pci0000:00/{EDU}/virtio7"
    spec = hosts.x86(
        mounts=(ON_VDA, "25 1 0:50 / /x rw - virtiofs tag rw"),
        links={"sys/bus/virtio/drivers/virtiofs/virtio7": function, "sys/bus/virtio/drivers/virtiofs/module": "sys/module"},
    )
    assert guarded(make_host(spec))[EDU] == [f"/x is on tag on {EDU}"]


# What the next boot wants.

def test_what_fstab_mounts_is_guarded_without_a_mount_too(with_mounts):
    fstab = (
        "# /dev/nvme0n1p2 /no ext4 defaults 0 0\nLABEL=a\\040b /srv ext4 defaults 0 2\n"
        "/dev/nvme0n1p2 /manual ext4 noauto 0 0\n\ngarbage\n"
    )
    by_label = {"dev/disk/by-label/a\\x20b": "dev/nvme0n1p1"}
    host = with_mounts(ON_VDA, files={"etc/fstab": fstab}, links=by_label)
    assert guarded(host)[NVME] == [f"/srv of /etc/fstab is on nvme0n1p1 on {NVME}"]
    assert NVME not in guarded(with_mounts(ON_VDA, files={"etc/fstab": fstab}))


@pytest.mark.parametrize("line", [
    "UUID=AB-12 /boot/efi vfat noauto 0 0", "PARTUUID=ab-12 /boot ext4 noauto", "/dev/nvme0n1p1 none swap sw 0 0",
])
def test_boot_partitions_and_swap_of_fstab_are_guarded(with_mounts, line):
    links = {"dev/disk/by-uuid/AB-12": "dev/nvme0n1p1", "dev/disk/by-partuuid/ab-12": "dev/nvme0n1p1"}
    host = with_mounts(ON_VDA, files={"etc/fstab": line + "\n"}, links=links)
    assert len(guarded(host)[NVME]) == 1


@pytest.mark.parametrize("words", ["resume=/dev/nvme0n1p1", "root=PARTUUID=AB-12", "ro root=259:1 quiet"])
def test_what_the_command_line_names_is_guarded(with_mounts, words):
    host = with_mounts(mount("0:30", "/", "tmpfs", "tmpfs"), cmdline=words, links={
        "dev/disk/by-partuuid/ab-12": "dev/nvme0n1p1",
    })
    assert guarded(host)[NVME][0].endswith(f"= of the kernel's command line is on nvme0n1p1 on {NVME}")


@pytest.mark.parametrize("words", [
    "mount.usr=UUID=AB-12", "boot=/dev/nvme0n1p1", "cryptdevice=UUID=AB-12:root:allow-discards", "cryptdevice=/dev/nvme0n1p1:root",
    "rd.luks.uuid=luks-AB-12", "rd.luks.name=AB-12=root", "rd.luks.data=AB-12=/dev/nvme0n1p1", "md=0,/dev/nvme0n1p1,/dev/vda1",
    "systemd.mount-extra=LABEL=x:/srv:ext4", 'resume="LABEL=x"', "unheard_of=PARTLABEL=x",
])
def test_a_device_that_the_command_line_names_by_any_argument_is_guarded(with_mounts, words):
    host = with_mounts(ON_VDA, cmdline=f"quiet {words} x=y", links={
        f"dev/disk/by-{one}": "dev/nvme0n1p1" for one in ("uuid/AB-12", "label/x", "partlabel/x")
    })
    assert guarded(host)[NVME] == [f"{words.partition('=')[0]}= of the kernel's command line is on nvme0n1p1 on {NVME}"]


def test_arguments_that_name_no_device_of_the_host_guard_nothing(with_mounts):
    words = "console=/dev/ttyS0 a=UUID=none b=/dev/nvme9 rd.luks.uuid=luks-none crypto=LABELS=x c=LABEL"
    assert NVME not in guarded(with_mounts(ON_VDA, cmdline=words, links={"dev/disk/by-label/x": "dev/nvme0n1p1"}))


def test_a_disk_by_its_id_in_fstab_is_guarded(with_mounts):
    host = with_mounts(ON_VDA, files={"etc/fstab": "ID=nvme-x-part1 /srv ext4 defaults 0 2\n"}, links={"dev/disk/by-id/nvme-x-part1": "dev/nvme0n1p1"})
    assert guarded(host)[NVME] == [f"/srv of /etc/fstab is on nvme0n1p1 on {NVME}"]


@pytest.mark.parametrize(("line", "is_needed"), [
    ("data UUID=AB-12 none luks", True), ("data /dev/nvme0n1p1", True), ("data UUID=AB-12 none luks,noauto", False), ("# data UUID=AB-12", False),
])
def test_what_a_boot_decrypts_is_guarded(with_mounts, line, is_needed):
    host = with_mounts(ON_VDA, files={"etc/crypttab": line + "\n"}, links={"dev/disk/by-uuid/AB-12": "dev/nvme0n1p1"})
    assert guarded(host).get(NVME) == ([f"data of /etc/crypttab is on nvme0n1p1 on {NVME}"] if is_needed else None)


@pytest.mark.parametrize("unit", [
    ("/etc/systemd/system", "srv.mount", "multi-user.target.wants/srv.mount"),
    ("/etc/systemd/system", "srv.mount", "local-fs.target.requires/srv.mount"),
    ("/etc/systemd/system", "srv.mount", "local-fs.target.wants/srv.automount"),
    ("/etc/systemd/system", "part.swap", "swap.target.wants/part.swap"),
    ("/run/systemd/generator.late", "efi.mount", "local-fs.target.wants/efi.automount"),
])
def test_a_mount_or_swap_unit_that_a_boot_starts_is_guarded(with_mounts, unit):
    place, name, link = unit
    text = "[Unit]\nDescription=What=no\n[Mount]\nWhat = /dev/nvme0n1p1\nWhere=/srv\n"
    files, links = {f"{place[1:]}/{name}": text}, {f"{place[1:]}/{link}": f"{place[1:]}/{name}"}
    assert guarded(with_mounts(ON_VDA, files=files, links=links))[NVME] == [f"{name} of systemd is on nvme0n1p1 on {NVME}"]
    assert NVME not in guarded(with_mounts(ON_VDA, files=files))


def test_a_device_in_any_option_of_a_mount_is_guarded(with_mounts):
    line = "25 1 254:1 / / rw,relatime shared:1 - reiserfs /dev/vda1 rw,jdev=/dev/nvme0n1p1,errors=panic"
    assert guarded(with_mounts(line))[NVME] == [f"/ is on nvme0n1p1 on {NVME}"]


def test_a_device_whose_node_is_called_otherwise_is_known_by_its_number(with_mounts):
    host = with_mounts(ON_VDA, swaps=("/dev/cciss/c0d0p1",))
    host.tree.node("dev/cciss/c0d0p1", "block", "259:1")
    assert guarded(host)[NVME] == [f"swap is on nvme0n1p1 on {NVME}"]


PARTITION = "01234567-89ab-cdef-0123-456789abcdef"
HARD_DRIVE = (
    b"\x04\x01\x2a\x00" + (1).to_bytes(4, "little") + bytes(16)
    + bytes.fromhex("67452301ab89efcd0123456789abcdef") + b"\x02\x02"
)
ENTRY = (
    b"\x07\0\0\0" + b"\x01\0\0\0" + b"\x32\0" + "Linux".encode("utf-16-le") + b"\0\0"
    + b"\x02\x01\x0c\0" + bytes(8) + HARD_DRIVE + b"\x7f\xff\x04\0"
)


@pytest.mark.parametrize("variables", [
    {"LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f":
        b"\x06\0\0\0" + (PARTITION.upper() + "\0").encode("utf-16-le")},
    {"BootCurrent-8be4df61-93ca-11d2-aa0d-00e098032b8c": b"\x06\0\0\0\x1a\0",
     "Boot001A-8be4df61-93ca-11d2-aa0d-00e098032b8c": ENTRY},
])
def test_the_partition_that_the_firmware_booted_from_is_guarded(with_mounts, variables):
    host = with_mounts(
        ON_VDA, files={f"sys/firmware/efi/efivars/{name}": data for name, data in variables.items()},
        links={f"dev/disk/by-partuuid/{PARTITION}": "dev/nvme0n1p1"},
    )
    assert guarded(host)[NVME] == [f"the EFI partition of this boot is on nvme0n1p1 on {NVME}"]
