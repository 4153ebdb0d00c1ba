# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules' messages in the words of the inventory."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.plugin_utils._words import in_inventory
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, UPLINK


class Written(dict):
    """A mapping as ansible-core 2.16 reads it from a file."""

    ansible_pos = ("/inventory/host_vars/node1.yml", 12, 7)


@pytest.mark.parametrize("message, told", [
    ("policy gpus, devices[1]: x", "passthrough_devices.gpus[1]: x"),
    ("policy gpus: its devices must be a list, not 7", "passthrough_devices.gpus: its devices must be a list, not 7"),
    ("policy g, devices[0]: unknown option 'timeout'; there are: match; timeout is an option of the task, for all of its devices",
     "passthrough_devices.g[0]: unknown option 'timeout'; there are: match; passthrough_timeout is a variable of the host, for all of its devices"),
    ("policy 'a/b': a policy's name has", "passthrough_devices: policy 'a/b': a policy's name has"),
    ("policy 7: write the name in quotes: without", "passthrough_devices: policy 7: write the name in quotes: without"),
    ("0000:02:00.0 is claimed twice: for a by policy a, devices[0], for b by policy b, devices[2]",
     "0000:02:00.0 is claimed twice: for a by passthrough_devices.a[0], for b by passthrough_devices.b[2]"),
    ("sriov[0]: numvfs 'x' must be", "passthrough_sriov[0]: numvfs 'x' must be"),
    ("modules[1] vfio_pci: module vfio_pci has no option x", "passthrough_modules[1] vfio_pci: module vfio_pci has no option x"),
    ("... all the same, say force: [network]", "... all the same, say passthrough_force: [network]"),
    ("to give it up all the same, say force: [network] for the whole task (the role's passthrough_force)",
     "to give it up all the same, say passthrough_force: [network] for the whole host"),
    ("say force: [storage] in this entry of modules[0] nvme (the role's passthrough_modules), or for the whole task (the role's passthrough_force)",
     "say force: [storage] in this entry of passthrough_modules[0] nvme, or passthrough_force: [storage] for the whole host"),
    ("force: fun cannot be forced", "passthrough_force: fun cannot be forced"),
    ("to give back what it took, say state: absent", "to give back what it took, say passthrough_state: absent"),
    ("remove it there, or say state: disabled", "remove it there, or say state: disabled"),
    ("say iommu_group: extend", "say iommu_group: extend"),
    ("load it, or say now: false to have them", "load it, or say passthrough_now: false to have them"),
    ("now and at_boot are both false, so", "passthrough_now and passthrough_at_boot are both false, so"),
    ("timeout is 0; it is a number", "passthrough_timeout is 0; it is a number"),
    ("confirm is 1; it is a number", "passthrough_confirm is 1; it is a number"),
    ("platforms: x68 is no platform", "passthrough_platforms: x68 is no platform"),
    ("arguments: 'bad name' is no argument's name", "passthrough_kernel_cmdline: 'bad name' is no argument's name"),
    ("kernel_cmdline: iommu is 'on', and", "passthrough_kernel_cmdline: iommu is 'on', and"),
    ("consumers.guests: 'kubvirt' is none of libvirt", "passthrough_consumers.guests: 'kubvirt' is none of libvirt"),
    ("declare it (x), or release it with undeclared: release (in the role passthrough_undeclared: release), which",
     "declare it (x), or release it with passthrough_undeclared: release, which"),
    ("say dpdk: [] in passthrough_devices, or undeclared: release (passthrough_undeclared)",
     "say dpdk: [] in passthrough_devices, or passthrough_undeclared: release"),
    ("declare their number, in sriov (the role's passthrough_sriov) or by vfio.host.sriov_vfs", "declare their number, in passthrough_sriov"),
    ("undeclared is ignore, so that policy", "passthrough_undeclared is ignore, so that policy"),
    ("another run changes this host: process 7", "another run changes this host: process 7"),
])
def test_options_of_the_module_are_the_roles_variables(message, told):
    assert in_inventory(message, {}) == told


def test_every_line_is_told():
    assert in_inventory("policy a, devices[0]: x\npolicy b, devices[1]: y", {}) == (
        "passthrough_devices.a[0]: x\npassthrough_devices.b[1]: y"
    )


def test_where_ansible_knows_the_place_it_is_said():
    variables = {"passthrough_devices": {"gpus": [{}, Written()]}}
    assert in_inventory("policy gpus, devices[1]: x", variables) == (
        "passthrough_devices.gpus[1]: x (at /inventory/host_vars/node1.yml:12)"
    )


@pytest.mark.parametrize("variables", [
    {}, {"passthrough_devices": "{{ gpus }}"}, {"passthrough_devices": {"gpus": "{{ gpus }}"}}, {"passthrough_devices": {"gpus": []}},
])
def test_where_nothing_tells_the_place_none_is_said(variables):
    assert in_inventory("policy gpus, devices[1]: x", variables) == "passthrough_devices.gpus[1]: x"


def test_what_the_real_module_advises_can_be_written_into_an_inventory(run_module, host):
    result = run_module(host, "passthrough", devices={"g": [{"match": {"address": UPLINK}}]})
    assert (
        "say force: [network] in this entry of passthrough_devices.g[0], or passthrough_force: [network] for the whole host"
    ) in in_inventory(result["msg"], {})
    entry = {"match": {"address": UPLINK}, "force": ["network"]}
    assert not run_module(host, "passthrough", devices={"g": [entry]}, check=True).get("failed")
    result = run_module(host, "passthrough", devices={"g": [{"match": {"address": NIC}}]}, now=False, at_boot=False)
    assert in_inventory(result["msg"], {}).startswith("passthrough_now and passthrough_at_boot are both false")
