# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Systems and boot loaders that are not set up here: refused by name, with the place where they take arguments."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._cmdline.area import Request
from ansible_collections.vfio.host.plugins.module_utils._core.area import run_areas
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake.bootloaders import (
    BootHost,
    EntriesHost,
    GrubbyHost,
    GrubHost,
    OstreeHost,
    SystemdBootHost,
)


def refusal(host):
    with pytest.raises(PlanError) as caught:
        run_areas({"cmdline": (host.area, Request({"iommu": "pt"}))}, False)
    assert host.calls == []
    return str(caught.value)


@pytest.mark.parametrize("kind", [BootHost, EntriesHost])
@pytest.mark.parametrize("path, text, words", [
    ("etc/NIXOS", "", "boot.kernelParams"),
    ("etc/os-release", 'NAME="NixOS"\nID=nixos\n', "boot.kernelParams"),
    ("etc/os-release", "ID=talos\n", "machine.install.extraKernelArgs"),
    ("etc/unraid-version", 'version="7.1"\n', "append lines of /boot/syslinux/syslinux.cfg"),
    ("data/freenas-v1.db", "", "kernel_extra_options"),
    ("usr/lib/os-release", 'ID="flatcar"\n', "linux_append in /oem/grub.cfg"),
    ("etc/os-release", "ID=bottlerocket\n", "settings.boot.kernel-parameters"),
    ("run/current-system/configuration.scm", "", "kernel-arguments"),
    ("etc/os-release", "ID=ubuntu-core\n", "dangerous-cmdline-append"),
])
def test_a_system_that_is_declared_elsewhere_is_refused_whatever_boots_it(tmp_path, kind, path, text, words):
    host = kind(tmp_path)
    host.write(path, text)
    assert words in refusal(host)


@pytest.mark.parametrize("path, words", [
    ("boot/extlinux/extlinux.conf", "extlinux or U-Boot"),
    ("boot/syslinux/syslinux.cfg", "syslinux"),
    ("boot/limine.conf", "Limine"),
    ("efi/EFI/BOOT/limine.conf", "Limine"),
    ("boot/efi/limine/limine.conf", "Limine"),
    ("boot/refind_linux.conf", "rEFInd"),
    ("boot/firmware/cmdline.txt", "Raspberry Pi"),
    ("etc/zfsbootmenu/config.yaml", "org.zfsbootmenu:commandline"),
    ("boot/grub/grub.cfg", "GRUB without grub-mkconfig"),
    ("boot/armbianEnv.txt", "extlinux or U-Boot"),
    ("efi/EFI/refind/refind.conf", "the second column of /boot/refind_linux.conf"),
    ("etc/elilo.conf", "then elilo"),
    ("etc/x", "efibootmgr --unicode"),
])
def test_a_loader_that_is_not_set_up_is_named_with_the_place(tmp_path, path, words):
    host = BootHost(tmp_path)
    host.write(path, "x")
    message = refusal(host)
    assert message.startswith("no boot loader found that this module knows") and words in message


def test_files_of_such_a_loader_do_not_matter_where_another_boots(tmp_path):
    host = GrubHost(tmp_path)
    host.write("boot/extlinux/extlinux.conf", "x")
    assert run_areas({"cmdline": (host.area, Request({"iommu": "pt"}))}, True)["cmdline"].changed


@pytest.mark.parametrize("tool, words", [
    ("bootc", "/usr/lib/bootc/kargs.d"),
    ("ostree", "ostree admin kargs edit-in-place"),
    ("ls", "where its image is made"),
])
def test_grubby_is_not_asked_for_ostrees_entries(tmp_path, tool, words):
    host = GrubbyHost(tmp_path)
    host.write("run/ostree-booted", "")
    host.program(tool)
    message = refusal(host)
    assert words in message and "rpm-ostree" in message


def test_an_image_of_bootc_without_ostree_is_refused(tmp_path):
    host = GrubbyHost(tmp_path)
    host.program("bootc")
    host.write("proc/cmdline", "root=UUID=1 composefs=abc rw\n")
    assert "bootc upgrade" in refusal(host)


def test_bootc_with_rpm_ostree_is_rpm_ostrees(tmp_path):
    host = OstreeHost(tmp_path)
    host.program("bootc")
    assert run_areas({"cmdline": (host.area, Request({"iommu": "pt"}))}, True)["cmdline"].result()["backend"] == "rpm-ostree"


@pytest.mark.parametrize("said", ["Limine 9.3", "rEFInd 0.14", "refind", "barebox-2025"])
def test_grub_is_not_set_up_where_another_loader_booted(tmp_path, said):
    host = GrubHost(tmp_path)
    host.write("sys/firmware/efi/efivars/x", "")
    host.loader_variable("LoaderInfo", said)
    assert f"the firmware says that {said} booted this host" in refusal(host)


@pytest.mark.parametrize("kind", [BootHost, GrubHost])
@pytest.mark.parametrize("info, words", [
    ("rEFInd 0.14.0.2", "the second column of /boot/refind_linux.conf"), ("Limine 9.2.0", "the cmdline lines there"),
])
def test_a_loader_that_says_its_name_is_refused_with_the_place_of_its_arguments(tmp_path, kind, info, words):
    class Host(kind):
        efi = True
        loader_info = info

    said = refusal(Host(tmp_path))
    assert f"the firmware says that {info} booted this host" in said and words in said


def test_a_loader_that_is_left_where_the_firmware_starts_the_kernel_is_refused_with_the_place_of_its_arguments(tmp_path):
    class Host(SystemdBootHost):
        loader_info = None

    assert "efibootmgr --unicode" in refusal(Host(tmp_path))
