# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Access to VFIO nodes that is given back, and that a run which ended in the middle leaves as it was."""

from __future__ import annotations

import errno

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.faults import deaths
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, TWIN
from ansible_collections.vfio.host.tests.unit.plugins.modules.test_nodes import GIVEN, GUESTS, KEPT, KVM, NODE, RULES, WISH, row, text


def test_a_policy_that_is_given_back_leaves_nothing(run_module, host):
    run_module(host, "passthrough", **WISH)
    result = run_module(host, "passthrough", devices={"guests": None}, state="absent", initramfs=False)
    assert text(host) is None
    assert (result["nodes"], [one["after_header"] for one in result["diff"] if one["after_header"] == "VFIO nodes"]) == ([], [])
    assert host.node(NODE) is None


def test_a_device_that_its_native_driver_refuses_keeps_no_user(run_module, host):
    run_module(host, "passthrough", **WISH)
    host.kernel.refusals["e1000e", NIC] = errno.EIO
    result = run_module(host, "passthrough", devices={"guests": None}, state="absent", initramfs=False, timeout=1)
    assert result["failed"] and "it could not be given back" in result["msg"]
    assert host.node(NODE) in (None, KEPT)
    assert text(host) is None


def test_nodes_that_are_given_back_are_root_s_where_the_device_stays(run_module, host):
    run_module(host, "passthrough", **WISH)
    result = run_module(host, "passthrough", nodes={"guests": {}})
    assert (host.node(NODE), text(host), host.driver(NIC)) == (KEPT, None, "vfio-pci")
    assert row(result)["status"] == "released"
    assert not run_module(host, "passthrough", nodes={"guests": {}})["changed"]


def test_absent_takes_back_the_nodes_that_are_named(run_module, host):
    run_module(host, "passthrough", **WISH)
    run_module(host, "passthrough", nodes={"guests": KVM}, state="absent", initramfs=False)
    assert (host.node(NODE), text(host), host.driver(NIC)) == (KEPT, None, "vfio-pci")


def test_everything_that_is_taken_back_leaves_no_rule(run_module, host):
    before = host.snapshot("/sys", "/dev", "/proc", "/run")
    run_module(host, "passthrough", **WISH)
    run_module(host, "passthrough", state="absent", initramfs=False)
    assert host.snapshot("/sys", "/dev", "/proc", "/run") == before


def test_a_device_that_leaves_its_policy_leaves_the_rules(run_module, host):
    both = {"guests": [{"match": {"address": NIC}}, {"match": {"address": TWIN}}]}
    run_module(host, "passthrough", devices=both, nodes={"guests": KVM}, initramfs=False)
    run_module(host, "passthrough", **WISH)
    assert TWIN not in text(host)
    assert host.node(NODE) == GIVEN


def test_what_nobody_declares_is_reported_and_released_when_asked(run_module, host):
    run_module(host, "passthrough", **WISH)
    told = run_module(host, "passthrough", devices=GUESTS, nodes={}, initramfs=False)
    assert (told["changed"], [one["kind"] for one in told["undeclared"]], host.node(NODE)) == (False, ["nodes"], GIVEN)
    assert "the nodes of policy guests belong to root:kvm 0660 by this collection" in told["undeclared"][0]["reason"]
    quiet = run_module(host, "passthrough", devices=GUESTS, nodes={}, undeclared="ignore", initramfs=False)
    assert (quiet["undeclared"], host.node(NODE)) == ([], GIVEN)
    run_module(host, "passthrough", devices=GUESTS, nodes={}, undeclared="release", initramfs=False)
    assert (host.node(NODE), text(host)) == (KEPT, None)


def test_a_record_that_no_run_wrote_is_an_error(run_module, host):
    run_module(host, "passthrough", **WISH)
    host.files.put(host.root + RULES, text(host).replace('"kvm"', '"k\\"vm"'))
    result = run_module(host, "passthrough", **WISH)
    assert RULES in result["msg"] and "this record cannot be read" in result["msg"]


# Ending in the middle.


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_failure_at_any_step_puts_owner_and_rules_back(run_module, make_host, number):
    for index in range(80):
        host = make_host(hosts.x86())
        run_module(host, "passthrough", devices=GUESTS, nodes={"guests": {"owner": "vm"}}, initramfs=False)
        before, rules = host.node(NODE), text(host)
        host.faults.reset()
        host.faults.fail_at(index, number)
        result = run_module(host, "passthrough", devices=dict(GUESTS, more=[{"match": {"address": TWIN}}]), initramfs=False, nodes={
            "guests": KVM, "more": KVM,
        })
        if not result.get("failed"):
            assert index > 8
            return
        assert (host.node(NODE), text(host), host.driver(TWIN)) == (before, rules, "e1000e"), index
    raise AssertionError("the run never came to its end")


def test_a_run_that_was_killed_is_put_back_by_the_next(run_module, make_host):
    def make():
        host = make_host(hosts.x86())
        run_module(host, "passthrough", devices=GUESTS, initramfs=False)
        return host

    def run(host):
        run_module(host, "passthrough", nodes={"guests": KVM})

    for index, host in deaths(make, run, 3):
        run_module(host, "passthrough", devices=GUESTS, nodes={}, undeclared="ignore", initramfs=False)
        assert (host.node(NODE), text(host)) in ((KEPT, None), (GIVEN, text(host))), index
        run(host)
        assert host.node(NODE) == GIVEN
