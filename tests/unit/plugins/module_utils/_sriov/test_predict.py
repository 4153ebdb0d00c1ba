# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where VFs will be, and what they will be, before there is one; compared with those that appear."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._sriov.predict import Expected, Layout, Prediction, read_layout
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PF, VF
from ansible_collections.vfio.host.tests.unit.fake.sriov import SMALL


@pytest.mark.parametrize("layout, address, number, wanted", [
    ((0x80, 2), "0000:01:00.0", 5, ["0000:01:10.0", "0000:01:10.2", "0000:01:10.4", "0000:01:10.6", "0000:01:11.0"]),
    ((0x80, 2), "0000:01:00.1", 1, ["0000:01:10.1"]),
    ((1, 1), "0000:3b:00.0", 8, [f"0000:3b:00.{number}" for number in range(1, 8)] + ["0000:3b:01.0"]),
    ((0x100, 1), "10000:e1:00.0", 2, ["10000:e2:00.0", "10000:e2:00.1"]),
    ((0xfe, 1), "0000:01:00.0", 3, ["0000:01:1f.6", "0000:01:1f.7", "0000:02:00.0"]),
])
def test_addresses_are_routing_ids_from_the_pfs_own_and_may_be_on_the_next_bus(layout, address, number, wanted):
    assert Layout(layout[0], layout[1], "10ca").addresses(address, number) == wanted


def test_the_layout_is_read_from_the_configuration_space(host):
    assert read_layout(host.kernel, PF) == Layout(0x80, 2, "10ca")


def test_what_has_no_such_capability_or_cannot_be_read_has_no_layout(host):
    assert read_layout(host.kernel, NIC) is None
    host.kernel.is_root = False
    assert read_layout(host.kernel, PF) is None


def test_the_vfs_that_appear_are_those_that_were_predicted(host):
    survey = host.survey()
    expected = Expected(survey).vfs(survey.devices[PF], read_layout(host.kernel, PF), number=7)
    for name, value in (("sriov_drivers_autoprobe", "0"), ("sriov_numvfs", "7")):
        host.kernel.write(f"{host.kernel.pci_devices}/{PF}/{name}", value)
    found = {address: one for address, one in host.survey().devices.items() if one.physfn == PF}
    assert [one.address for one in expected] == list(found)
    for one in expected:
        real = found[one.address]
        assert (one.ids, one.modalias, one.path, one.name, one.vfio, one.driver) == (
            real.ids, real.modalias, real.path, real.name, real.vfio, real.driver
        )


def test_a_prediction_takes_away_and_adds_in_order(host):
    survey = host.survey()
    coming = Expected(survey).vfs(survey.devices[PF], read_layout(host.kernel, PF), number=1)[0]
    after = Prediction(frozenset([NIC]), {VF: coming}, {PF: {"num": 1}}).applied_to(survey)
    assert set(after.devices) == set(survey.devices) - {NIC} | {VF}
    assert list(after.devices) == sorted(after.devices)
    assert after.devices[PF].sriov == {"num": 1}
    assert NIC not in sum(after.groups.values(), [])


def test_vfs_of_a_pf_whose_place_is_not_known_have_none(make_host):
    host = make_host(SMALL)
    survey = host.survey()
    pf = replace(survey.devices[PF], path=None, slots=None)
    (vf,) = Expected(survey).vfs(pf, read_layout(host.kernel, PF), number=1)
    assert (vf.path, vf.slots) == (None, None)
