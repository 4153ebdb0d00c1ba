# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from virtlab import boot, errors, host, packages, paths, recipe

LOADERS = sorted(name for name, one in boot.BOOTS.items() if one.loader_script)


@pytest.fixture(params=LOADERS)
def loader(request, description):
    description["boot"] = request.param
    if boot.BOOTS[request.param].firmware.architecture == "arm64":
        description.update(architecture="arm64", machine="virt", iommu="smmuv3")
    return description


def test_a_boot_loader_gets_no_kernel_from_outside(loader):
    line = boot.BOOTS[loader["boot"]].arguments(Path("/image"), ["intel_iommu=on"], None)
    assert "-kernel" not in line
    assert line == ("-bios", boot.BOOTS[loader["boot"]].firmware.path)


def test_a_boot_loader_takes_no_initramfs_from_outside(loader):
    with pytest.raises(errors.LabError, match="own disk"):
        boot.BOOTS[loader["boot"]].arguments(Path("/image"), [], Path("/initrd"))


def test_the_kernel_arguments_of_a_boot_loader_are_part_of_its_image(loader):
    parsed = host.parse("box", loader)
    one = recipe.of(parsed, "key")
    assert "intel_iommu=on" in one.command_line
    assert recipe.of(dataclasses.replace(parsed, kernel_args=("intel_iommu=off",)), "key").name != one.name
    assert set(boot.BOOTS[parsed.boot].packages) <= set(one.packages)


def test_a_changed_loader_script_makes_another_image(loader):
    one = recipe.of(host.parse("box", loader), "key")
    assert dataclasses.replace(one, loader_scripts=("changed",)).name != one.name
    assert all(text.startswith("#!/bin/sh") for text in one.loader_scripts)


@pytest.mark.parametrize("tool", sorted(boot.INITRAMFS))
def test_every_tool_for_the_initramfs_has_its_script(tool):
    assert (paths.IMAGE_SCRIPTS / boot.INITRAMFS[tool].script).is_file()


@pytest.mark.parametrize("name", sorted(boot.BOOTS))
def test_every_script_of_a_boot_is_there(name):
    one = boot.BOOTS[name]
    for script in filter(None, (one.loader_script, one.disk_script)):
        assert (paths.IMAGE_SCRIPTS / script).is_file()


def test_the_firmware_is_installed_when_a_host_needs_it(loader, monkeypatch):
    firmware = boot.BOOTS[loader["boot"]].firmware
    monkeypatch.setattr(packages, "_find", lambda program: program != firmware.path)
    monkeypatch.setattr(packages, "_qemu_suffices", lambda host: True)
    assert packages.missing(host.parse("box", loader), build=False) == (firmware.package,)


@pytest.mark.parametrize("name", LOADERS)
def test_firmware_of_another_architecture_is_refused(description, name):
    description["boot"] = name
    firmware = boot.BOOTS[name].firmware
    if firmware.architecture == "amd64":
        description.update(architecture="arm64", machine="virt", iommu="smmuv3")
    with pytest.raises(errors.LabError, match=f"boot {name} is not of architecture .*: it takes {firmware.architecture}"):
        host.parse("box", description)


def test_the_grub_script_knows_the_file_that_each_firmware_looks_for():
    script = (paths.IMAGE_SCRIPTS / "loader-grub.sh").read_text(encoding="utf-8")
    # Source: UEFI specification 2.10, 3.5.1.1, removable media boot behaviour.
    assert "x86_64-efi) removable=BOOTX64.EFI" in script
    assert "arm64-efi) removable=BOOTAA64.EFI" in script
