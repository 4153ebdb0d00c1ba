# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What outlives a boot, and what a hot-plugged device becomes: udev's work, by our rules alone."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.area import Scan
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, PF, SLOT, TWIN, VF, VIRTIO

THREE = ({"match": {"net": "enp2s0"}}, {"match": {"serial": "NV01"}}, {"match": {"vendor": "1af4", "device": "1041"}})
NEW = "0000:07:00.0"


def test_all_that_was_taken_is_taken_again_and_the_run_after_changes_nothing(host):
    host.take(*THREE)
    before = host.drivers()
    host.reboot()
    assert host.drivers() == before
    result = host.take(*THREE)
    assert (result["changed"], host.faults.log) == (False, [])


def test_one_of_two_alike_leaves_the_other_alone_after_a_boot(host):
    host.take(NIC)
    host.reboot()
    assert (host.driver(NIC), host.driver(TWIN), host.override(TWIN)) == ("vfio-pci", "e1000e", None)


def test_a_native_driver_of_the_initramfs_is_replaced(host):
    host.take(NVME)
    host.reboot()
    assert host.driver(NVME) == "vfio-pci"
    assert not host.kernel.exists(f"{host.kernel.block}/nvme0n1")


def test_a_native_driver_that_is_built_in_is_replaced(make_host):
    modules = tuple(replace(one, builtin=True) if one.name == "e1000e" else one for one in hosts.MODULES)
    host = make_host(hosts.x86(modules=modules))
    host.take(NIC)
    host.reboot()
    assert (host.driver(NIC), host.driver(TWIN)) == ("vfio-pci", "e1000e")


def test_a_vfio_driver_that_is_built_in_needs_no_loading(make_host):
    modules = tuple(replace(one, builtin=True, file=None) if one.name == "vfio_pci" else one for one in hosts.MODULES)
    host = make_host(hosts.x86(modules=modules))
    host.take(NIC, EDU)
    assert not [one for one in host.faults.log if one[1].startswith("modprobe")]
    host.reboot()
    assert (host.driver(NIC), host.driver(EDU)) == ("vfio-pci", "vfio-pci")


def test_a_variant_is_taken_by_its_own_driver_after_a_boot(make_host):
    host = make_host(hosts.with_modules(hosts.x86(), hosts.VARIANT))
    host.take(VIRTIO)
    host.reboot()
    assert host.driver(VIRTIO) == "virtio_vfio_pci"
    assert not host.take(VIRTIO)["changed"]


def test_what_waits_for_the_boot_is_pending_and_then_there(host):
    result = host.take(NIC, EDU, now=False)
    assert [one["status"] for one in result["devices"]] == ["pending", "pending"]
    assert result["reboot_required"]
    assert len(result["reboot_reasons"]) == 2
    assert host.driver(NIC) == "e1000e"
    host.reboot()
    assert (host.driver(NIC), host.driver(EDU)) == ("vfio-pci", "vfio-pci")
    again = host.take(NIC, EDU, now=False)
    assert (again["changed"], again["reboot_required"]) == (False, False)


def test_what_is_pending_stays_pending_until_the_boot(host):
    host.take(NIC, now=False)
    again = host.take(NIC, now=False)
    assert (again["changed"], again["reboot_required"]) == (False, True)


def test_a_task_for_the_next_boot_may_name_a_held_device(host):
    host.take(NIC)
    host.kernel.hold(NIC, 4242, "qemu")
    result = host.take({"match": {"address": NIC}, "driver": "e1000e"}, now=False)
    assert result["reboot_required"]
    assert host.driver(NIC) == "vfio-pci"
    host.reboot()
    assert host.driver(NIC) == "e1000e"


def test_what_is_for_this_boot_only_ends_with_it(host):
    host.take(NIC, at_boot=False)
    assert host.driver(NIC) == "vfio-pci"
    assert (host.rules(), host.rules(volatile=True) is not None) == (None, True)
    host.reboot()
    assert (host.driver(NIC), host.override(NIC)) == ("e1000e", None)


def test_a_device_for_this_boot_only_is_taken_again_when_it_is_plugged_again(host):
    host.take(NIC, at_boot=False)
    function = host.kernel.functions[NIC]
    host.unplug(NIC)
    host.plug(function)
    assert host.driver(NIC) == "vfio-pci"


def test_the_way_of_keeping_a_policy_can_change_in_both_directions(host):
    host.take(NIC)
    host.take(NIC, at_boot=False)
    assert (host.rules(), host.rules(volatile=True) is not None) == (None, True)
    host.take(NIC)
    assert (host.rules() is not None, host.rules(volatile=True)) == (True, None)
    assert host.driver(NIC) == "vfio-pci"


