# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which boot loader boots a host, and what only one of them can get wrong."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._cmdline.area import Request
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.blsentries import parse_entry, with_options
from ansible_collections.vfio.host.plugins.module_utils._core.area import run_areas
from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake.bootloaders import (
    BootHost,
    GrubbyHost,
    GrubHost,
    SystemdBootHost,
    ZiplHost,
)


def run(host, args=None, check=False):
    return run_areas({"cmdline": (host.area, Request(args or {"iommu": "pt"}))}, check, open_journal=lambda: Journal(host.kernel, host.files))["cmdline"]


class Both(SystemdBootHost, GrubHost):
    efi = True

    def install(self):
        GrubHost.install(self)
        SystemdBootHost.install(self)


class BothByGrub(Both):
    loader_info = "GRUB 2.12"


class BothOldGrub(Both):
    loader_info = None


class BothNoEfi(BothOldGrub):
    efi = False


def test_without_a_boot_loader_the_error_names_all_that_was_looked_for(tmp_path):
    with pytest.raises(PlanError) as caught:
        run(BootHost(tmp_path))
    assert len(caught.value.messages) == 1
    for word in ("grubby", "grub-mkconfig", "grub2-mkconfig", "kernel-install", "zipl", "proxmox-boot-tool", "rpm-ostree"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "kind, backend",
    [
        (Both, "kernel-install"),
        (BothByGrub, "grub"),
        (BothOldGrub, "grub"),
        (BothNoEfi, "grub"),
    ],
)
def test_of_two_loaders_the_one_that_booted_is_taken(tmp_path, kind, backend):
    assert run(kind(tmp_path), check=True).result()["backend"] == backend


def test_two_loaders_and_no_sign_which_one_boots_is_an_error(tmp_path):
    host = Both(tmp_path)
    for path in (tmp_path / "sys/firmware/efi/efivars").iterdir():
        path.unlink()
    with pytest.raises(PlanError, match="more than one boot loader"):
        run(host)


def test_a_loader_that_did_not_boot_the_host_is_not_configured(tmp_path):
    host = GrubHost(tmp_path)
    host.write(
        "sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f",
        "\6\0\0\0s\0y\0s\0t\0e\0m\0d\0-\0b\0o\0o\0t\0",
    )
    with pytest.raises(PlanError, match="the firmware says that systemd-boot booted this host"):
        run(host)


@pytest.mark.parametrize("kind", [SystemdBootHost, Both])
def test_a_partition_that_is_not_mounted_is_told_to_be(tmp_path, kind):
    host = kind(tmp_path)
    (tmp_path / "boot/efi").rename(tmp_path / "elsewhere")
    with pytest.raises(PlanError) as caught:
        run(host)
    assert "the firmware says that systemd-boot 257.9-1~deb13u1 booted this host" in str(caught.value)
    assert "where its partition is not mounted, mount it at /efi, /boot/efi or /boot" in str(caught.value)


@pytest.mark.parametrize("line, warned", [
    ("root=/dev/vda2 ro quiet", True), ("root=/dev/vda2 ro quiet iommu=pt", False), ("BOOT_IMAGE=/boot/vmlinuz root=/dev/vda2 ro quiet", False),
])
@pytest.mark.parametrize("kind", [GrubHost, GrubbyHost])
def test_a_kernel_that_grub_has_not_started_is_told_until_it_has_the_arguments(tmp_path, kind, line, warned):
    host = kind(tmp_path)
    host.write("proc/cmdline", line + "\n")
    for dummy in range(2):
        assert any("no BOOT_IMAGE=" in one for one in run(host).warnings) == warned
    (tmp_path / "proc/xen").mkdir()
    assert not any("no BOOT_IMAGE=" in one for one in run(host).warnings)


def test_two_ways_to_one_partition_are_one(tmp_path):
    host = SystemdBootHost(tmp_path)
    (tmp_path / "efi").symlink_to("boot/efi")
    assert [name for name, dummy in run(host).state.boot.entries] == [
        f"{tmp_path}/efi/loader/entries/lab-{version}.conf" for version in sorted(host.versions)
    ]


def test_a_grub_that_takes_its_entries_from_files_is_not_grub_mkconfigs(tmp_path):
    host = GrubHost(tmp_path)
    host.write("boot/grub/grub.cfg", "insmod blscfg\nblscfg\n")
    with pytest.raises(PlanError, match="no boot loader found"):
        run(host)


def test_where_kernel_install_has_no_line_one_is_made_of_what_booted_and_not_of_what_was_typed_for_one_boot(tmp_path):
    host = SystemdBootHost(tmp_path, "root=/dev/vda2 ro  quiet")
    (tmp_path / "etc/kernel/cmdline").unlink()
    host.write("proc/cmdline", "initrd=\\x root=/dev/vda2 ro quiet systemd.machine_id=0123 single nomodeset\n")
    before = entries(host)
    run(host)
    assert host.read("etc/kernel/cmdline") == "root=/dev/vda2 ro quiet iommu=pt\n"
    run_areas({"cmdline": (host.area, Request(None, False))}, False, open_journal=lambda: Journal(host.kernel, host.files))
    assert host.read("etc/kernel/cmdline") is None
    assert entries(host) == before


