# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, NVME


def test_a_device_is_taken_and_the_second_run_changes_nothing(run_module, host):
    wish = {"policy": "guests", "devices": [{"match": {"net": "enp2s0"}}]}
    predicted = run_module(host, "driver_override", check=True, **wish)
    first = run_module(host, "driver_override", **wish)
    assert {key: first[key] for key in ("changed", "devices", "diff")} == {
        key: predicted[key] for key in ("changed", "devices", "diff")
    }
    assert (first["changed"], host.driver(NIC)) == (True, "vfio-pci")
    assert host.rules("guests")
    assert not run_module(host, "driver_override", **wish)["changed"]


def test_a_policy_is_given_back(run_module, host):
    run_module(host, "driver_override", devices=[{"match": {"address": NIC}}])
    result = run_module(host, "driver_override", state="absent")
    assert (result["changed"], host.driver(NIC), host.rules("default")) == (True, "e1000e", None)


def test_the_result_says_whether_a_reboot_is_needed_and_why(run_module, host):
    result = run_module(host, "driver_override", devices=[{"match": {"address": NIC}}], now=False)
    assert result["reboot_required"]
    assert NIC in result["reboot_reasons"][0]


def test_every_documented_option_reaches_the_plan(run_module, host):
    result = run_module(
        host,
        "driver_override",
        policy="p",
        devices=[{"match": {"address": "0000:00:03.0"}}],
        force=["network"],
        timeout=3,
        at_boot=False,
    )
    assert result["changed"]
    assert host.rules("p", volatile=True)


def test_a_failure_of_the_kernel_is_a_message_and_the_host_is_as_before(run_module, host):
    host.kernel.refusals["vfio-pci", NIC] = 22
    result = run_module(host, "driver_override", devices=[{"match": {"address": NVME}}, {"match": {"address": NIC}}])
    assert result["failed"]
    assert "EINVAL" in result["msg"] and result["msg"].endswith("was put back as it was")
    assert (host.driver(NVME), host.driver(NIC)) == ("nvme", "e1000e")


def test_a_held_device_fails_with_pid_and_command(run_module, host):
    run_module(host, "driver_override", devices=[{"match": {"address": NIC}}])
    host.kernel.hold(NIC, 4242, "qemu-system-x86")
    result = run_module(host, "driver_override", state="absent")
    assert "process 4242 (qemu-system-x86)" in result["msg"]
    assert host.driver(NIC) == "vfio-pci"
