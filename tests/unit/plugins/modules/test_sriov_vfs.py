# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Numbers of VFs alone: made, changed, refused, given back, now and at every boot."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PF, VGA
from ansible_collections.vfio.host.tests.unit.fake.sriov import (
    BOOT_FILES,
    VFS,
    autoprobe,
    everything,
    pfs,
    vf_drivers,
    watch,
)


@pytest.mark.parametrize("number, count", [(7, 7), ("max", 7), ("3", 3), (1, 1)])
def test_vfs_are_made_and_no_driver_has_one(run_module, small, number, count):
    seen = watch(small)
    result = run_module(small, "sriov_vfs", devices=pfs(number))
    assert vf_drivers(small) == [None] * count
    assert seen == []
    assert not autoprobe(small)
    assert result["sriov"] == [{
        "address": PF, "name": result["sriov"][0]["name"], "total": 7, "numvfs_before": 0, "numvfs": count,
        "autoprobe_before": True, "autoprobe": False, "vfs": VFS[:count], "attributes": [], "status": "changed",
    }]


WISHES = {
    "all": {"devices": pfs()},
    "with native drivers": {"devices": pfs(3, autoprobe=True)},
    "for this boot": {"devices": pfs(2), "at_boot": False},
    "at boot": {"devices": pfs(2), "now": False},
    "none": {"devices": pfs(0)},
    "probing alone": {"devices": pfs(0, autoprobe=True)},
}


@pytest.mark.parametrize("name", sorted(WISHES))
def test_check_mode_says_what_the_run_does_and_the_second_run_does_nothing(run_module, small, name):
    before = small.snapshot()
    predicted = run_module(small, "sriov_vfs", check=True, **WISHES[name])
    assert small.snapshot() == before
    assert small.faults.log == []
    assert run_module(small, "sriov_vfs", **WISHES[name]) == predicted
    assert predicted["changed"]
    small.faults.reset()
    again = run_module(small, "sriov_vfs", **WISHES[name])
    assert (again["changed"], again["diff"], small.faults.log) == (False, [], [])


def test_with_autoprobe_the_native_driver_has_them_in_the_end(run_module, small):
    run_module(small, "sriov_vfs", devices=pfs(3, autoprobe=True))
    assert vf_drivers(small) == ["igbvf"] * 3
    assert autoprobe(small)


def test_a_vf_that_lost_its_driver_gets_it_again_with_autoprobe_and_not_without(run_module, small):
    for wanted, driver in ((False, None), (True, "igbvf")):
        run_module(small, "sriov_vfs", devices=pfs(3, autoprobe=True))
        small.kernel.write(f"{small.kernel.pci_drivers}/igbvf/unbind", VFS[0])
        run_module(small, "sriov_vfs", devices=pfs(3, autoprobe=wanted))
        assert small.driver(VFS[0]) == driver


def test_at_boot_udev_makes_them_alone(run_module, small):
    run_module(small, "sriov_vfs", devices=pfs(3))
    small.reboot()
    assert vf_drivers(small) == [None] * 3
    assert not autoprobe(small)
    assert not run_module(small, "sriov_vfs", devices=pfs(3))["changed"]


def test_at_boot_with_autoprobe_the_native_driver_has_them(run_module, small):
    run_module(small, "sriov_vfs", devices=pfs(3, autoprobe=True))
    small.reboot()
    assert vf_drivers(small) == ["igbvf"] * 3
    assert autoprobe(small)
    assert not run_module(small, "sriov_vfs", devices=pfs(3, autoprobe=True))["changed"]


def test_for_the_next_boot_only_the_rules_are_written(run_module, small):
    result = run_module(small, "sriov_vfs", devices=pfs(3), now=False)
    assert vf_drivers(small) == []
    assert result["sriov"][0]["status"] == "pending"
    assert result["reboot_reasons"] == [f"{PF} ({result['sriov'][0]['name']}) has 0 VFs, and 3 from the next boot on"]
    small.reboot()
    assert vf_drivers(small) == [None] * 3


def test_for_this_boot_only_nothing_comes_after_it(run_module, small):
    run_module(small, "sriov_vfs", devices=pfs(3), at_boot=False)
    assert vf_drivers(small) == [None] * 3
    small.reboot()
    assert vf_drivers(small) == []
    assert autoprobe(small)


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("at_boot", [True, False])
def test_given_back_is_the_number_that_was_there(run_module, small, number, at_boot):
    small.kernel.write(f"{small.kernel.pci_devices}/{PF}/sriov_numvfs", str(number))
    before = everything(small)
    drivers = vf_drivers(small)
    run_module(small, "sriov_vfs", devices=pfs(7), at_boot=at_boot)
    run_module(small, "sriov_vfs", devices=pfs(3), at_boot=not at_boot)
    result = run_module(small, "sriov_vfs", state="absent")
    assert result["sriov"][0]["status"] == "released"
    assert vf_drivers(small) == drivers == ["igbvf"] * number
    assert everything(small) == before
    assert not run_module(small, "sriov_vfs", state="absent")["changed"]


