# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hardware that moves while the host is off, or is absent: what follows it, and what stays away from its twin."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, SLOT, TWIN
from ansible_collections.vfio.host.tests.unit.fake.model import Nvme

NEW = "0000:07:00.0"
DSN = "55-cd-2e-40-4d-12-34-56"
NIC_SERIAL, TWIN_SERIAL = "52-54-00-ff-ff-00-03-02", "52-54-00-ff-ff-00-03-03"
NEW_CARD = hosts.e1000e(NEW, "30", SLOT, 7)
OPTIONAL = {"match": {"serial": NEW_CARD.dsn}, "optional": True}


def by(**match):
    return {"match": match}


def swap(host, one, other):
    """Two functions in each other's slots, with the host off."""
    places = ("address", "group", "parent")
    found = {function.address: function for function in host.kernel.spec.functions}
    first, second = found[one], found[other]
    moved = {
        one: replace(second, **{key: getattr(first, key) for key in places}),
        other: replace(first, **{key: getattr(second, key) for key in places}),
    }
    host.kernel.spec = replace(
        host.kernel.spec, functions=tuple(moved.get(function.address, function) for function in host.kernel.spec.functions)
    )
    host.reboot()


def settled(host, *entries, **options):
    """A run as check mode predicts it, and a second one that changes nothing; the first one's result."""
    predicted = host.take(*entries, check=True, **options)
    result = host.take(*entries, **options)
    assert result == predicted
    assert not host.take(*entries, **options)["changed"]
    return result


def test_twins_that_changed_slots_a_policy_by_serial_follows_in_one_run(host):
    host.take(by(serial=NIC_SERIAL))
    swap(host, NIC, TWIN)
    assert host.driver(NIC) == "vfio-pci"  # a rule cannot compare serial numbers
    result = settled(host, by(serial=NIC_SERIAL))
    assert {one["address"]: one["status"] for one in result["devices"]} == {TWIN: "bound", NIC: "released"}
    assert (host.driver(NIC), host.override(NIC), host.driver(TWIN)) == ("e1000e", None, "vfio-pci")
    assert result["devices"][1]["choice"]["reason"] == (
        f"the rule of serial {NIC_SERIAL} took it, which is at {TWIN} now"
    )
    host.reboot()
    assert (host.driver(NIC), host.driver(TWIN)) == ("e1000e", "vfio-pci")


def test_a_mac_that_vfio_hides_goes_with_the_card_and_not_with_the_slot(host):
    host.take(by(mac="52:54:00:00:03:02"), by(mac="52:54:00:00:03:03"))
    swap(host, NIC, TWIN)
    assert [one["address"] for one in settled(host, by(mac="52:54:00:00:03:02"))["devices"]] == [TWIN, NIC]
    assert (host.driver(NIC), host.driver(TWIN)) == ("e1000e", "vfio-pci")
    assert '"enp2s0"' in host.rules() and '"enp3s0"' not in host.rules()


def test_both_twins_taken_by_serial_change_slots_and_only_the_record_does(host):
    wish = by(serial=NIC_SERIAL), by(serial=TWIN_SERIAL)
    host.take(*wish)
    swap(host, NIC, TWIN)
    result = settled(host, *wish)
    assert {one["status"] for one in result["devices"]} == {"unchanged"}
    host.release()
    assert (host.driver(NIC), host.driver(TWIN)) == ("e1000e", "e1000e")


def test_a_policy_by_path_follows_the_slot(host):
    host.take(by(path="06.0-00.0"))
    swap(host, NIC, TWIN)
    (device,) = settled(host, by(path="06.0-00.0"))["devices"]
    assert (device["address"], device["driver"], device["identity"]["serial"]) == (NIC, "vfio-pci", TWIN_SERIAL)
    assert host.driver(TWIN) == "e1000e"
    host.release()
    assert host.driver(NIC) == "e1000e"


