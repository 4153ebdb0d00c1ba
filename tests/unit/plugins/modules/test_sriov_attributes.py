# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attributes of VFs: set before any driver has one, now and at boot, compared, refused, given back."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.pci import IDENTITY
from ansible_collections.vfio.host.plugins.module_utils._sriov import rules
from ansible_collections.vfio.host.tests.unit.fake.hosts import PF
from ansible_collections.vfio.host.tests.unit.fake.sriov import BOOT_FILES, SMALL, VFS, everything, pfs, vf_drivers
from ansible_collections.vfio.host.tests.unit.fake.vfs import FRESH

BASE = "52:54:00:aa:00:00"
WANTED = [
    {"mac_base": BASE, "spoofchk": True},
    {"vf": 1, "vlan": 42, "qos": 3},
    {"vf": "1-2", "trust": True},
]


def declared(*settings, number=3, **more):
    return pfs(number, vfs=list(settings or WANTED), **more)


def warnings(result):
    return [str(one) for one in result.get("warnings", ())]


def attributes(host, index):
    return host.kernel.vfs.of(PF)[index]


def changed(**values):
    return dict(FRESH, **values)


ALL = {
    0: changed(mac="52:54:00:aa:00:00"),
    1: changed(mac="52:54:00:aa:00:01", vlan=42, qos=3, trust=True),
    2: changed(mac="52:54:00:aa:00:02", trust=True),
}


def test_vfs_get_their_attributes_before_a_driver_has_one(run_module, small):
    drivers = []
    write = small.kernel.write_vf

    def spy(*args, **named):
        drivers.append(vf_drivers(small))
        return write(*args, **named)

    small.kernel.write_vf = spy
    result = run_module(small, "sriov_vfs", devices=declared(autoprobe=True))
    assert small.kernel.vfs.of(PF) == ALL
    assert {tuple(one) for one in drivers} == {(None,) * 3}
    assert vf_drivers(small) == ["igbvf"] * 3
    assert result["sriov"][0]["attributes"][1] == {
        "vf": 1, "mac": "52:54:00:aa:00:01", "vlan": 42, "qos": 3, "vlan_protocol": "802.1Q", "spoofchk": True, "trust": True,
    }


WISHES = {
    "made": {"devices": declared()},
    "for this boot": {"devices": declared(), "at_boot": False},
    "at boot": {"devices": declared(), "now": False},
}


@pytest.mark.parametrize("name", sorted(WISHES))
def test_check_mode_says_what_the_run_does_and_the_second_run_does_nothing(run_module, small, name):
    before = small.snapshot()
    predicted = run_module(small, "sriov_vfs", check=True, **WISHES[name])
    assert (small.snapshot(), small.kernel.vfs.of(PF)) == (before, {})
    assert run_module(small, "sriov_vfs", **WISHES[name]) == predicted
    assert predicted["changed"]
    small.faults.reset()
    again = run_module(small, "sriov_vfs", **WISHES[name])
    assert (again["changed"], again["diff"], small.faults.log) == (False, [], [])


def test_at_boot_udev_sets_them_alone_before_a_driver_has_one(run_module, small):
    run_module(small, "sriov_vfs", devices=declared(autoprobe=True))
    seen = []
    small.kernel.vfs.program = lambda words, program=small.kernel.vfs.program: (seen.append(vf_drivers(small)), program(words))[1]
    small.reboot()
    assert small.kernel.vfs.of(PF) == ALL
    assert {tuple(one) for one in seen} == {(None,) * 3}
    assert vf_drivers(small) == ["igbvf"] * 3
    assert not run_module(small, "sriov_vfs", devices=declared(autoprobe=True))["changed"]


def test_a_boot_whose_driver_refuses_one_ends_without_vfs(run_module, small):
    run_module(small, "sriov_vfs", devices=declared())
    small.kernel.vfs.unknown.add("trust")
    small.reboot()
    assert vf_drivers(small) == []
    assert small.kernel.vfs.of(PF) == {}
    (warning, *dummy) = warnings(run_module(small, "sriov_vfs", check=True, devices=declared()))
    assert "its driver igb did not make them, or refused one of their attributes, or somebody set the number back" in warning


def test_an_event_of_the_pf_leaves_the_vfs_that_there_are_alone(run_module, small):
    run_module(small, "sriov_vfs", devices=declared())
    small.kernel.vfs.of(PF)[0]["mac"] = "52:54:00:bb:00:00"
    small.udev.add(PF)
    assert attributes(small, 0)["mac"] == "52:54:00:bb:00:00"


