# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard 'storage' of what nothing has open now, and the next boot needs."""

from __future__ import annotations

import errno
import os

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, NVME
from ansible_collections.vfio.host.tests.unit.fake.model import Disk, Nvme

ON_VDA = "25 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw"
TWO_PARTS = (("nvme0n1p1", "259:1"), ("nvme0n1p2", "259:2"))
BY_UUID = {"dev/disk/by-uuid/AB-12": "dev/nvme0n1p1"}


@pytest.fixture
def needed(make_host):
    """A function: why the host with these files and links needs the disk that it has no mount on; None where it is free."""

    def make(files=(), links=(), mounts=(ON_VDA,), cmdline="quiet"):
        nvme = Nvme("nvme0", "NV01", Disk("nvme0n1", "259:0", "", TWO_PARTS))
        spec = hosts.x86(mounts=mounts, cmdline=cmdline, files=dict(files), links=dict(links))
        found = make_host(hosts.changed(spec, NVME, nvme=nvme)).survey().devices[NVME].guards
        return [one["reason"] for one in found if one["kind"] == "storage"] or None

    return make


# Names of links, as udev writes them (source: systemd src/shared/device-nodes.c encode_devnode_name()).

@pytest.mark.parametrize("label, link", [
    ("caf\u00e9", "caf\u00e9"), ("20\u00b0\u2013\u20ac", "20\u00b0\u2013\u20ac"), ("\U0001f4be", "\U0001f4be"), ("a/b", "a\\x2fb"),
])
def test_a_label_is_found_whatever_characters_it_has(needed, label, link):
    assert needed({"etc/fstab": f"LABEL={label} /srv ext4 defaults 0 2\n"}, {f"dev/disk/by-label/{link}": "dev/nvme0n1p1"}) == [
        f"/srv of /etc/fstab is on nvme0n1p1 on {NVME}"
    ]


def claims(number, *links):
    """What udev keeps of a block device (source: systemd src/libsystemd/sd-device/device-private.c device_update_db())."""
    return {f"run/udev/data/b{number}": "".join(f"S:{link}\n" for link in links) + "I:1\nE:ID_FS_TYPE=btrfs\nG:systemd\n"}


@pytest.mark.parametrize("what, link", [
    ("UUID=AB-12", "disk/by-uuid/AB-12"), ("LABEL=pool", "disk/by-label/pool"), ("/dev/disk/by-uuid/AB-12", "disk/by-uuid/AB-12"),
])
def test_every_disk_that_has_the_name_is_needed_and_not_the_one_alone_that_the_link_points_to(needed, what, link):
    files = {"etc/fstab": f"{what} /srv btrfs defaults 0 0\n", **claims("1:7", link), **claims("259:2", link)}
    links = {f"dev/{link}": "dev/ram7", "sys/class/block/ram7": "sys/devices/virtual/block/ram7"}
    assert needed(files, links) == [f"/srv of /etc/fstab is on nvme0n1p2 on {NVME}"]


def test_a_copy_of_what_is_mounted_is_free(needed):
    link = "disk/by-uuid/AB-12"
    files = {"etc/fstab": "UUID=AB-12 / ext4 defaults 0 0\n", **claims("254:1", link), **claims("259:2", link)}
    assert needed(files, {f"dev/{link}": "dev/vda1"}) is None


def member(number, kind, usage="raid"):
    return {f"run/udev/data/b{number}": f"I:1\nE:ID_FS_TYPE={kind}\nE:ID_FS_USAGE={usage}\n"}


