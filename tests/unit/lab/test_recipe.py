# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest
from virtlab import host, recipe


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
