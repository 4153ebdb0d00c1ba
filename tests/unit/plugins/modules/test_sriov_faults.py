# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs about VFs that are killed, fail, or come to a VF that somebody has just opened."""

from __future__ import annotations

import errno

import pytest

from ansible_collections.vfio.host.tests.unit.fake.faults import deaths
from ansible_collections.vfio.host.tests.unit.fake.hosts import PF
from ansible_collections.vfio.host.tests.unit.fake.sriov import (
    FOR_GUESTS,
    SMALL,
    VFS,
    autoprobe,
    everything,
    pfs,
    vf_drivers,
)

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


@pytest.mark.exhaustive
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


@pytest.mark.exhaustive
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
    assert first.startswith(PF) and "did not end in 5 seconds, as it does not while one of its VFs is in use" in first
    assert second.startswith(PF) and "could not be put back to 3 VFs" in second

    again = run_module(small, "passthrough", sriov=pfs(5), initramfs=False)
    assert f"{PF} " in again["msg"] and "is stuck" in again["msg"]
    small.kernel.let_go(862)
    assert vf_drivers(small) == []
    assert run_module(small, "passthrough", **wish)["changed"]
    assert vf_drivers(small) == ["vfio-pci"] * 3
    assert not run_module(small, "passthrough", **wish)["changed"]