@pytest.mark.parametrize("what, kind", [
    ("/dev/mapper/vg-data", "LVM2_member"), ("/dev/vg/data", "LVM2_member"), ("/dev/md0", "linux_raid_member"), ("/dev/md/data", "isw_raid_member"),
    ("/dev/bcache0", "bcache"), ("/dev/md127p1", "ddf_raid_member"), ("/dev/mapper/mpatha", "mpath_member"), ("/dev/mapper/vdo0", "vdo"),
    ("/dev/stratis/pool/data", "stratis"), ("/dev/mapper/x", "neverheardof"), ("/dev/disk/by-id/md-name-host:0", "linux_raid_member"),
    ("/dev/disk/by-id/dm-uuid-LVM-x", "LVM2_member"), ("/dev/disk/by-id/bcache-x", "bcache"),
])
def test_what_is_not_put_together_yet_may_be_on_each_disk_that_waits_for_that(needed, what, kind):
    files = {"etc/fstab": f"{what} /srv ext4 defaults 0 2\n", **member("259:2", kind)}
    assert needed(files) == [f"/srv of /etc/fstab is on {what}, which is not there now and may be made of what is on nvme0n1p2 on {NVME}"]


@pytest.mark.parametrize("what, is_needed", [
    ("/dev/mapper/srv", True), ("/dev/vg/data", True), ("/dev/md0", False), ("/dev/drbd1", False),
    ("/dev/disk/by-id/dm-name-srv", True), ("/dev/disk/by-id/md-name-host:0", False), ("/dev/disk/by-id/ata-GONE", False),
])
def test_what_is_not_there_may_be_on_each_disk_that_waits_for_its_key(needed, what, is_needed):
    files = {"etc/fstab": f"{what} /srv ext4 nofail 0 2\n", **member("259:2", "crypto_LUKS", "crypto")}
    assert (needed(files) is not None) == is_needed


def test_a_record_of_udevs_that_cannot_be_read_may_be_of_any_disk(needed, monkeypatch):
    real = os.open

    def refusing(path, *more, **named):
        if str(path).endswith("/run/udev/data/b259:2") and not more[0] & os.O_WRONLY:
            raise OSError(errno.EIO, "no")
        return real(path, *more, **named)

    monkeypatch.setattr(os, "open", refusing)
    files = {"etc/fstab": "/dev/vg/data /srv ext4 defaults 0 2\n", **member("259:2", "LVM2_member")}
    assert needed(files) == ["/srv of /etc/fstab is on what cannot be told, so every disk counts"]


@pytest.mark.parametrize("fstab, is_needed", [
    ("/dev/mapper/srv /srv ext4 defaults 0 2\n", True), ("/dev/mapper/top /srv ext4 defaults 0 2\n", True),
    ("/dev/mapper/srv /srv ext4 noauto 0 2\n", False), ("", False),
])
def test_a_mapped_device_with_noauto_is_set_up_where_a_mount_asks_for_it(needed, fstab, is_needed):
    """As crypttab(5) has it: also for another mapped device."""
    files = {"etc/crypttab": "top /dev/mapper/srv none noauto\nsrv /dev/nvme0n1p2 none luks,noauto\n", "etc/fstab": fstab}
    assert needed(files) == ([f"srv of /etc/crypttab is on nvme0n1p2 on {NVME}"] if is_needed else None)


@pytest.mark.parametrize("what, kind", [
    ("/dev/sdz1", "LVM2_member"), ("/dev/disk/by-id/none", "LVM2_member"), ("UUID=none", "LVM2_member"), ("/dev/vg/data", "ext4"),
    ("/dev/vg/data", "zfs_member"), ("/dev/zvol/tank/swap", "LVM2_member"),
])
def test_a_disk_that_is_not_there_is_on_no_other_one(needed, what, kind):
    usage = "raid" if kind == "LVM2_member" else "filesystem"
    assert needed({"etc/fstab": f"{what} /srv ext4 defaults 0 2\n", **member("259:2", kind, usage)}) is None


