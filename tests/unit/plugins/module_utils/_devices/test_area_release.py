# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Giving devices back, and moving them between policies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, PAIR, PAIR2, TWIN, VIRTIO

LOADED = ("/sys/module", "/sys/bus/pci/drivers/vfio-pci", "/sys/class/vfio-dev", "/sys/class/nvme")


def test_after_a_release_the_host_is_as_it_was(host):
    before = host.snapshot(*LOADED)
    host.take(NIC, NVME, EDU, VIRTIO, PAIR, PAIR2)
    result = host.release()
    assert {one["status"] for one in result["devices"]} == {"released"}
    assert host.snapshot(*LOADED) == before


def test_check_mode_predicts_a_release(host):
    host.take(NIC, NVME, EDU)
    before = host.snapshot()
    predicted = host.release(check=True)
    assert host.snapshot() == before
    assert host.release() == predicted


def test_the_second_release_changes_nothing(host):
    host.take(NIC)
    host.release()
    result = host.release()
    assert (result["changed"], result["devices"]) == (False, [])


def test_a_release_without_a_policy_of_that_name_changes_nothing(host):
    assert not host.release("never")["changed"]


def test_every_policy_is_released_where_none_is_named(host):
    host.run({"a": [{"match": {"address": NIC}}], "b": [{"match": {"address": NVME}}]})
    host.run(None, present=False)
    assert (host.driver(NIC), host.driver(NVME)) == ("e1000e", "nvme")
    assert (host.rules("a"), host.rules("b")) == (None, None)


def test_another_policy_stays_where_one_is_released(host):
    host.run({"a": [{"match": {"address": NIC}}], "b": [{"match": {"address": NVME}}]})
    host.release("a")
    assert (host.driver(NIC), host.driver(NVME)) == ("e1000e", "vfio-pci")
    assert host.rules("b")


def test_a_release_after_a_boot_gives_native_drivers_back(host):
    native = host.drivers()
    host.take(NIC, NVME, EDU)
    host.reboot()
    host.release()
    assert host.drivers() == native


def test_a_release_asks_for_the_module_that_the_kernel_would_load_blacklists_respected(host):
    host.take(EDU)
    host.release()
    assert ("command", f"modprobe --use-blacklist --quiet -- {host.facts(EDU)['modalias']}") in host.faults.log


def test_no_module_is_loaded_where_a_registered_driver_takes_the_device_back(host):
    # What else declares the device, also by mistake, would come along with its driver.
    host.take(NIC)
    host.release()
    assert host.driver(NIC) == "e1000e"
    assert not [what for what in host.faults.log if what[0] == "command" and "--use-blacklist" in what[1]]


def test_a_release_for_the_next_boot_touches_no_device(host):
    host.take(NIC)
    result = host.release(now=False)
    assert (result["reboot_required"], [one["status"] for one in result["devices"]]) == (True, ["pending"])
    assert host.driver(NIC) == "vfio-pci"
    assert host.rules() is None
    again = host.release(now=False)
    assert (again["changed"], again["reboot_required"]) == (False, True)
    host.reboot()
    assert host.driver(NIC) == "e1000e"
    assert not host.release(now=False)["reboot_required"]


def test_a_release_that_waits_can_be_done_at_once_after_all(host):
    host.take(NIC)
    host.release(now=False)
    host.release()
    assert (host.driver(NIC), host.rules(volatile=True)) == ("e1000e", None)


def test_a_release_that_waits_can_be_taken_back(host):
    host.take({"match": {"net": "enp2s0"}})
    host.release(now=False)
    host.take({"match": {"net": "enp2s0"}})
    assert host.driver(NIC) == "vfio-pci"
    host.reboot()
    assert host.driver(NIC) == "vfio-pci"


def test_a_held_device_is_not_released(host):
    host.take(NIC, NVME)
    host.kernel.hold(NIC, 4242, "qemu")
    host.faults.reset()
    with pytest.raises(PlanError, match="4242"):
        host.release()
    assert host.faults.log == []


def test_a_device_that_is_no_longer_declared_is_given_back(host):
    host.take(NIC, NVME)
    result = host.take(NVME)
    assert {one["address"]: one["status"] for one in result["devices"]} == {NVME: "unchanged", NIC: "released"}
    assert host.driver(NIC) == "e1000e"
    assert NIC not in host.rules()


def test_an_edit_takes_and_gives_in_one_run_and_check_mode_predicts_it(host):
    host.take(NIC, NVME)
    predicted = host.take(NVME, TWIN, check=True)
    assert host.take(NVME, TWIN) == predicted
    assert (host.driver(NIC), host.driver(TWIN)) == ("e1000e", "vfio-pci")
    assert not host.take(NVME, TWIN)["changed"]


