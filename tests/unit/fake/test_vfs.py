# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fake keeps attributes of VFs as igb does."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PF
from ansible_collections.vfio.host.tests.unit.fake.sriov import SMALL
from ansible_collections.vfio.host.tests.unit.fake.vfs import ANSWERS, FRESH


def index_of(host, address):
    (name,) = [net.name for net in host.kernel.functions[address].net]
    return host.kernel.number(f"{host.kernel.net}/{name}/ifindex")


@pytest.fixture
def three(make_host):
    host = make_host(SMALL)
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "3")
    return host


@pytest.mark.parametrize("vf, group, values, has_link, number", ANSWERS)
def test_it_answers_what_the_real_driver_answered(three, vf, group, values, has_link, number):
    function = three.kernel.functions[PF]
    three.kernel.functions[PF] = replace(function, net=tuple(replace(net, is_up=has_link) for net in function.net))
    assert three.kernel.vfs.answer(index_of(three, PF), vf, group, values) == number
    told = three.kernel.read_vfs(index_of(three, PF)).vfs
    assert told.get(vf) == (dict(FRESH, **values) if not number else FRESH if vf < 3 else None)


def test_a_driver_without_vfs_can_set_nothing_and_an_interface_that_is_absent_is_no_device(three):
    values = {"mac": "52:54:00:aa:00:00"}
    assert three.kernel.vfs.answer(index_of(three, NIC), 0, "mac", values) == errno.EOPNOTSUPP
    assert three.kernel.vfs.answer(999, 0, "mac", values) == errno.ENODEV
    assert three.kernel.read_vfs(999) is None


def test_vfs_that_are_made_again_have_forgotten_all(three):
    path = f"{three.kernel.pci_devices}/{PF}/sriov_numvfs"
    three.kernel.vfs.answer(index_of(three, PF), 0, "trust", {"trust": True})
    three.kernel.write(path, "0")
    three.kernel.write(path, "2")
    assert three.kernel.vfs.of(PF) == {0: FRESH, 1: FRESH}
