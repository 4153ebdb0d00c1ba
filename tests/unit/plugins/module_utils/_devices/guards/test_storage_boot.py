# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard 'storage' of what files, units, the command line and the firmware say that a boot needs."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake.hosts import NVME
from ansible_collections.vfio.host.tests.unit.plugins.module_utils._devices.guards.mounting import ON_VDA, guarded, mount


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
