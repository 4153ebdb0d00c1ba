# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.match import FIELDS, Selector, parse_match
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError

NIC, VF, DISK = "0000:02:00.0", "0000:01:10.0", "0002:00:00.0"


def ids(vendor, device, pci_class):
    return {
        "vendor": vendor,
        "device": device,
        "subsystem_vendor": "1af4",
        "subsystem_device": "1100",
        "class": pci_class,
    }


DEVICES = {
    NIC: Device(
        NIC,
        ids("8086", "10d3", "020000"),
        driver="e1000e",
        iommu_group="14",
        numa_node=-1,
        header_type=0,
        path="06.0-00.0",
        net=[{"name": "enp2s0", "mac": "52:54:00:00:03:02"}],
        vendor_name="Intel Corporation",
        revision="00",
        modalias="pci:v00008086d000010D3",
    ),
    VF: Device(VF, ids("8086", "10ca", "020000"), physfn="0000:01:00.0", iommu_group="20", numa_node=0),
    DISK: Device(
        DISK,
        ids("1b36", "0010", "010802"),
        serial="NV01",
        driver="nvme",
        zpci={
            "uid": "0x1234",
            "uid_is_unique": True,
            "function_id": "0x00000012",
            "pft": "0x0b",
            "port": "1",
            "pchid": None,
            "pfgid": None,
            "vfn": None,
        },
    ),
}


@pytest.mark.parametrize("serial", ["S[1]", "S*[!a]", "[", "]", "S?"])
def test_a_serial_number_that_is_a_glob_as_well_fits_itself(serial):
    devices = {DISK: Device(DISK, ids("1b36", "0010", "010802"), serial=serial)}
    assert Selector(devices).select(parse_match({"serial": serial}, "x")) == [DISK]


def select(seen=None, **match):
    return Selector(DEVICES, seen).select(parse_match(match, "here"))


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("address", "0000:02:00.0", [NIC]),
        ("address", "02:00.0", [NIC]),
        ("address", "0000:*", [VF, NIC]),
        ("address", ["02:00.0", "0000:01:10.0"], [VF, NIC]),
        ("vendor", "8086", [VF, NIC]),
        ("vendor", "0x8086", [VF, NIC]),
        ("device", "10", [VF, NIC]),
        ("device", "10D3", [NIC]),
        ("device", "10c?", [VF]),
        ("device", "10[cd][0-9a-f]", [VF, NIC]),
        ("device", "[0-9a-f][0-9a-f][0-9a-f][!3]", [VF, DISK]),
        ("class", "0[12]0[0-8]0[0-9]", [VF, NIC, DISK]),
        ("class", "02", [VF, NIC]),
        ("class", "0108", [DISK]),
        ("subsystem_device", "1100", [VF, NIC, DISK]),
        ("driver", "e1000e", [NIC]),
        ("driver", "e1000", []),
        ("driver", "e1000*", [NIC]),
        ("driver", ["nvme", "e1000e"], [NIC, DISK]),
        ("iommu_group", 14, [NIC]),
        ("iommu_group", "14", [NIC]),
        ("numa_node", -1, [NIC]),
        ("numa_node", "0", [VF]),
        ("numa_node", "00", [VF]),
        ("header_type", 0, [NIC]),
        ("is_vf", True, [VF]),
        ("is_vf", "yes", [VF]),
        ("is_vf", "False", [NIC, DISK]),
        ("physfn", "01:00.0", [VF]),
        ("path", "06.0-00.0", [NIC]),
        ("net", "enp2s0", [NIC]),
        ("net", "enp*", [NIC]),
        ("mac", "52:54:00:00:03:02", [NIC]),
        ("mac", "52:54:00:*", [NIC]),
        ("serial", "NV01", [DISK]),
        ("serial", "nv01", [DISK]),
        ("serial", "NV*", [DISK]),
        ("uid", "0x1234", [DISK]),
        ("uid", "1234", [DISK]),
        ("uid", "0x00001234", [DISK]),
        ("function_id", "12", [DISK]),
        ("port", 1, [DISK]),
        ("vendor_name", "Intel*", [NIC]),
        ("vendor_name", "[z-a]*", []),
        ("vendor_name", "[", []),
        ("boot_vga", False, [VF, NIC, DISK]),
    ],
)
def test_a_field_selects(key, value, found):
    assert select(**{key: value}) == sorted(found)


def test_all_fields_must_fit():
    assert select(vendor="8086", is_vf=True) == [VF]
    assert select(vendor="8086", serial="NV01") == []


def test_what_was_seen_before_vfio_hid_it_fits_too():
    seen = {VF: {"driver": "igbvf", "net": [{"name": "enp1s0v0", "mac": "52:54:00:00:02:00"}], "serial": "V1"}}
    for match in ({"driver": "igbvf"}, {"net": "enp1s0v0"}, {"mac": "52:54:00:00:02:00"}, {"serial": "V1"}):
        assert select(seen, **match) == [VF]


def test_every_field_can_be_asked_of_every_device():
    for key, kind in FIELDS.items():
        value = {"address": "*", "flag": True, "number": 77, "hex": "77", "mac": "52:54:00:00:00:77"}.get(kind, "77")
        select(**{key: value})


@pytest.mark.parametrize(
    ("match", "message"),
    [
        (None, "at least one device field"),
        ({}, "at least one device field"),
        ("vendor", "at least one device field"),
        ({"vndor": "8086"}, "'vndor' is no field of a device; there are: address, "),
        ({1: "8086"}, "1 is no field"),
        ({"address": "zz"}, "'zz' is no PCI address"),
        ({"address": "0000:02:00.0 or so*"}, "no PCI address"),
        ({"vendor": 8086}, "write it in quotes"),
        ({"class": 192}, "write it in quotes"),
        ({"vendor": "intel"}, "'intel' is no hexadecimal id"),
        ({"vendor": ""}, "no hexadecimal id"),
        ({"vendor": "!8086"}, "no hexadecimal id"),
        ({"device": "1-3"}, "no hexadecimal id"),
        ({"vendor": "00008086"}, "'00008086' has more digits than any vendor, of which there are 4"),
        ({"class": "[0-3]3000000"}, "has more digits than any class, of which there are 6"),
        ({"numa_node": "1" * 5000}, "is no number"),
        ({"vf": "1" * 5000}, "is no number of a VF"),
        ({"numa_node": "first"}, "'first' is no number"),
        ({"is_vf": "perhaps"}, "'perhaps' is no boolean"),
        ({"uid": "0xq"}, "no hexadecimal number"),
        ({"driver": ""}, "driver: "),
        ({"driver": None}, "neither text, number nor boolean"),
        ({"driver": {"a": 1}}, "neither text, number nor boolean"),
        ({"driver": []}, "empty list"),
        ({"driver": [["a"]]}, "neither text, number nor boolean"),
    ],
)
def test_a_bad_match_is_refused_by_name(match, message):
    with pytest.raises(InputError) as caught:
        parse_match(match, "policy p, devices[3]")
    assert message in str(caught.value)
    assert str(caught.value).startswith("policy p, devices[3]: ")


def test_all_bad_fields_are_named_at_once():
    with pytest.raises(InputError) as caught:
        parse_match({"vndor": "1", "address": "x", "numa_node": "y"}, "here")
    assert len(caught.value.messages) == 3


def test_a_match_remembers_what_was_written():
    assert parse_match({"vendor": ["8086", "10de"], "is_vf": True}, "here").text == "is_vf=True vendor=8086,10de"
