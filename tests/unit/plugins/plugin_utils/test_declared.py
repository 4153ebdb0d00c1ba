# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables of a host that the role cannot mean: told on the controller, with what may have been meant."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.vfio.host.plugins.plugin_utils import _declared

ROOT = Path(__file__).parents[4]
OPTIONS = yaml.safe_load((ROOT / "roles/passthrough/meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]


def unknown(*names):
    return _declared.unknown_variables(dict.fromkeys(names), OPTIONS)


def misfits(**values):
    return _declared.misfits(OPTIONS, values, variables=values)


@pytest.mark.parametrize("name, meant", [
    ("passthrough_device", "passthrough_devices"),
    ("passthrough_devcies", "passthrough_devices"),
    ("passthrough_sr_iov", "passthrough_sriov"),
    ("passthrough_reboot", "passthrough_reboot_ok"),
    ("passthrough_kernel_cmd_line", "passthrough_kernel_cmdline"),
    ("passtrough_devices", "passthrough_devices"),
    ("passthrouhg_devices", "passthrough_devices"),
    ("passthrough-devices", "passthrough_devices"),
    ("Passthrough_devices", "passthrough_devices"),
    ("passthroughdevices", "passthrough_devices"),
    ("passthrough_host", "passthrough_hosts"),
    ("passthrough_drafts", "passthrough_draft"),
    ("passthru_devices", None),
])
def test_a_misspelt_variable_is_told_with_the_one_that_is_meant(name, meant):
    problems = unknown(name, "inventory_hostname", "passthrough_now")
    if meant is None:
        assert problems == []
    else:
        assert problems == [f"{name}: the role has no such variable; did you mean {meant}?"]


def test_a_mapping_of_all_variables_is_told_to_be_none():
    (problem,) = unknown("passthrough")
    assert "its variables stand by themselves, such as passthrough_devices" in problem


def test_a_variable_with_the_roles_prefix_that_is_near_to_none_is_told_to_be_renamed():
    (problem,) = unknown("passthrough_xyzzy")
    assert "give it another name" in problem


@pytest.mark.parametrize("name", [
    "my_passthrough_devices", "passthrough_hosts", "passthrough_draft", "passthrough_result", "passthrough_before", "guest_devices",
    "ansible_passthrough_devcies", "_passthrough_devices",
])
def test_variables_of_others_are_theirs(name):
    assert unknown(name) == []


def test_all_unknown_variables_are_told_at_once():
    assert len(unknown("passthrough_devcies", "passthrough_froce", "passthrough")) == 3


@pytest.mark.parametrize("values, told", [
    ({"passthrough_devices": []}, "passthrough_devices must be a mapping, and is a list"),
    ({"passthrough_devices": "gpus"}, "passthrough_devices must be a mapping, and is 'gpus'"),
    ({"passthrough_devices": "{}"}, "passthrough_devices must be a mapping, and is the text '{}': -e NAME=VALUE gives texts, and "
     "-e '{\"passthrough_devices\": ...}', in JSON, what is meant"),
    ({"passthrough_sriov": " [1]"}, "passthrough_sriov must be a list, and is the text ' [1]': -e NAME=VALUE gives texts, and "
     "-e '{\"passthrough_sriov\": ...}', in JSON, what is meant"),
    ({"passthrough_sriov": {}}, "passthrough_sriov must be a list, and is a mapping"),
    ({"passthrough_sriov": [7]}, "passthrough_sriov[0] must be a mapping, and is 7"),
    ({"passthrough_sriov": [{"match": {"mac": "x"}, "numvf": 7}]}, "passthrough_sriov[0]: unknown key 'numvf'; did you mean numvfs?"),
    ({"passthrough_sriov": [{"match": {"mac": "x"}, "macs": []}]}, "passthrough_sriov[0]: unknown key 'macs'; did you mean mac, a key of vfs?"),
    ({"passthrough_sriov": [{"numvfs": 7}]}, "passthrough_sriov[0]: match is missing"),
    ({"passthrough_sriov": [{"match": {"mac": "x"}, "vfs": [{"vlna": 7}]}]}, "passthrough_sriov[0].vfs[0]: unknown key 'vlna'; did you mean vlan?"),
    ({"passthrough_sriov": [{"match": {"mac": "x"}, "vfs": [{"link_state": "up"}]}]},
     "passthrough_sriov[0].vfs[0].link_state: 'up' is none of auto, enable, disable"),
    ({"passthrough_sriov": [{"match": "0000:02:00.0"}]}, "passthrough_sriov[0].match must be a mapping, and is '0000:02:00.0'"),
    ({"passthrough_modules": [{"name": "vfio-pci", "stat": "loaded"}]}, "passthrough_modules[0]: unknown key 'stat'; did you mean state?"),
    (
        {"passthrough_modules": [{"name": "nouveau", "state": "blacklisted"}]},
        "passthrough_modules[0].state: 'blacklisted' is none of loaded, unloaded, disabled, absent",
    ),
    ({"passthrough_modules": [{"state": "loaded"}]}, "passthrough_modules[0]: name is missing"),
    ({"passthrough_force": ["netwrk"]}, "passthrough_force[0]: 'netwrk' is none of network, storage, console, driver; did you mean network?"),
    ({"passthrough_state": "gone"}, "passthrough_state: 'gone' is none of present, absent"),
    ({"passthrough_now": "perhaps"}, "passthrough_now must be true or false, and is 'perhaps'"),
    ({"passthrough_confirm": True}, "passthrough_confirm must be a whole number, and is True"),
    ({"passthrough_timeout": "soon"}, "passthrough_timeout must be a whole number, and is 'soon'"),
    ({"passthrough_now": None}, "passthrough_now is null, which is no value of it: leave it out for the default, True, or give it a value"),
    ({"passthrough_state": None}, "passthrough_state is null, which is no value of it: leave it out for the default, 'present', or give it a value"),
    ({"passthrough_timeout": None}, "passthrough_timeout is null, which is no value of it: leave it out for the default, 10, or give it a value"),
    ({"passthrough_platforms": {"x68": {}}}, "passthrough_platforms: unknown key 'x68'; did you mean x86?"),
    ({"passthrough_platforms": {"x86": {"kernel_confg": {}}}}, "passthrough_platforms.x86: unknown key 'kernel_confg'; did you mean kernel_config?"),
])
def test_a_value_of_another_shape_is_one_sentence(values, told):
    assert misfits(**values) == [told]


@pytest.mark.parametrize("values", [
    {"passthrough_devices": {}}, {"passthrough_devices": None}, {"passthrough_force": None, "passthrough_before_reboot": None, "passthrough_prove": None},
    {"passthrough_force": "network,storage"}, {"passthrough_now": "no"},
    {"passthrough_timeout": "30"}, {"passthrough_sriov": [{"match": {"mac": "x"}, "numvfs": "max", "autoprobe": "yes"}]},
    {"passthrough_sriov": [{"match": {"mac": "x"}, "numvfs": 7, "force": ["network"], "vfs": [{"vf": "0-3", "vlan": 7, "trust": "yes"}]}]},
    {"passthrough_modules": [{"name": "vfio-pci", "options": {"disable_vga": True}, "before": ["e1000e"]}]},
])
def test_what_the_modules_take_is_taken(values):
    assert misfits(**values) == []


def test_the_roles_own_defaults_are_no_misfits():
    defaults = yaml.safe_load((ROOT / "roles/passthrough/defaults/main.yml").read_text(encoding="utf-8"))
    assert set(defaults) == set(OPTIONS)
    assert misfits(**defaults) == []


def test_all_misfits_are_told_at_once():
    found = misfits(passthrough_sriov=[{"numvf": 1}, {"match": {"mac": "x"}, "numvfss": 1}], passthrough_state="x")
    assert len(found) == 4


def test_devices_and_vfs_are_looked_at_before_any_host_is():
    values = {
        "passthrough_devices": {"gpus": [{"match": {"vendr": "10de"}}, {"mach": {}}]},
        "passthrough_sriov": [{"match": {"mac": "52:54:00:12:34:56"}, "numvfs": "many"}],
    }
    found = _declared.unmeant(values, values)
    assert [one.split(":")[0] for one in found] == [
        "passthrough_devices.gpus[0]", "passthrough_devices.gpus[1]", "passthrough_devices.gpus[1]", "passthrough_sriov[0]",
    ]


def test_what_is_wrong_with_one_variable_does_not_hide_the_others():
    values = {"passthrough_force": ["netwrk"], "passthrough_devices": {"gpus": [{"match": {"vendr": "10de"}}]}}
    found = _declared.problems_of("main", values, variables=dict(values, passthrough_nwo=True))
    assert [one.split(":")[0] for one in found] == ["passthrough_nwo", "passthrough_force[0]", "passthrough_devices.gpus[0]"]


def test_a_misspelt_key_hides_nothing_else_that_is_wrong():
    values = {
        "passthrough_sriov": [
            {"match": {"adress": "0000:01:00.0"}, "numvf": "many", "vfs": [{"vf": 0, "mak": "01:00:00:00:00:00"}]},
            {"match": {"address": "0000:01:00.1"}, "numvfs": 2, "vfs": [{"vf": "3-1", "trust": True}], "zz": 1},
        ],
        "passthrough_modules": [{"nam": "vfio/pci"}],
    }
    found = _declared.problems_of("main", values, variables=values)
    for words in (
        ("unknown key 'numvf'", "numvfs"), ("unknown key 'mak'", "mac"), ("unknown key 'zz'",), ("'adress' is no field", "address"),
        ("numvfs 'many' must be",), ("multicast",), ("vf: '3-1' is no range",), ("modules[0]: unknown key 'nam'", "name"),
    ):
        assert sum(all(word in one for word in words) for one in found) == 1, words
    # What is missing for want of its key is not said again.
    assert not [one for one in found if "say how many" in one]


def test_variables_of_another_entry_point_are_known():
    assert _declared.problems_of("release", {}, variables={"passthrough_confirm": 30, "passthrough_devices": {}}) == []


def test_what_is_given_back_need_not_be_well_declared():
    assert _declared.unmeant({"passthrough_devices": {"gpus": None}, "passthrough_state": "absent"}, {}) == []


def test_an_empty_list_gives_a_policy_back_and_nothing_in_its_place_is_an_error():
    assert _declared.unmeant({"passthrough_devices": {"gpus": []}}, {}) == []
    (found,) = _declared.unmeant({"passthrough_devices": {"gpus": None}}, {})
    assert found == "passthrough_devices.gpus: its devices must be a list, not None; to give back what it took, say []"


def test_nodes_and_limits_are_looked_at_before_any_host_is():
    values = {
        "passthrough_nodes": {"guests": {"mode": "0666"}}, "passthrough_iommu_node": {"groupe": "kvm"},
        "passthrough_memlock": {"units": {"qemu": "1G"}, "users": {"vm": "lots"}},
    }
    found = _declared.unmeant(values, {})
    assert [one.split(" ")[0].rstrip(":") for one in found] == [
        "passthrough_nodes.guests", "passthrough_iommu_node", "passthrough_memlock.units", "passthrough_memlock.users.vm",
    ]


@pytest.mark.parametrize("devices", [None, {}, {"guests": [{"match": {"vendor": "10de"}}]}])
def test_consumers_of_policies_are_looked_at_before_any_host_is(devices):
    found = _declared.unmeant({"passthrough_devices": devices, "passthrough_consumers": {"guest": "kubvirt"}}, {})
    assert [one.partition(";")[0][:50] for one in found] == [
        "passthrough_consumers.guest: no policy 'guest' is ", "passthrough_consumers.guest: 'kubvirt' is none of "
    ]


def test_consumers_of_policies_that_are_not_known_are_left_alone():
    values = {"passthrough_devices": ["guests"], "passthrough_consumers": {"guests": "dpdk"}}
    found = _declared.problems_of("main", values, variables=values)
    assert [one.split(" ")[0] for one in found] == ["passthrough_devices"]
    assert _declared.unmeant(dict(values, passthrough_state="absent"), {}) == []


def test_an_entry_of_vfs_or_of_modules_may_give_up_guards_for_itself_alone():
    assert misfits(
        passthrough_sriov=[{"match": {"address": "0000:01:00.0"}, "numvfs": 1, "force": ["network"]}],
        passthrough_modules=[{"name": "nvme", "state": "disabled", "force": ["storage"]}],
    ) == []


@pytest.mark.parametrize("value", [True, 7, ["tasks.yml"], {"a": "b"}])
def test_a_file_of_tasks_is_named_by_a_text(value):
    (problem,) = _declared.unmeant({"passthrough_before_reboot": value}, {})
    assert problem == f"passthrough_before_reboot must be the path of a file of tasks, and is {value!r}"


def test_a_file_of_tasks_has_a_name_that_a_file_can_have():
    (problem,) = _declared.unmeant({"passthrough_after_reboot": "tasks\0.yml"}, {})
    assert problem == "passthrough_after_reboot: the controller has no file 'tasks\\x00.yml'; name a file of tasks there"


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_a_variable_with_a_number_that_nothing_can_write_is_one_sentence(name):
    for value, way in ((16 ** 5000, ""), ({"x": [16 ** 5000]}, ".x[0]")):
        assert _declared.problems_of("main", {name: value}, variables={name: value}) == [
            f"{name}{way}: a number of more than 40 digits, which nothing here can have"
        ]


@pytest.mark.parametrize("values, words", [
    ({"passthrough_kernel_cmdline": {"intel_iommu": True}}, "passthrough_kernel_cmdline: intel_iommu is the boolean true"),
    ({"passthrough_kernel_cmdline": {"a b": "c"}}, "passthrough_kernel_cmdline: 'a b' is no argument's name"),
    ({"passthrough_kernel_cmdline": {"a-b": 1, "a_b": 2}}, "passthrough_kernel_cmdline: a_b and a-b are one argument to the kernel"),
    ({"passthrough_kernel_cmdline": {"x": []}, "passthrough_state": "absent"}, "passthrough_kernel_cmdline: x is an empty list"),
    ({"passthrough_modules": [{"name": "vfio pci"}]}, "passthrough_modules[0]: name 'vfio pci'"),
    ({"passthrough_kernel_config": {"VFIO_PCI": "maybe"}}, "passthrough_kernel_config: VFIO_PCI: 'maybe' must be y, m or n"),
    ({"passthrough_kernel_config": {"vfio-pci": "y"}}, "passthrough_kernel_config: 'vfio-pci' is no Kconfig symbol"),
    ({"passthrough_platforms": {"s390": {"kernel_config": {"VFIO": None}}}}, "passthrough_platforms.s390.kernel_config: VFIO: None must be"),
    ({"passthrough_modules": [{"name": "vfio-pci"}, {"name": "vfio_pci"}]}, "the module is declared twice, see passthrough_modules[0]"),
    ({"passthrough_modules": [{"name": "a", "options": {"x": "y z"}}]}, "passthrough_modules[0] a: option x: 'y z' must be one word"),
    ({"passthrough_platforms": {"s390": {"kernel_cmdline": {"pci": True}}}}, "passthrough_platforms.s390.kernel_cmdline: pci is the boolean true"),
    ({"passthrough_platforms": {"p9": {"modules": [{"name": "a", "state": "gone"}]}}}, "passthrough_platforms.p9.modules[0] a: state 'gone'"),
    ({"passthrough_timeout": 0}, "passthrough_timeout is 0; it is a number of seconds from 1 to 86400"),
    ({"passthrough_timeout": "86401"}, "passthrough_timeout is 86401;"),
    ({"passthrough_confirm": 1}, "passthrough_confirm is 1; it is a number of seconds from 5 to 86400"),
    ({"passthrough_reboot_timeout": 0}, "passthrough_reboot_timeout is 0; it is a number of seconds from 1 on"),
    ({"passthrough_reboot_throttle": "-1"}, "passthrough_reboot_throttle is '-1'; it is a number of hosts from 0 on"),
])
def test_what_the_modules_would_refuse_on_any_host_is_told_before_one_is_asked(values, words):
    (problem,) = _declared.unmeant(values, values)
    assert words in problem


@pytest.mark.parametrize("values", [
    {"passthrough_kernel_cmdline": {"intel_iommu": "on", "quiet": None, "console": ["tty0", "ttyS0"]}},
    {"passthrough_modules": [{"name": "vfio-pci", "options": {"disable_vga": True}}]},
    {"passthrough_modules": [{"name": "vfio-pci"}], "passthrough_state": "absent"},
    {"passthrough_platforms": {"x86": None, "s390": {"modules": None, "kernel_cmdline": None}, "p9": {}}},
    {"passthrough_timeout": "30", "passthrough_confirm": 0, "passthrough_reboot_timeout": "600", "passthrough_reboot_throttle": 0},
    {"passthrough_confirm": "300"},
])
def test_what_some_host_could_have_is_left_to_the_host(values):
    assert _declared.unmeant(values, values) == []