def test_an_image_without_the_program_leaves_the_vfs_to_the_root(run_module, small):
    run_module(small, "sriov_vfs", devices=declared())
    (small.tree.root / "usr/sbin/ip").unlink()
    small.reboot()
    assert vf_drivers(small) == []
    (small.tree.root / "usr/sbin/ip").write_text("")
    small.udev.add(PF)
    assert small.kernel.vfs.of(PF) == ALL


def test_a_rate_that_a_boot_cannot_set_costs_no_vf_and_the_next_run_sets_it(run_module, make_host):
    host = make_host(with_link(SMALL, True))
    wanted = declared({"vf": 0, "mac": BASE, "max_tx_rate": 100})
    result = run_module(host, "sriov_vfs", devices=wanted)
    assert attributes(host, 0) == changed(mac=BASE, max_tx_rate=100)
    assert any("rates of VFs are asked for at boot" in one for one in warnings(result))
    has_link(host, False)
    host.reboot()
    has_link(host, False)
    host.kernel._numvfs(PF, "0")
    host.udev.add(PF)
    assert attributes(host, 0) == changed(mac=BASE)
    has_link(host, True)
    assert run_module(host, "sriov_vfs", devices=wanted)["changed"]
    assert attributes(host, 0) == changed(mac=BASE, max_tx_rate=100)
    again = run_module(host, "sriov_vfs", devices=wanted)
    assert (again["changed"], warnings(again)) == (False, [])


def with_link(spec, is_up):
    functions = [
        replace(one, net=tuple(replace(net, is_up=is_up) for net in one.net)) if one.address == PF else one for one in spec.functions
    ]
    return replace(spec, functions=tuple(functions))


def has_link(host, is_up):
    function = host.kernel.functions[PF]
    host.kernel.functions[PF] = replace(function, net=tuple(replace(net, is_up=is_up) for net in function.net))


def test_a_drifted_attribute_is_set_again_and_named(run_module, small):
    run_module(small, "sriov_vfs", devices=declared())
    attributes(small, 1)["vlan"] = 7
    small.kernel.vfs.log.clear()
    result = run_module(small, "sriov_vfs", devices=declared())
    assert (result["changed"], result["sriov"][0]["status"]) == (True, "changed")
    assert f"{PF} vf 1 vlan=7 qos=3 vlan_protocol=802.1Q\n" in result["diff"][0]["before"]
    assert f"{PF} vf 1 vlan=42 qos=3 vlan_protocol=802.1Q\n" in result["diff"][0]["after"]
    assert small.kernel.vfs.log == [(PF, 1, "vlan")]


def test_what_the_driver_cannot_set_is_refused_with_its_errno_and_all_is_put_back(run_module, small):
    before = everything(small)
    result = run_module(small, "sriov_vfs", devices=declared({"vf": 0, "mac": BASE, "link_state": "auto"}))
    assert result["failed"]
    assert "EOPNOTSUPP" in result["msg"]
    assert "link_state=auto" in result["msg"]
    assert "its driver igb cannot set this: leave it out" in result["msg"]
    assert everything(small) == before
    assert vf_drivers(small) == []


def test_a_value_that_the_driver_does_not_keep_is_a_failure(run_module, small):
    small.kernel.vfs.silent.add("trust")
    result = run_module(small, "sriov_vfs", devices=declared())
    assert "VF 1 was given trust=on, and has trust=off" in result["msg"]


def test_what_nobody_has_tried_yet_is_told_to_the_driver_even_where_it_is_so(run_module, small):
    run_module(small, "sriov_vfs", devices=pfs(3))
    result = run_module(small, "sriov_vfs", devices=declared({"link_state": "auto"}))
    assert result["failed"]
    assert "EOPNOTSUPP" in result["msg"]


def test_without_a_link_a_rate_is_refused_with_the_reason(run_module, make_host):
    result = run_module(make_host(with_link(SMALL, False)), "sriov_vfs", devices=declared({"vf": 0, "max_tx_rate": 100}))
    assert "max_tx_rate=100" in result["msg"]
    assert "only while there is a link" in result["msg"]


def test_a_failure_puts_the_attributes_back_of_vfs_that_stay(run_module, small):
    run_module(small, "sriov_vfs", devices=pfs(3))
    attributes(small, 0).update(mac="52:54:00:bb:00:00", vlan=9)
    before = {index: dict(values) for index, values in small.kernel.vfs.of(PF).items()}
    small.faults.reset()
    run_module(small, "sriov_vfs", check=True, devices=declared())
    # Whatever write it is that fails: the last of all.
    small.kernel.vfs.silent.add("trust")
    assert run_module(small, "sriov_vfs", devices=declared())["failed"]
    assert small.kernel.vfs.of(PF) == before


