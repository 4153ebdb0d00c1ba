# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, NVME

WISH = {"guests": [{"match": {"address": NIC}}], "storage": [{"match": {"serial": "NV01"}}]}


def test_all_policies_are_taken_in_one_call(run_module, host):
    result = run_module(host, "passthrough", devices=WISH)
    assert {one["address"]: one["policy"] for one in result["devices"]} == {NIC: "guests", NVME: "storage"}
    assert not run_module(host, "passthrough", devices=WISH)["changed"]


def test_one_policy_that_cannot_be_met_refuses_all(run_module, host):
    before = host.snapshot()
    result = run_module(host, "passthrough", devices=dict(WISH, more=[{"match": {"serial": "x"}}]))
    assert "policy more, devices[0]" in result["msg"]
    assert host.snapshot() == before


def test_the_host_is_given_back(run_module, host):
    run_module(host, "passthrough", devices=WISH)
    result = run_module(host, "passthrough", state="absent")
    assert result["changed"]
    assert (host.driver(NIC), host.driver(NVME)) == ("e1000e", "nvme")
    assert not run_module(host, "passthrough", state="absent")["changed"]


def test_only_the_named_policies_are_given_back(run_module, host):
    run_module(host, "passthrough", devices=WISH)
    run_module(host, "passthrough", devices={"guests": []}, state="absent")
    assert (host.driver(NIC), host.driver(NVME)) == ("e1000e", "vfio-pci")


def test_results_are_those_of_the_single_module(run_module, make_host, host):
    whole = run_module(host, "passthrough", devices={"guests": WISH["guests"]}, check=True)
    single = run_module(host, "driver_override", policy="guests", devices=WISH["guests"], check=True)
    assert {key: whole[key] for key in single if key != "invocation"} == {
        key: single[key] for key in single if key != "invocation"
    }
