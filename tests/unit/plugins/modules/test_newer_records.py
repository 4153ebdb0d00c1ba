# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host that a newer version of the collection has changed: nothing is touched, and the message says what to do."""

from __future__ import annotations

import os
import re

import pytest

from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, NVME, PF

WISH = {"devices": [{"match": {"address": NIC}}], "policy": "p"}
OTHER = {"devices": [{"match": {"address": NVME}}], "policy": "other"}


def newer(host, path):
    """Have every record of a rules file be of a version to come."""
    host.tree.put(path, re.sub(r"^(# [a-z]+ \{)", r'\1"v": 2, "by": "1.4.0", ', host.files.read(path), flags=re.MULTILINE))
    return path


@pytest.mark.parametrize("options", [WISH, OTHER, {"policy": "p", "state": "absent"}, dict(WISH, now=False)])
def test_devices_of_a_newer_version_are_not_touched_by_any_policy(run_module, host, options):
    run_module(host, "driver_override", **WISH)
    path = newer(host, f"{host.files.boot_rules}/60-vfio-host-p.rules")
    before = host.snapshot()
    result = run_module(host, "driver_override", **options)
    assert f"{path}, line 4 was written by another version of this collection (format 2, which vfio.host 1.4.0 and later write" in result["msg"]
    assert "update the collection on the controller" in result["msg"]
    assert host.snapshot() == before


@pytest.mark.parametrize("text", [
    None, "# device {", '# device {"v": 2}\n', '# device {"address": ' + "[" * 100000 + "\n",
    "# device {\udcff}\n", '# standing {"patterns": {"vendor": 5}}\n',
])
def test_facts_of_such_a_host_have_a_warning_and_all_devices(run_module, host, text):
    run_module(host, "driver_override", **WISH)
    path = f"{host.files.boot_rules}/60-vfio-host-p.rules"
    if text is None:
        newer(host, path)
    else:
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(text)
    result = run_module(host, "pci_facts", owners=True)
    assert NIC in result["ansible_facts"]["vfio_host"]["devices"]
    assert path in str(result["warnings"])


def test_vfs_of_a_newer_version_are_not_touched(run_module, small):
    wish = {"devices": [{"match": {"address": PF}, "numvfs": 2}]}
    run_module(small, "sriov_vfs", **wish)
    newer(small, f"{small.files.boot_rules}/59-vfio-host-sriov.rules")
    before = small.snapshot()
    for options in (wish, {"state": "absent"}):
        result = run_module(small, "sriov_vfs", **options)
        assert "59-vfio-host-sriov.rules, line 4 was written by another version" in result["msg"]
        assert small.snapshot() == before


@pytest.mark.parametrize("name", ["journal.json", "record.json", "taken-back.json"])
def test_a_journal_of_a_newer_version_is_kept(run_module, host, name):
    host.tree.put(f"{host.files.journal}/{name}", '{"v": 2, "by": "1.4.0"}')
    before = host.snapshot()
    result = run_module(host, "driver_override", **WISH)
    assert f"/{name} was written by another version of this collection (format 2, which vfio.host 1.4.0" in result["msg"]
    assert host.snapshot() == before


def test_a_second_run_changes_nothing_on_a_host_with_records_without_a_version(run_module, host):
    run_module(host, "driver_override", **WISH)
    before = host.snapshot()
    assert '"v"' not in host.rules("p")
    assert not run_module(host, "driver_override", **WISH)["changed"]
    assert host.snapshot() == before


def test_a_record_that_is_cut_off_is_no_record_that_is_absent(run_module, host):
    run_module(host, "driver_override", **WISH)
    path = f"{host.files.boot_rules}/60-vfio-host-p.rules"
    text = host.files.read(path)
    os.unlink(path)
    host.tree.put(path, text[:text.index('"driver"')])
    result = run_module(host, "driver_override", **OTHER)
    assert "line 4: this record cannot be read" in result["msg"]
    assert host.driver(NVME) == "nvme"


ALL = {
    "devices": {"p": WISH["devices"]}, "sriov": [{"match": {"address": PF}, "numvfs": 2}], "nodes": {"p": {"owner": "root"}}, "initramfs": False,
}


@pytest.mark.parametrize("text", ["", "\n\n", "# device\n", "\ufeff# Policy \"p\" of the Ansible collection vfio.host.\n"])
@pytest.mark.parametrize("name", ["59-vfio-host-sriov.rules", "60-vfio-host-p.rules", "70-vfio-host-nodes.rules"])
def test_a_rules_file_that_was_emptied_does_not_say_that_nothing_was_taken(run_module, host, name, text):
    assert not run_module(host, "passthrough", **ALL).get("failed")
    path = f"{host.files.boot_rules}/{name}"
    os.unlink(path)
    host.tree.put(path, text)
    before = host.snapshot()
    for options in (ALL, {"state": "absent", "initramfs": False}):
        for check in (True, False):
            result = run_module(host, "passthrough", check=check, **options)
            assert f"{path} does not begin as a run of this collection wrote it" in result["msg"]
    assert ("60-" in name) == (path in str(run_module(host, "pci_facts", owners=True).get("warnings")))
    assert host.snapshot() == before