def test_a_failure_puts_the_attributes_back_of_vfs_that_were_made_anew(run_module, small):
    run_module(small, "sriov_vfs", devices=pfs(2))
    attributes(small, 0).update(mac="52:54:00:bb:00:00", vlan=9)
    before = {index: dict(values) for index, values in small.kernel.vfs.of(PF).items()}
    small.kernel.vfs.silent.add("trust")
    assert run_module(small, "sriov_vfs", devices=declared())["failed"]
    assert small.kernel.vfs.of(PF) == before


def test_release_gives_back_what_vfs_had_before(run_module, small):
    small.kernel.write(f"{small.kernel.pci_devices}/{PF}/sriov_drivers_autoprobe", "0")
    small.kernel.write(f"{small.kernel.pci_devices}/{PF}/sriov_numvfs", "3")
    attributes(small, 0).update(mac="52:54:00:bb:00:00", vlan=9)
    before = {index: dict(values) for index, values in small.kernel.vfs.of(PF).items()}
    run_module(small, "sriov_vfs", devices=declared())
    assert attributes(small, 0) == dict(ALL[0], vlan=9)
    result = run_module(small, "sriov_vfs", state="absent")
    assert result["sriov"][0]["status"] == "released"
    assert small.kernel.vfs.of(PF) == before
    assert not any(small.files.read(f"{small.files.boot_rules}/{name}") for name in BOOT_FILES)


def test_an_attribute_that_is_not_declared_any_more_is_given_back(run_module, small):
    run_module(small, "sriov_vfs", devices=pfs(3))
    run_module(small, "sriov_vfs", devices=declared())
    run_module(small, "sriov_vfs", devices=declared({"mac_base": BASE}))
    assert attributes(small, 1) == changed(mac="52:54:00:aa:00:01")
    assert not run_module(small, "sriov_vfs", devices=declared({"mac_base": BASE}))["changed"]


def test_what_nobody_knows_the_former_value_of_stays_until_a_boot_and_is_named(run_module, small):
    run_module(small, "sriov_vfs", devices=declared())
    result = run_module(small, "sriov_vfs", devices=declared({"mac_base": BASE}))
    assert any("VF 1 keeps vlan=42 qos=3 vlan_protocol=802.1Q spoofchk=on trust=on, which nobody" in one for one in warnings(result))
    small.reboot()
    assert attributes(small, 1) == changed(mac="52:54:00:aa:00:01")


def test_an_attribute_that_is_not_declared_is_left_alone(run_module, small):
    run_module(small, "sriov_vfs", devices=declared({"mac_base": BASE}))
    attributes(small, 0).update(vlan=9, trust=True)
    assert not run_module(small, "sriov_vfs", devices=declared({"mac_base": BASE}))["changed"]
    assert attributes(small, 0) == changed(mac=BASE, vlan=9, trust=True)


def test_a_vf_that_a_process_holds_keeps_its_address_and_may_be_trusted(run_module, small):
    run_module(small, "passthrough", sriov=declared({"mac_base": BASE}), devices={"guests": [{"match": {"physfn": PF}, "count": 3}]}, initramfs=False)
    small.kernel.hold(VFS[0], 4711, "qemu")
    result = run_module(small, "sriov_vfs", devices=declared({"mac_base": "52:54:00:cc:00:00"}))
    assert f"VF 0 of {PF} cannot get mac=52:54:00:cc:00:00: {VFS[0]} is in use by process 4711 (qemu" in result["msg"]
    assert attributes(small, 0)["mac"] == BASE
    run_module(small, "sriov_vfs", devices=declared({"mac_base": BASE, "trust": True}))
    assert attributes(small, 0)["trust"]


def test_a_native_driver_goes_on_with_the_address_that_it_has_read_and_the_task_says_so(run_module, small):
    run_module(small, "sriov_vfs", devices=pfs(3, autoprobe=True))
    result = run_module(small, "sriov_vfs", devices=declared({"vf": 0, "mac": BASE}, autoprobe=True))
    assert any(f"{VFS[0]} (VF 0 of {PF}) has the driver igbvf, which goes on with the address" in one for one in warnings(result))


