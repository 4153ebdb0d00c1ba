# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What pci_query refuses: expressions, results and inputs that cannot be meant, each with one clear error."""

from __future__ import annotations

import re

import pytest
from ansible.errors import AnsibleFilterError
from jinja2 import StrictUndefined, UndefinedError

from ansible_collections.vfio.host.plugins.filter import pci_query as plugin
from ansible_collections.vfio.host.tests.unit.plugins.filter.queried import GPU, NIC, NVME, PF, entry, error, pci_query

pytest.importorskip("jmespath")


@pytest.mark.parametrize(
    ("expression", "position", "words"),
    [
        ("[?vendor==8086]", 11, "'8086'"),
        ("[?vendor=='10de]", 11, "Unclosed ' delimiter"),
        ("[?vendor='10de']", 9, "Unknown token '='"),
        ("[?vendor=='10de'", 17, "it ends too early"),
        ("[?vendor==", 11, "it ends too early"),
        ("vendor device", 8, "'device'"),
        ("[?a=='b' && ]", 13, "']'"),
        ("#", 1, "Unknown token #"),
        ("[?begins_with(class, '03')]", 3, "Unknown function: begins_with()"),
        ("[?starts_with(class)]", 3, "Expected 2 arguments for function starts_with(), received 1"),
        ("[?starts_with(driver, 'nv')]", 3, "guard it: field && starts_with(field, ...)"),
        ("[?abs(class)==`1`]", 3, "In function abs(), invalid type"),
    ],
)
def test_a_bad_expression_is_reported_with_the_position_and_a_caret_below_it(facts, expression, position, words):
    message = error(facts, expression)
    lines = message.splitlines()
    assert f"at character {position}: " in lines[0]
    assert words in lines[0]
    assert lines[1:] == [expression, " " * (position - 1) + "^"]


def test_the_caret_stands_below_the_line_with_the_mistake(facts):
    message = error(facts, "[?vendor=='10de' &&\n\tclass=='030000' && ||\n is_vf]")
    assert message.splitlines()[1:] == ["\tclass=='030000' && ||", "\t" + " " * 19 + "^"]


@pytest.mark.parametrize("expression", ["[::0]", "max_by(@, &driver)", "[" * 5000, "join(`1`, `2`)"])
def test_whatever_jmespath_raises_becomes_one_clear_error(facts, expression):
    assert error(facts, expression).startswith("pci_query: ")


@pytest.mark.parametrize("expression", [None, "", " \n", 5, ["[0]"]])
def test_an_expression_is_needed(facts, expression):
    assert "a JMESPath expression is needed, got " in error(facts, expression)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("[].driver", "the string 'nouveau' as item 1 of 5"),
        ("length(@)", "it yields the number 7"),
        ("`true`", "it yields true"),
        ("[?vendor=='ffff'] | [0]", "it yields null"),
        ("nothing", "it yields null"),
        ("[?is_vf].[address]", "it yields a list of 1 as item 1 of 2; flatten it with []"),
        ("[?sriov].sriov", "it yields a mapping with the keys total, num, autoprobe as item 1 of 1"),
        ("[].{a: address}", "it yields a mapping with the keys a as item 1 of 7"),
        ("&address", "it yields a _Expression"),
        ("'0000:01:00.8'", "it yields the string '0000:01:00.8'"),
    ],
)
def test_a_result_of_neither_devices_nor_addresses_is_refused_and_described(facts, expression, words):
    assert words in error(facts, expression)


def test_an_address_that_is_not_among_the_devices_is_refused(facts):
    assert "yields the address 0000:7f:00.0 as item 2 of 2, which is none of the devices given" in error(
        facts, "['0000:01:00.0', '0000:7f:00.0']"
    )


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        (
            '[?vendor=="10de"]',
            'no device has the field "10de" to compare with; a string stands in single quotes: ',
        ),
        ('[?is_vf || !(driver!="e1000e")]', "'e1000e'"),
        ("[?vendor==`8086`]", "the field vendor is a string and never equals the number `8086`; write '8086'"),
        ("[?iommu_group==`11`].address", "write '11'"),
    ],
)
def test_a_comparison_that_can_never_hold_is_an_error_and_not_an_empty_list(facts, expression, words):
    message = error(facts, expression)
    assert words in message
    assert expression in message


def test_a_comparison_of_two_fields_is_fine(facts):
    assert pci_query(facts, "[?vendor==device]") == []
    assert pci_query(facts, "[?sriov.num < sriov.total]") == [entry(PF)]
    assert pci_query(facts, "[?numa_node==`1`]") == [entry(NVME)]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "it is null"),
        ("0000:01:00.0", "it is the string '0000:01:00.0'"),
        (7, "it is the number 7"),
        ({"platform": "x86"}, "it is a mapping with the keys platform"),
        ({"devices": {"sda": {}}}, "it is a mapping with the keys sda"),
        (GPU, "it is a mapping with the keys address, vendor"),
        (["0000:01:00.0"], "item 1 of 1 of the input is no device with an address"),
        ([GPU, {"match": {"address": "0000:01:00.0"}}], "item 2 of 2 of the input is no device with an address"),
        ([{**NIC, "vendor": 8086}], "no valid 'vendor' id, but the number 8086"),
        ([{"address": "0000:01:00.0"}], "device 0000:01:00.0 of the input has no valid 'vendor' id, but null"),
    ],
)
def test_an_input_that_is_no_devices_is_refused_and_described(data, words):
    assert words in error(data, "@")


def test_a_missing_jmespath_names_the_package_to_install_on_the_controller(facts, monkeypatch):
    monkeypatch.setattr(plugin, "HAS_JMESPATH", False)
    message = error(facts, "[0]")
    assert re.search(r"'jmespath' is missing on the controller; .*pip install jmespath.*python3-jmespath", message)


@pytest.mark.parametrize("place", ["input", "expression", "driver"])
def test_an_undefined_variable_is_reported_by_its_name(facts, place):
    undefined = StrictUndefined(name="gpus")
    data, expression, driver = (
        undefined if place == name else value
        for name, value in (("input", facts), ("expression", "@"), ("driver", "auto"))
    )
    with pytest.raises(UndefinedError, match="'gpus' is undefined"):
        pci_query(data, expression, driver=driver)


def test_errors_carry_no_other_exception_along(facts):
    with pytest.raises(AnsibleFilterError) as caught:
        pci_query(facts, "[?")
    assert caught.value.__suppress_context__
