# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A policy that is emptied, or taken out of the inventory: reported, given back, or somebody else's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import IGNORE, RELEASE, REPORT
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, TWIN
from ansible_collections.vfio.host.tests.unit.plugins.module_utils._devices.declaring import BY_NAME, KIND, NEW, NEW_CARD, by, converge, plan, swap, undeclared


def test_an_empty_list_gives_back_what_the_policy_took(host):
    native = host.drivers()
    host.run({"gpus": [BY_NAME] + by(NVME)}, undeclared=REPORT)
    result = converge(host, {"gpus": []})
    assert {one["status"] for one in result["devices"]} == {"released"}
    assert (host.drivers(), host.rules("gpus")) == (native, None)


def test_an_empty_list_gives_back_what_a_standing_rule_took(host):
    host.run({"gpus": [KIND]}, undeclared=REPORT)
    host.plug(NEW_CARD)
    host.run({"gpus": []}, undeclared=REPORT)
    assert {host.driver(one) for one in (NIC, TWIN, NEW)} == {"e1000e"}


def test_an_empty_list_of_a_policy_that_never_was_changes_nothing(host):
    assert not host.run({"gpus": []}, undeclared=REPORT)["changed"]


def test_nothing_in_place_of_a_list_is_refused_with_the_way_to_say_it(host):
    with pytest.raises(PlanError, match=r"policy gpus: its devices must be a list, not None; to give back what it took, say \[\]"):
        host.run({"gpus": None}, undeclared=REPORT)


def test_a_task_about_single_policies_takes_no_empty_list_since_an_expression_may_have_slipped(host):
    with pytest.raises(PlanError, match="policy gpus: it declares no devices; to give back what it took, say state: absent"):
        host.run({"gpus": []})


def test_a_policy_that_nobody_declares_is_reported_and_left(host):
    host.run({"gpus": [BY_NAME]}, undeclared=REPORT)
    result = converge(host, {"disks": by(NVME)})
    assert host.driver(NIC) == "vfio-pci"
    assert result["warnings"] == [
        f"policy gpus is on the host and nobody declares it ({NIC}): declare it (passthrough_devices, where gpus: [] gives it back), or "
        "release it with undeclared: release (in the role passthrough_undeclared: release), which gives back all that nobody declares"
    ]
    assert plan(host, {"disks": by(NVME)}, REPORT).undeclared == [
        {"kind": "policy", "name": "gpus", "reason": result["warnings"][0]},
    ]
    assert undeclared(host, {}) == ["disks", "gpus"]
    assert undeclared(host, {"disks": by(NVME), "gpus": [BY_NAME]}) == []


def test_a_policy_of_a_standing_rule_alone_is_reported(host):
    host.run({"new": [{"match": {"vendor": "8086", "device": "1572"}, "optional": True}]}, undeclared=REPORT)
    (one,) = plan(host, {}, REPORT).undeclared
    assert "policy new is on the host and nobody declares it (a rule for devices that are plugged in): " in one["reason"]


def test_of_a_long_policy_the_report_names_some_devices_and_counts_the_rest(host):
    addresses = [f"0000:40:{slot:02x}.0" for slot in range(12)]
    for address in addresses:
        host.plug(replace(NEW_CARD, address=address, group=f"4{address[8:10]}", net=(), dsn=None))
    host.run({"gpus": by(*addresses)}, undeclared=REPORT)
    (one,) = plan(host, {}, REPORT).undeclared
    assert f"({', '.join(addresses[:8])}, 4 more)" in one["reason"]


def test_a_policy_that_nobody_declares_is_given_back_where_the_task_says_so(host):
    native = host.drivers()
    host.run({"gpus": [BY_NAME], "kinds": [dict(KIND, match={"vendor": "1234", "device": "11e8"})], "disks": by(NVME)}, undeclared=REPORT)
    result = converge(host, {"disks": by(NVME)}, RELEASE)
    assert {one["address"]: one["status"] for one in result["devices"]} == {NVME: "unchanged", NIC: "released", EDU: "released"}
    assert (host.rules("gpus"), host.rules("kinds"), result["warnings"]) == (None, None, [])
    assert host.drivers() == dict(native, **{NVME: "vfio-pci"})


def test_what_somebody_else_declares_is_ignored_without_a_word(host):
    host.run({"gpus": [BY_NAME]}, undeclared=REPORT)
    result = converge(host, {"disks": by(NVME)}, IGNORE)
    assert (host.driver(NIC), result["warnings"], undeclared(host, {}, IGNORE)) == ("vfio-pci", [], [])


def test_a_device_of_somebody_elses_policy_does_not_move(host):
    host.run({"gpus": [BY_NAME]}, undeclared=REPORT)
    before = host.snapshot()
    with pytest.raises(PlanError, match=f"{NIC} belongs to policy gpus, and policy cards, devices.0. wants it too; undeclared is ignore"):
        host.run({"cards": [BY_NAME]}, undeclared=IGNORE)
    assert host.snapshot() == before


@pytest.mark.parametrize("how", [None, IGNORE])
def test_a_device_that_moved_leaves_no_policy_that_is_somebody_elses(host, how):
    place = {"match": {"path": host.facts(TWIN)["path"]}}
    host.run({"slot": [place]})
    host.run({"other": by(NIC)})
    swap(host, NIC, TWIN)
    kept = host.rules("other")
    host.run({"slot": [place]}, undeclared=how)
    assert host.rules("other") == kept
    with pytest.raises(PlanError, match=f"another device is at {NIC}: .*-03-03; udev, .*; the policy took .*-03-02 there, which is at {TWIN} now"):
        host.run({"other": by(NIC)}, undeclared=how)
    host.release("other", undeclared=how)
    assert (host.driver(NIC), host.override(NIC), host.driver(TWIN)) == ("e1000e", None, "vfio-pci")


@pytest.mark.parametrize("how", [None, IGNORE])
def test_a_standing_rule_stays_with_a_policy_that_is_somebody_elses(host, how):
    kind = {"match": {"vendor": "10de"}, "optional": True}
    host.run({"other": [kind]})
    kept = host.rules("other")
    host.run({"gpus": [kind]}, undeclared=how)
    assert kept is not None and host.rules("other") == kept
