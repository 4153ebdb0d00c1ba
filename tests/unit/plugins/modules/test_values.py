# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run reads the host once, into values, and no more of it than its request is about; plans are made of these values alone."""

from __future__ import annotations

import os

import pytest

from ansible_collections.vfio.host.plugins.module_utils._competitors import table
from ansible_collections.vfio.host.plugins.module_utils._devices import area as devices_area
from ansible_collections.vfio.host.plugins.module_utils._devices.guards import registry
from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
from ansible_collections.vfio.host.plugins.module_utils._kconfig import state as kconfig
from ansible_collections.vfio.host.tests.unit.fake import hosts, sealed
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PF
from ansible_collections.vfio.host.tests.unit.fake.whole import WholeHost

EVERYTHING = {
    "devices": {"guests": [{"match": {"address": NIC}}]},
    "sriov": [{"match": {"address": PF}, "numvfs": 2}],
    "modules": [{"name": "vfio-pci", "options": {"disable_vga": True}}],
    "kernel_config": {"VFIO_PCI": ["y", "m"]},
    "kernel_cmdline": {"iommu": "pt"},
    "nodes": {"guests": {"owner": "root"}},
    "memlock": {"users": {"root": "1G"}},
}
AREAS = ["CmdlineArea", "DeviceArea", "ImageArea", "KernelArea", "MemlockArea", "NodeArea", "NumberArea", "ProbeArea"]


@pytest.fixture
def whole(host_path):
    return WholeHost(host_path / "whole", hosts.x86(), "intel_iommu=on")


def counted(monkeypatch, place, name):
    """The calls of a function, as a list of their arguments."""
    calls, real = [], getattr(place, name)
    monkeypatch.setattr(place, name, lambda *given, **named: (calls.append(given), real(*given, **named))[1])
    return calls


def test_the_plan_of_every_area_is_made_without_the_host(run_module, whole):
    sealed.PLANNED.clear()
    for dummy in range(2):
        run_module(whole, "passthrough", **EVERYTHING)
    run_module(whole, "passthrough", state="absent")
    assert sorted(sealed.PLANNED) == AREAS == [one.__name__ for one in sealed.areas()]


@pytest.mark.parametrize("ask", [
    lambda root: Sysfs(root).read("/proc/cmdline"), lambda root: Files(root).read("/etc/fstab"), lambda root: os.stat(str(root)),
    lambda root: os.listdir(str(root)), lambda root: os.path.exists(str(root)),
])
def test_a_plan_that_asks_the_host_fails(tmp_path, ask):
    class Area:
        def plan(self, *dummy):
            return ask(str(tmp_path))

    with sealed.seal(Area), pytest.raises(sealed.HostAsked):
        Area().plan(None, None)


def test_what_held_the_root_before_cannot_ask_it_in_a_plan(tmp_path):
    fs = Sysfs(str(tmp_path))
    with sealed.sealed(), pytest.raises(sealed.HostAsked):
        fs.names(str(tmp_path))
    assert fs.names(str(tmp_path)) == []


def test_a_run_over_all_areas_scans_the_host_once(run_module, whole, monkeypatch):
    run_module(whole, "passthrough", **EVERYTHING)
    scans = counted(monkeypatch, devices_area, "survey")
    assert not run_module(whole, "passthrough", **EVERYTHING)["changed"]
    assert len(scans) == 1


def test_guards_are_read_where_a_device_may_lose_its_driver_alone(run_module, host, monkeypatch):
    reads = counted(monkeypatch, registry, "guards")
    wish = {"policy": "p", "devices": [{"match": {"address": NIC}}]}
    assert run_module(host, "driver_override", **wish)["changed"]
    assert len(reads) == 1
    assert not run_module(host, "driver_override", **wish)["changed"]
    assert len(reads) == 1


def test_guards_that_were_not_read_free_nothing(host):
    scan = devices_area.Scan(host.kernel, host.files)
    with pytest.raises(LookupError, match="were not read"):
        bool(scan.host.survey.devices[NIC].guards)
    assert scan.guarded.survey.devices[NIC].guards is not None


def test_a_task_without_symbols_does_not_read_the_kernels_configuration(run_module, whole, monkeypatch):
    reads = counted(monkeypatch, kconfig, "_read")
    run_module(whole, "kernel_module", check=True, modules=[{"name": "vfio-pci"}])
    assert reads == []
    run_module(whole, "kernel_config", check=True, options={"VFIO_PCI": ["y", "m"]})
    assert len(reads) == 1


def test_competitors_are_not_read_for_a_task_that_is_not_for_the_next_boot(run_module, host, monkeypatch):
    reads = counted(monkeypatch, table, "competition")
    wish = {"policy": "p", "devices": [{"match": {"address": NIC}}], "check": True}
    run_module(host, "driver_override", at_boot=False, **wish)
    assert reads == []
    run_module(host, "driver_override", **wish)
    assert len(reads) == 1
