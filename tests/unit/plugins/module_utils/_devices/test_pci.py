# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.pci import (
    Device,
    addresses_in,
    guards_of_pf,
    guards_of_vfs,
    last_address,
    normalize_address,
    parse_modalias,
)

IDS = {"vendor": "8086", "device": "10d3", "subsystem_vendor": "8086", "subsystem_device": "0000", "class": "020000"}
BELOW_TWO_BRIDGES = "../../../devices/pci0000:00/0000:00:0a.0/0000:04:00.0/0000:05:01.0"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0000:02:00.0", "0000:02:00.0"),
        ("02:00.0", "0000:02:00.0"),
        (" 0000:0A:1f.7\n", "0000:0a:1f.7"),
        ("10000:e1:00.0", "10000:e1:00.0"),
        ("1234:00:00.0", "1234:00:00.0"),
    ],
)
def test_an_address_has_one_spelling(text, address):
    assert normalize_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "02:00", "0000:02:00", "0000:02:20.0", "0000:02:00.8", "000g:02:00.0", "0000:02:00.0\n1"]
)
def test_what_is_no_address_is_none(text):
    assert normalize_address(text) is None


def test_a_modalias_gives_the_ids():
    assert parse_modalias("pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00") == IDS


@pytest.mark.parametrize("text", ["", "pci:v00008086", "usb:v00008086d000010D3sv00008086sd00000000bc02sc00i00"])
def test_another_modalias_gives_none(text):
    assert parse_modalias(text) is None


def test_a_path_names_the_functions_on_the_way():
    assert addresses_in(BELOW_TWO_BRIDGES) == ["0000:00:0a.0", "0000:04:00.0", "0000:05:01.0"]


def test_the_last_function_on_a_way_is_the_devices_own():
    assert last_address(BELOW_TWO_BRIDGES + "/net/enp5s1") == "0000:05:01.0"
    assert last_address("../../devices/virtual/net/lo") is None


@pytest.mark.parametrize(
    ("header_type", "pci_class", "is_bridge"),
    [
        (0, "020000", False),
        (1, "060400", True),
        (2, "060700", True),
        (0, "060000", False),
        (None, "060400", True),
        (None, "020000", False),
        (1, "020000", True),
    ],
)
def test_a_bridge_is_told_by_its_header_and_else_by_its_class(header_type, pci_class, is_bridge):
    device = Device("0000:02:00.0", dict(IDS, **{"class": pci_class}), header_type=header_type)
    assert device.is_bridge is is_bridge


@pytest.mark.parametrize(
    ("vendor", "device", "name"),
    [
        ("Intel Corporation", "82574L", "Intel Corporation 82574L"),
        ("Intel Corporation", None, "Intel Corporation [8086:10d3]"),
        (None, None, "device [8086:10d3]"),
    ],
)
def test_a_name_is_as_good_as_what_is_known(vendor, device, name):
    assert Device("0000:02:00.0", IDS, vendor_name=vendor, device_name=device).name == name


def test_an_identity_has_ids_serial_path_uid_and_name():
    device = Device("0000:02:00.0", IDS, serial="S1", path="06.0-00.0", zpci={"uid": "0x1234"})
    assert device.identity() == dict(IDS, serial="S1", path="06.0-00.0", uid="0x1234", name="device [8086:10d3]")


def test_a_device_has_no_shared_lists():
    Device("a", IDS).net.append(1)
    assert Device("b", IDS).net == []


def guard(reason, via=None):
    return {"kind": "network", "reason": reason, "brief": reason, "interface": None, "carries": None, "via": via}


def test_what_a_pf_owes_to_a_vf_is_known_by_its_value_and_not_by_its_words():
    own, owed = guard("its VF is what this one is about"), guard("whatever it says", via="0000:01:10.0")
    assert [one["reason"] for one in guards_of_vfs("0000:01:00.0", [own, owed])] == [
        "its PF 0000:01:00.0 is needed: its VF is what this one is about"
    ]
    assert guards_of_vfs("0000:01:00.0", guards_of_pf("0000:01:10.0", [own])) == []
