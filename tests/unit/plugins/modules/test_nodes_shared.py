# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices of one IOMMU group have one node: who has it has all of them, so all of them have to be for the same users."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PAIR, PAIR2

GUESTS = {"guests": [{"match": {"address": NIC}}]}
KVM = {"group": "kvm"}
KEPT, GIVEN = "0:0 0600", "0:993 0660"
RULES = "/etc/udev/rules.d/70-vfio-host-nodes.rules"
HALF = {"devices": {"a": [{"match": {"address": PAIR}, "iommu_group": "ignore"}]}, "nodes": {"a": KVM}, "initramfs": False}


def text(host):
    return host.files.read(host.root + RULES)


def to_vfio(host, address, driver="vfio-pci"):
    """Have a driver bind a device by hand."""
    host.kernel.load(hosts.BASE)
    host.kernel.write(f"{host.kernel.pci_devices}/{address}/driver_override", driver)
    host.kernel.write(f"{host.kernel.pci_devices}/{address}/driver/unbind", address)
    host.kernel.write(f"{host.kernel.pci}/drivers_probe", address)


@pytest.mark.parametrize("second", [{}, {"b": {"owner": "vm"}}])
def test_two_policies_that_disagree_over_a_group_are_an_error(run_module, host, second):
    devices = {"a": [{"match": {"address": PAIR}, "iommu_group": "ignore"}], "b": [{"match": {"address": PAIR2}, "iommu_group": "ignore"}]}
    result = run_module(host, "passthrough", devices=devices, nodes={"a": KVM, **second}, initramfs=False)
    assert "IOMMU group 9 has one node, and its policies disagree: policy a" in result["msg"]
    assert host.driver(PAIR) == "e1000"
    done = run_module(host, "passthrough", devices=devices, nodes={"a": KVM, "b": KVM}, initramfs=False)
    assert not done.get("failed")
    assert host.node("/dev/vfio/9") == GIVEN


def test_a_member_on_vfio_that_no_policy_has_is_not_opened_along(run_module, host):
    to_vfio(host, PAIR2)
    before = host.snapshot("/run/vfio-host")
    expected = (
        f"nodes.a: IOMMU group 9 has one node, and who opens it for policy a has {PAIR2} (driver vfio-pci) as well, on VFIO by no policy: "
        "declare it in policy a, or take it off VFIO first"
    )
    assert run_module(host, "passthrough", **HALF)["msg"] == expected
    assert run_module(host, "passthrough", check=True, **HALF)["msg"] == expected
    assert host.snapshot("/run/vfio-host") == before
    whole = {"a": [{"match": {"address": [PAIR, PAIR2]}}]}
    assert not run_module(host, "passthrough", **dict(HALF, devices=whole)).get("failed")
    assert host.node("/dev/vfio/9") == GIVEN


def test_a_member_that_somebody_binds_to_vfio_later_is_found_by_the_next_run(run_module, host):
    assert not run_module(host, "passthrough", **HALF).get("failed")
    to_vfio(host, PAIR2)
    assert f"has {PAIR2} (driver vfio-pci) as well" in run_module(host, "passthrough", check=True, **HALF)["msg"]
    assert f"has {PAIR2} (driver vfio-pci) as well" in run_module(host, "passthrough", nodes={"a": KVM}, initramfs=False)["msg"]


def test_a_policy_is_not_put_into_a_group_that_an_earlier_run_gave_to_others(run_module, host):
    assert not run_module(host, "passthrough", **HALF).get("failed")
    other = {"b": [{"match": {"address": PAIR2}, "iommu_group": "ignore"}]}
    result = run_module(host, "passthrough", devices=other, initramfs=False)
    assert "IOMMU group 9 has one node, and its policies disagree: policy a" in result["msg"]
    assert host.driver(PAIR2) == "e1000"
    assert not run_module(host, "passthrough", devices=other, nodes={"b": KVM}, initramfs=False).get("failed")


def test_devices_elsewhere_leave_the_nodes_of_an_earlier_run_as_they_are(run_module, host):
    run_module(host, "passthrough", **HALF)
    rules = text(host)
    result = run_module(host, "passthrough", devices=GUESTS, initramfs=False)
    assert (host.driver(NIC), host.node("/dev/vfio/9"), host.node("/dev/vfio/14"), text(host)) == ("vfio-pci", GIVEN, KEPT, rules)
    assert [(one["address"], one["status"]) for one in result["nodes"]] == [(PAIR, "unchanged")]


def test_a_member_on_vfio_does_not_matter_where_the_node_is_root_s_or_the_run_takes_it_off(run_module, host):
    to_vfio(host, PAIR2)
    assert not run_module(host, "passthrough", **dict(HALF, nodes={"a": {"symlink": True}})).get("failed")
    native = [{"match": {"address": PAIR2}, "driver": "native"}]
    done = run_module(host, "passthrough", **dict(HALF, devices=dict(HALF["devices"], b=native)))
    assert not done.get("failed")
    assert (host.driver(PAIR2), host.node("/dev/vfio/9")) == ("e1000", GIVEN)
