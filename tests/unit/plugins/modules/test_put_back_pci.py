# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run that failed, or that nobody confirmed, puts back of cards, of their VFs, and of slots that hold another card by then."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import KernelRefusal
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, PF
from ansible_collections.vfio.host.tests.unit.fake.sriov import VFS, autoprobe, pfs, vf_drivers
from ansible_collections.vfio.host.tests.unit.plugins.modules.confirming import WISH, Systemd, time_passes

ALL_BACK = "everything that this task had changed was put back as it was"
REST = "the next run tries once more to put that back"


@pytest.fixture
def systemd(host):
    return Systemd(host)


@pytest.fixture
def refused(monkeypatch):
    """A function: have the number of VFs that a PF is asked for be refused, where it is one of these; ``then`` is called first."""

    def refuse(host, *numbers, then=lambda: None):
        real = host.kernel.write

        def write(path, value):
            if path.endswith("/sriov_numvfs") and value in numbers:
                then()
                raise KernelRefusal(path, value, error=OSError(errno.ENOMEM, "no"))
            real(path, value)

        monkeypatch.setattr(host.kernel, "write", write)

    return refuse


def test_a_vf_that_its_driver_refuses_keeps_no_other_one(run_module, small, refused):
    run_module(small, "sriov_vfs", devices=pfs(7, autoprobe=True))
    refused(small, "4", then=lambda: small.kernel.refusals.update({("igbvf", VFS[0]): errno.EIO}))
    lines = run_module(small, "sriov_vfs", devices=pfs(4, autoprobe=True))["msg"].split("\n")
    assert "ENOMEM" in lines[0]
    assert lines[2:] == [REST] and f"the drivers that they had: {VFS[0]}: igbvf does not bind: " in lines[1]
    assert vf_drivers(small) == [None] + ["igbvf"] * 6
    assert autoprobe(small)


def test_a_pf_that_makes_no_vfs_any_more_has_its_probing_again(run_module, small, refused):
    run_module(small, "sriov_vfs", devices=pfs(7, autoprobe=True))
    refused(small, "4", "7")
    lines = run_module(small, "sriov_vfs", devices=pfs(4, autoprobe=True))["msg"].split("\n")
    assert lines[2:] == [REST] and "could not be put back to 7 VFs" in lines[1]
    assert (vf_drivers(small), autoprobe(small)) == ([], True)


def test_a_pf_that_makes_fewer_vfs_than_before_has_those_with_their_drivers(run_module, small, refused):
    run_module(small, "sriov_vfs", devices=pfs(7, autoprobe=True))
    refused(small, "4", then=lambda: small.kernel.fewer.update({PF: 5}))
    lines = run_module(small, "sriov_vfs", devices=pfs(4, autoprobe=True))["msg"].split("\n")
    assert "asked for 7 VFs, it has 5" in lines[1]
    assert (vf_drivers(small), autoprobe(small)) == (["igbvf"] * 5, True)


def test_vfs_that_are_there_are_not_made_anew_for_one_that_was_refused(run_module, make_host, host, systemd, monkeypatch):
    run_module(host, "sriov_vfs", devices=pfs(7, autoprobe=True))
    run_module(host, "sriov_vfs", confirm=30, devices=pfs(4, autoprobe=True))
    host.kernel.refusals["igbvf", VFS[0]] = errno.EIO
    time_passes(monkeypatch)
    systemd.runs_out()
    assert vf_drivers(host) == [None] + ["igbvf"] * 6
    del host.kernel.refusals["igbvf", VFS[0]]
    host.faults.reset()
    time_passes(monkeypatch, 2000)
    systemd.runs_out()
    assert (systemd.left, vf_drivers(host)) == (None, ["igbvf"] * 7)
    assert not [step for step in host.faults.log if step[1].endswith("/sriov_numvfs")]


def test_a_pf_whose_vf_is_in_use_by_then_has_its_probing_again(run_module, small):
    run_module(small, "passthrough", sriov=pfs(7, autoprobe=True), initramfs=False)
    step = small.faults.step

    def opens(*what):
        if what[0] == "write" and what[1].endswith(f"/{NIC}/driver_override"):
            small.faults.step = step
            assert not autoprobe(small)
            small.kernel.hold(VFS[1], 862, "qemu-system-x86")
            small.kernel.refusals["vfio-pci", NIC] = errno.EINVAL
        step(*what)

    small.faults.step = opens
    result = run_module(
        small, "passthrough", sriov=pfs(3), initramfs=False, timeout=5,
        devices={"p": [{"match": {"physfn": PF}, "count": 3}, {"match": {"address": NIC}}]},
    )
    assert "could not be put back to 7 VFs" in result["msg"] and "while one of its VFs is in use" in result["msg"]
    assert autoprobe(small)
    small.kernel.let_go(862)
    assert (vf_drivers(small), autoprobe(small)) == ([], True)


def test_a_pf_that_was_taken_after_its_vfs_went_gets_them_back(run_module, small):
    run_module(small, "passthrough", sriov=pfs(3, autoprobe=True), initramfs=False)
    small.kernel.refusals["vfio-pci", NIC] = errno.EINVAL
    result = run_module(
        small, "passthrough", sriov=[], undeclared="release", initramfs=False,
        devices={"p": [{"match": {"address": PF}}, {"match": {"address": NIC}}]},
    )
    assert result["msg"].split("\n")[1:] == [ALL_BACK]
    assert (small.driver(PF), vf_drivers(small), autoprobe(small)) == ("igb", ["igbvf"] * 3, True)


def test_a_card_that_was_pulled_out_keeps_the_timer_from_nothing(run_module, host, systemd, monkeypatch):
    run_module(host, "driver_override", confirm=30, **WISH)
    host.unplug(NVME)
    time_passes(monkeypatch)
    systemd.runs_out()
    assert (systemd.left, systemd.complaints) == (None, "")
    assert (host.driver(NIC), host.driver(EDU), host.rules("p")) == ("e1000e", None, None)


def test_another_card_in_the_slot_does_not_get_the_driver_of_the_one_before(run_module, host, systemd, monkeypatch):
    run_module(host, "driver_override", confirm=30, **WISH)
    other = replace(host.kernel.functions[NVME], ids=host.kernel.functions[NIC].ids, pci_class="020000", nvme=None)
    host.unplug(NVME)
    host.plug(other)
    assert host.driver(NVME) == "e1000e"
    time_passes(monkeypatch)
    systemd.runs_out()
    assert (host.driver(NVME), host.override(NVME), systemd.left) == ("e1000e", None, None)


def test_the_same_card_that_was_plugged_in_again_gets_its_driver_back(run_module, host, systemd, monkeypatch):
    run_module(host, "driver_override", confirm=30, **WISH)
    card = host.kernel.functions[NVME]
    host.unplug(NVME)
    host.plug(card)
    assert host.driver(NVME) == "vfio-pci"
    time_passes(monkeypatch)
    systemd.runs_out()
    assert (host.driver(NVME), host.override(NVME), systemd.left) == ("nvme", None, None)


def test_a_card_that_cannot_be_looked_at_is_not_taken_for_gone(run_module, host, systemd, monkeypatch):
    run_module(host, "driver_override", confirm=30, **WISH)
    real = host.kernel.target

    def target(path):
        if path.endswith(f"/devices/{NVME}"):
            host.kernel._refusals[path] = errno.EIO
            return None
        return real(path)

    time_passes(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(host.kernel, "target", target)
        systemd.runs_out()
    assert (systemd.left, host.driver(NVME)) == (None, "nvme")
