# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines of rules files: udev stops reading a file at one of more than 16,384 bytes, and nobody is told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices import rules
from ansible_collections.vfio.host.plugins.module_utils._devices.lines import fits, joined, size
from ansible_collections.vfio.host.plugins.module_utils._devices.record import Record
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._sriov import rules as sriov_rules
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, SLOT, TWIN
from ansible_collections.vfio.host.tests.unit.fake.udev import load_rules

IDS = {"vendor": "8086", "device": "10d3", "subsystem_vendor": "8086", "subsystem_device": "0000", "class": "020000"}
MACS = [f"52:54:00:{number >> 8:02x}:{number & 255:02x}:00" for number in range(1200)]
FLEET = {"match": {"mac": MACS + ["52:54:00:00:03:02"]}, "optional": True}


def record(**changes):
    known = Record(NIC, IDS, "vfio-pci", "vfio_pci", {"driver": "e1000e", "net": [], "serial": None}, match="")
    return replace(known, **changes)


def lines_of(text):
    return [line + "\n" for line in text.split("\n")[:-1]]


def length_of_record(match):
    (line,) = [one for one in lines_of(rules.render("p", [record(match=match)])) if one.startswith("# device")]
    return len(line.encode())


@pytest.mark.parametrize("length, is_read", [(16383, True), (16384, True), (16385, False)])
def test_a_line_has_16384_bytes_at_most_with_its_newline(length, is_read):
    line = "#" + "x" * (length - 2)
    assert (size(line), fits(line)) == (length, is_read)
    if is_read:
        assert joined(["# first", line], whose="policy p", remedy="do less") == f"# first\n{line}\n"
    else:
        with pytest.raises(PlanError, match=rf"policy p: .* {length} bytes, .* more than 16384: #xxx.*; do less"):
            joined(["# first", line], whose="policy p", remedy="do less")


def test_bytes_count_and_not_characters():
    assert fits("ä" * 8191)
    assert not fits("ä" * 8192)


@pytest.mark.parametrize("line", ["x\\", "x\ny", "x\ry", "x\0y"])
def test_a_line_that_udev_would_read_as_another_is_refused(line):
    with pytest.raises(PlanError, match="would not read this as one line"):
        joined([line], whose="policy p", remedy="do less")


@pytest.mark.parametrize("length, is_whole", [(16383, True), (16384, True), (16385, False)])
def test_a_match_is_kept_as_it_is_where_its_line_is_read_and_else_as_a_digest(length, is_whole):
    match = "m" * (length - length_of_record(""))
    text = rules.render("p", [record(match=match)])
    assert all(len(line.encode()) <= 16384 for line in lines_of(text))
    (found,) = rules.parse(text, "x")
    assert (found.match == match) is is_whole
    assert found.was_taken_by(match) and not found.was_taken_by(match + "x")
    assert rules.render("p", [found]) == text


def test_a_record_that_no_digest_makes_short_enough_is_refused_by_name():
    net = [{"name": f"enp2s0np0v{number}", "mac": MACS[number]} for number in range(400)]
    with pytest.raises(PlanError, match=rf"policy p: the record of {NIC} .* the device's 400 network interfaces; remove"):
        rules.render("p", [record(was={"driver": "mlx5_core", "net": net, "serial": None})])


@pytest.mark.parametrize("options", [{}, {"at_boot": False}])
def test_a_list_for_a_whole_fleet_is_taken_by_udev_too(host, options):
    predicted = host.take(FLEET, check=True, **options)
    assert host.take(FLEET, **options) == predicted
    text = host.rules(volatile=bool(options))
    assert max(len(line.encode()) for line in lines_of(text)) <= 16384
    assert not host.take(FLEET, **options)["changed"]
    if not options:
        host.reboot()
        assert host.driver(NIC) == "vfio-pci"
        assert not host.take(FLEET)["changed"]


def test_a_device_of_a_long_list_keeps_its_rule_while_it_is_absent(host):
    host.take(FLEET)
    host.unplug(NIC)
    assert not host.take(FLEET)["changed"]
    assert 'DEVPATH=="/devices/pci0000:00/0000:00:06.0/0000:??:00.0"' in host.rules()
    host.take({"match": {"mac": MACS}, "optional": True})
    assert NIC not in (host.rules() or "")