def test_a_pf_without_an_interface_is_refused_before_anything_is_touched(run_module, make_host):
    host = make_host(replace(SMALL, functions=tuple(replace(one, net=()) if one.address == PF else one for one in SMALL.functions)))
    before = host.snapshot()
    result = run_module(host, "sriov_vfs", devices=declared())
    assert "it has none in this network namespace" in result["msg"]
    assert host.snapshot() == before


@pytest.mark.parametrize("missing", ["usr/sbin/ip", "usr/bin/ls"])
def test_a_host_without_the_program_of_the_rules_is_told_so_and_does_without_at_boot(run_module, make_host, missing):
    host = make_host(replace(SMALL, programs=tuple(one for one in SMALL.programs if one != missing)))
    name = missing.split("/")[-1]
    assert f"by the program {name}, which this host does not have" in run_module(host, "sriov_vfs", devices=declared())["msg"]
    assert not run_module(host, "sriov_vfs", devices=declared(), at_boot=False).get("failed")


def test_an_address_that_another_interface_or_vf_has_is_refused(run_module, small):
    own = small.facts(PF)["net"][0]["mac"]
    result = run_module(small, "sriov_vfs", devices=declared({"vf": 0, "mac": own}))
    assert f"VF 0 of {PF} is to have mac {own}, which " in result["msg"]
    run_module(small, "sriov_vfs", devices=pfs(3))
    attributes(small, 2)["mac"] = BASE
    result = run_module(small, "sriov_vfs", devices=declared({"vf": 0, "mac": BASE}))
    assert f"VF 0 of {PF} is to have mac {BASE}, which VF 2 of {PF} has" in result["msg"]


def test_attributes_are_records_of_their_own_which_earlier_versions_refuse(run_module, small):
    run_module(small, "sriov_vfs", devices=pfs(3))
    assert "# vf " not in small.files.read(f"{small.files.boot_rules}/{BOOT_FILES[0]}")
    run_module(small, "sriov_vfs", devices=declared())
    text = small.files.read(f"{small.files.boot_rules}/{BOOT_FILES[0]}")
    assert [line.split(" ")[:2] for line in text.splitlines() if line.startswith("# vf ")] == [["#", "vf"]] * 3


@pytest.mark.parametrize("damage", [
    lambda line: line.replace('"index": 1', '"index": "1"'),
    lambda line: line.replace('"index": 1', '"index": true'),
    lambda line: line.replace('"vlan": 42', '"vlan": "42; reboot"'),
    lambda line: line.replace('"trust": true', '"trust": "yes"'),
    lambda line: line.replace('"mac": "52', '"mac": "\\" 52'),
    lambda line: line.replace('"spoofchk"', '"spoof"'),
    lambda line: line.replace(PF, VFS[0]),
    lambda line: "# vf {}",
])
def test_a_damaged_record_of_a_vf_stops_the_run_before_anything_is_touched(run_module, small, damage):
    run_module(small, "sriov_vfs", devices=declared())
    path = f"{small.files.boot_rules}/{BOOT_FILES[0]}"
    lines = small.files.read(path).split("\n")
    number = next(at for at, line in enumerate(lines) if line.startswith("# vf ") and '"index": 1' in line)
    assert damage(lines[number]) != lines[number]
    lines[number] = damage(lines[number])
    small.files.put(path, "\n".join(lines))
    small.faults.reset()
    result = run_module(small, "sriov_vfs", devices=declared())
    assert f"59-vfio-host-sriov.rules, line {number + 1}: this record cannot be read" in result["msg"]
    assert small.faults.log == []


def test_hundreds_of_vfs_with_all_attributes_have_lines_that_udev_reads(run_module, small):
    rows = {index: dict(FRESH, mac=f"52:54:00:aa:{index >> 8:02x}:{index & 255:02x}") for index in range(512)}
    record = rules.PfRecord(
        PF, dict.fromkeys(IDENTITY, "8086"), tuple(f"0000:{index >> 8:02x}:{index >> 3 & 31:02x}.{index & 7}" for index in range(512)), False,
        {"numvfs": 0, "autoprobe": True, "attributes": rows}, attributes=rows,
    )
    record = replace(record, ids=dict(record.ids, **{"class": "020000"}))
    text, dummy = rules.render([record])
    assert rules.parse(text, "path") == [record]


