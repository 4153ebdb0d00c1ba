# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Matches as people mistype them: what can be understood is, and what cannot is told with the way on."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.match import Selector, parse_match
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError, PlanError
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PAIR, PAIR2, TWIN

MAC = "52:54:00:00:03:02"  # of NIC


def selected(host, **wanted):
    return Selector(host.survey().devices).select(parse_match(wanted, "policy p, devices[0]"))


def refused(host, **entry):
    with pytest.raises((InputError, PlanError)) as caught:
        host.take(entry)
    return "\n".join(caught.value.messages)


@pytest.mark.parametrize("field, value", [
    ("mac", 41135085296), ("serial", 1000000.0), ("net", True), ("path", 6.0), ("address", 120.0), ("physfn", 120.0),
])
def test_a_value_that_yaml_made_a_number_of_is_told_to_be_quoted(field, value):
    with pytest.raises(InputError, match=f"devices.0.: {field}: write it in quotes") as caught:
        parse_match({field: value}, "policy p, devices[0]")
    assert "optional" not in str(caught.value)


@pytest.mark.parametrize("text", [
    MAC, MAC.upper(), MAC.replace(":", "-"), "5254.0000.0302", MAC.replace(":", ""), "52:54:00:00:03:?2", "52-54-00-00-03-[0-1]2",
])
def test_a_mac_address_is_found_however_it_is_written(host, text):
    assert selected(host, mac=text) == [NIC]


@pytest.mark.parametrize("text", ["5254.00000302", "52:54:00", "enp2s0", "00:00:00:00:00:00"])
def test_what_is_no_mac_address_is_refused_with_an_example_where_no_device_has_to_match_too(host, text):
    message = refused(host, match={"mac": text}, optional=True)
    assert f"'{text}' is no MAC address; one looks like 52:54:00:12:34:56" in message


def test_a_pf_is_found_by_its_mac_address_however_it_is_written(host):
    assert [one.wanted for one in parse_match({"physfn": "5254.0012.AABB"}, "m").pfs if "mac" in one.wanted] == [{"mac": ("52:54:00:12:aa:bb",)}]


@pytest.mark.parametrize("text, index", [("03", "3"), (7, "7"), ("0[0-3]", "0[0-3]")])
def test_the_index_of_a_vf_is_a_number(text, index):
    assert parse_match({"vf": text}, "m").wanted["vf"] == (index,)


@pytest.mark.parametrize("text", ["05:0*", "05:0?.0", "05:0[1-2].0", "0[5]:*.0", "0000:05:0*", "*:05:0?.0"])
def test_a_glob_of_an_address_without_its_domain_means_domain_0(host, text):
    assert selected(host, address=text) == [PAIR, PAIR2]


def test_a_glob_that_covers_the_domain_stays_as_it_is():
    assert parse_match({"address": ["0000:4*", "*:02:00.0", "*.0"]}, "m").wanted["address"] == ("0000:4*", "*:02:00.0", "*.0")


def test_a_mistyped_value_is_answered_with_the_nearest_one_and_not_with_optional(host):
    message = refused(host, match={"mac": "52:54:00:00:03:20"})
    assert "the nearest mac of this host is 52:54:00:00:03:0" in message and "optional" not in message


def test_a_regular_expression_is_told_to_be_none(host):
    message = refused(host, match={"net": "enp.*"})
    assert "net takes globs (* and ?), and no regular expressions" in message and "optional" not in message


def test_values_that_no_single_device_has_together_are_told_apart_from_typos(host):
    message = refused(host, match={"device": "10d3", "net": "enp6s0"})
    assert "some device has each of these values, and none has all" in message


def test_where_nothing_is_near_an_absent_device_may_be_meant(host):
    assert refused(host, match={"serial": "NV99"}).endswith("vfio.host.survey shows what there is; only where it may be absent, say optional: true")


@pytest.mark.parametrize("number, wanted, told", [
    (0, {"physfn": "enp1s"}, "; no PF of this host is enp1s; the nearest one is enp1s0"),
    (0, {"physfn": "xyz"}, "; no PF of this host is xyz"),
    (
        0, {"physfn": "enp1s0", "vf": "0-2"},
        "; there are no VFs of 0000:01:00.0: declare their number, in sriov (the role's passthrough_sriov) or by vfio.host.sriov_vfs",
    ),
    (4, {"physfn": "enp1s0", "vf": [4, 5]}, "; of 0000:01:00.0 there are the VFs 0 to 3"),
])
def test_a_pf_or_a_vf_that_is_not_there_is_told_so_and_nothing_else_is_advised(host, number, wanted, told):
    if number:
        host.kernel.write(f"{host.kernel.pci_devices}/0000:01:00.0/sriov_numvfs", str(number))
    message = refused(host, match=wanted)
    assert message.endswith(f"matches no device of this host{told}")


def test_a_mistyped_field_is_answered_with_the_field_that_may_be_meant():
    with pytest.raises(InputError, match="'vendr' is no field of a device; there are: .*; did you mean vendor"):
        parse_match({"vendr": "8086"}, "m")


def test_a_count_of_0_says_what_it_means(host):
    message = refused(host, match={"device": "10d3"}, count=0)
    assert f"matches 2: {NIC}, {TWIN}; count: 0 says that no device may match" in message


def test_a_text_for_a_match_is_answered_with_an_example():
    with pytest.raises(InputError, match='such as {address: "0000:02:00.0"}'):
        parse_match("0000:02:00.0", "m")


@pytest.mark.parametrize("key, hint", [
    ("drvr", "; did you mean driver?"), ("iommu_groups", "; did you mean iommu_group?"),
    ("state", "; to give back what an entry took, take the entry out"), ("timeout", "; timeout is an option of the task, for all of its devices"),
    ("vendor", "; vendor is a field of a device: write it within match"),
    ("xyzzy", "iommu_group, optional, force"),
])
def test_an_unknown_key_of_an_entry_is_answered_with_what_may_be_meant(host, key, hint):
    message = refused(host, match={"address": NIC}, **{key: "x"})
    assert f"unknown option {key!r}; there are: match, driver" in message and message.endswith(hint)