def test_a_record_of_an_older_run_with_the_whole_text_is_read_and_made_short(host):
    host.take(FLEET)
    digest = rules.parse(host.rules(), "x")[0].match
    text = "mac=" + ",".join(FLEET["match"]["mac"])
    path = f"{host.files.boot_rules}/60-vfio-host-p.rules"
    host.tree.put(path, host.rules().replace(digest, text))
    host.reboot()
    assert host.driver(NIC) == "e1000e"  # since udev did not read its rule
    assert host.take(FLEET)["changed"]
    assert not host.take(FLEET)["changed"]
    host.reboot()
    assert host.driver(NIC) == "vfio-pci"


def test_a_record_of_an_older_run_whose_line_is_read_stays_as_it_is(host):
    some = {"match": {"mac": MACS[:600] + ["52:54:00:00:03:02"]}, "optional": True}
    host.take(some)
    assert ",".join(some["match"]["mac"]) in host.rules()
    assert not host.take(some)["changed"]


# Standing rules.


def kinds(count, **more):
    return {"match": dict({"vendor": "8086", "device": [f"{number:04x}" for number in range(0x1000, 0x1000 + count)]}, **more),
            "optional": True}


@pytest.mark.parametrize("wish", [
    kinds(5000),
    kinds(3, address=[f"0000:{bus:02x}:{slot:02x}.*" for bus in range(1, 100) for slot in range(32)]),
])
def test_a_long_list_of_kinds_stands_in_several_rules_that_udev_reads(make_host, wish):
    host = make_host(hosts.x86())
    host.take(wish)
    text = host.rules()
    assert text.count("# standing") > 1
    assert max(len(line.encode()) for line in lines_of(text)) <= 16384
    assert not host.take(wish)["changed"]
    kind = replace(hosts.e1000e("0000:07:00.0", "30", SLOT, 7), ids="8086:1002:8086:0000")
    host.plug(kind)
    assert host.driver("0000:07:00.0") == "vfio-pci"
    assert not host.take(wish)["changed"]
    host.release()
    assert host.rules() is None and host.driver("0000:07:00.0") is None


def test_a_pattern_that_cannot_be_split_is_refused_with_entry_size_and_remedy(host):
    before = host.snapshot()
    for check in (True, False):
        with pytest.raises(PlanError, match=r"policy p, devices\[0\]: .* line of \d{5} bytes, .* 16384 at most; write a shorter pattern"):
            host.take(kinds(1, address="0000:" + "*" * 17000), check=check)
    assert host.snapshot() == before


# Virtual functions.


def pf_record(count):
    vfs = tuple(f"0000:{1 + (number >> 8):02x}:{number >> 3 & 31:02x}.{number & 7}" for number in range(count))
    return sriov_rules.PfRecord("0000:01:00.0", IDS, vfs, False, {"numvfs": 0, "autoprobe": True})


def test_as_many_vfs_as_one_line_has_room_for_are_recorded_and_more_are_refused():
    for text in sriov_rules.render([pf_record(1000)]):
        assert max(len(line.encode()) for line in lines_of(text)) <= 16384
    with pytest.raises(PlanError, match=r"59-vfio-host-sriov.rules: .* bytes, .*: # pf \{.*; declare fewer VFs"):
        sriov_rules.render([pf_record(1100)])


# What the fake host claims of udev.


@pytest.mark.parametrize("length, count", [(16383, 2), (16384, 2), (16385, 1)])
def test_the_simulated_udev_stops_at_a_long_line_without_a_word(tmp_path, length, count):
    rule = f'KERNEL=="{TWIN}", ENV{{X}}="1"'
    (tmp_path / "60-x.rules").write_text(f"{rule}\n# {'x' * (length - 3)}\n{rule}\n")
    assert len(load_rules([str(tmp_path)])) == count


def test_a_record_is_ascii_whatever_the_match_holds():
    text = rules.render("p", [record(match="serial=ä\udc80\u2028")])
    assert text.isascii()
    assert json.loads(text.split("# device ")[1].split("\n")[0])["match"] == "serial=ä\udc80\u2028"