@pytest.mark.parametrize("what", [
    "/dev/nvme0n1p1:/dev/vda9", "/dev/vda9:/dev/nvme0n1p1", "/dev/disk/by-path/pci-0000:00:09.0-nvme-1-part1:/dev/vda9",
])
def test_every_member_that_a_boot_names_is_needed(needed, what):
    """As bcachefs has them in fstab (source: bcachefs(8))."""
    links = {"dev/disk/by-path/pci-0000:00:09.0-nvme-1-part1": "dev/nvme0n1p1"}
    assert needed({"etc/fstab": f"{what} /srv bcachefs defaults 0 0\n"}, links) == [f"/srv of /etc/fstab is on nvme0n1p1 on {NVME}"]


# Tables of /etc.

@pytest.mark.parametrize("options", [
    "noauto,x-systemd.automount", "noauto,nofail,comment=systemd.automount", "noauto,x-systemd.wanted-by=app.service",
    "noauto,x-systemd.required-by=app.service",
])
def test_what_systemd_mounts_though_fstab_says_noauto_is_needed(needed, options):
    assert needed({"etc/fstab": f"UUID=AB-12 /srv ext4 {options} 0 2\n"}, BY_UUID) == [f"/srv of /etc/fstab is on nvme0n1p1 on {NVME}"]


@pytest.mark.parametrize("options", ["noauto", "noauto,x-systemd.device-timeout=3", "noauto,user"])
def test_what_fstab_mounts_when_somebody_asks_is_free(needed, options):
    assert needed({"etc/fstab": f"UUID=AB-12 /srv ext4 {options} 0 2\n"}, BY_UUID) is None


@pytest.mark.parametrize("options", [
    "logdev=/dev/nvme0n1p1", "rw,journal_path=/dev/disk/by-uuid/AB-12", "device=/dev/vda9,device=/dev/nvme0n1p1", "jdev=UUID=AB-12",
    "x-systemd.requires=/dev/nvme0n1p1",
])
def test_a_device_in_any_option_of_fstab_is_needed(needed, options):
    assert needed({"etc/fstab": f"/dev/vda1 /srv xfs {options} 0 2\n"}, BY_UUID) == [f"/srv of /etc/fstab is on nvme0n1p1 on {NVME}"]


@pytest.mark.parametrize("table, line", [
    ("crypttab", "data /dev/vda9 /key:UUID=AB-12 luks"), ("crypttab", "data /dev/vda9 none luks,header=/dev/nvme0n1p1"),
    ("crypttab", "data /dev/vda9 none luks,header=/luks.img:UUID=AB-12"),
    ("crypttab", "data /dev/vda9 /dev/disk/by-uuid/AB-12:/key keyscript=passdev"),
    ("veritytab", "usr UUID=AB-12 /dev/vda9 0123abcd"), ("veritytab", "usr /dev/vda9 UUID=AB-12 0123abcd"),
    ("integritytab", "data UUID=AB-12 - integrity-algorithm=crc32c"),
    ("integritytab", "data /dev/vda9 - data-device=/dev/nvme0n1p1"),
])
def test_every_device_that_a_table_of_mapped_ones_names_is_needed(needed, table, line):
    assert needed({f"etc/{table}": line + "\n"}, BY_UUID) == [f"{line.split()[0]} of /etc/{table} is on nvme0n1p1 on {NVME}"]


def test_a_key_of_random_bytes_is_on_no_disk(needed):
    assert needed({"etc/crypttab": "swap /dev/vda9 /dev/urandom swap\n"}) is None


# Units of systemd.

UNIT = "[Mount]\nWhat=/dev/nvme0n1p1\nWhere=/srv\n"


@pytest.mark.parametrize("place", ["usr/lib/systemd/system", "usr/local/lib/systemd/system", "lib/systemd/system"])
@pytest.mark.parametrize("wants", ["etc/systemd/system", "usr/lib/systemd/system"])
def test_a_packages_unit_that_is_enabled_is_needed(needed, place, wants):
    files, link = {f"{place}/srv.mount": UNIT}, {f"{wants}/local-fs.target.wants/srv.mount": f"{place}/srv.mount"}
    assert needed(files, link) == [f"srv.mount of systemd is on nvme0n1p1 on {NVME}"]
    assert needed(files) is None


