# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

import pytest
from virtlab import host
from virtlab.errors import LabError


def refused(description, *words):
    with pytest.raises(LabError) as caught:
        host.parse("box", description)
    for word in words:
        assert re.search(word, str(caught.value)), str(caught.value)


def test_every_host_of_the_lab_is_valid():
    assert "x86-trixie" in host.names()
    for name in host.names():
        assert host.load(name).name == name


def test_a_description_becomes_values(description):
    parsed = host.parse("box", description)
    assert (parsed.cpus, parsed.memory, parsed.disk_size) == (2, 2048, "4G")
    assert parsed.initramfs == "initramfs-tools"
    assert parsed.device("nic-a").present
    assert not parsed.device("disk-a").present


def test_an_unknown_host_is_named_with_those_that_exist():
    with pytest.raises(LabError, match=r"no host 'nope': there are .*x86-trixie"):
        host.load("nope")


def test_an_unknown_device_is_named_with_those_that_exist(description):
    with pytest.raises(LabError, match=r"no device x: it has nic-a, disk-a"):
        host.parse("box", description).device("x")


def test_text_that_is_not_yaml_is_one_line(tmp_path):
    (tmp_path / "box.yml").write_text("a: [", encoding="utf-8")
    with pytest.raises(LabError) as caught:
        host.load("box", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [None, [], "text"])
def test_a_description_has_to_be_a_mapping(data):
    refused(data, "host box is not a mapping")


@pytest.mark.parametrize("key", ["summary", "architecture", "machine", "suite", "disk", "nic", "boot"])
def test_a_missing_key_is_named(description, key):
    del description[key]
    refused(description, f"lacks {key}")


def test_an_unknown_key_is_named(description):
    description["memmory"] = 1
    refused(description, "unknown key 'memmory'")


@pytest.mark.parametrize("value", ["2", True, 1.5])
def test_a_number_has_to_be_a_number(description, value):
    description["cpus"] = value
    refused(description, "cpus is", "int")


@pytest.mark.parametrize("key, known", [("machine", "q35"), ("iommu", "intel, none"), ("boot", "direct"),
                                        ("architecture", "amd64"), ("initramfs", "dracut, initramfs-tools")])
def test_an_unknown_choice_comes_with_the_known_ones(description, key, known):
    description[key] = "other"
    refused(description, f"{key} 'other' is not known", f"choose from .*{known}")


@pytest.mark.parametrize("mac", [None, "52:54:00:76:01", "53:54:00:76:01:01", "52:54:00:76:01:0A"])
def test_a_nic_needs_a_fixed_unicast_mac(description, mac):
    description["devices"][0]["mac"] = mac
    refused(description, r"devices\[0\] \(nic-a\) needs a fixed mac")


def test_an_nvme_needs_a_serial(description):
    del description["devices"][1]["serial"]
    refused(description, r"\(disk-a\) needs a serial")


def test_a_bus_has_to_exist(description):
    description["devices"][0]["bus"] = "slot9"
    refused(description, "nic-a is on bus slot9, which does not exist")


def test_what_is_no_pci_function_may_be_on_a_device_s_own_bus(description):
    description["devices"] += [{"id": "hda", "model": "intel-hda", "bus": "pcie.0"}, {"id": "codec", "model": "hda-output", "bus": "hda.0"}]
    assert host.parse("box", description).device("codec").bus == "hda.0"


def test_a_wire_is_for_a_nic(description):
    description["devices"][1]["wire"] = {"end": "near", "other": "far"}
    refused(description, r"\(disk-a\) cannot have a wire")


@pytest.mark.parametrize("wire, said", [
    ({"end": "near"}, "wire lacks other"), ({"end": "near", "other": "../far"}, "wire: bad name"), ({"end": "near", "other": "far", "x": 1}, "unknown key 'x'"),
])
def test_a_wire_has_two_ends_with_names(description, wire, said):
    description["devices"][0]["wire"] = wire
    refused(description, said)


