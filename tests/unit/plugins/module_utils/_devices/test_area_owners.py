# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who a device belongs to: policies that are renamed, split and merged, and two policies that want one device."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import IGNORE, RELEASE, REPORT
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.faults import deaths
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, ROOT_DISK, TWIN
from ansible_collections.vfio.host.tests.unit.plugins.module_utils._devices.declaring import BY_NAME, KIND, NEW, NEW_CARD, by, converge, swap, undeclared

OPTIONAL = {"match": {"serial": NEW_CARD.dsn}, "optional": True}
SPEC = hosts.x86(
    functions=tuple(replace(one, parent=None) for one in hosts.x86().functions if one.address in (ROOT_DISK, NIC, TWIN, NVME, EDU))
)


def writes(host):
    """What was written to the kernel since the last look."""
    found = [one for one in host.faults.log if one[0] == "write"]
    host.faults.reset()
    return found


# What only changes its owner.

MOVES = {
    "renamed": ({"gpus": [BY_NAME] + by(NVME)}, {"cards": [BY_NAME] + by(NVME)}),
    "renamed to what sorts behind": ({"gpus": [BY_NAME] + by(NVME)}, {"zcards": [BY_NAME] + by(NVME)}),
    "split": ({"gpus": [BY_NAME] + by(NVME)}, {"cards": [BY_NAME], "disks": by(NVME)}),
    "split, and the old name stays": ({"gpus": [BY_NAME] + by(NVME)}, {"gpus": by(NVME), "cards": [BY_NAME]}),
    "merged": ({"cards": [BY_NAME], "disks": by(NVME)}, {"gpus": [BY_NAME] + by(NVME)}),
    "merged into one of them": ({"cards": [BY_NAME], "disks": by(NVME)}, {"disks": [BY_NAME] + by(NVME)}),
    "swapped": ({"cards": [BY_NAME], "disks": by(NVME)}, {"disks": [BY_NAME], "cards": by(NVME)}),
    "emptied for another": ({"gpus": [BY_NAME] + by(NVME)}, {"gpus": [], "cards": [BY_NAME] + by(NVME)}),
}


@pytest.mark.parametrize("how", [REPORT, RELEASE])
@pytest.mark.parametrize("name", sorted(MOVES))
def test_a_device_that_only_changes_its_owner_is_never_unbound(host, name, how):
    before, after = MOVES[name]
    native = host.drivers()
    converge(host, before)
    host.faults.reset()
    predicted = host.run(after, check=True, undeclared=how)
    result = host.run(after, undeclared=how)
    assert result == predicted
    assert (result["changed"], {one["status"] for one in result["devices"]}, writes(host)) == (True, {"unchanged"}, [])
    assert set(host.files.names(host.files.boot_rules)) == {f"60-vfio-host-{one}.rules" for one in after if after[one]}
    assert not host.run(after, undeclared=how)["changed"]
    host.reboot()
    assert not host.run(after, undeclared=how)["changed"]
    assert (host.driver(NIC), host.driver(NVME)) == ("vfio-pci", "vfio-pci")
    host.run(None, present=False)
    assert host.drivers() == native


def test_the_file_of_the_new_name_is_that_of_the_old_one_but_for_the_name(host):
    converge(host, {"gpus": [BY_NAME, KIND]})
    before = host.rules("gpus")
    converge(host, {"cards": [BY_NAME, KIND]})
    assert host.rules("cards") == before.replace("gpus", "cards")
    assert host.rules("gpus") is None


def test_a_policy_that_is_renamed_may_change_a_driver_as_well(make_host):
    host = make_host(hosts.with_modules(hosts.x86(), hosts.VARIANT))
    converge(host, {"gpus": [{"match": {"address": hosts.VIRTIO}, "driver": "vfio-pci"}]})
    host.run({"cards": by(hosts.VIRTIO)}, undeclared=REPORT)
    assert not host.run({"cards": by(hosts.VIRTIO)}, undeclared=REPORT)["changed"]
    assert (host.driver(hosts.VIRTIO), host.rules("gpus")) == ("virtio_vfio_pci", None)
    host.release("cards")
    assert host.driver(hosts.VIRTIO) == "virtio-pci"