def test_a_packages_unit_in_whose_place_is_another_is_not_started(needed):
    files = {"usr/lib/systemd/system/srv.mount": UNIT, "etc/systemd/system/srv.mount": UNIT.replace("nvme0n1p1", "vda9")}
    assert needed(files, {"etc/systemd/system/local-fs.target.wants/srv.mount": "etc/systemd/system/srv.mount"}) is None


@pytest.mark.parametrize("place", ["etc", "run", "usr/lib"])
def test_a_drop_in_of_a_unit_names_its_device(needed, place):
    files = {
        "etc/systemd/system/srv.mount": UNIT.replace("nvme0n1p1", "vda9"),
        f"{place}/systemd/system/srv.mount.d/disk.conf": "[Mount]\nWhat=/dev/nvme0n1p1\n",
    }
    assert needed(files, {"etc/systemd/system/local-fs.target.wants/srv.mount": "etc/systemd/system/srv.mount"}) == [
        f"srv.mount of systemd is on nvme0n1p1 on {NVME}"
    ]


@pytest.mark.parametrize("path", ["etc/systemd/system/app.service", "usr/lib/systemd/system/app.service", "etc/systemd/system/app.service.d/a.conf"])
@pytest.mark.parametrize("line", [
    "Requires=network.target srv.mount", "Wants=srv.mount", "BindsTo = srv.mount", "RequiresMountsFor=/srv/app", "WantsMountsFor=/x /srv",
])
@pytest.mark.parametrize("place", ["etc/systemd/system", "run/systemd/generator"])
def test_a_mount_that_another_unit_asks_for_is_needed(needed, path, line, place):
    assert needed({f"{place}/srv.mount": UNIT, path: f"[Unit]\n{line}\n"}) == [f"srv.mount of systemd is on nvme0n1p1 on {NVME}"]


@pytest.mark.parametrize("line", ["After=srv.mount", "RequiresMountsFor=/srvx", "RequiresMountsFor=/", "Requires=srv.mounts", "#Requires=srv.mount"])
def test_a_mount_that_no_unit_asks_for_is_free(needed, line):
    assert needed({"etc/systemd/system/srv.mount": UNIT, "etc/systemd/system/app.service": f"[Unit]\n{line}\n"}) is None


def test_a_device_in_an_option_of_a_unit_is_needed(needed):
    files = {"etc/systemd/system/srv.mount": "[Mount]\nWhat=/dev/vda1\nWhere=/srv\nOptions=logdev=/dev/nvme0n1p1\n"}
    assert needed(files, {"etc/systemd/system/local-fs.target.wants/srv.mount": "etc/systemd/system/srv.mount"}) == [
        f"srv.mount of systemd is on nvme0n1p1 on {NVME}"
    ]


# The firmware's variables.

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
PARTITION = "01234567-89ab-cdef-0123-456789abcdef"
HARD_DRIVE = b"\x04\x01\x2a\x00" + (1).to_bytes(4, "little") + bytes(16) + bytes.fromhex("67452301ab89efcd0123456789abcdef") + b"\x02\x02"


MBR = b"\x04\x01\x2a\x00" + (2).to_bytes(4, "little") + bytes(16) + bytes.fromhex("78563412") + bytes(12) + b"\x01\x01"
PXE = b"\x02\x01\x0c\0" + bytes(8) + b"\x03\x0b\x25\0" + bytes(33) + b"\x03\x0c\x1b\0" + bytes(23)


def entry(active=True, path=HARD_DRIVE):
    """A boot entry with the attributes of its variable (source: UEFI specification, 3.1.3 EFI_LOAD_OPTION)."""
    return b"\x07\0\0\0" + bytes([active, 0, 0, 0]) + (len(path) + 4).to_bytes(2, "little") + "Linux\0".encode("utf-16-le") + path + b"\x7f\xff\x04\0"