def test_a_device_that_is_plugged_again_is_taken_again(host):
    host.take(NIC)
    function = host.kernel.functions[NIC]
    host.unplug(NIC)
    host.plug(function)
    assert (host.driver(NIC), host.override(NIC)) == ("vfio-pci", "vfio-pci")
    assert not host.take(NIC)["changed"]


def test_another_device_at_the_same_address_is_left_to_its_driver(host):
    host.take(NIC)
    function = replace(host.kernel.functions[NIC], ids="8086:100e")
    host.unplug(NIC)
    host.plug(function)
    assert (host.driver(NIC), host.override(NIC)) == ("e1000", None)


def test_a_new_device_of_the_same_kind_is_left_to_its_driver(host):
    host.take(NIC)
    host.plug(hosts.e1000e(NEW, "30", SLOT, 7))
    assert host.driver(NEW) == "e1000e"


def test_a_new_device_that_the_declaration_matches_is_taken_by_the_next_run(host):
    wish = {"match": {"vendor": "8086", "device": "10d3"}}
    host.take(wish)
    host.plug(hosts.e1000e(NEW, "30", SLOT, 7))
    assert host.take(wish)["changed"]
    assert host.driver(NEW) == "vfio-pci"


def test_a_device_that_is_gone_is_missed_by_the_next_run(host):
    host.take({"match": {"vendor": "8086", "device": "10d3"}})
    host.unplug(TWIN)
    result = host.take({"match": {"vendor": "8086", "device": "10d3"}})
    assert TWIN not in host.rules()
    assert [one["address"] for one in result["devices"]] == [NIC]


def test_a_vf_that_its_native_driver_grabbed_ends_on_vfio(host):
    host.kernel.modprobe("igbvf")
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "1")
    host.take(VF)
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "0")
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "1")
    assert host.driver(VF) == "vfio-pci"


@pytest.mark.parametrize(
    "match",
    [
        {"net": "enp2s0"},
        {"mac": "52:54:00:00:03:02"},
        {"serial": "52-54-00-ff-ff-00-03-02"},
        {"driver": "e1000e", "path": "06*"},
        {"path": "06.0-00.0"},
        {"iommu_group": "14"},
    ],
)
def test_a_match_finds_its_device_after_vfio_hid_it_and_after_a_boot(host, match):
    host.take({"match": match, "count": 1})
    assert host.driver(NIC) == "vfio-pci"
    assert not host.take({"match": match, "count": 1})["changed"]
    host.reboot()
    assert not host.take({"match": match, "count": 1})["changed"]


def test_what_was_remembered_is_kept_over_many_runs(host):
    host.take(*THREE)
    first = host.rules()
    for dummy in range(3):
        host.reboot()
        host.take(*THREE)
    assert host.rules() == first


def test_what_is_remembered_of_a_device_for_the_next_boot_is_still_known_after_it(host):
    wish = {"match": {"net": "enp2s0"}}
    host.take(wish, now=False)
    host.reboot()
    assert not host.take(wish)["changed"]


def test_removing_the_file_gives_the_devices_back_at_the_next_boot(host):
    native = host.drivers()
    host.take(*THREE)
    host.files.put(f"{host.files.boot_rules}/60-vfio-host-p.rules", None)
    host.reboot()
    assert host.drivers() == native


def test_of_two_records_of_one_device_the_one_for_every_boot_counts(host):
    host.take(NIC, EDU)
    host.tree.put(f"{host.files.volatile_rules}/60-vfio-host-p.rules", host.rules().replace("# device", "# release"))
    result = host.take(EDU)
    assert [one["address"] for one in result["devices"]] == [EDU, NIC]
    assert host.rules(volatile=True) is None


def test_a_rules_file_that_is_a_link_to_nothing_is_no_policy(host):
    host.take(NIC)
    os.symlink("/nowhere.rules", f"{host.files.boot_rules}/60-vfio-host-odd.rules")
    assert set(Scan(host.kernel, host.files).host.policies) == {"p"}


def test_at_boot_the_module_is_loaded_before_the_first_device_is_looked_at(host):
    host.take(NIC)
    host.kernel.boot(on_add=lambda address: None)
    host.udev.reload()
    host.udev.add_module("kernel")
    assert host.kernel.exists(f"{host.kernel.pci_drivers}/vfio-pci")
    host.udev.add(NIC)
    assert host.driver(NIC) == "vfio-pci"
