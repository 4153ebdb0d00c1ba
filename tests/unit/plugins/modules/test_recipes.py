# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recipes of docs/recipes.md that could go wrong on a host, on a fake one."""

from __future__ import annotations

from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, NVME, TWIN

NIC_ENTRY, NVME_ENTRY = {"match": {"net": "enp2s0"}}, {"match": {"serial": "NV01"}}


def policies(host):
    return [name for name in host.files.names(host.files.boot_rules) if name.startswith("60-vfio-host-")]


def test_a_policy_is_renamed_without_an_unbind(run_module, host):
    run_module(host, "passthrough", devices={"gpus": [NIC_ENTRY, NVME_ENTRY]}, initramfs=False)
    host.faults.reset()
    nothing = {"match": {"serial": "none"}, "optional": True}
    result = run_module(host, "passthrough", devices={"guests": [NIC_ENTRY, NVME_ENTRY], "gpus": [nothing]}, initramfs=False)
    assert {one["address"]: one["status"] for one in result["devices"]} == {NIC: "unchanged", NVME: "unchanged"}
    assert policies(host) == ["60-vfio-host-guests.rules"]
    last = run_module(host, "passthrough", devices={"guests": [NIC_ENTRY, NVME_ENTRY]}, initramfs=False)
    assert not last["changed"] and "warnings" not in last


def test_one_policy_is_given_back_and_the_others_stay(run_module, host):
    run_module(host, "passthrough", devices={"gpus": [NIC_ENTRY], "storage": [NVME_ENTRY]}, initramfs=False)
    result = run_module(
        host, "passthrough", state="absent", devices={"gpus": []}, sriov=[], modules=[], kernel_cmdline={}, initramfs=False,
    )
    assert [one["address"] for one in result["devices"]] == [NIC]
    assert (host.driver(NIC), host.driver(NVME), host.driver(TWIN)) == ("e1000e", "vfio-pci", "e1000e")
    assert policies(host) == ["60-vfio-host-storage.rules"]