def test_by_address_with_the_twin_in_the_slot_nothing_is_touched_and_both_are_named(host):
    host.take(NIC)
    swap(host, NIC, TWIN)
    before = host.snapshot()
    with pytest.raises(PlanError) as caught:
        host.take(NIC)
    assert host.snapshot() == before
    assert caught.value.messages == [
        f"policy p, devices[0]: another device is at {NIC}: 8086:10d3 serial {TWIN_SERIAL}; udev, which cannot compare serial "
        f"numbers, gave it to vfio-pci; the policy took 8086:10d3 serial {NIC_SERIAL} there, which is at {TWIN} now; to take "
        "the new one, match it by serial, or by a path that no other device has, or release policy p first"
    ]


def test_by_address_with_other_ids_in_the_slot_nothing_is_taken(host):
    host.take(NIC)
    host.unplug(NIC)
    host.plug(replace(hosts.x86().functions[15], address=NIC, group="14", parent=hosts.ROOT_PORT))
    with pytest.raises(PlanError, match=f"another device is at {NIC}: 1b36:000e without serial number; the policy took 8086"):
        host.take(NIC)


@pytest.mark.parametrize("accepted", [{"address": NIC, "serial": TWIN_SERIAL}, {"path": "06.0-00.0"}])
def test_the_new_device_in_the_slot_is_accepted_by_serial_or_path(host, accepted):
    host.take(NIC)
    swap(host, NIC, TWIN)
    settled(host, by(**accepted))
    assert host.driver(NIC) == "vfio-pci"
    host.take(NIC)
    assert not host.take(NIC)["changed"]


def test_a_release_accepts_the_new_device_too(host):
    host.take(NIC)
    swap(host, NIC, TWIN)
    assert [one["address"] for one in host.release()["devices"]] == [NIC]
    assert (host.driver(NIC), host.rules()) == ("e1000e", None)
    assert settled(host, NIC)["changed"]


def test_a_release_leaves_a_device_with_other_ids_alone(host):
    host.take(NIC)
    swap(host, NIC, NVME)
    result = host.release()
    assert (result["devices"], host.driver(NIC), host.rules()) == ([], "nvme", None)


def test_another_policys_rule_keeps_its_slot_whatever_twin_is_there(host):
    host.run({"a": [by(serial=NIC_SERIAL)]})
    swap(host, NIC, TWIN)
    with pytest.raises(PlanError, match=f"{NIC} belongs to policy a, and policy b"):
        host.run({"b": [by(serial=TWIN_SERIAL)]})


def test_an_nvme_whose_serial_shows_elsewhere_is_not_the_one_in_the_old_slot(make_host):
    spec = hosts.x86()
    other = replace(
        next(one for one in spec.functions if one.address == NVME), address=NEW, parent=SLOT, group="30",
        nvme=Nvme("nvme1", "NV02"),
    )
    host = make_host(replace(spec, functions=spec.functions + (other,)))
    host.take(by(serial="NV01"))
    swap(host, NVME, NEW)
    assert host.driver(NVME) == "vfio-pci"
    settled(host, by(serial="NV01"))
    assert (host.driver(NVME), host.driver(NEW)) == ("nvme", "vfio-pci")


@pytest.mark.parametrize("serial", ["NV01", "nv01", DSN, "NV*"])
def test_a_disk_with_two_serial_numbers_is_found_by_either_before_and_after_vfio_hides_one(make_host, serial):
    functions = tuple(replace(one, dsn=DSN) if one.address == NVME else one for one in hosts.x86().functions)
    host = make_host(hosts.x86(functions=functions))
    (device,) = host.take({"match": {"serial": serial}})["devices"]
    assert (device["address"], device["status"], device["identity"]["serial"]) == (NVME, "bound", DSN)
    assert not host.take({"match": {"serial": serial}})["changed"]
    host.reboot()
    assert not host.take({"match": {"serial": serial}})["changed"]
    assert host.release("p")["changed"] and host.driver(NVME) == "nvme"


