# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Numbers of YAML that nothing can write: named, wherever they are, by every parser of what users declare."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse_wishes as parse_arguments
from ansible_collections.vfio.host.plugins.module_utils._devices.spec import parse_declarations, parse_matches
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError
from ansible_collections.vfio.host.plugins.module_utils._host.numbers import check_lengths, shown
from ansible_collections.vfio.host.plugins.module_utils._kconfig.spec import parse_wanted
from ansible_collections.vfio.host.plugins.module_utils._memlock.spec import parse as parse_memlock
from ansible_collections.vfio.host.plugins.module_utils._modules.spec import parse_wishes
from ansible_collections.vfio.host.plugins.module_utils._nodes.spec import parse as parse_nodes
from ansible_collections.vfio.host.plugins.module_utils._passthrough import platforms
from ansible_collections.vfio.host.plugins.module_utils._sriov.spec import parse_entries

HUGE = 16 ** 5000
MATCH = {"vendor": "8086"}


def collected(parse, *values):
    problems = []
    parse(*values, problems=problems)
    if problems:
        raise InputError(*problems)


@pytest.mark.parametrize(
    "value", [HUGE, -HUGE, [HUGE], {"x": HUGE}, {"x": [{"y": HUGE}]}, {HUGE: 1}], ids=["it", "negative", "listed", "mapped", "deep", "key"],
)
@pytest.mark.parametrize("parse", [
    lambda value: parse_declarations({"p": value}),
    lambda value: parse_declarations({"p": [value]}),
    lambda value: parse_declarations({"p": [{"match": value}]}),
    lambda value: parse_declarations({"p": [{"match": MATCH, "driver": value}]}),
    lambda value: parse_declarations({"p": [{"match": MATCH, "optional": value}]}),
    lambda value: parse_declarations({"p": [{"match": MATCH, "force": value}]}),
    lambda value: parse_matches([{"numa_node": value}]),
    lambda value: parse_entries(value, "sriov", present=True),
    lambda value: parse_entries([{"match": MATCH, "numvfs": 2, "autoprobe": value}], "sriov", present=True),
    lambda value: parse_entries([{"match": MATCH, "numvfs": 2, "vfs": [{"vf": 0, "mac": value}]}], "sriov", present=True),
    lambda value: parse_wishes([{"name": "vfio", "options": {"x": value}}]),
    lambda value: parse_wishes([{"name": "vfio", "at_boot": value}]),
    lambda value: parse_wanted({"VFIO": value}),
    lambda value: parse_arguments({"iommu": value}, True),
    lambda value: platforms.check({"x86": value}, ["x86"]),
    lambda value: collected(parse_nodes, {"p": {"symlink": value}}, None),
    lambda value: collected(parse_nodes, None, {"mode": value}),
    lambda value: collected(parse_memlock, {"users": {"vm": value}}, True),
])
def test_a_number_of_thousands_of_digits_is_named_wherever_it_is(parse, value):
    with pytest.raises(InputError, match="a number of more than 40 digits"):
        parse(value)


def test_the_way_to_it_is_told():
    with pytest.raises(InputError) as caught:
        parse_declarations({"p": [{"match": MATCH}, {"match": MATCH, "count": HUGE}]})
    assert caught.value.messages == ["devices.p[1].count: a number of more than 40 digits, which nothing here can have"]


def test_a_value_within_itself_is_looked_at_once():
    value = {"x": 1}
    value["y"] = [value]
    check_lengths("here", value)


def test_a_message_repeats_no_long_value():
    assert shown("x" * 5000) == "'" + "x" * 199 + "..."
    assert shown([HUGE]) == "a list with a number of more than 40 digits"
