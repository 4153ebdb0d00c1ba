# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What pci_query selects, and the entries that it makes of that."""

from __future__ import annotations

import copy
import random

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vfio.host.tests.unit.plugins.filter.queried import DEVICES, GPU, GPU_AUDIO, NIC, NVME, PF, VF0, VF1, device, entry, error, pci_query

pytest.importorskip("jmespath")


# --- selecting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ("[?vendor=='10de' && starts_with(class, '0300')]", [GPU]),
        ("[?vendor=='10de']", [GPU, GPU_AUDIO]),
        ("[?driver=='e1000e'].address", [NIC]),
        ("[?net[?mac=='52:54:00:00:00:01']]", [NIC]),
        ("[?sriov.total > `4`]", [PF]),
        ("[?starts_with(class, '0200') && !guards && !sriov]", [VF0, VF1]),
        ("[?address=='0000:03:10.2']", [VF1]),
        ("[?driver && contains(driver, 'nv')]", [NVME]),
        ("sort_by(@, &device)[0]", [PF]),
        ("[0]", [GPU]),
        ("[0].address", [GPU]),
        ("[-1:]", [NVME]),
        ("[?is_vf].{address: address, numa: numa_node}", [VF0, VF1]),
        ("[?vendor=='ffff']", []),
    ],
)
def test_an_expression_selects_devices_or_their_addresses(facts, expression, selected):
    assert pci_query(facts, expression) == [entry(item) for item in selected]


@pytest.mark.parametrize(
    "shape",
    [
        lambda facts: facts,
        lambda facts: facts["devices"],
        lambda facts: list(facts["devices"].values()),
        lambda facts: facts["devices"].values(),
        lambda facts: (item for item in facts["devices"].values()),
    ],
    ids=["facts", "devices", "list", "view", "generator"],
)
def test_the_input_is_the_facts_or_their_devices_or_a_list_of_devices(facts, shape):
    assert pci_query(shape(facts), "[?vendor=='144d']") == [entry(NVME)]


def test_the_expression_sees_the_devices_sorted_by_address_as_numbers(facts):
    shuffled = random.Random(2).sample(DEVICES, len(DEVICES))
    assert pci_query(shuffled, "@") == [entry(item) for item in DEVICES]
    assert pci_query(shuffled, "@")[-1]["match"]["address"] == "10000:01:00.0"


def test_the_order_of_the_expression_is_kept(facts):
    assert pci_query(facts, "reverse(@)") == [entry(item) for item in reversed(DEVICES)]


def test_a_device_that_is_yielded_twice_gives_one_entry(facts):
    assert pci_query(facts, "[?is_vf].physfn") == [entry(PF)]


def test_addresses_of_an_expression_are_found_whatever_their_case_and_with_the_domain_left_out():
    item = device("0000:0a:00.0", "8086:10d3", "020000")
    assert pci_query([item], "['0000:0A:00.0', '0a:00.0']") == [entry(item)]


def test_a_host_without_devices_has_nothing_to_select():
    assert pci_query({"devices": {}}, "[?vendor=='10de']") == []
    assert pci_query({}, "[?vendor=='10de']") == []


def test_the_input_is_left_as_it_was(facts):
    before = copy.deepcopy(facts)
    pci_query(facts, "sort_by(@, &device)")
    assert facts == before


# --- entries ---------------------------------------------------------------------------------------------------------


def test_an_entry_pins_the_device_by_its_address_and_its_ids(facts):
    assert pci_query(facts, "[?driver=='e1000e']") == [
        {"match": {"address": "0000:02:00.0", "vendor": "8086", "device": "10d3"}}
    ]


def test_the_ids_of_an_entry_come_from_the_facts_and_not_from_the_expression(facts):
    assert pci_query(facts, "[0].{address: address, vendor: 'ffff'}") == [entry(GPU)]


def test_options_go_into_each_entry(facts):
    assert pci_query(facts, "[?is_vf]", driver="auto", iommu_group="extend", optional=True) == [
        entry(VF0, driver="auto", iommu_group="extend", optional=True),
        entry(VF1, driver="auto", iommu_group="extend", optional=True),
    ]


def test_an_option_that_is_null_counts_as_not_given(facts):
    assert pci_query(facts, "[0]", driver=None, iommu_group=None, optional=None, count=None) == [entry(GPU)]


def test_options_may_come_as_the_strings_that_templates_make(facts):
    assert pci_query(facts, "[0]", optional="no", count="1") == [entry(GPU, optional=False)]


@pytest.mark.parametrize(("expression", "count"), [("[?is_vf]", 2), ("[?is_vf].physfn", 1), ("[?vendor=='ffff']", 0)])
def test_a_count_that_is_met_is_no_part_of_the_entries(facts, expression, count):
    assert pci_query(facts, expression, count=count) == pci_query(facts, expression)


