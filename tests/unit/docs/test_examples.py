# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sample inventories, read by Ansible itself: what each host is declared is what the role takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.vars.manager import VariableManager

from ansible_collections.vfio.host.plugins.plugin_utils import _declared

ROOT = Path(__file__).parents[3]
INVENTORIES = [ROOT / "playbooks" / "inventory", *sorted((ROOT / "docs" / "examples").iterdir())]
OPTIONS = _declared.specs()["main"]["options"]
# What a sample may say beside the role's variables, since users copy it.
CONNECTION = {"ansible_pipelining"}


def hosts_of(path):
    """The hosts of an inventory, each with the variables that the inventory gives it."""
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(path)])
    variables = VariableManager(loader=loader, inventory=inventory)
    none = InventoryManager(loader=loader, sources=["localhost,"])
    # What every host has, without any inventory.
    magic = VariableManager(loader=loader, inventory=none).get_vars(host=none.get_host("localhost"))
    return {
        host.name: {name: value for name, value in variables.get_vars(host=host).items() if name not in magic}
        for host in inventory.get_hosts()
    }


HOSTS = [
    pytest.param(given, id=f"{path.parent.name}/{path.name}:{name}") for path in INVENTORIES for name, given in hosts_of(path).items()
]


def test_there_are_samples_for_three_kinds_of_hosts():
    assert {path.name for path in INVENTORIES} == {"inventory", "gpu-box", "nfv-farm", "s390-lpar"}
    assert len(HOSTS) > 20


@pytest.mark.parametrize("given", HOSTS)
def test_every_host_is_declared_as_the_roles_argument_spec_asks(given):
    declared = {name: value for name, value in given.items() if name not in CONNECTION}
    assert declared["passthrough_devices"]
    spec = {name: {key: one[key] for key in one if key != "description"} for name, one in OPTIONS.items()}
    assert ArgumentSpecValidator(spec).validate(declared).error_messages == []


@pytest.mark.parametrize("given", HOSTS)
def test_the_roles_own_check_finds_nothing(given):
    values = {name: value for name, value in given.items() if name in OPTIONS}
    assert _declared.problems_of("main", values, variables=given) == []


@pytest.mark.parametrize(("name", "value", "problem"), [
    ("passthrough_devices", {"gpu": [{"match": {"address": "0000:41:00.0"}, "counts": 1}]}, "counts"),
    ("passthrough_modules", [{"name": "vfio-pci", "stat": "loaded"}], "stat"),
    ("passthrough_device", {}, "did you mean passthrough_devices?"),
])
def test_a_mistake_in_a_sample_would_be_found(name, value, problem):
    given = dict(hosts_of(ROOT / "docs/examples/gpu-box")["workstation.example.com"], **{name: value})
    values = {key: one for key, one in given.items() if key in OPTIONS}
    assert problem in "\n".join(_declared.problems_of("main", values, variables=given))


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "examples").iterdir()), ids=lambda path: path.name)
def test_a_sample_turns_pipelining_on(path):
    assert all(given["ansible_pipelining"] is True for given in hosts_of(path).values())
