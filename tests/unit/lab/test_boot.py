# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from virtlab import boot, errors, host, packages, paths, recipe

LOADERS = sorted(name for name, one in boot.BOOTS.items() if one.loader_script)
EFI = sorted(name for name, one in boot.BOOTS.items() if one.firmware)


def booting(name, description, functions):
    """A description of a host that boots so."""
    architecture = boot.BOOTS[name].architecture
    if architecture == "s390x":
        description = functions
    elif architecture == "arm64":
        description.update(architecture="arm64", machine="virt", iommu="smmuv3")
    description.update(boot=name, kernel_args=["intel_iommu=on"])
    return description


@pytest.fixture(params=LOADERS)
def loader(request, description, functions):
    return booting(request.param, description, functions)


@pytest.fixture(params=EFI)
def firmware_loader(request, description, functions):
    return booting(request.param, description, functions)


def test_a_boot_loader_gets_no_kernel_from_outside(loader):
    one = boot.BOOTS[loader["boot"]]
    line = one.arguments(Path("/image"), ["intel_iommu=on"], None)
    assert line == (("-bios", one.firmware.path) if one.firmware else ())


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


def test_the_firmware_is_installed_when_a_host_needs_it(firmware_loader, monkeypatch):
    firmware = boot.BOOTS[firmware_loader["boot"]].firmware
    monkeypatch.setattr(packages, "_find", lambda program: program != firmware.path)
    monkeypatch.setattr(packages, "_qemu_suffices", lambda host: True)
    assert packages.missing(host.parse("box", firmware_loader), build=False) == (firmware.package,)


@pytest.mark.parametrize("name", LOADERS)
def test_a_boot_loader_of_another_architecture_is_refused(description, name):
    description["boot"] = name
    architecture = boot.BOOTS[name].architecture
    if architecture == "amd64":
        description.update(architecture="arm64", machine="virt", iommu="smmuv3")
    with pytest.raises(errors.LabError, match=f"boot {name} is not of architecture .*: it takes {architecture}"):
        host.parse("box", description)


@pytest.fixture
def tree(tmp_path):
    """An unpacked tree with one kernel."""
    directory = tmp_path / "tree/boot"
    directory.mkdir(parents=True)
    for name in ("vmlinuz-6.12", "initrd.img-6.12"):
        (directory / name).write_text(name)
    return tmp_path / "tree"


def test_zipl_runs_once_in_a_guest_that_boots_the_finished_disk_with_the_kernel_of_its_tree(tree):
    line = boot.BOOTS["zipl"].installation(tree, Path("/image/disk.qcow2"), ["root=LABEL=root"], Path("/said"))
    told = dict(zip(line, line[1:]))
    assert (told["-kernel"], told["-initrd"]) == (f"{tree}/boot/vmlinuz-6.12", f"{tree}/boot/initrd.img-6.12")
    assert told["-append"] == "root=LABEL=root init=/usr/local/sbin/install-loader"
    assert told["-blockdev"].endswith("file.filename=/image/disk.qcow2")
    assert "-no-reboot" in line


@pytest.mark.parametrize("name", sorted(set(boot.BOOTS) - {"zipl"}))
def test_no_other_boot_loader_takes_a_boot_to_install(tree, name):
    assert boot.BOOTS[name].installation(tree, Path("/disk"), [], Path("/said")) == ()


def test_the_program_that_installs_says_what_is_looked_for():
    assert f'echo "{boot.INSTALLED}"' in (paths.IMAGE_SCRIPTS / "loader-zipl.sh").read_text(encoding="utf-8")


def test_the_grub_script_knows_the_file_that_each_firmware_looks_for():
    script = (paths.IMAGE_SCRIPTS / "loader-grub.sh").read_text(encoding="utf-8")
    # Source: UEFI specification 2.10, 3.5.1.1, removable media boot behaviour.
    assert "x86_64-efi) removable=BOOTX64.EFI" in script
    assert "arm64-efi) removable=BOOTAA64.EFI" in script
