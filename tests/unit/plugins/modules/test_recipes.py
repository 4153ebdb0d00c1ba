# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recipes of docs/recipes.md that could go wrong on a host, on a fake one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from ansible_collections.vfio.host.tests.tools import recipes
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, NVME, TWIN

PF_MAC = "52:54:00:00:02:00"
NIC_ENTRY, NVME_ENTRY = {"match": {"net": "enp2s0"}}, {"match": {"serial": "NV01"}}
RECIPES = (Path(__file__).parents[4] / "docs/recipes.md").read_text(encoding="utf-8")


def policies(host):
    return [name for name in host.files.names(host.files.boot_rules) if name.startswith("60-vfio-host-")]


def test_a_policy_is_renamed_without_an_unbind(run_module, host):
    run_module(host, "passthrough", devices={"gpus": [NIC_ENTRY, NVME_ENTRY]}, initramfs=False)
    host.faults.reset()
    result = run_module(host, "passthrough", devices={"guests": [NIC_ENTRY, NVME_ENTRY]}, undeclared="report", initramfs=False)
    assert {one["address"]: one["status"] for one in result["devices"]} == {NIC: "unchanged", NVME: "unchanged"}
    assert policies(host) == ["60-vfio-host-guests.rules"]
    last = run_module(host, "passthrough", devices={"guests": [NIC_ENTRY, NVME_ENTRY]}, undeclared="report", initramfs=False)
    assert not last["changed"] and "warnings" not in last


LIMITS = "etc/security/limits.d/90-vfio-host.conf"
ACCESS = {"nodes": {name: {"group": "kvm"} for name in ("gpus", "storage")}, "memlock": {"users": {"vm": "16G"}}}
BOTH = {"gpus": [NIC_ENTRY], "storage": [NVME_ENTRY]}


def printed_command():
    """The variables of the command that gives one policy back, as the page has it."""
    return json.loads(re.search(r"passthrough_state=absent -e '(.*)'", RECIPES)[1])


def test_a_policy_with_nothing_in_it_is_given_back_and_the_rest_stays_as_declared(run_module, host):
    run_module(host, "passthrough", devices=BOTH, initramfs=False, **ACCESS)
    result = run_module(host, "passthrough", devices=dict(BOTH, gpus=[]), initramfs=False, **ACCESS)
    assert {one["address"]: one["status"] for one in result["devices"]} == {NIC: "released", NVME: "unchanged"}
    assert policies(host) == ["60-vfio-host-storage.rules"]


def test_the_printed_command_takes_nothing_of_what_the_inventory_declares_beside_the_policy(run_module, host):
    run_module(host, "passthrough", devices=BOTH, initramfs=False, **ACCESS)
    given = {name[len("passthrough_"):]: value for name, value in printed_command().items()}
    # The role gives no kernel configuration where something is given back.
    del given["kernel_config"]
    result = run_module(host, "passthrough", state="absent", initramfs=False, **dict(ACCESS, **given))
    assert [one["address"] for one in result["devices"]] == [NIC]
    assert "vm - memlock" in (host.tree.root / LIMITS).read_text(encoding="utf-8")


def test_one_policy_is_given_back_and_the_others_stay(run_module, host):
    run_module(host, "passthrough", devices={"gpus": [NIC_ENTRY], "storage": [NVME_ENTRY]}, initramfs=False)
    result = run_module(
        host, "passthrough", state="absent", devices={"gpus": []}, sriov=[], modules=[], kernel_cmdline={}, initramfs=False,
    )
    assert [one["address"] for one in result["devices"]] == [NIC]
    assert (host.driver(NIC), host.driver(NVME), host.driver(TWIN)) == ("e1000e", "vfio-pci", "e1000e")
    assert policies(host) == ["60-vfio-host-storage.rules"]


def test_vfs_are_split_by_the_index_on_each_port(run_module, host):
    code = next(one.code for one in recipes.blocks(RECIPES) if one.recipe.startswith("Eight VFs"))
    # The fake host has one port of the two, so half of the VFs.
    declared = yaml.safe_load(code.replace("52:54:00:12:34:56", PF_MAC).replace("count: 6", "count: 3").replace("count: 2", "count: 1"))
    result = run_module(host, "passthrough", initramfs=False, **{name[len("passthrough_"):]: value for name, value in declared.items()})
    assert [(one["address"], one["driver"]) for one in result["devices"]] == [
        ("0000:01:10.0", "vfio-pci"), ("0000:01:10.2", "vfio-pci"), ("0000:01:10.4", "vfio-pci"), ("0000:01:10.6", "igbvf")]
