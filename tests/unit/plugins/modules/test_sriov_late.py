# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drivers that make VFs later, all or none, or never: what the task says, and that nothing is left of it."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import PF
from ansible_collections.vfio.host.tests.unit.fake.model import Module, Net, alias
from ansible_collections.vfio.host.tests.unit.fake.sriov import BOOT_FILES, FOR_GUESTS, SMALL, everything, pfs, vf_drivers


def small_with(driver="igb", is_up=True, **pf):
    module = Module(driver, (driver,), (alias("8086", "10c9"),), initramfs=True)
    spec = replace(SMALL, modules=tuple(module if one.name == "igb" else one for one in SMALL.modules))
    return hosts.changed(spec, PF, net=(Net("enp1s0", "52:54:00:00:02:00", is_up=is_up),), **pf)


def warnings(result):
    return [str(one) for one in result.get("warnings", ())]


@pytest.mark.parametrize("driver", ["bnxt_en", "bnx2x"])
def test_a_driver_that_needs_an_interface_that_is_up_is_told_before_the_boot_that_has_none(run_module, make_host, driver):
    host = make_host(small_with(driver))
    wish = {"devices": pfs()}
    predicted = run_module(host, "sriov_vfs", check=True, **wish)
    result = run_module(host, "sriov_vfs", **wish)
    assert warnings(predicted) == warnings(result)
    (warning,) = warnings(result)
    assert f"{PF} (Intel Corporation 82576 Gigabit Network Connection): its driver {driver} makes VFs only while its interface is up" in warning
    assert f"write 7 to /sys/bus/pci/devices/{PF}/sriov_numvfs" in warning
    assert len(vf_drivers(host)) == 7
    assert warnings(run_module(host, "sriov_vfs", devices=pfs(0))) == []


@pytest.mark.parametrize("driver", ["bnxt_en", "bnx2x"])
def test_vfs_that_a_unit_makes_when_the_network_is_up_are_taken_by_their_policies(run_module, make_host, driver):
    host = make_host(small_with(driver))
    run_module(host, "passthrough", sriov=pfs(), devices={"guests": [FOR_GUESTS]}, initramfs=False)
    host.kernel.spec = small_with(driver, is_up=False)
    host.reboot()
    assert vf_drivers(host) == []
    host.kernel.functions[PF] = replace(host.kernel.functions[PF], net=(Net("enp1s0", "52:54:00:00:02:00"),))
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "7")
    assert vf_drivers(host) == ["vfio-pci"] * 7
    assert not run_module(host, "passthrough", sriov=pfs(), devices={"guests": [FOR_GUESTS]}, initramfs=False)["changed"]


@pytest.mark.parametrize("driver", ["bnxt_en", "bnx2x"])
def test_an_interface_that_is_down_is_named_in_the_error(run_module, make_host, driver):
    host = make_host(small_with(driver, is_up=False))
    before = everything(host)
    result = run_module(host, "sriov_vfs", devices=pfs(), timeout=1)
    assert "its interface enp1s0 is down, and some drivers make VFs only while it is up: set it up, then run again" in result["msg"]
    assert everything(host) == before


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOMEM, errno.ENOSPC, errno.ENXIO])
def test_an_answer_for_which_no_interface_was_asked_says_nothing_of_one_that_is_down(run_module, make_host, monkeypatch, number):
    host = make_host(small_with(is_up=False))

    def refuse(*dummy):
        raise OSError(number, "refused")

    monkeypatch.setattr(host.kernel, "_numvfs", refuse)
    result = run_module(host, "sriov_vfs", devices=pfs(), timeout=1)
    assert f"sriov_numvfs: {errno.errorcode[number]}" in result["msg"]
    assert "is down" not in result["msg"]


def test_flags_that_are_none_end_nothing_and_say_nothing(run_module, make_host):
    host = make_host(small_with())
    host.kernel.fewer[PF] = 0
    host.tree.put(host.tree.sys / "class/net/enp1s0/flags", "junk\n")
    message = run_module(host, "sriov_vfs", devices=pfs(3), timeout=1)["msg"]
    assert "asked for 3 VFs, it has 0" in message
    assert "not foreseen" not in message and "is down" not in message


def test_with_the_interface_up_nothing_is_said_of_it(run_module, make_host):
    host = make_host(small_with())
    host.kernel.fewer[PF] = 0
    assert "is down" not in run_module(host, "sriov_vfs", devices=pfs(3), timeout=1)["msg"]


def test_a_boot_that_made_none_is_told_whatever_the_driver_is(run_module, make_host):
    host = make_host(small_with("nic_of_tomorrow"))
    assert warnings(run_module(host, "sriov_vfs", devices=pfs(3), now=False)) == []
    assert warnings(run_module(host, "sriov_vfs", devices=pfs(3), now=False)) == []
    host.kernel.fewer[PF] = 0
    host.reboot()
    (warning,) = warnings(run_module(host, "sriov_vfs", devices=pfs(3), check=True))
    assert "a rule has set its number of VFs in this boot, and it has none: its driver nic_of_tomorrow did not make them" in warning
    host.kernel.fewer.clear()
    run_module(host, "sriov_vfs", devices=pfs(3))
    assert warnings(run_module(host, "sriov_vfs", devices=pfs(3))) == []


def test_a_driver_that_makes_all_or_none_is_answered_with_max(run_module, make_host):
    host = make_host(small_with("qat_4xxx"))
    host.kernel.all_or_none = True
    before = everything(host)
    result = run_module(host, "sriov_vfs", devices=pfs(3), timeout=1)
    assert "asked for 3 VFs, it has 7 after 1 seconds; some drivers make all VFs or none: say numvfs: max, which is 7 here" in result["msg"]
    assert everything(host) == before
    assert run_module(host, "sriov_vfs", devices=pfs("max"))["changed"]
    assert len(vf_drivers(host)) == 7


@pytest.mark.parametrize("number, is_told", [(errno.EINVAL, True), (errno.EOPNOTSUPP, True), (errno.ENOMEM, False), (errno.EIO, False)])
def test_a_refused_number_is_answered_with_max_where_that_may_help(run_module, make_host, monkeypatch, number, is_told):
    host = make_host(small_with())

    def refuse(*dummy):
        raise OSError(number, "refused")

    monkeypatch.setattr(host.kernel, "_numvfs", refuse)
    result = run_module(host, "sriov_vfs", devices=pfs(3), timeout=1)
    assert ("say numvfs: max" in result["msg"]) is is_told


def test_max_of_none_is_an_error_with_the_remedy_and_no_change(run_module, make_host):
    host = make_host(hosts.changed(SMALL, PF, sriov_total=0, vfs=()))
    host.tree.put(f"{host.kernel.device_directory(PF)}/sriov_totalvfs", "0\n")
    host.tree.put(f"{host.kernel.device_directory(PF)}/sriov_drivers_autoprobe", "1\n")
    host.tree.put(f"{host.kernel.device_directory(PF)}/sriov_numvfs", "0\n")
    before = everything(host)
    for check in (True, False):
        result = run_module(host, "sriov_vfs", check=check, devices=pfs("max"))
        assert f"numvfs is max, but {PF} (Intel Corporation 82576 Gigabit Network Connection) can have no VFs: its sriov_totalvfs is 0" in result["msg"]
        assert "firmware" in result["msg"] and not result.get("changed")
    assert everything(host) == before
    assert not any(name in str(before) for name in BOOT_FILES)
    assert not run_module(host, "sriov_vfs", devices=pfs(0), check=True).get("failed")