def test_a_number_that_somebody_else_changed_since_is_left_alone(run_module, small):
    run_module(small, "sriov_vfs", devices=pfs(7))
    for number in ("0", "4"):
        small.kernel.write(f"{small.kernel.pci_devices}/{PF}/sriov_numvfs", number)
    run_module(small, "sriov_vfs", state="absent")
    assert len(vf_drivers(small)) == 4
    assert not set(BOOT_FILES) & set(small.files.names(small.files.boot_rules))


def test_only_the_named_pf_is_given_back(run_module, small):
    run_module(small, "sriov_vfs", devices=pfs(7))
    assert not run_module(small, "sriov_vfs", state="absent", devices=[{"match": {"address": NIC}}])["changed"]
    assert run_module(small, "sriov_vfs", state="absent", devices=[{"match": {"address": PF}}])["changed"]
    assert vf_drivers(small) == []


def test_fewer_than_asked_for_are_found_out_and_put_back(run_module, small):
    before = everything(small)
    small.kernel.fewer[PF] = 5
    result = run_module(small, "sriov_vfs", devices=pfs(7), timeout=1)
    assert "asked for 7 VFs, it has 5 after 1 seconds" in result["msg"]
    assert "was put back" in result["msg"]
    assert everything(small) == before


def test_a_driver_that_makes_none_is_named(run_module, small):
    small.kernel.write(f"{small.kernel.pci_drivers}/igb/unbind", PF)
    assert "has no driver, and only a driver makes VFs" in run_module(small, "sriov_vfs", devices=pfs(2))["msg"]
    small.take({"match": {"address": PF}})
    assert "vfio-pci, which makes no VFs" in run_module(small, "sriov_vfs", devices=pfs(2))["msg"]


BAD = {
    "no number": ([{"match": {"address": PF}}], ["devices[0]", "numvfs"]),
    "a negative number": (pfs(-1), ["devices[0]", "-1"]),
    "a boolean": (pfs(True), ["devices[0]", "True"]),
    "words": (pfs("all"), ["devices[0]", "'all'"]),
    "too many": (pfs(8), ["devices[0]", "numvfs is 8", PF, "7 VFs at most"]),
    "no match": ([{"numvfs": 1}], ["devices[0]", "match"]),
    "an unknown option": (pfs(1, count=1), ["devices[0]", "'count'"]),
    "autoprobe that is neither": (pfs(1, autoprobe="maybe"), ["devices[0]", "'maybe'"]),
    "nothing selected": ([{"match": {"serial": "none"}, "numvfs": 1}], ["devices[0]", "serial=none", "no device"]),
    "no such capability": ([{"match": {"address": NIC}, "numvfs": 1}], ["devices[0]", NIC, "cannot have VFs"]),
    "two wishes": (pfs(1) + pfs(2), [PF, "devices[0]", "devices[1]"]),
    "an empty list": ([], ["devices", "state: absent"]),
}


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_input_is_one_message_that_names_it(run_module, small, name, check):
    devices, words = BAD[name]
    before = small.snapshot()
    result = run_module(small, "sriov_vfs", check=check, devices=devices)
    assert len(result["msg"].splitlines()) == 1
    assert [word for word in words if word not in result["msg"]] == []
    assert (small.snapshot(), small.faults.log) == (before, [])
    if devices:
        assert run_module(small, "passthrough", sriov=devices, check=check)["msg"] == result["msg"].replace("devices[", "sriov[")


def test_a_record_that_cannot_be_read_stops_the_run(run_module, small):
    run_module(small, "sriov_vfs", devices=pfs(1))
    path = f"{small.files.boot_rules}/{BOOT_FILES[0]}"
    small.tree.put(path, small.files.read(path).replace('"autoprobe": false', '"autoprobe": 7'))
    assert f"{path}, line 4: this record cannot be read" in run_module(small, "sriov_vfs", devices=pfs(1))["msg"]


def test_the_screen_is_no_pf(run_module, host):
    assert "cannot have VFs" in run_module(host, "sriov_vfs", devices=[{"match": {"address": VGA}, "numvfs": 1}])["msg"]