@pytest.mark.parametrize("change, what", [
    ({"id": "nic-a", "model": "edu", "bus": "pcie.0"}, "id nic-a"),
    ({"id": "other", "model": "e1000e", "bus": "pcie.0", "mac": "52:54:00:76:01:01"}, "mac 52:54:00:76:01:01"),
    ({"id": "other", "model": "nvme", "bus": "pcie.0", "serial": "NV01"}, "serial NV01"),
    ({"id": "other", "model": "e1000e", "bus": "pcie.0", "mac": "52:54:00:76:01:03", "wire": {"end": "near", "other": "far"}}, "end of a wire near"),
    ({"id": "other", "model": "edu", "bus": "slot1"}, "slot occupied at start slot1"),
    ({"id": "other", "model": "edu", "bus": "pcie.0", "addr": "06"}, "place pcie.0 06"),
])
def test_what_has_to_be_unique_is_refused_twice(description, change, what):
    description["devices"][0]["wire"] = {"end": "near", "other": "far"}
    description["devices"].append(change)
    refused(description, f"{what} is used twice")


def test_two_devices_may_share_a_slot_when_one_is_absent_at_start(description):
    description["devices"].append({"id": "other", "model": "edu", "bus": "slot2"})
    assert host.parse("box", description).device("other").bus == "slot2"


@pytest.mark.parametrize("size", ["4", "4T", 4, "G"])
def test_a_disk_size_has_a_unit(description, size):
    description["disk"]["size"] = size
    refused(description, "disk size")


def test_two_devices_change_places_and_nothing_else_does(description):
    description["devices"][1]["present"] = True
    before = host.parse("box", description)
    after = host.swapped(before, "nic-a", "disk-a")
    assert [(one.id, one.bus) for one in after.devices] == [("nic-a", "slot2"), ("disk-a", "slot1")]
    assert host.swapped(after, "disk-a", "nic-a") == before


@pytest.mark.parametrize("pair", [("nic-a", "nic-a"), ("nic-a", "disk-a"), ("nic-a", "x")])
def test_what_cannot_change_places_is_named(description, pair):
    with pytest.raises(LabError, match=pair[1]):
        host.swapped(host.parse("box", description), *pair)


def test_functions_that_change_places_change_their_uids(functions):
    after = host.swapped(host.parse("box", functions), "nic-a", "disk-a")
    assert [(one.id, one.zpci) for one in after.devices] == [("nic-a", host.Zpci(2, 18)), ("disk-a", host.Zpci(1, 17))]


@pytest.mark.parametrize("zpci, what", [
    ({"uid": 2, "fid": 1}, "uid 2 is used twice"), ({"uid": 1, "fid": 18}, "fid 18 is used twice"),
    (None, "device nic-a needs a zpci"), ({"uid": 1}, "lacks fid"), ({"uid": 1, "fid": "0x1"}, "fid is '0x1'"),
    ({"uid": 1, "fid": 1, "pchid": 1}, "unknown key 'pchid'"),
])
def test_what_names_a_function_is_checked(functions, zpci, what):
    functions["devices"][0]["zpci"] = zpci
    refused(functions, what)


def test_a_machine_with_slots_has_no_functions_with_uids(description):
    description["devices"][0]["zpci"] = {"uid": 1, "fid": 1}
    refused(description, "device nic-a cannot have a zpci")


@pytest.mark.parametrize("change", [{"size": "much"}, {"size": "1G", "model": "edu"}])
def test_a_size_is_for_a_disk(description, change):
    description["devices"].append(dict({"id": "kept", "model": "nvme", "bus": "slot2", "serial": "K1"}, **change))
    refused(description, "size")


def test_a_network_is_for_a_network_card(description):
    description["devices"].append({"id": "disk", "model": "nvme", "bus": "slot2", "serial": "K1", "network": True})
    refused(description, "network is for network cards")


def test_a_network_card_has_a_network_or_a_wire(description):
    description["devices"][0].update(network=True, wire={"end": "one", "other": "two"})
    refused(description, "has a network and a wire")


def test_a_root_port_needs_its_address(description):
    del description["ports"][0]["addr"]
    refused(description, "port slot1 needs an addr")


def test_a_host_bridge_has_no_address(description):
    description.update(architecture="ppc64el", machine="pseries", iommu="hypervisor", devices=[])
    description["disk"].update(bus="pci.0")
    description["nic"].update(bus="pci.0")
    refused(description, "port slot1 cannot have an addr")
