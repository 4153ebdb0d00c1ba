# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Numbers of VFs: made, changed, refused, given back, now and at every boot; with and without policies for them."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.faults import deaths
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PF, VGA

VFS = [hosts.vf(number).address for number in range(7)]
BOOT_FILES = ("59-vfio-host-sriov.rules", "61-vfio-host-sriov.rules")

# A small host, since some tests boot many; the VFs' native driver is loaded beforehand.
SMALL = hosts.x86(
    functions=tuple(
        replace(one, parent=None) for one in hosts.x86().functions if one.address in (hosts.ROOT_DISK, PF, NIC)
    ),
    modules=tuple(
        replace(one, initramfs=True) if one.name in ("igb", "igbvf") else one for one in hosts.x86().modules
    ),
)
SMALL = hosts.changed(SMALL, PF, vfs=tuple(replace(hosts.vf(number), parent=None) for number in range(7)))
FOR_GUESTS = {"match": {"physfn": PF}, "count": 7}
SPLIT = {
    "guests": [{"match": {"address": VFS[:4]}}],
    "host": [{"match": {"address": VFS[4:]}, "driver": "native"}],
}


@pytest.fixture
def small(make_host):
    return make_host(SMALL)


def pfs(numvfs=7, **more):
    return [dict({"match": {"address": PF}, "numvfs": numvfs}, **more)]


def vf_drivers(host):
    return [host.driver(one) for one in VFS if one in host.kernel.functions]


def autoprobe(host):
    return host.kernel.read(f"{host.kernel.pci_devices}/{PF}/sriov_drivers_autoprobe") == "1"


def watch(host):
    """A list that grows by each (address, driver) that binds from now on."""
    seen = []
    heard = host.kernel._on_bind
    host.kernel._on_bind = lambda address: (seen.append((address, host.driver(address))), heard(address))
    return seen


def everything(host):
    # What was loaded stays loaded, and harms nobody; its directories come with it.
    found = host.snapshot("/run/vfio-host", "/sys/module", "/sys/bus/pci/drivers/vfio-pci")
    found.pop("/sys/class/vfio-dev", None)
    return found


# Alone.