def test_a_renamed_policy_keeps_the_rule_of_an_absent_device(host):
    host.plug(NEW_CARD)
    host.run({"gpus": [OPTIONAL] + by(EDU)}, undeclared=REPORT)
    host.unplug(NEW)
    result = host.run({"cards": [OPTIONAL] + by(EDU)}, undeclared=REPORT)
    assert (result["warnings"], host.rules("gpus")) == ([], None)
    assert not host.run({"cards": [OPTIONAL] + by(EDU)}, undeclared=REPORT)["changed"]
    host.plug(NEW_CARD)
    assert host.driver(NEW) == "vfio-pci"
    assert not host.run({"cards": [OPTIONAL] + by(EDU)}, undeclared=REPORT)["changed"]
    host.release("cards")
    assert host.driver(NEW) == "e1000e"


def test_a_renamed_policy_keeps_its_standing_rule_and_what_that_took(host):
    host.run({"gpus": [KIND]}, undeclared=REPORT)
    host.plug(NEW_CARD)
    assert host.driver(NEW) == "vfio-pci"
    host.faults.reset()
    host.run({"cards": [KIND]}, undeclared=REPORT)
    assert (writes(host), host.rules("gpus"), NEW in host.rules("cards")) == ([], None, False)
    assert not host.run({"cards": [KIND]}, undeclared=REPORT)["changed"]
    host.release("cards")
    assert {host.driver(one) for one in (NIC, TWIN, NEW)} == {"e1000e"}


def test_a_device_declared_native_leaves_the_policy_that_nobody_declares(host):
    host.run({"gpus": [BY_NAME] + by(NVME)}, undeclared=REPORT)
    converge(host, {"host": [dict(BY_NAME, driver="native")], "disks": by(NVME)})
    assert (host.driver(NIC), host.rules("gpus")) == ("e1000e", None)


def test_rules_for_this_boot_only_are_moved_too(host):
    host.run({"gpus": [BY_NAME]}, undeclared=REPORT, at_boot=False)
    host.faults.reset()
    assert host.run({"cards": [BY_NAME]}, undeclared=REPORT, at_boot=False)["changed"]
    assert (writes(host), host.rules("gpus", volatile=True)) == ([], None)
    assert not host.run({"cards": [BY_NAME]}, undeclared=REPORT, at_boot=False)["changed"]
    host.release("cards")
    assert host.driver(NIC) == "e1000e"


def test_functions_of_s390_change_their_owner_by_what_pins_them(make_host):
    host = make_host(hosts.s390())
    (address, *dummy) = [one for one, device in host.survey().devices.items() if device.zpci]
    converge(host, {"gpus": by(address)})
    host.faults.reset()
    host.run({"cards": by(address)}, undeclared=REPORT)
    assert (writes(host), host.rules("gpus")) == ([], None)


def test_what_stays_of_a_policy_that_nobody_declares_stays_byte_for_byte(host):
    host.run({"gpus": [BY_NAME, {"match": {"address": EDU}, "driver": "vfio-pci"}]}, undeclared=REPORT)
    alone = host.rules("gpus")
    host.run({"gpus": [BY_NAME, {"match": {"address": EDU}, "driver": "vfio-pci"}] + by(NVME)}, undeclared=REPORT)
    host.run({"disks": by(NVME)}, undeclared=REPORT)
    assert host.rules("gpus") == alone
    assert undeclared(host, {"disks": by(NVME)}) == ["gpus"]
    host.reboot()
    assert host.driver(NIC) == "vfio-pci"


def test_the_rules_that_load_a_driver_go_with_its_last_device(make_host):
    host = make_host(hosts.with_modules(hosts.x86(), hosts.VARIANT))
    host.run({"gpus": by(NVME)}, undeclared=REPORT)
    alone = host.rules("gpus")
    host.run({"gpus": by(NVME, hosts.VIRTIO)}, undeclared=REPORT)
    host.run({"virtio": by(hosts.VIRTIO)}, undeclared=REPORT)
    assert host.rules("gpus") == alone