BAD = {
    "mac_bse: 1": ({"mac_bse": BASE}, "unknown option 'mac_bse'; there are: vf, mac_base, mac, vlan"),
    "did you mean": ({"trusted": True}, "did you mean trust?"),
    "multicast": ({"mac": "01:00:5e:00:00:01"}, "is a multicast address"),
    "no text": ({"mac": 7009543956}, 'is no address: write it in quotes, as "52:54:00:12:34:56"'),
    "short": ({"mac_base": "52:54:00:aa"}, "is no address"),
    "zeros": ({"mac_base": "00:00:00:00:00:00"}, "is no address of a device"),
    "both": ({"mac": BASE, "mac_base": BASE}, "mac and mac_base are both said"),
    "vlan": ({"vlan": 4095}, "vlan 4095 must be a whole number from 0 to 4094"),
    "qos": ({"vlan": 1, "qos": 8}, "qos 8 must be a whole number from 0 to 7"),
    "no vlan": ({"qos": 1}, "qos needs vlan"),
    "protocol": ({"vlan": 1, "vlan_protocol": "802.1p"}, "must be one of 802.1Q, 802.1ad"),
    "protocol of none": ({"vf": 0, "vlan": 0, "vlan_protocol": "802.1ad"}, "is that of no VLAN"),
    "rates": ({"vf": 0, "min_tx_rate": 5, "max_tx_rate": 4}, "min_tx_rate 5 is more than max_tx_rate 4"),
    "negative": ({"max_tx_rate": -1}, "must be a whole number from 0"),
    "more than an int": ({"max_tx_rate": 2**31}, "max_tx_rate 2147483648 must be a whole number from 0 to 2147483647"),
    "flag": ({"trust": "maybe"}, "must be true or false"),
    "state": ({"link_state": "up"}, "must be one of auto, enable, disable"),
    "index": ({"vf": 3, "trust": True}, "there is no VF 3: its VFs are 0 to 2"),
    "range": ({"vf": "2-4", "trust": True}, "there is no VF 3, 4"),
    "nothing": ({"vf": 1}, "says nothing of its VFs"),
    "one address": ({"vf": "0-1", "mac": BASE}, f"devices[0].vfs[0]: mac {BASE} is declared for VF 0 and VF 1; each needs its own"),
    "vendor": ({"mac_base": "52:54:00:ff:ff:fe"}, "has another vendor's first three bytes"),
    "guid": ({"vf": 0, "node_guid": BASE}, "is no address"),
    "no mapping": ("mac", "must be a mapping of attributes"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_wrong_attribute_is_one_error_that_names_the_item(run_module, small, name):
    setting, message = BAD[name]
    result = run_module(small, "sriov_vfs", devices=declared(setting))
    assert result["failed"]
    assert message in result["msg"]
    assert "devices[0].vfs[0]" in result["msg"]
    assert len(result["msg"].splitlines()) == 1
    assert small.faults.log == []


def test_of_many_vfs_with_one_address_the_first_are_named(run_module, small):
    message = run_module(small, "sriov_vfs", devices=declared({"mac": BASE}, number=7))["msg"]
    assert "is declared for VF 0 and VF 1 and VF 2 and VF 3 and 3 more; each" in message


def test_all_wrong_attributes_are_told_at_once(run_module, small):
    settings = [setting for setting, dummy in BAD.values()]
    message = run_module(small, "sriov_vfs", devices=declared(*settings))["msg"]
    assert len(message.splitlines()) >= 15
    assert "no VF" not in message  # what could not be read is not judged


def test_two_items_that_differ_over_a_vf_are_refused_and_equal_ones_are_not(run_module, small):
    result = run_module(small, "sriov_vfs", devices=declared({"vlan": 1}, {"vf": 2, "vlan": 2}))
    assert "VF 2 is declared twice, and otherwise: vlan 1 by devices[0].vfs[0], 2 by devices[0].vfs[1]" in result["msg"]
    assert not run_module(small, "sriov_vfs", devices=declared({"vlan": 1}, {"vf": 2, "vlan": 1})).get("failed")


def test_with_max_the_host_says_which_vfs_there_are(run_module, small):
    result = run_module(small, "sriov_vfs", devices=declared({"vf": 7, "trust": True}, number="max"))
    assert f"{PF} (" in result["msg"]
    assert "there is no VF 7: its VFs are 0 to 6" in result["msg"]


def test_as_many_vfs_as_there_can_be_are_declared_in_seconds(run_module, small):
    begun = time.monotonic()
    result = run_module(small, "sriov_vfs", devices=declared({"vf": "0-65535", "mac_base": BASE}, number=65535))
    assert "there is no VF 65535: its VFs are 0 to 65534" in result["msg"]
    assert time.monotonic() - begun < 20
