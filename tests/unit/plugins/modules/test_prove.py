# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module prove, and the module passthrough with prove: true, on a fake host whose kernel answers a client."""

from __future__ import annotations

import errno
import fcntl
import os

import pytest

from ansible_collections.vfio.host.tests.unit.fake import client as kernel
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.client import FakeVfio
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, TWIN

GUESTS = {"guests": [{"match": {"address": NIC}}]}


@pytest.fixture
def vfio(host):
    found = FakeVfio(NIC)
    host.kernel.client = found.client
    return found


def test_devices_are_opened_and_nothing_is_changed(run_module, host, vfio):
    host.take(NIC)
    before = host.snapshot()
    result = run_module(host, "prove", devices=[NIC, NIC.upper()])
    assert (result["changed"], [one["status"] for one in result["proof"]]) == (False, ["opened"])
    assert host.snapshot() == before and vfio.files == {} and vfio.timeout == 10


def test_all_devices_are_tried_and_each_that_cannot_be_opened_is_in_the_message(run_module, host, vfio):
    host.take(NIC)
    result = run_module(host, "prove", devices=[TWIN, NIC, "0000:7f:00.0"])
    assert result["failed"] and [one["status"] for one in result["proof"]] == ["failed", "opened", "failed"]
    assert result["msg"].splitlines() == [
        f"{TWIN} (Intel Corporation 82574L Gigabit Network Connection): a client cannot open it: driver e1000e has it, which is none of VFIO's",
        "0000:7f:00.0: a client cannot open it: there is no such device",
    ]


def test_check_mode_opens_nothing_whatever_the_drivers_are_now(run_module, host, vfio):
    result = run_module(host, "prove", check=True, devices=[NIC, TWIN])
    assert not result.get("failed") and [one["status"] for one in result["proof"]] == ["not_opened"] * 2
    assert all("check mode opens nothing" in one["reason"] for one in result["proof"]) and vfio.log == []


def test_a_device_in_use_is_a_warning(run_module, host, vfio):
    host.take(NIC)
    host.kernel.hold(NIC, 862, "qemu")
    result = run_module(host, "prove", devices=[NIC])
    assert not result.get("failed") and "in use by process 862 (qemu)" in str(result["warnings"])


@pytest.mark.parametrize("options, words", [
    ({"devices": ["02:00:0", NIC, "gpu"]}, ["devices: '02:00:0' is no PCI address", "devices: 'gpu' is no PCI address"]),
    ({"devices": [NIC], "timeout": 0}, ["timeout is 0; it is a number of seconds from 1 to 86400"]),
])
def test_what_is_wrong_with_the_task_is_said_before_anything_is_opened(run_module, host, vfio, options, words):
    result = run_module(host, "prove", **options)
    lines = result["msg"].splitlines()
    assert len(lines) == len(words) and all(word in line for word, line in zip(words, lines)) and vfio.log == []


def test_it_needs_root(run_module, host, vfio):
    host.kernel.is_root = False
    assert "run it with become: true" in run_module(host, "prove", devices=[NIC])["msg"]


def test_it_waits_for_another_run_that_may_take_a_device_away(run_module, host, vfio):
    host.take(NIC)
    os.makedirs(os.path.dirname(host.files.lock), exist_ok=True)
    with open(host.files.lock, "w", encoding="ascii") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        result = run_module(host, "prove", devices=[NIC], timeout=1)
    assert "another run changes this host" in result["msg"] and vfio.log == []


# As an option of passthrough.


def test_passthrough_proves_what_it_has_just_taken(run_module, host, vfio):
    result = run_module(host, "passthrough", devices=GUESTS, initramfs=False, prove=True)
    assert result["changed"] and [(one["address"], one["status"]) for one in result["proof"]] == [(NIC, "opened")]
    again = run_module(host, "passthrough", devices=GUESTS, initramfs=False, prove=True)
    assert not again["changed"] and again["proof"] == result["proof"]


def test_without_the_option_nothing_is_opened(run_module, host, vfio):
    assert "proof" not in run_module(host, "passthrough", devices=GUESTS, initramfs=False) and vfio.log == []


def test_passthrough_in_check_mode_opens_nothing_and_says_so(run_module, host, vfio):
    result = run_module(host, "passthrough", check=True, devices=GUESTS, initramfs=False, prove=True)
    assert [(one["status"], one["driver"]) for one in result["proof"]] == [("not_opened", "e1000e")] and vfio.log == []


def test_a_device_that_cannot_be_opened_fails_the_task_and_stays_taken(run_module, host, vfio):
    vfio.refuses = {kernel.GET_DEVICE_FD: errno.EIO}
    result = run_module(host, "passthrough", devices=GUESTS, initramfs=False, prove=True)
    assert result["failed"] and result["changed"] and "VFIO_GROUP_GET_DEVICE_FD: EIO" in result["msg"]
    assert host.driver(NIC) == "vfio-pci" and result["devices"][0]["status"] == "bound"


def test_a_device_that_waits_for_a_boot_is_not_opened_and_is_no_failure(run_module, host, vfio):
    result = run_module(host, "passthrough", devices=GUESTS, initramfs=False, prove=True, now=False)
    assert not result.get("failed") and result["proof"][0]["reason"] == "it waits for the next boot" and vfio.log == []


def test_native_devices_and_those_that_are_given_back_are_not_opened(run_module, host, vfio):
    host.take(NIC)
    native = {"p": [], "host": [{"match": {"address": TWIN}, "driver": "native"}]}
    assert run_module(host, "passthrough", devices=native, initramfs=False, prove=True)["proof"] == []
    assert run_module(host, "passthrough", state="absent", initramfs=False, prove=True)["proof"] == [] and vfio.log == []


def test_a_declared_driver_that_is_none_of_vfios_is_not_opened(run_module, make_host):
    host = make_host(hosts.x86())
    vfio = FakeVfio(NIC)
    host.kernel.client = vfio.client
    host.tree.put(host.tree.directory(NIC) / "driver_override", "e1000e\n")
    result = run_module(host, "prove", devices=[NIC])
    assert not result.get("failed") and "driver e1000e, which it is overridden with, is none of VFIO's" in result["proof"][0]["reason"]