def test_a_file_that_was_changed_by_hand_is_not_edited_and_nothing_is_touched(host):
    host.run({"gpus": [BY_NAME] + by(NVME)}, undeclared=REPORT)
    host.tree.put(f"{host.files.boot_rules}/60-vfio-host-gpus.rules", host.rules("gpus").replace("\n\n", "\n"))
    before = host.snapshot()
    with pytest.raises(PlanError, match="60-vfio-host-gpus.rules was changed by hand.*declare policy gpus"):
        host.run({"disks": by(NVME)}, undeclared=REPORT)
    assert host.snapshot() == before


def test_a_device_in_use_changes_its_owner(host):
    host.run({"gpus": [BY_NAME]}, undeclared=REPORT)
    host.kernel.hold(NIC, 4242, "qemu")
    host.run({"cards": [BY_NAME]}, undeclared=REPORT)
    assert (host.driver(NIC), host.rules("gpus")) == ("vfio-pci", None)


def test_a_device_that_moved_to_another_slot_changes_its_owner_and_its_twin_is_given_back(host):
    serial = {"match": {"serial": "52-54-00-ff-ff-00-03-02"}}
    host.run({"gpus": [serial]}, undeclared=REPORT)
    swap(host, NIC, TWIN)
    result = converge(host, {"cards": [serial]})
    assert {one["address"]: one["status"] for one in result["devices"]} == {TWIN: "bound", NIC: "released"}
    assert (host.driver(NIC), host.driver(TWIN), host.rules("gpus")) == ("e1000e", "vfio-pci", None)


def test_a_new_name_does_not_accept_another_device_at_the_address(host):
    host.run({"gpus": by(NIC)}, undeclared=REPORT)
    swap(host, NIC, TWIN)
    before = host.snapshot()
    with pytest.raises(PlanError, match=f"policy cards, devices.0.: another device is at {NIC}: .*release policy gpus first"):
        host.run({"cards": by(NIC)}, undeclared=REPORT)
    assert host.snapshot() == before


# Killed on the way.


@pytest.mark.exhaustive
@pytest.mark.parametrize("boots", [False, True])
@pytest.mark.parametrize("how", [REPORT, RELEASE])
@pytest.mark.parametrize("name", sorted(set(MOVES) - {"swapped"}))
def test_a_run_that_is_killed_while_owners_change_is_gone_on_with(make_host, name, how, boots):
    before, after = MOVES[name]

    def prepared():
        host = make_host(SPEC)
        host.run(before, undeclared=REPORT)
        return host

    wanted = prepared()
    wanted.run(after, undeclared=how)
    for index, host in deaths(prepared, lambda host: host.run(after, undeclared=how), 1):
        if boots:
            host.reboot()
        assert (host.driver(NIC), host.driver(NVME)) == ("vfio-pci", "vfio-pci"), f"killed before step {index}"
        host.faults.reset()
        host.run(after, undeclared=how)
        assert writes(host) == [], f"killed before step {index}"
        assert {one: host.rules(one) for one in ("gpus", "cards", "disks")} == {one: wanted.rules(one) for one in ("gpus", "cards", "disks")}
        assert not host.run(after, undeclared=how)["changed"]


def renamed_halfway(make_host):
    """A host on which a rename was killed between the new file and the old one."""

    def prepared():
        host = make_host(SPEC)
        host.run({"gpus": [BY_NAME]}, undeclared=REPORT)
        return host

    found = [
        host for dummy, host in deaths(prepared, lambda host: host.run({"cards": [BY_NAME]}, undeclared=REPORT), 1)
        if host.rules("gpus") and host.rules("cards")
    ]
    assert found
    return found[0]


