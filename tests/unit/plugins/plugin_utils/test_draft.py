# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The draft of a host's variables: what it says, and that it never costs anybody a file."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import yaml

from ansible_collections.vfio.host.plugins.module_utils._devices.spec import parse_declarations
from ansible_collections.vfio.host.plugins.module_utils._sriov.spec import parse_entries
from ansible_collections.vfio.host.plugins.plugin_utils import _draft
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PAIR, PAIR2, PF, ROOT_DISK, UPLINK, VGA


@pytest.fixture
def facts(result_of, host):
    return result_of(host, "pci_facts", owners=True)["ansible_facts"]["vfio_host"]


def uncommented(text):
    """What the draft declares once all of its entries are taken out of their comments."""
    return yaml.safe_load(re.sub(r"^# (?=passthrough_|  )", "", text, flags=re.MULTILINE))


def test_a_draft_declares_nothing_until_it_is_edited(facts):
    assert yaml.safe_load(_draft.text(facts, host="node1")) is None


def test_what_comes_out_of_the_comments_is_a_valid_declaration_of_what_is_free(facts, host):
    found = uncommented(_draft.text(facts, host="node1"))
    assert parse_entries(found["passthrough_sriov"], "sriov", present=True)
    entries = parse_declarations(found["passthrough_devices"])["guests"]
    assert len(entries) == len(found["passthrough_devices"]["guests"])
    taken = {one["address"] for one in host.run(found["passthrough_devices"])["devices"]}
    assert {NIC, PAIR, PAIR2, PF} <= taken and not {UPLINK, ROOT_DISK, VGA} & taken


def test_a_group_is_one_entry(facts):
    entries = uncommented(_draft.text(facts, host="node1"))["passthrough_devices"]["guests"]
    assert [one for one in entries if one.get("iommu_group") == "extend"] == [
        {"match": {"mac": "52:54:00:00:05:01"}, "iommu_group": "extend"}
    ]


def test_with_the_iommu_off_the_draft_has_what_it_keeps_away(result_of, make_host):
    facts = result_of(make_host(hosts.x86(iommu=False)), "pci_facts", owners=True)["ansible_facts"]["vfio_host"]
    text = _draft.text(facts, host="node1")
    assert "The IOMMU is off" in text
    assert {"mac": "52:54:00:00:03:02"} in [one["match"] for one in uncommented(text)["passthrough_devices"]["guests"]]


def test_a_function_of_s390_is_found_by_its_uid(result_of, make_host):
    facts = result_of(make_host(hosts.s390()), "pci_facts", owners=True)["ansible_facts"]["vfio_host"]
    found = uncommented(_draft.text(facts, host="z1"))["passthrough_devices"]["guests"]
    assert [one["match"] for one in found] == [{"uid": "0x2"}, {"uid": "0x1234"}]


def test_a_name_that_yaml_would_read_otherwise_is_quoted():
    device = {
        "zpci": None, "net": [], "is_vf": False, "serial": "12: 34 #x", "address": NIC, "vendor": "8086", "device": "0010",
    }
    assert yaml.safe_load(_draft._flow(_draft.identity(device, Counter()))) == {"serial": "12: 34 #x"}


@pytest.mark.parametrize("macs", [
    ("00:00:00:00:00:00",), (None,), ("80:00:00:48:fe:80:00:00:00:00:00:00:24:8a:07:03:00:12:34:56",), ("52:54:00:00:00:01", "9a:00:00:00:00:01"),
])
def test_an_address_that_need_not_be_there_at_the_next_boot_identifies_no_card(macs):
    net = [{"name": f"if{number}", "mac": mac, "address": mac} for number, mac in enumerate(macs)]
    device = {"zpci": None, "net": net, "is_vf": False, "serial": None, "address": NIC, "vendor": "15b3", "device": "1013"}
    assert _draft.identity(device, Counter()) == {"address": NIC, "vendor": "15b3", "device": "1013"}


def test_a_serial_number_that_two_devices_have_identifies_none():
    device = {"zpci": None, "net": [], "is_vf": False, "serial": "S", "address": NIC, "vendor": "8086", "device": "0010"}
    shared = _draft._counts({"devices": {NIC: device, "0000:09:00.0": dict(device, address="0000:09:00.0")}})
    assert _draft.identity(device, shared) == {"address": NIC, "vendor": "8086", "device": "0010"}


@pytest.mark.parametrize("serial", ["S[1]", "S*", "S?", " S", "{{ S }}", "{% S"])
def test_a_serial_number_that_a_match_would_not_take_as_it_is_identifies_none(serial):
    device = {"zpci": None, "net": [], "is_vf": False, "serial": serial, "address": NIC, "vendor": "8086", "device": "0010"}
    assert _draft.identity(device, Counter()) == {"address": NIC, "vendor": "8086", "device": "0010"}


@pytest.mark.parametrize("hostile", ["x\npassthrough_devices: {}", "\x1b[2J", "\x85a: b", "\u2028a: b", "\ufeff", "\0", "\udce9"])
def test_no_text_of_a_device_ends_a_comment_or_is_no_yaml(facts, hostile):
    for device in facts["devices"].values():
        device.update(serial=hostile, device_name=hostile, path=hostile)
        for card in device["net"]:
            card["name"] = hostile
    text = _draft.text(facts, host="node1")
    assert text.encode() and yaml.safe_load(text) is None


def test_a_draft_is_written_into_a_directory_that_is_made_for_it_and_read_again(facts, tmp_path):
    path, text = str(tmp_path / "host_vars" / "node1.yml"), _draft.text(facts, host="node1")
    assert _draft.before(path, host="node1") is None
    _draft.write(path, text)
    assert _draft.before(path, host="node1") == text
    assert [one.name for one in (tmp_path / "host_vars").iterdir()] == ["node1.yml"]


@pytest.mark.parametrize("change, word", [
    (lambda text: "passthrough_devices: {}\n", "is no draft"),
    (lambda text: "", "is no draft"),
    (lambda text: text + "passthrough_now: false\n", "was edited"),
    (lambda text: text.replace("# passthrough_devices", "passthrough_devices"), "was edited"),
    (lambda text: text.replace("for node1:", "for node2:", 1), "is the draft of node2"),
])
def test_a_file_of_somebody_elses_is_left_as_it_is(facts, tmp_path, change, word):
    path = tmp_path / "node1.yml"
    path.write_text(change(_draft.text(facts, host="node1")), encoding="utf-8")
    with pytest.raises(_draft.Refused, match=word):
        _draft.before(str(path), host="node1")


def test_a_file_that_cannot_be_read_or_written_is_a_sentence(tmp_path):
    (tmp_path / "directory").mkdir()
    with pytest.raises(_draft.Refused, match="left as it is"):
        _draft.before(str(tmp_path / "directory"), host="node1")
    (tmp_path / "file").write_text("")
    with pytest.raises(_draft.Refused, match="cannot be written"):
        _draft.write(str(tmp_path / "file" / "node1.yml"), "x")


def test_text_that_is_no_utf8_is_left_as_it_is(tmp_path):
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(_draft.Refused, match="left as it is"):
        _draft.before(str(tmp_path / "x"), host="node1")
