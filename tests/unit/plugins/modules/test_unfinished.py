# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task that does all but something: it fails, says what it has not done, and returns what it has."""

from __future__ import annotations

import errno

import pytest

from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, NVME

WISH = [{"match": {"address": NIC}}, {"match": {"address": NVME}}]


@pytest.fixture
def refusing(run_module, host):
    """A host whose NVMe driver refuses the disk that a policy has taken."""
    run_module(host, "driver_override", policy="p", devices=WISH)
    host.kernel.refusals["nvme", NVME] = errno.EIO
    return host


@pytest.mark.parametrize(("name", "options"), [
    ("driver_override", {"policy": "p", "state": "absent"}),
    ("passthrough", {"state": "absent"}),
    ("passthrough", {"devices": {"p": []}}),
    ("passthrough", {"devices": {}, "undeclared": "release"}),
])
def test_the_task_fails_at_the_end_with_the_rows_of_what_it_did(run_module, refusing, name, options):
    result = run_module(refusing, name, timeout=1, **options)
    assert (result["failed"], result["changed"]) == (True, True)
    assert result["msg"].startswith(NVME) and "all else was done" in result["msg"]
    assert {one["address"]: (one["status"], one["driver"]) for one in result["devices"]} == {
        NVME: ("failed", None), NIC: ("released", "e1000e"),
    }


def test_other_areas_keep_what_was_done_to_them(run_module, refusing):
    result = run_module(
        refusing, "passthrough", timeout=1, devices={"p": []}, modules=[{"name": "e1000", "state": "disabled"}],
    )
    assert result["failed"]
    assert "blacklist e1000" in refusing.files.read(refusing.files.modprobe_conf)
    assert refusing.driver(NIC) == "e1000e"


def test_the_next_task_goes_on(run_module, refusing):
    run_module(refusing, "passthrough", timeout=1, state="absent")
    del refusing.kernel.refusals["nvme", NVME]
    result = run_module(refusing, "passthrough", timeout=1, state="absent")
    assert (result["changed"], refusing.driver(NVME)) == (True, "nvme")
    assert not run_module(refusing, "passthrough", timeout=1, state="absent")["changed"]