@pytest.mark.parametrize(("one", "other"), [("gpus", "cards"), ("cards", "gpus")])
def test_a_device_in_the_files_of_two_policies_is_given_back_with_the_last_of_them(make_host, one, other):
    host = renamed_halfway(make_host)
    result = host.release(one)
    assert (host.driver(NIC), result["devices"], host.rules(one)) == ("vfio-pci", [], None)
    assert f"{NIC} is not given back with policy {one}: policy {other} has it, too" in result["warnings"]
    host.reboot()
    assert host.driver(NIC) == "vfio-pci"
    host.release(other)
    assert (host.driver(NIC), host.rules(other)) == ("e1000e", None)


def test_a_device_in_the_files_of_two_policies_is_given_back_once_where_all_is(make_host):
    host = renamed_halfway(make_host)
    predicted = host.run(None, check=True, present=False)
    result = host.run(None, present=False)
    assert result == predicted
    assert [one["address"] for one in result["devices"]] == [NIC]
    assert (host.driver(NIC), host.rules("gpus"), host.rules("cards")) == ("e1000e", None, None)
    assert not host.run(None, present=False)["changed"]


def test_a_task_about_single_policies_says_how_a_device_changes_its_owner(host):
    host.run({"gpus": [BY_NAME]})
    with pytest.raises(PlanError, match=r"declare both policies in one task of vfio.host.passthrough \(gpus: \[\] where"):
        host.run({"cards": [BY_NAME]})


@pytest.mark.parametrize("how", [REPORT, RELEASE, IGNORE])
def test_a_run_for_the_next_boot_renames_as_well(host, how):
    host.run({"gpus": [BY_NAME]}, undeclared=REPORT)
    wish = {"cards": [BY_NAME], "gpus": []}
    host.run(wish, undeclared=how, now=False)
    assert (host.driver(NIC), host.rules("gpus")) == ("vfio-pci", None)
    host.reboot()
    assert host.driver(NIC) == "vfio-pci"
    assert not host.run(wish, undeclared=how)["changed"]


# Two policies, one device.


@pytest.mark.parametrize("driver", ["auto", "vfio-pci", "native"])
def test_two_policies_that_select_one_device_are_an_error_that_names_both(host, driver):
    wish = {"a": [dict(BY_NAME, driver=driver)], "b": [{"match": {"vendor": "8086", "device": "10d3"}, "count": 2, "driver": driver}]}
    before = host.snapshot()
    with pytest.raises(PlanError) as caught:
        host.run(wish)
    assert host.snapshot() == before
    (message,) = caught.value.messages
    assert message.startswith(f"{NIC} is claimed twice: for ")
    assert "by policy a, devices[0], " in message and "by policy b, devices[0]: a device belongs to one policy" in message


def test_two_entries_of_one_policy_may_select_one_device(host):
    host.take(BY_NAME, {"match": {"vendor": "8086", "device": "10d3"}, "count": 2})
    assert host.driver(NIC) == "vfio-pci"


def test_two_policies_that_extend_to_one_device_are_an_error_and_one_that_declares_it_is_none(make_host):
    group = tuple(replace(one, group="40") if one.address in (NIC, TWIN, EDU) else one for one in hosts.x86().functions)
    host = make_host(hosts.x86(functions=group))
    wish = {name: [dict(by(address)[0], iommu_group="extend")] for name, address in (("a", NIC), ("b", TWIN))}
    with pytest.raises(PlanError, match=f"{EDU} is claimed twice: it is in IOMMU group 40, to which policy a.* and policy b.* extend"):
        host.run(wish)
    host.run(dict(wish, a=wish["a"] + by(EDU)))
    assert host.driver(EDU) == "vfio-pci"


def test_two_policies_that_mean_one_kind_have_no_standing_rule_and_say_so(host):
    kind = {"match": {"vendor": "8086", "device": "1572"}, "optional": True}
    result = host.run({"a": [kind], "b": [dict(kind, match={"vendor": "8086", "device": "157*"})]})
    assert (host.rules("a"), host.rules("b")) == (None, None)
    assert [one for one in result["warnings"] if "policy b, devices[0] may mean it too, and a device belongs to one policy" in one]
