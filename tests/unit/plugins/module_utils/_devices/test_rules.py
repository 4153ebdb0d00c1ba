# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
from ansible_collections.vfio.host.plugins.module_utils._devices.record import Record
from ansible_collections.vfio.host.plugins.module_utils._devices.rules import file_name, parse, policy_of, render
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake.udev import parse_rule

IDS = {"vendor": "8086", "device": "10d3", "subsystem_vendor": "8086", "subsystem_device": "0000", "class": "020000"}
WAS = {"driver": "e1000e", "net": [{"name": "enp2s0", "mac": "52:54:00:00:03:02"}], "serial": "S1"}
NIC = Record("0000:02:00.0", IDS, "vfio-pci", "vfio_pci", WAS)
VARIANT = Record(
    "0000:01:10.0", dict(IDS, device="101e"), "mlx5_vfio_pci", "mlx5_vfio_pci", dict(WAS, driver=None, serial=None)
)


PLACE, PF = "/devices/pci0000:00/0000:00:05.0/0000:??:00.0", "0000:01:00.0"


def rules(text):
    return [parse_rule(line) for line in text.splitlines() if line and not line.startswith("#")]


def test_what_is_rendered_parses_to_the_same_records():
    assert parse(render("p", [NIC, VARIANT]), "x") == [VARIANT, NIC]


def test_the_order_of_records_does_not_matter():
    assert render("p", [NIC, VARIANT]) == render("p", [VARIANT, NIC])


def test_no_records_mean_no_file():
    assert render("p", []) is None


def test_a_device_is_pinned_by_address_and_all_its_ids():
    (rule,) = [one for one in rules(render("p", [NIC])) if ("KERNEL", None, "==", "0000:02:00.0") in one]
    assert rule[:3] == [
        ("ACTION", None, "==", "add"),
        ("SUBSYSTEM", None, "==", "pci"),
        ("KERNEL", None, "==", "0000:02:00.0"),
    ]
    assert {(name, value) for key, name, operator, value in rule if key == "ATTR" and operator == "=="} == {
        (key, "0x" + value) for key, value in IDS.items()
    }
    assert ("ATTR", "driver_override", "=", "vfio-pci") in rule


def loads(text):
    """What is matched on before each load of a module: (module, the keys)."""
    return sorted(
        (token[3].split()[-1], [one[0] for one in rule[:-1]])
        for rule in rules(text) for token in rule if token[0] == "RUN"
    )


def test_every_driver_is_loaded_at_the_first_events_and_with_its_devices():
    text = render("p", [NIC, replace(NIC, address="0000:03:00.0"), VARIANT])
    early, late = ["ACTION", "SUBSYSTEM", "KERNEL", "TEST"], ["ENV", "TEST"]
    assert loads(text) == [
        ("mlx5_vfio_pci", early), ("mlx5_vfio_pci", late), ("vfio_pci", early), ("vfio_pci", late),
    ]


def test_a_native_driver_that_was_faster_is_unbound_before_the_probe():
    writes = [
        token[1] for rule in rules(render("p", [NIC])) for token in rule if token[0] == "ATTR" and token[2] == "="
    ]
    assert writes == ["driver_override", "driver/unbind", "[subsystem/pci]drivers_probe"]


def test_a_released_device_has_a_record_and_no_rule():
    text = render("p", [replace(NIC, released=True)])
    assert rules(text) == []
    assert parse(text, "x") == [replace(NIC, released=True)]


def test_only_our_own_files_belong_to_a_policy():
    assert policy_of(file_name("gpus-1")) == "gpus-1"
    for name in (
        "60-vfio-host-.rules",
        "60-vfio-host-A.rules",
        "61-vfio-host-a.rules",
        "60-vfio-host-a.rules.bak",
        "70-x.rules",
    ):
        assert policy_of(name) is None


def test_lines_of_others_are_no_records():
    assert parse("# device of mine\nACTION==\"add\"\n#device {}\n", "x") == []


def tampered(**changes):
    kept = {"address": NIC.address, "ids": IDS, "driver": NIC.driver, "module": NIC.module, "was": WAS}
    kept.update(changes)
    return "# by hand\n# device " + json.dumps({key: value for key, value in kept.items() if value is not Ellipsis})


@pytest.mark.parametrize(
    "changes",
    [
        {"address": ...},
        {"address": "0000:02:00.0\n"},
        {"address": "*"},
        {"address": 7},
        {"ids": ...},
        {"ids": {}},
        {"ids": dict(IDS, vendor='8086", RUN+="x')},
        {"ids": dict(IDS, vendor="80")},
        {"ids": []},
        {"driver": ...},
        {"driver": 'x", RUN+="/bin/sh'},
        {"driver": "a b"},
        {"driver": ""},
        {"driver": None},
        {"driver": "x\n"},
        {"module": 'vfio_pci"'},
        {"module": "$(x)"},
        {"module": "%k"},
        {"was": ...},
        {"was": {}},
        {"was": []},
        {"was": dict(WAS, driver="a b")},
        {"was": dict(WAS, net=[7])},
        {"was": dict(WAS, net=None)},
        {"devpath": '/devices/x", RUN+="/bin/sh'},
        {"devpath": "/devices/pci0000:00/*"},
        {"devpath": "/sys/devices/pci0000:00/0000:00:01.0"},
        {"devpath": ""},
        {"devpath": 7},
        {"vf": 0},
        {"vf": "0", "devpath": PLACE, "physfn": PF},
        {"vf": -1, "devpath": PLACE, "physfn": PF},
        {"vf": True, "devpath": PLACE, "physfn": PF},
        {"vf": 0, "devpath": PLACE},
    ],
)
def test_a_tampered_record_is_refused_with_file_and_line(changes):
    with pytest.raises(PlanError, match=r"/etc/x\.rules, line 2: this record cannot be read"):
        parse(tampered(**changes), "/etc/x.rules")


