# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from virtlab import boot, host, image, recipe


@pytest.fixture
def made(description):
    return recipe.of(host.parse("box", description), "ssh-ed25519 AAAA lab")


def test_a_recipe_has_one_name(description, made):
    assert recipe.of(host.parse("box", description), "ssh-ed25519 AAAA lab").name == made.name
    assert made.name.startswith("trixie-amd64-")


def test_the_name_does_not_depend_on_the_order_of_packages(description, made):
    description["packages"] = ["kmod", "udev"]
    assert recipe.of(host.parse("box", description), "ssh-ed25519 AAAA lab").name == made.name


def test_the_hash_is_the_same_on_every_machine():
    fixed = recipe.Recipe(version=1, suite="s", architecture="a", packages=("p",), boot="direct", disk_size="4G",
                          ssh_mac="m", ssh_key="k", essential_script="e", finish_script="f")
    assert fixed.name == "s-a-5687226de681"


def test_images_from_before_dracut_keep_their_names():
    loader = recipe.Recipe(version=1, suite="s", architecture="a", packages=("p",), boot="grub-efi", disk_size="4G",
                           ssh_mac="m", ssh_key="k", essential_script="e", finish_script="f", loader_scripts=("l",),
                           command_line=("c",))
    assert loader.name == "s-a-6681e8e7d516"


def test_the_tool_for_the_initramfs_takes_the_place_of_the_default(description, made):
    description["initramfs"] = "dracut"
    other = recipe.of(host.parse("box", description), "ssh-ed25519 AAAA lab")
    assert set(made.packages) ^ set(other.packages) == {"initramfs-tools", "dracut"}
    assert "initramfs-tools" in made.packages
    assert "dracut.conf.d" in other.essential_script
    assert other.name != made.name


def test_the_hook_of_a_build_is_the_script_of_the_tool(description, monkeypatch):
    monkeypatch.setattr(image.apt, "options", lambda suite: ())
    monkeypatch.setattr(image.apt, "mirror", lambda: "http://deb.example/debian")
    description["initramfs"] = "dracut"
    line = image._mmdebstrap(recipe.of(host.parse("box", description), "key"), "trixie", Path("/root.tar"))
    hooks = [word for word in line if word.startswith("--essential-hook=")]
    assert len(hooks) == 1
    assert f"/{boot.INITRAMFS['dracut'].script}'" in hooks[0]


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(recipe.Recipe)])
def test_every_field_changes_the_name(made, field):
    value = getattr(made, field)
    changed = value + (1 if isinstance(value, int) else ("x",) if isinstance(value, tuple) else "x")
    assert dataclasses.replace(made, **{field: changed}).name != made.name


@pytest.mark.parametrize("key, value", [
    ("kernel_args", ["iommu=pt"]), ("devices", []), ("iommu", "none"), ("memory", 512),
])
def test_hosts_that_differ_in_hardware_share_an_image(description, made, key, value):
    description[key] = value
    assert recipe.of(host.parse("other", description), "ssh-ed25519 AAAA lab").name == made.name
