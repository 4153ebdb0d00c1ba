# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every format that is kept on a host has a version, and one that is newer or damaged is one clear error."""

from __future__ import annotations

import json

import pytest

from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.grubsettings import Block, DropIn
from ansible_collections.vfio.host.plugins.module_utils._cmdline.records import Kept, parse_record
from ansible_collections.vfio.host.plugins.module_utils._cmdline.records import Record as CmdlineRecord
from ansible_collections.vfio.host.plugins.module_utils._core import revert
from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
from ansible_collections.vfio.host.plugins.module_utils._devices import hotplug_rules
from ansible_collections.vfio.host.plugins.module_utils._devices import rules as device_rules
from ansible_collections.vfio.host.plugins.module_utils._host import versions
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
from ansible_collections.vfio.host.plugins.module_utils._modules import hidden_options, records
from ansible_collections.vfio.host.plugins.module_utils._sriov import rules

IDS = {"vendor": "8086", "device": "10d3", "subsystem_vendor": "8086", "subsystem_device": "0000", "class": "020000"}
DEVICE = {
    "address": "0000:02:00.0", "ids": IDS, "driver": "vfio-pci", "module": "vfio_pci", "match": "vendor: 8086",
    "was": {"driver": "e1000e", "net": [{"name": "enp2s0", "mac": "52:54:00:00:02:01"}], "serial": None},
}
LINE = CmdlineRecord({"/etc/kernel/cmdline": Kept("ro quiet\n", ("ro quiet iommu=pt\n",))}).render()
HEAD = "# Written by the Ansible collection vfio.host.\n"
JOURNAL = {"v": 1, "task": "vfio.host.x", "time": "2026-11-29 14:02:11 +0000", "resources": [["Option", {"path": "/x", "value": "1"}]]}


def a_file(name):
    """A reader of a file of the journal's directory, by its text."""
    def read(text, tmp_path, call):
        files = Files(str(tmp_path))
        files.put(f"{files.journal}/{name}", text)
        return call(files)
    return read


def journal(text, tmp_path):
    def load(files):
        found = Journal(None, files)
        return found.load() and (found.task, found.begun)
    return a_file("journal.json")(text, tmp_path, load)


# Name -> (a reader (text, tmp_path), what stands around the JSON, the JSON as a value).
FORMATS = {
    "device": (lambda text, dummy: device_rules.parse(text, "/x"), "# device {}\n", DEVICE),
    "release": (lambda text, dummy: device_rules.parse(text, "/x"), "# release {}\n", DEVICE),
    "standing": (
        lambda text, dummy: hotplug_rules.parse(text, "/x"), "# standing {}\n",
        {"driver": "vfio-pci", "module": "vfio_pci", "patterns": {"vendor": ["8086"]}},
    ),
    "pf": (lambda text, dummy: rules.parse(text, "/x"), HEAD + "# pf {}\n", {
        "address": "0000:01:00.0", "ids": IDS, "vfs": ["0000:01:10.0"], "autoprobe": False, "was": {"numvfs": 0, "autoprobe": True},
    }),
    "kernel-cmdline": (lambda text, dummy: parse_record(text, "/x"), "{}", json.loads(LINE)),
    "journal.json": (journal, "{}", JOURNAL),
    "record.json": (
        lambda text, tmp_path: a_file("record.json")(text, tmp_path, revert.read_record), "{}",
        {"v": 1, "task": "x", "seconds": 30, "deadline": 5.0},
    ),
    "taken-back.json": (
        lambda text, tmp_path: a_file("taken-back.json")(text, tmp_path, revert.read_outcome), "{}",
        {"v": 1, "task": "x", "seconds": 30, "time": "y", "problems": ["z"]},
    ),
}


def spoilt_values(value):
    """The value with one of its values replaced by others that are of a wrong type, everywhere in turn."""
    wrong = [None, True, "x\n", 10**30, -1.5, [], {}, [[]], {"a": 1}]
    if isinstance(value, dict):
        for key, one in value.items():
            for spoilt in list(spoilt_values(one)):
                yield {**value, key: spoilt}
        for key in value:
            yield {name: one for name, one in value.items() if name != key}
    elif isinstance(value, list):
        for index, one in enumerate(value):
            for spoilt in spoilt_values(one):
                yield value[:index] + [spoilt] + value[index + 1:]
    yield from wrong


