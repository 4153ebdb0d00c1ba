# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plan is made of values: whatever it would ask of the host's files fails here."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices import rules
from ansible_collections.vfio.host.plugins.module_utils._devices.area import DeviceArea, State
from ansible_collections.vfio.host.plugins.module_utils._devices.plan import Request, make_draft
from ansible_collections.vfio.host.plugins.module_utils._devices.steps import BIND, LOAD, OVERRIDE, PENDING, RELEASED, UNBIND
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake.values import BOOT, NoRoot, Table, ethernet, host_of

PORT, OTHER = "0000:02:00.0", "0000:03:00.0"
RULES = f"{BOOT}/60-vfio-host-default.rules"


def plan(host, *entries, **options):
    wishes = {"default": [{"match": {"address": one}} if isinstance(one, str) else one for one in entries]}
    request = Request(wishes, **options)
    return DeviceArea(NoRoot(), NoRoot()).plan(State(host, make_draft(host, request)), request)


def test_a_device_is_taken_in_four_steps_and_recorded_for_every_boot():
    made = plan(host_of(ethernet(PORT), ethernet(OTHER)), PORT)
    ((device,), (path,)) = made.devices, made.files
    assert [(step.action, step.value) for step in device.steps] == [
        (LOAD, "vfio_pci"), (OVERRIDE, "vfio-pci"), (UNBIND, "e1000e"), (BIND, "vfio-pci"),
    ]
    (record,) = rules.parse(made.files[path], path)
    assert (path, record.was["driver"], made.last_files) == (RULES, "e1000e", {})


def test_what_is_for_the_next_boot_has_no_steps():
    (device,) = plan(host_of(ethernet(PORT)), PORT, now=False).devices
    assert (device.status, device.steps) == (PENDING, [])


def test_a_device_that_is_taken_already_changes_nothing():
    host = host_of(ethernet(PORT))
    text = plan(host, PORT).files[RULES]
    table = Table(drivers_of={"e1000e": ["e1000e"], "vfio_pci": ["vfio-pci"]})
    taken = ethernet(PORT, driver="vfio-pci", driver_override="vfio-pci")
    again = plan(host_of(taken, modules=table, files={RULES: text}, policies={"default": rules.parse(text, RULES)}), PORT)
    assert not again.changed


def test_a_policy_that_is_given_back_unbinds_its_device():
    host = host_of(ethernet(PORT))
    text = plan(host, PORT).files[RULES]
    table = Table(drivers_of={"e1000e": ["e1000e"], "vfio_pci": ["vfio-pci"]})
    taken = ethernet(PORT, driver="vfio-pci", driver_override="vfio-pci")
    made = plan(host_of(taken, modules=table, files={RULES: text}, policies={"default": rules.parse(text, RULES)}), present=False)
    (device,) = made.devices
    assert (device.status, device.driver, made.files[RULES]) == (RELEASED, "e1000e", None)


def test_every_problem_is_told_at_once():
    with pytest.raises(PlanError) as caught:
        plan(host_of(ethernet(PORT)), {"match": {"address": PORT}, "driver": "nosuch"}, OTHER)
    assert ["nosuch" in message for message in caught.value.messages] == [True, False]
    assert "matches no device" in caught.value.messages[1]


def test_a_group_that_a_bound_member_keeps_is_refused():
    with pytest.raises(PlanError, match="stay with the host: 0000:03:00.0"):
        plan(host_of(ethernet(PORT, iommu_group="7"), ethernet(OTHER, iommu_group="7")), PORT)
