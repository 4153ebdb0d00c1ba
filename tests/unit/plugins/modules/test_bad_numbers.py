# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values that time out, count or size something are checked where they enter, each with one sentence that names it."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PF

NONE = [True, -1, "five", "", "-1", "\u0663", "\u00b2", "0x10", 1.5, 1e9, 10**400, "9" * 400, float("nan"), float("inf"), float("-inf"), "inf", [], [5], {}]
NIC_ALONE = [{"match": {"address": NIC}}]


def plain(result, *words):
    assert result["failed"] and "not foreseen" not in result["msg"] and "\n" not in result["msg"]
    assert len(result["msg"]) < 600 and all(word in result["msg"] for word in words), result["msg"]


@pytest.mark.parametrize("name, options", [
    ("driver_override", {"devices": NIC_ALONE}), ("passthrough", {"devices": {"p": NIC_ALONE}}),
    ("sriov_vfs", {"devices": [{"match": {"address": PF}, "numvfs": 1}]}),
])
@pytest.mark.parametrize("option", ["timeout", "confirm"])
def test_a_number_of_seconds_that_is_none_is_one_sentence(run_module, small, name, options, option):
    before = small.snapshot()
    for value in NONE + [None, 86401] + ([0, False] if option == "timeout" else []):
        if value != "\u0663" or option == "confirm":  # Python, and so Ansible, reads it as 3
            plain(run_module(small, name, **dict(options, **{option: value})), option)
    assert small.snapshot() == before


def test_a_count_that_is_no_number_is_one_sentence(run_module, small):
    before = small.snapshot()
    for value in NONE + [False]:
        plain(run_module(small, "driver_override", devices=[dict(NIC_ALONE[0], count=value)]), "count", "must be a whole number from 0")
    assert small.snapshot() == before


def test_a_number_of_vfs_that_is_no_number_is_one_sentence(run_module, small):
    before = small.snapshot()
    for value in NONE + [False, "many"]:
        plain(run_module(small, "sriov_vfs", devices=[{"match": {"address": PF}, "numvfs": value}]), "numvfs", "must be a whole number from 0, or max")
    assert small.snapshot() == before