@pytest.mark.parametrize("line", ["# device {", "# device {}", '# device {"address": NaN}', "# release {]}"])
def test_a_broken_record_is_no_traceback(line):
    text = line if line.endswith("}") else line + "}"
    with pytest.raises(PlanError, match="line 1"):
        parse(text, "x")


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"driver": "vfio-pci"}, True),
        ({"address": "0000:03:00.0"}, False),
        ({"ids": dict(IDS, device="10d4")}, False),
    ],
)
def test_a_record_knows_its_device(change, same):
    assert NIC.is_of(replace(Device(NIC.address, IDS), **change)) is same


def test_a_record_is_of_no_device_where_there_is_none():
    assert not NIC.is_of(None)


OF_PF = replace(VARIANT, physfn="0000:01:00.0")
NATIVE_VF = Device(
    "0000:01:10.2", VARIANT.ids, physfn="0000:01:00.0",
    modalias="pci:v00008086d0000101Esv00008086sd00000000bc02sc00i00",
)


def test_a_vf_is_read_back_with_its_pf_and_natives_leave_no_record():
    assert parse(render("p", [OF_PF], native_vfs=[NATIVE_VF]), "x") == [OF_PF]
    assert render("p", [], native_vfs=[NATIVE_VF]) is not None


def test_a_vf_gets_its_override_in_its_pfs_event_where_it_is_the_right_one():
    (rule,) = [one for one in rules(render("p", [OF_PF])) if ("KERNEL", None, "==", "0000:01:00.0") in one]
    assert rule[0] == ("ACTION", None, "==", "add|bind")
    assert rule[3:] == [
        ("ATTR", f"[pci/0000:01:10.0]{key}", "==", "0x" + OF_PF.ids[key])
        for key in ("vendor", "device", "subsystem_vendor", "subsystem_device", "class")
    ] + [("ATTR", "[pci/0000:01:10.0]driver_override", "=", "mlx5_vfio_pci")]


def test_a_native_vf_is_noted_for_what_sets_the_number_and_has_its_module_by_then():
    (rule,) = rules(render("p", [], native_vfs=[NATIVE_VF]))
    assert ("ENV", "VFIO_HOST_SRIOV", "==", "0000:01:00.0") in rule
    assert rule[-2:] == [
        ("ENV", "VFIO_HOST_NATIVE_0000:01:10.2", "=", "1"),
        ("IMPORT", "builtin", "=", f"kmod load {NATIVE_VF.modalias}"),
    ]
    assert not [token for token in rule if token[0] == "ATTR" and token[2] == "="]


# By slots, and of VFs by index.
BY_SLOT = replace(NIC, devpath="/devices/pci0000:00/0000:00:06.0/0000:??:00.0")
BY_INDEX = replace(OF_PF, devpath=PLACE, vf=3)


def test_places_are_read_back():
    assert parse(render("p", [BY_SLOT, BY_INDEX]), "x") == [BY_INDEX, BY_SLOT]


@pytest.mark.parametrize("device, same", [
    (Device(NIC.address, IDS, devpath=BY_SLOT.devpath), True), (Device("0000:09:00.0", IDS, devpath=BY_SLOT.devpath), True),
    (Device(NIC.address, IDS, devpath=PLACE), False), (Device(NIC.address, dict(IDS, device="10d4"), devpath=BY_SLOT.devpath), False),
    (Device(NIC.address, IDS, devpath=BY_SLOT.devpath, vf=0), False),
])
def test_a_record_by_slots_knows_its_device_whatever_its_bus_is(device, same):
    assert BY_SLOT.is_of(device) is same


def test_a_record_is_located_where_its_device_is_now_and_keeps_where_it_was():
    found = Device("0000:09:00.0", IDS, devpath=BY_SLOT.devpath)
    twin = Device(NIC.address, IDS, devpath=PLACE)
    located = BY_SLOT.located({found.address: found, twin.address: twin})
    assert (located.address, located.written) == ("0000:09:00.0", NIC.address)
    assert BY_SLOT.located({twin.address: twin}) == BY_SLOT


def test_a_vf_is_taken_by_its_own_event_at_its_old_bus_alone_and_by_its_pfs_at_any():
    own, early, moved = [rule for rule in rules(render("p", [BY_INDEX])) if any(token[0] == "DEVPATH" for token in rule)]
    assert own[2:4] == [
        ("DEVPATH", None, "==", "/devices/pci0000:00/0000:00:05.0/0000:01:10.0"), ("TEST", None, "==", f"../{PF}"),
    ]
    for rule in (early, moved):
        assert ("DEVPATH", None, "==", PLACE) in rule and ("ATTR", "virtfn3/driver_override", "=", "mlx5_vfio_pci") in rule
    assert ("KERNEL", None, "!=", PF) in moved and moved[-1][:3] == ("ATTR", "virtfn3/uevent", "=")


def test_a_serial_number_of_the_capability_is_compared_where_the_kernel_shows_it():
    serial = "52-54-00-ff-ff-00-03-02"
    other, mine = rules(render("p", [replace(BY_SLOT, was=dict(WAS, serial=serial))]))[:2]
    assert ("ATTR", "serial_number", "!=", serial) in other and ("ENV", "VFIO_HOST_TWIN", "=", serial) in other
    assert ("ENV", "VFIO_HOST_TWIN", "!=", serial) in mine