DAMAGES = {
    "cut in the middle": lambda text: text[:len(text) // 2],
    "cut at its beginning": lambda text: text[:1],
    "cut at its end": lambda text: text[:-1],
    "a list": lambda dummy: "{}[]",
    "another object": lambda dummy: '{"a": 1}',
    "nothing in it": lambda dummy: "{}",
    "not UTF-8": lambda text: text.replace('": "', '": "\udcff\udcfe', 1) if '": "' in text else text[:-1] + "\udcff",
    "nested deeply": lambda text: text[:-1] + ', "a": ' + "[" * 100000 + "]" * 100000 + "}",
    "a huge number": lambda text: text[:-1] + ', "a": ' + "9" * 5000 + "}",
    "an infinite number": lambda text: text[:-1] + ', "a": 1e999}',
    "no number": lambda text: text[:-1] + ', "a": NaN}',
    "a version that is a text": lambda text: text[:-1] + ', "v": "2"}',
    "a version that is true": lambda text: text[:-1] + ', "v": true}',
    "a version below the first": lambda text: text[:-1] + ', "v": 0}',
    "a version that is a fraction": lambda text: text[:-1] + ', "v": 1.5}',
}


def read(name, text, tmp_path):
    return FORMATS[name][0](FORMATS[name][1].replace("{}", text, 1), tmp_path)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_one_clear_error(tmp_path, name, damage):
    with pytest.raises(PlanError) as caught:
        read(name, DAMAGES[damage](json.dumps(FORMATS[name][2])), tmp_path)
    (message,) = caught.value.messages
    assert "/x" in message or f"/{name}" in message
    assert "remove" in message and "\n" not in message and len(message) < 600


@pytest.mark.parametrize("name", FORMATS)
def test_a_record_with_any_value_of_a_wrong_type_is_read_or_refused(tmp_path, name):
    for value in spoilt_values(FORMATS[name][2]):
        try:
            read(name, json.dumps(value), tmp_path)
        except PlanError as error:
            (message,) = error.messages
            assert "\n" not in message, value


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("version", [2, 99, 10**20])
def test_a_newer_record_is_refused_with_its_version_who_writes_it_and_the_remedy(tmp_path, name, version):
    newer = {"v": version, "by": "1.4.0", "whatever": ["is", {"in": "it"}]}
    with pytest.raises(versions.Newer) as caught:
        read(name, json.dumps(newer), tmp_path)
    (message,) = caught.value.messages
    assert "/x" in message or f"/{name}" in message
    assert f"(format {version}, which vfio.host 1.4.0 and later write; this one reads formats up to 1)" in message
    assert message.endswith("update the collection on the controller, and run again")


@pytest.mark.parametrize("by", [None, 5, "1\n2", "", "x" * 100, "\udcff"])
def test_a_newer_record_that_does_not_say_who_writes_it_is_refused_all_the_same(by):
    with pytest.raises(versions.Newer, match=r"^/x was written by another version of this collection \(format 2; this one"):
        versions.parsed(json.dumps({"v": 2, "by": by}), "/x")


@pytest.mark.parametrize("name", FORMATS)
def test_a_record_without_a_version_is_the_first(tmp_path, name):
    value = {key: one for key, one in FORMATS[name][2].items() if key != "v"}
    without = read(name, json.dumps(value), tmp_path)
    assert without
    assert read(name, json.dumps(dict(value, v=1)), tmp_path) == without


def test_a_record_of_a_kind_to_come_is_not_passed_over():
    with pytest.raises(versions.Newer, match="line 2"):
        device_rules.parse('#\n# bridge {"v": 2}\n', "/x")
    with pytest.raises(PlanError, match="no version up to this one writes 'bridge'"):
        rules.parse('# bridge {}\n', "/x")


def test_a_rules_file_that_ends_in_the_middle_of_a_line_may_lack_records():
    text = f'# device {json.dumps(DEVICE)}\nACTION=="add"\n'
    assert device_rules.parse(text, "/x")
    with pytest.raises(PlanError, match="line 2: the file ends in the middle of a line"):
        device_rules.parse(text[:-3], "/x")


COMMENT = '# vfio.host {"v": 2, "by": "1.4.0"}\n'
TEXTS = {
    "modprobe.d": lambda text: records.parse_records(text, None, modprobe_path="/x", load_path="/y"),
    "modules-load.d": lambda text: records.parse_records(None, text, modprobe_path="/y", load_path="/x"),
    "module-options": lambda text: hidden_options.check(text, "/x"),
    "rules": lambda text: device_rules.parse(text, "/x"),
    "grub.d": lambda text: DropIn("/x", "update-grub", text),
    "grub": lambda text: Block("/x", "update-grub", f"A=b\n# BEGIN vfio.host.kernel_cmdline: x\n{text}# END vfio.host.kernel_cmdline\n"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_newer_file_of_lines_is_refused_by_its_comment(name):
    with pytest.raises(versions.Newer, match="^/x.* was written by another version of this collection .format 2, which vfio.host 1.4.0 and later"):
        TEXTS[name](COMMENT)
    with pytest.raises(PlanError, match="^/x, line [1-3]: this (comment|record).* cannot be read"):
        TEXTS[name]("# vfio.host {\n")


@pytest.mark.parametrize("name, text", [
    ("modprobe.d", "# vfio.host.kernel_module\noptions vfio_pci ids=80"), ("modules-load.d", "# vfio.host.kernel_module\nvfio_p"),
    ("modprobe.d", "# vfio.host.kernel_bridge\noptions vfio_pci ids=1\n"), ("modules-load.d", "# vfio.host.kernel_bridge\nvfio_pci\n"),
    ("modprobe.d", "options vfio_pci ids=\udcff\n"), ("modules-load.d", "\udcff\udcfe\n"), ("modprobe.d", "options vfio_pci ids=\u2028x\n"),
    ("module-options", "vfio_pci\n"), ("module-options", "vfio_pci 7 ids=80"), ("module-options", "vfio_pci \u00b2 ids=1\n"),
    ("module-options", "vfio_pci -7 x\n"), ("module-options", "{}\n"), ("module-options", "\udcff\n"),
    ("grub.d", 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX"\'\n'), ("grub.d", "\udcff\n"), ("grub", "GRUB_CMDL\n"),
])
def test_damaged_lines_of_ours_are_one_clear_error(name, text):
    with pytest.raises(PlanError) as caught:
        TEXTS[name](text)
    (message,) = caught.value.messages
    assert "/x" in message and any(word in message for word in ("remove", "move", "update"))


def test_what_is_remembered_of_modules_is_read_as_it_is_written():
    text = hidden_options.render({"vfio_pci": (7, {"ids": "8086:10d3", "x": None}), "kvm": (8, {"y": "\udcff"})})
    hidden_options.check(text, "/x")
    assert hidden_options.parse(text)["vfio_pci"] == (7, {"ids": "8086:10d3", "x": None})