def test_functions_of_one_card_have_one_serial_and_are_not_confused(make_host):
    second = replace(hosts.e1000e("0000:02:00.1", "14", hosts.ROOT_PORT, 9), dsn=NIC_SERIAL)
    spec = hosts.x86()
    host = make_host(replace(spec, functions=spec.functions + (second,)))
    wish = dict(by(mac="52:54:00:00:03:09"), iommu_group="ignore")
    host.take(wish)
    host.kernel.spec = replace(host.kernel.spec, functions=tuple(
        replace(one, address="0000:07:" + one.address[-4:], parent=SLOT) if one.dsn == NIC_SERIAL else one
        for one in host.kernel.spec.functions
    ))
    host.reboot()
    assert [one["address"] for one in settled(host, wish)["devices"]] == ["0000:07:00.1"]


# Devices that are absent at the moment.


def test_an_absent_device_keeps_its_rule_while_it_is_declared(host):
    host.plug(NEW_CARD)
    host.take(OPTIONAL, EDU)
    host.unplug(NEW)
    rules = host.rules()
    assert not host.take(OPTIONAL, EDU)["changed"]
    host.reboot()
    assert not host.take(OPTIONAL, EDU)["changed"]
    host.plug(NEW_CARD)
    assert (host.driver(NEW), host.rules()) == ("vfio-pci", rules)
    assert not host.take(OPTIONAL, EDU)["changed"]


def test_an_entry_that_becomes_optional_while_its_device_is_absent_keeps_the_rule(host):
    host.plug(NEW_CARD)
    host.take(by(serial=NEW_CARD.dsn), EDU)
    host.unplug(NEW)
    with pytest.raises(PlanError, match="say optional: true"):
        host.take(by(serial=NEW_CARD.dsn), EDU)
    assert not host.take(OPTIONAL, EDU)["changed"]


@pytest.mark.parametrize("entries", [
    (EDU,),
    ({"match": {"serial": "other"}, "optional": True}, EDU),
    (dict(OPTIONAL, driver="native"), EDU),
])
def test_an_absent_device_that_is_declared_no_more_loses_its_rule(host, entries):
    host.plug(NEW_CARD)
    host.take(OPTIONAL, EDU)
    host.unplug(NEW)
    assert host.take(*entries)["changed"]
    host.plug(NEW_CARD)
    assert host.driver(NEW) == "e1000e"


def test_a_release_drops_absent_devices_too(host):
    host.plug(NEW_CARD)
    host.take(OPTIONAL)
    host.unplug(NEW)
    assert host.release()["changed"]
    assert host.rules() is None


def test_no_rule_waits_for_a_device_that_is_somewhere_else_now(host):
    host.plug(NEW_CARD)
    host.take(OPTIONAL)
    host.unplug(NEW)
    host.plug(replace(NEW_CARD, address="0000:09:00.0"))
    settled(host, OPTIONAL)
    assert NEW not in host.rules() and "0000:09:00.0" in host.rules()


def test_a_twin_in_the_slot_of_an_absent_device_is_given_back(host):
    host.plug(NEW_CARD)
    host.take(OPTIONAL)
    host.unplug(NEW)
    host.plug(hosts.e1000e(NEW, "30", SLOT, 8))
    assert host.driver(NEW) == "vfio-pci"
    settled(host, OPTIONAL)
    assert (host.driver(NEW), host.rules()) == ("e1000e", None)


def test_a_device_of_other_ids_in_the_slot_does_not_end_the_waiting(host):
    host.plug(NEW_CARD)
    host.take(OPTIONAL)
    host.unplug(NEW)
    stranger = replace(NEW_CARD, ids="8086:100e", dsn=None)
    host.plug(stranger)
    assert not host.take(OPTIONAL)["changed"]
    assert host.driver(NEW) == "e1000"