@pytest.mark.parametrize("number, count", [(7, 7), ("max", 7), ("3", 3), (1, 1)])
def test_vfs_are_made_and_no_driver_has_one(run_module, small, number, count):
    seen = watch(small)
    result = run_module(small, "sriov_vfs", devices=pfs(number))
    assert vf_drivers(small) == [None] * count
    assert seen == []
    assert not autoprobe(small)
    assert result["sriov"] == [{
        "address": PF, "name": result["sriov"][0]["name"], "total": 7, "numvfs_before": 0, "numvfs": count,
        "autoprobe_before": True, "autoprobe": False, "vfs": VFS[:count], "status": "changed",
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


# With policies.

def test_vfs_that_do_not_exist_yet_are_made_and_taken_in_one_run(run_module, small):
    seen = watch(small)
    wish = {"sriov": pfs(), "devices": {"guests": [FOR_GUESTS]}}
    before = small.snapshot()
    predicted = run_module(small, "passthrough", check=True, initramfs=False, **wish)
    assert small.snapshot() == before
    assert run_module(small, "passthrough", initramfs=False, **wish) == predicted
    assert vf_drivers(small) == ["vfio-pci"] * 7
    assert {driver for dummy, driver in seen} == {"vfio-pci"}
    again = run_module(small, "passthrough", initramfs=False, **wish)
    assert (again["changed"], again["diff"]) == (False, [])
    seen = watch(small)
    small.reboot()
    assert vf_drivers(small) == ["vfio-pci"] * 7
    assert not run_module(small, "passthrough", initramfs=False, **wish)["changed"]


@pytest.mark.parametrize("probing", [False, True])
@pytest.mark.parametrize("loaded", [False, True])
def test_native_and_vfio_side_by_side(run_module, make_host, probing, loaded):
    modules = SMALL.modules if loaded else hosts.x86().modules
    host = make_host(replace(SMALL, modules=modules))
    seen = watch(host)
    wish = {"sriov": pfs(autoprobe=probing), "devices": SPLIT, "initramfs": False}
    predicted = run_module(host, "passthrough", check=True, **wish)
    assert run_module(host, "passthrough", **wish) == predicted
    wanted = ["vfio-pci"] * 4 + ["igbvf"] * 3
    for dummy in range(2):
        assert vf_drivers(host) == wanted
        assert [host.override(one) for one in VFS] == ["vfio-pci"] * 4 + [None] * 3
        assert autoprobe(host) == probing
        assert not run_module(host, "passthrough", **wish)["changed"]
        assert not {(one, "igbvf") for one in VFS[:4]} & set(seen)
        host.reboot()


def test_with_autoprobe_the_undeclared_are_native_and_the_declared_never_are(run_module, small):
    seen = watch(small)
    wish = {"sriov": pfs(autoprobe=True), "devices": {"guests": SPLIT["guests"]}, "initramfs": False}
    predicted = run_module(small, "passthrough", check=True, **wish)
    assert run_module(small, "passthrough", **wish) == predicted
    for dummy in range(2):
        assert vf_drivers(small) == ["vfio-pci"] * 4 + ["igbvf"] * 3
        assert not run_module(small, "passthrough", **wish)["changed"]
        assert not {(one, "igbvf") for one in VFS[:4]} & set(seen)
        small.reboot()


def test_without_autoprobe_the_undeclared_have_no_driver(run_module, small):
    wish = {"sriov": pfs(), "devices": {"guests": SPLIT["guests"]}, "initramfs": False}
    run_module(small, "passthrough", **wish)
    for dummy in range(2):
        assert vf_drivers(small) == ["vfio-pci"] * 4 + [None] * 3
        small.reboot()


def test_growing_takes_the_policies_vfs_again(run_module, small):
    run_module(small, "sriov_vfs", devices=pfs(3))
    small.take({"match": {"physfn": PF}})
    run_module(small, "sriov_vfs", devices=pfs(5))
    assert vf_drivers(small) == ["vfio-pci"] * 3 + [None] * 2


def test_shrinking_and_growing_are_refused_while_a_vf_is_held(run_module, small):
    run_module(small, "passthrough", sriov=pfs(5), devices={"guests": [{"match": {"physfn": PF}}]}, initramfs=False)
    small.kernel.hold(VFS[1], 862, "qemu")
    before = small.snapshot()
    for number in (0, 2, 7):
        result = run_module(small, "sriov_vfs", devices=pfs(number))
        assert f"{VFS[1]} is in use by process 862 (qemu)" in result["msg"]
    for options in ({"sriov": pfs(2), "devices": {"guests": [{"match": {"physfn": PF}}]}}, {"state": "absent"}):
        assert "is in use by process 862 (qemu)" in run_module(small, "passthrough", initramfs=False, **options)["msg"]
    assert small.snapshot() == before


def test_shrinking_and_growing_are_refused_while_the_host_needs_a_vf(run_module, make_host):
    route = "enp1s0v0\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0"
    host = make_host(replace(SMALL, routes=(route,)))
    run_module(host, "sriov_vfs", devices=pfs(3, autoprobe=True))
    for number in (0, 2, 7):
        assert "force: [network]" in run_module(host, "sriov_vfs", devices=pfs(number))["msg"]
    assert not run_module(host, "sriov_vfs", devices=pfs(2), force=["network"]).get("failed")


def test_a_policys_vf_does_not_vanish_behind_its_back(run_module, small):
    run_module(small, "sriov_vfs", devices=pfs(5))
    small.take(VFS[3])
    result = run_module(small, "sriov_vfs", devices=pfs(3))
    assert result["msg"] == (
        f"the number of VFs of {PF} cannot go from 5 to 3: {VFS[3]} belongs to policy p and would not be there any more; "
        "take it out of that policy first"
    )
    assert "belongs to policy p" in run_module(small, "sriov_vfs", state="absent")["msg"]
    small.release()
    assert not run_module(small, "sriov_vfs", devices=pfs(3)).get("failed")


def test_number_and_policy_shrink_together(run_module, small):
    policy = {"guests": [{"match": {"physfn": PF}}]}
    run_module(small, "passthrough", sriov=pfs(5), devices=policy, initramfs=False)
    predicted = run_module(small, "passthrough", check=True, sriov=pfs(2), devices=policy, initramfs=False)
    assert run_module(small, "passthrough", sriov=pfs(2), devices=policy, initramfs=False) == predicted
    assert vf_drivers(small) == ["vfio-pci"] * 2
    assert VFS[4] not in small.rules("guests")


def test_a_vf_that_a_shrinking_policy_leaves_gets_what_is_declared_for_all(run_module, small):
    run_module(small, "passthrough", sriov=pfs(), devices=SPLIT, initramfs=False)
    for probing, driver in ((True, "igbvf"), (False, None)):
        wish = {"sriov": pfs(4, autoprobe=probing), "devices": {"guests": [{"match": {"address": VFS[0]}}], "host": [
            {"match": {"address": VFS[1]}, "driver": "native"},
        ]}, "initramfs": False}
        predicted = run_module(small, "passthrough", check=True, **wish)
        assert run_module(small, "passthrough", **wish) == predicted
        assert vf_drivers(small) == ["vfio-pci", "igbvf", driver, driver]
        assert not run_module(small, "passthrough", **wish)["changed"]
        run_module(small, "passthrough", sriov=pfs(3), devices={"guests": [{"match": {"physfn": PF}}]}, initramfs=False)


def test_vfs_and_policies_at_the_next_boot(run_module, small):
    wish = {"sriov": pfs(), "devices": SPLIT, "initramfs": False, "now": False}
    result = run_module(small, "passthrough", **wish)
    assert {one["status"] for one in result["devices"]} == {"pending"}
    assert not run_module(small, "passthrough", **wish)["changed"]
    small.reboot()
    assert vf_drivers(small) == ["vfio-pci"] * 4 + ["igbvf"] * 3
    assert not run_module(small, "passthrough", **dict(wish, now=True))["changed"]


def test_everything_is_given_back_at_once(run_module, small):
    before = everything(small)
    run_module(small, "passthrough", sriov=pfs(autoprobe=True), devices=SPLIT, initramfs=False)
    run_module(small, "passthrough", state="absent", initramfs=False)
    assert everything(small) == before
    assert not run_module(small, "passthrough", state="absent", initramfs=False)["changed"]


def test_a_vf_that_leaves_a_policy_gets_what_the_others_have(run_module, small):
    for probing, driver in ((False, None), (True, "igbvf")):
        run_module(small, "sriov_vfs", devices=pfs(3, autoprobe=probing))
        small.take(VFS[0])
        small.release()
        assert (small.driver(VFS[0]), small.override(VFS[0])) == (driver, None)


def test_devices_that_cannot_be_taken_undo_the_number(run_module, small):
    before = everything(small)
    small.kernel.refusals["vfio-pci", VFS[5]] = errno.EINVAL
    result = run_module(small, "passthrough", sriov=pfs(), devices={"guests": [FOR_GUESTS]}, initramfs=False)
    assert "vfio-pci does not bind" in result["msg"]
    assert everything(small) == before


RUNS = {
    "make": (None, {"sriov": pfs(2), "devices": {"guests": [{"match": {"address": VFS[0]}}]}}),
    "split": (None, {
        "sriov": pfs(2, autoprobe=True),
        "devices": {"a": [{"match": {"address": VFS[0]}}], "b": [{"match": {"address": VFS[1]}, "driver": "native"}]},
    }),
    "grow": (
        {"sriov": pfs(1), "devices": {"guests": [{"match": {"physfn": PF}}]}},
        {"sriov": pfs(2), "devices": {"guests": [{"match": {"physfn": PF}}]}},
    ),
    "give back": ({"sriov": pfs(2, autoprobe=False), "devices": {"guests": [{"match": {"address": VFS[0]}}]}}, {"state": "absent"}),
}


@pytest.mark.parametrize("reboot", [False, True])
@pytest.mark.parametrize("name", sorted(RUNS))
def test_a_run_that_is_killed_anywhere_is_gone_on_with(run_module, make_host, name, reboot):
    before, wish = RUNS[name]

    def make():
        host = make_host(SMALL)
        if before:
            run_module(host, "passthrough", initramfs=False, **before)
        return host

    def run(host):
        return run_module(host, "passthrough", initramfs=False, **wish)

    def state(host):
        # What a record says of the time before may be of a boot with numbers and without policies.
        folder = host.files.boot_rules
        rules = {
            name: [line for line in host.files.read(f"{folder}/{name}").splitlines() if not line.startswith("#")]
            for name in host.files.names(folder)
        }
        return vf_drivers(host), autoprobe(host), rules

    whole = make()
    run(whole)
    for index, host in deaths(make, run, 3):
        if reboot:
            host.reboot()
        assert not run(host).get("failed"), index
        assert state(host) == state(whole), index
        assert not run(host)["changed"], index


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("name", sorted(RUNS))
def test_a_step_that_fails_puts_everything_back(run_module, make_host, name, number):
    before, wish = RUNS[name]
    steps = 0
    for index in range(80):
        host = make_host(SMALL)
        if before:
            run_module(host, "passthrough", initramfs=False, **before)
        was = everything(host)
        host.faults.reset()
        host.faults.fail_at(index, number)
        result = run_module(host, "passthrough", initramfs=False, **wish)
        if len(host.faults.log) <= index:
            break
        if result.get("failed"):
            steps += 1
            assert everything(host) == was, (index, result["msg"])
    assert steps > 3


def test_the_screen_is_no_pf(run_module, host):
    assert "cannot have VFs" in run_module(host, "sriov_vfs", devices=[{"match": {"address": VGA}, "numvfs": 1}])["msg"]


def test_what_is_forced_about_drivers_says_nothing_about_vfs(run_module, small):
    result = run_module(small, "passthrough", initramfs=False, sriov=pfs(), devices={"p": [FOR_GUESTS]}, force=["driver"])
    assert not result.get("failed"), result
    assert vf_drivers(small) == ["vfio-pci"] * 7


def test_a_vf_that_is_opened_after_the_check_makes_nobody_wait_for_ever(run_module, small):
    wish = {"sriov": pfs(3), "devices": {"p": [dict(FOR_GUESTS, count=3)]}, "initramfs": False}
    run_module(small, "passthrough", **wish)
    step = small.faults.step

    def opens(*what):
        if what[0] == "write" and what[1].endswith("/sriov_numvfs"):
            small.faults.step = step
            small.kernel.hold(VFS[1], 862, "qemu-system-x86")
        step(*what)

    small.faults.step = opens
    begin = small.kernel.now
    result = run_module(small, "passthrough", sriov=pfs(5), initramfs=False, timeout=5)
    assert 5 <= small.kernel.now - begin <= 7
    first, second = result["msg"].splitlines()
    assert first.startswith(PF) and "did not end in 5 seconds: a process holds one of its VFs" in first
    assert second.startswith(PF) and "could not be put back to 3 VFs" in second

    again = run_module(small, "passthrough", sriov=pfs(5), initramfs=False)
    assert f"{PF} " in again["msg"] and "is stuck" in again["msg"]
    small.kernel.let_go(862)
    assert vf_drivers(small) == []
    assert run_module(small, "passthrough", **wish)["changed"]
    assert vf_drivers(small) == ["vfio-pci"] * 3
    assert not run_module(small, "passthrough", **wish)["changed"]


def test_vfs_of_the_card_with_the_default_route_are_taken_by_force_alone_and_given_back_without(run_module, make_host):
    host = make_host(replace(SMALL, routes=("enp1s0\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0",)))
    before = host.snapshot()
    wish = {"initramfs": False, "sriov": pfs(), "devices": {"p": [FOR_GUESTS]}}
    message = run_module(host, "passthrough", **wish)["msg"]
    reason = f"its PF {PF} is needed: enp1s0 carries the default route on {PF}"
    assert all(f"{one} (" in message for one in VFS) and reason in message and "force: [network]" in message
    assert host.snapshot() == before
    assert not run_module(host, "passthrough", force=["network"], **wish).get("failed")
    assert vf_drivers(host) == ["vfio-pci"] * 7
    assert not run_module(host, "passthrough", **wish)["changed"]
    assert not run_module(host, "passthrough", initramfs=False, state="absent").get("failed")
    assert vf_drivers(host) == []