def test_a_device_may_change_its_driver(make_host):
    host = make_host(hosts.with_modules(hosts.x86(), hosts.VARIANT))
    host.take({"match": {"address": VIRTIO}, "driver": "vfio-pci"})
    host.take(VIRTIO)
    assert host.driver(VIRTIO) == "virtio_vfio_pci"
    assert not host.take(VIRTIO)["changed"]
    host.release()
    assert host.driver(VIRTIO) == "virtio-pci"


def test_a_device_that_another_policy_has_is_refused(host):
    host.run({"a": [{"match": {"address": NIC}}]})
    with pytest.raises(PlanError, match=f"{NIC} belongs to policy a, and policy b, devices.0. wants it too"):
        host.run({"b": [{"match": {"address": NIC}}]})


def test_a_device_moves_between_policies_that_are_declared_together(host):
    host.run({"a": [{"match": {"net": "enp2s0"}}, {"match": {"address": NVME}}], "b": [{"match": {"address": EDU}}]})
    host.faults.reset()
    wish = {"a": [{"match": {"address": NVME}}], "b": [{"match": {"address": EDU}}, {"match": {"net": "enp2s0"}}]}
    predicted = host.run(wish, check=True)
    result = host.run(wish)
    assert result == predicted
    assert result["changed"]
    assert not [one for one in host.faults.log if one[0] == "write"]
    assert (NIC in host.rules("a"), NIC in host.rules("b")) == (False, True)
    assert not host.run(wish)["changed"]
    host.reboot()
    assert not host.run(wish)["changed"]


def test_a_device_that_moved_remembers_what_it_was(host):
    host.run({"a": [{"match": {"net": "enp2s0"}}, {"match": {"address": NVME}}]})
    host.run({"a": [{"match": {"address": NVME}}], "b": [{"match": {"net": "enp2s0"}}]})
    assert '"enp2s0"' in host.rules("b")
    host.release("b")
    assert host.driver(NIC) == "e1000e"


def test_what_somebody_else_changed_since_is_left_to_them(host):
    host.take(NIC, NVME)
    host.kernel.write(f"{host.kernel.pci_devices}/{NIC}/driver_override", "pci-stub")
    result = host.release()
    assert [one["address"] for one in result["devices"]] == [NVME]
    assert host.override(NIC) == "pci-stub"


def test_another_device_at_a_recorded_address_is_not_released(host):
    host.take(NIC, EDU)
    other = replace(host.kernel.functions[NIC], ids="8086:100e")
    host.unplug(NIC)
    host.plug(other)
    result = host.release()
    assert [one["address"] for one in result["devices"]] == [EDU]
    assert host.driver(NIC) == "e1000"


def test_a_device_that_is_gone_does_not_keep_its_policy(host):
    host.take(NIC)
    host.unplug(NIC)
    assert host.release()["changed"]
    assert host.rules() is None


def test_a_device_that_no_native_driver_takes_back_is_an_error(host):
    host.take(NVME)
    host.kernel.refusals["nvme", NVME] = 5
    with pytest.raises(ApplyError, match="no native driver took it back in 1 seconds"):
        host.release()


def test_a_device_that_had_no_driver_is_released_without_one(host):
    host.take(EDU)
    host.release()
    assert (host.driver(EDU), host.override(EDU)) == (None, None)


def test_a_vfio_driver_that_takes_a_released_device_by_id_is_named(host):
    host.take(EDU)
    host.kernel.write(f"{host.kernel.pci_drivers}/vfio-pci/new_id", "1234 11e8")
    with pytest.raises(ApplyError, match="vfio-pci took it again without an override"):
        host.release()


def test_files_of_others_are_left_alone(host):
    host.tree.put(f"{host.files.boot_rules}/70-other.rules", "# other\n")
    host.take(NIC)
    host.run(None, present=False)
    assert host.files.names(host.files.boot_rules) == ["70-other.rules"]


def test_a_tampered_file_stops_the_run_before_anything_is_touched(host):
    host.take(NIC)
    path = f"{host.files.boot_rules}/60-vfio-host-p.rules"
    host.tree.put(path, host.rules().replace('"driver": "vfio-pci"', '"driver": "a b"', 1))
    before = host.snapshot()
    with pytest.raises(PlanError, match="60-vfio-host-p.rules, line 4"):
        host.take(NIC)
    assert host.snapshot() == before


def test_a_rule_changed_by_hand_is_put_right(host):
    host.take(NIC)
    good = host.rules()
    host.tree.put(f"{host.files.boot_rules}/60-vfio-host-p.rules", good.replace("ATTR{class}", "ATTR{klass}"))
    assert host.take(NIC)["changed"]
    assert host.rules() == good


@pytest.mark.parametrize("order", [(NIC, NVME), (NVME, NIC)])
def test_policies_can_be_released_one_after_the_other(host, order):
    native = host.drivers()
    host.run({"a": [{"match": {"address": order[0]}}], "b": [{"match": {"address": order[1]}}]})
    host.release("a")
    host.release("b")
    assert host.drivers() == native