def boot(order=None, following=None, **entries):
    variables = {f"Boot{name[1:]}": data for name, data in entries.items()}
    for name, numbers in (("BootOrder", order), ("BootNext", following), ("BootCurrent", (0x10,))):
        if numbers is not None:
            variables[name] = b"\x07\0\0\0" + b"".join(one.to_bytes(2, "little") for one in numbers)
    return {f"sys/firmware/efi/efivars/{name}-{GLOBAL}": data for name, data in variables.items()}


BY_PARTUUID = {f"dev/disk/by-partuuid/{PARTITION}": "dev/nvme0n1p1"}
NEXT = [f"the EFI partition of the next boot is on nvme0n1p1 on {NVME}"]


@pytest.mark.parametrize("variables", [
    boot(order=(5, 0x10), _0005=entry()), boot(order=(6, 5, 0x10), _0005=entry(), _0006=entry(active=False)),
    boot(order=(6, 5), _0005=entry()), boot(order=(0x10, 1), following=(5,), _0005=entry(), _0010=entry(path=b"")),
    boot(order=(0x10, 6, 5, 7), _0005=entry(), _0006=entry(path=b"\x03\x18\x05\0h"), _0010=entry(path=PXE), _0007=entry(path=MBR)),
])
def test_the_partition_that_the_firmware_boots_from_next_is_needed(needed, variables):
    assert needed(variables, BY_PARTUUID) == NEXT


@pytest.mark.parametrize("variables", [
    boot(order=(0x10, 5), _0005=entry(), _0010=entry(path=b"")), boot(order=(), _0005=entry()), boot(order=(5,), _0005=entry(active=False)),
    boot(_0005=entry()),
])
def test_partitions_of_further_boot_entries_are_free(needed, variables):
    assert needed(variables, BY_PARTUUID) is None


def test_a_partition_of_an_old_table_is_known_by_its_disks_signature_and_its_number(needed):
    """As udev calls it (source: util-linux libblkid/src/partitions/dos.c)."""
    assert needed(boot(order=(5,), _0005=entry(path=MBR)), {"dev/disk/by-partuuid/12345678-02": "dev/nvme0n1p1"}) == NEXT


# The kernel's command line (source: lib/cmdline.c next_arg(); Documentation/admin-guide/device-mapper/dm-init.rst).

@pytest.mark.parametrize("words, link", [
    ('resume="LABEL=my swap"', "by-label/my\\x20swap"), ('"resume=LABEL=my swap"', "by-label/my\\x20swap"),
    ('dm-mod.create="root,,,ro,0 4096 linear 259:1 0"', "x"), ('dm-mod.create="root,,,ro,0 4096 linear /dev/nvme0n1p1 0"', "x"),
    ("resume=PARTUUID=ab-12/PARTNROFF=1", "by-partuuid/ab-12"),
])
def test_a_device_in_quotes_on_the_command_line_is_needed(needed, words, link):
    key = words.replace('"', "").partition("=")[0]
    assert needed(links={f"dev/disk/{link}": "dev/nvme0n1p1"}, cmdline=f"quiet {words} ro") == [
        f"{key}= of the kernel's command line is on nvme0n1p1 on {NVME}"
    ]


@pytest.mark.parametrize("number, reasons", [
    ("259:2", [f"the image of the next hibernation is on nvme0n1p2 on {NVME}"]), ("0:0", None), ("", None), ("254:1", None),
])
def test_where_a_hibernation_writes_its_image_is_needed_whoever_told_the_kernel(needed, number, reasons):
    assert needed({"sys/power/resume": number + "\n"}) == reasons


