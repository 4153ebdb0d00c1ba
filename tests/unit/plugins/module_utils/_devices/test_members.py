# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Members of IOMMU groups that are no PCI functions: they keep a group as those do."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.state import survey as read_survey
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts

NIC = "0000:02:00.0"
MEMBER = "fe300000.usb"


def with_member(make_host, driver, vfio_dev=False, name=MEMBER):
    """An arm64 host with a device of the platform bus in the card's group, 3."""
    host = make_host(hosts.arm64())
    device = host.tree.sys / "devices/platform" / name
    host.tree.put(device / "uevent", "")
    host.tree.link(host.tree.sys / "kernel/iommu_groups/3/devices" / name, device)
    if driver:
        host.tree.link(device / "driver", host.tree.sys / "bus/platform/drivers" / driver)
    if vfio_dev:
        host.tree.put(device / "vfio-dev/vfio7/dev", "511:7\n")
    return host


def entry(**more):
    return dict({"match": {"address": NIC}}, **more)


@pytest.mark.parametrize("more", [{}, {"iommu_group": "extend"}])
def test_a_device_of_another_bus_that_a_driver_has_keeps_the_group(make_host, more):
    host = with_member(make_host, "xhci-hcd")
    before = host.snapshot()
    with pytest.raises(PlanError) as caught:
        host.take(entry(**more))
    (message,) = caught.value.messages
    assert f"{MEMBER} (xhci-hcd, no PCI function)" in message
    assert f"have the host do without {MEMBER} first" in message
    assert host.snapshot() == before


def test_who_says_ignore_takes_it_nevertheless(make_host):
    assert with_member(make_host, "xhci-hcd").take(entry(iommu_group="ignore"))["changed"]


@pytest.mark.parametrize("driver, vfio_dev", [(None, False), ("vfio-platform", False), ("vfio-fsl-mc", False), ("some-new-vfio", True)])
def test_one_that_nobody_or_vfio_has_keeps_nothing(make_host, driver, vfio_dev):
    assert with_member(make_host, driver, vfio_dev).take(entry())["changed"]


def test_a_name_that_only_sounds_like_vfio_keeps_it(make_host):
    with pytest.raises(PlanError, match="my-vfio-platform"):
        with_member(make_host, "my-vfio-platform").take(entry())


def test_a_pci_function_that_could_not_be_read_keeps_it_as_well(make_host):
    with pytest.raises(PlanError, match=r"0000:09:00\.0 \(nvme, no PCI function that could be read\)"):
        with_member(make_host, "nvme", name="0000:09:00.0").take(entry())


def test_the_window_for_interrupts_keeps_nobody_off(make_host):
    host = make_host(hosts.arm64())
    assert host.take(entry(), {"match": {"serial": "NV01"}})["warnings"] == []


def test_members_are_read_where_the_reader_asks_and_once(make_host, monkeypatch):
    host, asked = with_member(make_host, "xhci-hcd"), []
    names = host.kernel.names
    monkeypatch.setattr(host.kernel, "names", lambda path: (asked.append(path), names(path))[1])
    survey = host.survey()
    assert survey.facts()["devices"] and [path for path in asked if path.startswith(f"{host.kernel.iommu_groups}/")] == []
    assert survey.others == {}
    assert read_survey(host.kernel, with_others=True).others == {"3": {MEMBER: "xhci-hcd"}}
    assert asked.count(f"{host.kernel.iommu_groups}/3/devices") == 1
