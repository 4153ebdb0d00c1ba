# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Numbers of VFs, and policies for these VFs, in one run."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import PF
from ansible_collections.vfio.host.tests.unit.fake.model import Disk, Made, Module, alias
from ansible_collections.vfio.host.tests.unit.fake.sriov import (
    FOR_GUESTS,
    SMALL,
    SPLIT,
    VFS,
    autoprobe,
    everything,
    pfs,
    vf_drivers,
    watch,
)


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


def test_what_udev_does_late_by_the_old_rules_does_not_reach_into_the_run(run_module, small):
    run_module(small, "passthrough", sriov=pfs(), devices=SPLIT, initramfs=False)
    heard = small.kernel._on_bind

    def late(address):
        heard(address)
        if (address, small.driver(address)) == (VFS[1], "igbvf"):
            small.udev.catch_up()

    small.kernel._on_bind, small.udev.is_late = late, True
    devices = {"guests": [{"match": {"address": VFS[0]}}], "host": [{"match": {"address": VFS[4]}, "driver": "native"}]}
    done = run_module(small, "passthrough", sriov=pfs(6, autoprobe=True), devices=devices, initramfs=False)
    assert not done.get("failed"), done["msg"]
    assert vf_drivers(small) == ["vfio-pci"] + ["igbvf"] * 5
    assert [small.override(one) for one in VFS[:6]] == ["vfio-pci"] + [None] * 5


def test_an_udev_that_does_not_come_to_an_end_is_an_error_and_all_is_put_back(run_module, small):
    before, run = everything(small), small.kernel.run
    small.kernel.run = lambda words: (1, "", "Timed out") if "settle" in words else run(words)
    failed = run_module(small, "passthrough", sriov=pfs(), devices={"guests": [FOR_GUESTS]}, initramfs=False)
    assert "udev does not come to the end of its events" in failed["msg"]
    assert "status 1 Timed out" in failed["msg"]
    assert everything(small) == before


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


def test_shrinking_is_refused_while_a_vf_is_in_use_through_its_native_driver(run_module, make_host):
    made = (Made("infiniband_verbs/uverbs1", "infiniband_verbs", "231:193", "infiniband/uverbs1"),)
    vfs = tuple(replace(one, made=made if one.address == VFS[1] else ()) for one in SMALL.functions[1].vfs)
    host = make_host(hosts.changed(SMALL, PF, vfs=vfs))
    native = {"host": [{"match": {"address": VFS[:3]}, "driver": "native"}]}
    run_module(host, "passthrough", sriov=pfs(3), devices=native, initramfs=False)
    host.kernel.use(VFS[1], 900, "nccl", "infiniband/uverbs1")
    before = host.snapshot()
    result = run_module(host, "sriov_vfs", devices=pfs(0))
    assert f"{VFS[1]} is in use by process 900 (nccl), which has /dev/infiniband/uverbs1 (231:193) open" in result["msg"]
    assert host.snapshot() == before


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


def test_what_an_entry_gives_up_counts_for_the_disks_of_its_vfs_too(run_module, make_host):
    disk = Disk("sdx", "8:16", "host9/block")
    vfs = tuple(replace(one, disk=disk if one.address == VFS[1] else None) for one in SMALL.functions[1].vfs)
    host = make_host(replace(hosts.changed(SMALL, PF, vfs=vfs), mounts=(*SMALL.mounts, "99 1 8:16 / /srv rw - ext4 /dev/sdx rw")))
    run_module(host, "sriov_vfs", devices=pfs(3, autoprobe=True))
    refused = run_module(host, "sriov_vfs", devices=pfs(2))
    assert refused["failed"] and "force: [storage]" in refused["msg"]
    assert not run_module(host, "sriov_vfs", devices=[dict(pfs(2)[0], force=["storage"])]).get("failed")


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


def test_what_is_forced_about_drivers_says_nothing_about_vfs(run_module, small):
    result = run_module(small, "passthrough", initramfs=False, sriov=pfs(), devices={"p": [FOR_GUESTS]}, force=["driver"])
    assert not result.get("failed"), result
    assert vf_drivers(small) == ["vfio-pci"] * 7


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


VF_VARIANT = Module("vf_vfio_pci", ("vf-vfio",), (alias("8086", "10ca", bus="vfio_pci"),))


@pytest.mark.parametrize("wish", [{"match": {"physfn": PF}}, {"match": {"physfn": PF}, "driver": "vf-vfio"}])
@pytest.mark.parametrize("at_once", [False, True])
def test_vfs_to_come_have_the_name_that_their_variant_registers(run_module, make_host, wish, at_once):
    module = VF_VARIANT if "driver" not in wish else replace(VF_VARIANT, name="vf_vfio")
    host = make_host(hosts.with_modules(SMALL, module))
    options = {"sriov": pfs(), "devices": {"guests": [wish]}, "initramfs": False, "now": at_once}
    before = host.snapshot()
    assert run_module(host, "passthrough", check=True, **options)["changed"]
    assert host.snapshot() == before
    result = run_module(host, "passthrough", **options)
    assert "driver_of_" not in host.rules("guests")
    assert {one["choice"]["driver"] for one in result["devices"]} == {"vf-vfio"}
    assert vf_drivers(host) == (["vf-vfio"] * 7 if at_once else [])
    assert not run_module(host, "passthrough", **options)["changed"]
    host.reboot()
    assert vf_drivers(host) == ["vf-vfio"] * 7


@pytest.mark.parametrize("driver", ["vfio_pci", "igb-vf"])
def test_a_driver_that_vfs_cannot_have_is_refused_before_they_are_made(run_module, small, driver):
    before = small.snapshot()
    for check in (True, False):
        result = run_module(
            small, "passthrough", check=check, initramfs=False, sriov=pfs(),
            devices={"guests": [{"match": {"physfn": PF}, "driver": driver}]},
        )
        assert f"unknown driver '{driver}'" in result["msg"]
    assert small.snapshot() == before


def test_a_module_that_does_not_load_leaves_no_vfs(run_module, make_host):
    host = make_host(hosts.with_modules(SMALL, VF_VARIANT))
    host.kernel.modprobe = lambda *dummy, **other: (1, "", "modprobe: ERROR: no")
    before = everything(host)
    result = run_module(host, "passthrough", initramfs=False, sriov=pfs(), devices={"guests": [FOR_GUESTS]})
    assert "module vf_vfio_pci does not load" in result["msg"]
    assert everything(host) == before


def test_pfs_below_two_roots_are_not_taken_for_one(run_module, make_host):
    pf = next(one for one in SMALL.functions if one.address == PF)
    twin = replace(pf, address="0001:01:00.0", group="50", vfs=(), net=(), dsn=None)
    host = make_host(replace(SMALL, functions=SMALL.functions + (twin,)))
    wish = {"initramfs": False, "sriov": [{"match": {"path": "00.0"}, "numvfs": 2}]}
    before = host.snapshot()
    result = run_module(host, "passthrough", **wish)
    assert f"sriov[0]: path 00.0 is the place of 2 devices: {PF}, 0001:01:00.0" in result["msg"]
    assert host.snapshot() == before
    assert run_module(host, "passthrough", initramfs=False, sriov=[{"match": {"path": "00.0", "address": PF}, "numvfs": 2}])["changed"]
