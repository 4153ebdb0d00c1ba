# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a task is refused, as data beside the text: kind, devices, guard and remedy."""

from __future__ import annotations

import errno

import pytest

from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PAIR, PAIR2, PF, ROOT_DISK, UPLINK


def refusals(result):
    assert result["failed"]
    # The text says the same, sentence by sentence.
    assert "\n".join(one["message"] for one in result["refusals"]) == result["msg"]
    return result["refusals"]


@pytest.mark.parametrize("address, guard", [(UPLINK, "network"), (ROOT_DISK, "storage")])
def test_a_device_that_the_host_needs_is_refused_with_its_guard_and_how_to_give_it_up(run_module, host, address, guard):
    (one,) = refusals(run_module(host, "passthrough", devices={"p": [{"match": {"address": address}}]}, initramfs=False))
    assert (one["kind"], one["guard"], one["devices"]) == ("guard", guard, [address])
    assert f"force: [{guard}]" in one["remedy"] and one["message"].endswith(one["remedy"])


def test_what_keeps_a_group_is_named_as_data(run_module, host):
    (one,) = refusals(run_module(host, "passthrough", devices={"p": [{"match": {"address": PAIR}}]}, initramfs=False))
    assert one["kind"] == "group" and one["devices"] == [PAIR, PAIR2] and "iommu_group: extend" in one["remedy"]


def test_a_match_that_selects_nothing_is_a_refusal_of_its_own_kind(run_module, host):
    (one,) = refusals(run_module(host, "driver_override", devices=[{"match": {"vendor": "dead"}}]))
    assert one["kind"] == "unmatched" and one["guard"] is None and one["remedy"]


def test_wrong_options_are_refusals_without_a_device(run_module, host):
    found = refusals(run_module(host, "driver_override", devices=[{"match": {"address": NIC}, "count": "x"}], policy="No"))
    assert {one["kind"] for one in found} == {"input"} and all(one["devices"] == [] for one in found)


def test_several_reasons_are_several_refusals(run_module, host):
    devices = {"p": [{"match": {"address": UPLINK}}, {"match": {"address": ROOT_DISK}}, {"match": {"vendor": "dead"}}]}
    assert sorted(one["kind"] for one in refusals(run_module(host, "passthrough", devices=devices, initramfs=False))) == [
        "guard", "guard", "unmatched",
    ]


def test_a_step_that_fails_is_no_refusal(run_module, host):
    host.faults.fail_at(2, errno.EIO)
    result = run_module(host, "driver_override", devices=[{"match": {"address": NIC}}])
    assert result["failed"] and "refusals" not in result


def test_vfs_that_would_go_along_are_a_refusal_about_their_card(run_module, host):
    run_module(host, "sriov_vfs", devices=[{"match": {"address": PF}, "numvfs": 2}])
    found = refusals(run_module(host, "driver_override", devices=[{"match": {"address": PF}}]))
    assert [(one["kind"], one["devices"]) for one in found if one["kind"] == "vfs"] == [("vfs", [PF])]