def test_the_line_of_the_distribution_comes_before_what_booted(tmp_path):
    host = SystemdBootHost(tmp_path)
    (tmp_path / "etc/kernel/cmdline").unlink()
    host.write("usr/lib/kernel/cmdline", "ro vendor\n")
    run(host)
    assert host.read("etc/kernel/cmdline") == "ro vendor iommu=pt\n"


def test_a_line_that_was_made_here_and_that_somebody_changed_stays_without_ours(tmp_path):
    host = SystemdBootHost(tmp_path)
    (tmp_path / "etc/kernel/cmdline").unlink()
    run(host)
    host.write("etc/kernel/cmdline", "ro loud iommu=pt\n")
    run_areas({"cmdline": (host.area, Request(None, False))}, False, open_journal=lambda: Journal(host.kernel, host.files))
    assert host.read("etc/kernel/cmdline") == "ro loud\n"


def entries(host):
    return {path.name: path.read_text() for path in (host.root / "boot/efi/loader/entries").iterdir()}


def test_every_entry_of_an_installed_kernel_and_no_other_gets_the_arguments(tmp_path):
    host = SystemdBootHost(tmp_path)
    (tmp_path / "boot/vmlinuz-6.12.90-amd64").unlink()
    before = entries(host)
    run(host)
    after = entries(host)
    assert [name for name in before if before[name] != after[name]] == ["lab-6.12.107-amd64.conf"]
    assert host.calls == []


def test_entries_are_as_kernel_install_would_make_them(tmp_path):
    host = SystemdBootHost(tmp_path, "ro  quiet")
    run(host)
    ours = {name: parse_entry(text) for name, text in entries(host).items()}
    for version in host.versions:
        host.do_kernel_install("add", version, "")
    theirs = {name: parse_entry(text) for name, text in entries(host).items()}
    for one in [*ours.values(), *theirs.values()]:
        one["options"] = sorted(one["options"].split())
    assert ours == theirs


def test_what_an_entry_alone_has_stays(tmp_path):
    host = SystemdBootHost(tmp_path)
    path = tmp_path / "boot/efi/loader/entries/lab-6.12.90-amd64.conf"
    path.write_text(path.read_text().replace("options    ", "options\tnomodeset "))
    run(host)
    assert "\noptions\tnomodeset ro" in path.read_text()
    assert "iommu=pt" in path.read_text()


@pytest.mark.parametrize("text, wanted", [
    ("title x\noptions  a b\nlinux /l\n", "title x\noptions  c d\nlinux /l\n"),
    ("title x\n options a\nlinux /l\noptions b\n", "title x\n options c d\nlinux /l\n"),
    ("title x\nlinux /l\n", "title x\nlinux /l\noptions    c d\n"),
    ("title x\noptions\nlinux /l", "title x\noptions c d\nlinux /l"),
])
def test_the_options_of_an_entry_change_and_nothing_else(text, wanted):
    assert with_options(text, "c d") == wanted
    assert parse_entry(with_options(text, "c d"))["options"] == "c d"


def test_no_entries_at_all_are_an_error(tmp_path):
    host = SystemdBootHost(tmp_path)
    for path in (tmp_path / "boot/efi/loader/entries").iterdir():
        path.unlink()
    with pytest.raises(PlanError, match="no entry of this system that can be told as such: there is none at all"):
        run(host)


def test_options_of_an_entry_may_be_in_several_lines():
    assert parse_entry("# x\noptions a b\noptions\tc\nversion 1\n") == {"options": "a b c", "version": "1"}


def test_grubby_does_not_get_what_it_would_tear(tmp_path):
    with pytest.raises(PlanError, match="grubby"):
        run(GrubbyHost(tmp_path), {"dyndbg": "file a.c +p"})


def test_grubby_on_s390_is_followed_by_zipl(tmp_path):
    host = GrubbyHost(tmp_path)
    host.program("zipl")
    host.write("etc/zipl.conf", "[defaultboot]\ndefaultauto\nprompt=1\ntarget=/boot\n")
    run(host)
    assert [call[0] for call in host.calls] == ["grubby", "grubby", "zipl"]
    assert "iommu=pt" in host.read("boot/bootmap")


def test_zipl_does_not_guess_what_a_parmfile_holds(tmp_path):
    host = ZiplHost(tmp_path)
    host.write("etc/zipl.conf", host.read("etc/zipl.conf").replace("default = debian", "default = other"))
    with pytest.raises(PlanError, match="default section other has no parameters"):
        run(host)