def test_a_count_that_is_not_met_fails_and_names_what_was_found(facts):
    assert "expected 1 device(s), the expression selects 2: 0000:03:10.0, 0000:03:10.2" in error(
        facts, "[?is_vf]", count=1
    )
    assert "expected 2 device(s), the expression selects 0" in error(facts, "[?vendor=='ffff']", count=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"drivr": "auto"}, ["unknown option 'drivr'", "driver, iommu_group, optional, count"]),
        ({"driver": "vfio-pci\n"}, ["option 'driver' must be auto, native or the name of a driver"]),
        ({"driver": 'a"b'}, ["option 'driver'"]),
        ({"driver": ""}, ["option 'driver'"]),
        ({"driver": "../x"}, ["option 'driver'"]),
        ({"driver": "a+b"}, ["option 'driver'"]),
        ({"driver": "a" * 65}, ["option 'driver'"]),
        ({"driver": ["auto"]}, ["option 'driver'", "a list of 1"]),
        ({"iommu_group": "widen"}, ["option 'iommu_group' must be one of refuse, extend, ignore", "'widen'"]),
        ({"iommu_group": []}, ["option 'iommu_group'"]),
        ({"optional": "perhaps"}, ["option 'optional' must be true or false"]),
        ({"count": -1}, ["option 'count' must be a whole number"]),
        ({"count": True}, ["option 'count'", "got true"]),
        ({"count": "two"}, ["option 'count'"]),
        ({"driver": 5, "count": 1.5}, ["option 'driver'", "option 'count'"]),
    ],
)
def test_options_are_checked_and_all_errors_come_at_once(facts, options, words):
    message = error(facts, "[0]", **options)
    assert [word for word in words if word not in message] == []


# --- what ansible-core hands over ------------------------------------------------------------------------------------


class TaggedStr(str):
    __slots__ = ()


class TaggedInt(int):
    pass


class LazyDict(dict):
    pass


class LazyList(list):
    pass


def tagged(value):
    if isinstance(value, str):
        return TaggedStr(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return TaggedInt(value)
    if isinstance(value, dict):
        return LazyDict((tagged(key), tagged(item)) for key, item in value.items())
    if isinstance(value, list):
        return LazyList(tagged(item) for item in value)
    return value


def types(value):
    found = {type(value)}
    if isinstance(value, dict):
        return found.union(*map(types, value), *map(types, value.values()))
    if isinstance(value, list):
        return found.union(*map(types, value))
    return found


@pytest.mark.parametrize(
    "expression",
    [
        "[?starts_with(class, '0300')]",
        "[?contains(net[].name, 'enp2s0')].address",
        "[?sriov && max(values(sriov)[?type(@)=='number']) == `7`]",
        "[?join('-', [vendor, device])=='8086:10d3']",
        "sort_by(@, &address)",
        "[?length(net)==`1`]",
        "[?abs(numa_node)==`1`]",
    ],
)
def test_subclasses_of_the_json_types_work_in_functions_and_do_not_get_out(facts, expression):
    result = pci_query(tagged(facts), TaggedStr(expression), driver=TaggedStr("auto"), optional=True)
    assert result == pci_query(facts, expression, driver="auto", optional=True)
    assert types(result) <= {list, dict, str, bool}


def test_nothing_that_could_be_a_template_gets_out():
    hostile = {**GPU, "vendor": "{{ 1 }}"}
    assert "device 0000:01:00.0 of the input has no valid 'vendor' id" in error([hostile], "@")
    assert "is no device with an address" in error([{**GPU, "address": "{{ 1 }}"}], "@")


VFIO = {"vfio": {"module": "vfio_pci", "driver": "vfio-pci"}}


def test_the_name_of_a_module_is_refused_where_the_facts_know_its_drivers():
    with pytest.raises(AnsibleFilterError, match="'vfio_pci' is the name of a module; did you mean vfio-pci"):
        pci_query([{**NIC, **VFIO}], "[0]", driver="vfio_pci")


@pytest.mark.parametrize("driver", ["vfio-pci", "auto", "e1000e", "unheard_of", None])
def test_what_the_facts_do_not_contradict_passes(driver):
    assert pci_query([{**NIC, **VFIO}], "[0]", driver=driver)


def test_a_driver_that_is_called_as_a_module_passes():
    variant = {"vfio": {"module": "mlx5_vfio_pci", "driver": "mlx5_vfio_pci"}}
    assert pci_query([{**NIC, **variant}], "[0]", driver="mlx5_vfio_pci")


def test_a_fallback_is_put_into_each_entry(facts):
    assert all(one["fallback"] == "vfio-pci" for one in pci_query(facts, "[]", fallback="vfio-pci"))


@pytest.mark.parametrize("value", ["auto", "native", "a b", 7])
def test_a_fallback_that_is_no_drivers_name_is_refused(facts, value):
    with pytest.raises(AnsibleFilterError, match="option 'fallback' must be the name of a driver"):
        pci_query(facts, "[]", fallback=value)
