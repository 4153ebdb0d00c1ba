# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What modules take, what their documentation says and what the role's argument specs say is one and the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest
import yaml

from ansible_collections.vfio.host.plugins.module_utils._devices.spec import DEVICE_SPEC
from ansible_collections.vfio.host.plugins.module_utils._memlock import spec as memlock
from ansible_collections.vfio.host.plugins.module_utils._modules.spec import MODULE_SPEC
from ansible_collections.vfio.host.plugins.module_utils._nodes import spec as nodes
from ansible_collections.vfio.host.plugins.module_utils._sriov.attributes import OPTIONS as ATTRIBUTES
from ansible_collections.vfio.host.plugins.module_utils._sriov.spec import PF_SPEC

ROOT = Path(__file__).parents[3]
MODULES = ("driver_override", "sriov_vfs", "kernel_module", "passthrough", "declaration")
PREFIX = "passthrough_"
ROLE = yaml.safe_load((ROOT / "roles/passthrough/meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
# What the role does around the module.
OF_THE_ROLE = frozenset(PREFIX + name for name in (
    "reboot_ok", "before_reboot", "after_reboot", "reboot_timeout", "reboot_throttle",
))
SAID = ("type", "elements", "choices", "default", "required")


@lru_cache(maxsize=None)
def _documentation():
    """Module -> its documentation, as ansible-doc reads it: with what its fragments say."""
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "doc", "--json", "-t", "module", *(f"vfio.host.{name}" for name in MODULES)],
        check=True, capture_output=True, text=True, timeout=120, env=dict(os.environ, ANSIBLE_COLLECTIONS_PATH=str(ROOT.parents[2])),
    )
    return {name.rpartition(".")[2]: module["doc"] for name, module in json.loads(done.stdout).items()}


def documented(module):
    """The options of a module."""
    return _documentation()[module]["options"]


def said(options):
    """What is said of each option, apart from its description."""
    return {name: {key: option[key] for key in SAID if option.get(key) not in (None, False)} for name, option in options.items()}


@pytest.mark.parametrize("module, option, spec", [
    ("driver_override", "devices", DEVICE_SPEC),
    ("sriov_vfs", "devices", PF_SPEC),
    ("kernel_module", "modules", MODULE_SPEC),
    ("passthrough", "sriov", PF_SPEC),
    ("passthrough", "modules", MODULE_SPEC),
])
def test_the_documentation_of_a_module_has_every_key_of_an_entry_as_it_is_taken(module, option, spec):
    assert said(documented(module)[option]["suboptions"]) == said(spec)


@pytest.mark.parametrize("variable, spec", [("passthrough_sriov", PF_SPEC), ("passthrough_modules", MODULE_SPEC)])
def test_the_role_takes_every_key_of_an_entry_that_the_module_takes(variable, spec):
    assert said(ROLE["main"]["options"][variable]["options"]) == said(spec)


def test_the_role_takes_modules_of_a_platform_as_it_takes_modules():
    for platform in ROLE["main"]["options"]["passthrough_platforms"]["options"].values():
        assert said(platform["options"]["modules"]["options"]) == said(MODULE_SPEC)


def test_the_role_says_of_every_key_of_a_device_what_it_is():
    """Policies have names of the user's choice, so the argument spec has no place for what is below them."""
    told = [text.split(" ")[0] for text in ROLE["main"]["options"]["passthrough_devices"]["description"]]
    assert [text for text in told if text in {f"C({key})" for key in DEVICE_SPEC}] == [f"C({key})" for key in DEVICE_SPEC]


@pytest.mark.parametrize("option, keys", [("memlock", memlock._KEYS), ("iommu_node", nodes._KEYS[:3])])
def test_mappings_with_fixed_keys_have_them_in_the_documentation_and_in_the_role(option, keys):
    assert set(documented("passthrough")[option]["suboptions"]) == set(keys)
    assert set(ROLE["main"]["options"][PREFIX + option]["options"]) == set(keys)


def test_attributes_of_vfs_are_the_same_in_modules_and_in_the_role():
    of_role = ROLE["main"]["options"]["passthrough_sriov"]["options"]["vfs"]["options"]
    assert set(of_role) == set(ATTRIBUTES)
    for module, option in (("sriov_vfs", "devices"), ("passthrough", "sriov")):
        assert said(documented(module)[option]["suboptions"]["vfs"]["suboptions"]) == said(of_role)


@pytest.mark.parametrize("entry_point", sorted(ROLE))
def test_a_variable_of_the_role_is_of_the_type_of_the_modules_option(entry_point):
    options = documented("passthrough")
    for variable, value in ROLE[entry_point]["options"].items():
        option = options.get(variable[len(PREFIX):])
        if option is None:
            assert variable in OF_THE_ROLE
            continue
        assert (value["type"], value.get("elements")) == (option["type"], option.get("elements")), variable
        choices = [choice for choice in option.get("choices", ()) if choice != "confirmed"]
        assert value.get("choices", []) == choices, variable


def test_the_module_that_checks_variables_has_the_entry_points_of_the_role():
    assert documented("declaration")["entry_point"]["choices"] == list(ROLE)


def test_the_user_guide_lists_every_variable_of_the_role():
    listed = (ROOT / "docs/user-guide.md").read_text(encoding="utf-8").split("| variable | default | |")[1].split("\n\n")[0]
    assert [name for point in ROLE.values() for name in point["options"] if f"`{name}`" not in listed] == []


def test_no_note_is_there_twice():
    for module, documentation in _documentation().items():
        notes = documentation.get("notes", ())
        assert len(notes) == len(set(notes)), module