@pytest.mark.parametrize("path, text", [
    ("etc/kdump.conf", "# ext4 /dev/none\n  ext4 UUID=AB-12\npath /var/crash\n"), ("etc/kdump.conf", "raw\t/dev/nvme0n1p1\n"),
    ("etc/kdump.conf", "xfs /dev/disk/by-uuid/AB-12\ncore_collector makedumpfile -l\n"),
])
def test_the_disk_that_a_crash_is_dumped_to_is_needed(needed, path, text):
    assert needed({path: text}, BY_UUID) == [f"the place for crashes of /{path} is on nvme0n1p1 on {NVME}"]


@pytest.mark.parametrize("path, text", [
    ("etc/kdump.conf", "#raw /dev/nvme0n1p1\n"), ("etc/kdump.conf", "path /dev\n"), ("etc/kdump.conf", "nfs nas:/x\n"),
    ("etc/sysconfig/kdump", 'KDUMP_SAVEDIR="file:///var/crash"\n'), ("etc/default/kdump-tools", "NFS=\n"), ("etc/kdump.conf", "\xff \0 x\n"),
])
def test_a_file_about_crashes_that_names_no_disk_needs_none(needed, path, text):
    assert needed({path: text}) is None


@pytest.mark.parametrize("path, text", [
    ("etc/kdump.conf", "nfs 10.0.9.7:/x\n"), ("etc/kdump.conf", "ssh root@10.0.9.7\n"), ("etc/default/kdump-tools", 'NFS="10.0.9.7:/x"\n'),
    ("etc/default/kdump-tools", "SSH=kdump@10.0.9.7\n"), ("etc/sysconfig/kdump", "KDUMP_SAVEDIR='nfs://10.0.9.7/x'\n"),
    ("etc/sysconfig/kdump", 'KDUMP_SAVEDIR="ssh://root@10.0.9.7:22/x"\n'),
])
def test_the_card_that_a_crash_is_dumped_over_is_needed(make_host, path, text):
    lan = "enp2s0\t0009000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0"
    host = make_host(hosts.x86(mounts=(ON_VDA,), routes=(hosts.DEFAULT_ROUTE, lan), files={path: text}))
    assert [one["kind"] for one in host.survey().devices[NIC].guards] == ["storage"]


# What autofs mounts at its first use (source: autofs(5)).

MAP = "25 1 0:44 / /misc rw - autofs /etc/auto.misc rw,fd=7,pgrp=99,timeout=300,indirect"


@pytest.mark.parametrize("line, is_needed", [
    ("data -fstype=ext4 :/dev/nvme0n1p1", True), ("data -fstype=xfs,logdev=/dev/nvme0n1p1 :/dev/gone", True),
    ("* -fstype=ext4 \\\n  :/dev/nvme0n1p1", True), ("data /a -fstype=ext4 :/dev/vda1 /b -fstype=ext4 :/dev/nvme0n1p1", True),
    ("# data :/dev/nvme0n1p1", False), ("+auto.master", False), ("", False), ("#!/bin/sh\necho :/dev/nvme0n1p1", False), ("data nas:/dev/nvme0n1p1", False),
])
def test_a_device_that_autofs_mounts_at_its_first_use_is_needed(needed, line, is_needed):
    files = {"etc/auto.misc": line + "\n"}
    assert needed(files, mounts=(ON_VDA, MAP)) == ([f"what autofs mounts by /etc/auto.misc is on nvme0n1p1 on {NVME}"] if is_needed else None)
    assert needed(files) is None


@pytest.mark.parametrize("line", ["x -rw,soft 10.0.9.7:/x", "x -fstype=cifs ://10.0.9.7/x", "x nas,10.0.9.7(5):/x", "x -fstype=ceph,mon_addr=10.0.9.7 a@.fs=/"])
def test_a_server_that_a_map_of_autofs_names_by_its_address_guards_the_card_that_reaches_it(make_host, line):
    route = "enp2s0\t0009000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0"
    host = make_host(hosts.x86(mounts=(ON_VDA, MAP), routes=(route,), files={"etc/auto.misc": line + "\n"}))
    assert [one["reason"] for one in host.survey().devices[NIC].guards if one["kind"] == "storage"]
