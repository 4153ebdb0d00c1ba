# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""proxmox-boot-tool, which says on standard error what it has done, and skips partitions with status 0."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._cmdline.area import Request
from ansible_collections.vfio.host.plugins.module_utils._core.area import report, run_areas
from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError
from ansible_collections.vfio.host.tests.unit.fake.bootloaders import ProxmoxHost
from ansible_collections.vfio.host.tests.unit.fake.sealed import planned

CMDLINE = "etc/kernel/cmdline"


def run(host, args=None, present=True, check=False):
    plans = list(run_areas({"cmdline": (host.area, Request(args, present))}, check, open_journal=lambda: Journal(host.kernel, host.files)).values())
    return {**report(plans), **plans[0].result()}


def take(host, check=False):
    return run(host, {"iommu": "pt"}, check=check)


def test_what_the_tool_says_on_standard_error_counts(tmp_path):
    host = ProxmoxHost(tmp_path)
    result = take(host)
    assert (result["changed"], result["warnings"]) == (True, [])
    assert host.boots() == "root=ZFS=rpool/ROOT/pve-1 ro quiet iommu=pt"


@pytest.mark.parametrize("how, words", [
    ("absent", "does not exist - clean '/etc/kernel/proxmox-boot-uuids'! - skipping"),
    ("empty", "says nothing of a loader there"),
])
def test_a_partition_that_is_skipped_is_named_before_and_after(tmp_path, how, words):
    host = ProxmoxHost(tmp_path)
    host.write("etc/kernel/proxmox-boot-uuids", "AAAA-BBBB\nEEEE-FFFF\nCCCC-DDDD\n")
    setattr(host, how, ("EEEE-FFFF",))
    predicted = take(host, check=True)
    assert predicted == take(host)
    (warning,) = predicted["warnings"]
    assert "leaves out the partition EEEE-FFFF" in warning
    assert words in warning
    assert host.boots().endswith("iommu=pt")
    assert "iommu=pt" not in run(host, None, False)["args"]["iommu"]["configured"]


def test_a_partition_that_is_skipped_only_then_is_named_too(tmp_path):
    host = ProxmoxHost(tmp_path)
    host.write("etc/kernel/proxmox-boot-uuids", "AAAA-BBBB\nEEEE-FFFF\nCCCC-DDDD\n")
    area = host.area
    plan = planned(area, Request({"iommu": "pt"}))
    host.empty = ("EEEE-FFFF",)
    assert plan.warnings == []
    (warning,) = area.apply(plan, Journal(host.kernel, host.files)).warnings
    assert "EEEE-FFFF" in warning and "contains no loader.conf - skipping" in warning


def test_no_partition_at_all_is_an_error_with_all_put_back(tmp_path):
    host = ProxmoxHost(tmp_path)
    before = host.read(CMDLINE)
    host.broken.add("proxmox")
    with pytest.raises(ApplyError, match="configured no partition of .*AAAA-BBBB does not exist"):
        take(host)
    assert host.read(CMDLINE) == before


def test_partitions_that_are_all_gone_are_an_error_before_anything_is_touched(tmp_path):
    host = ProxmoxHost(tmp_path)
    host.absent = ("AAAA-BBBB", "CCCC-DDDD")
    calls = list(host.calls)
    with pytest.raises(PlanError, match="names neither uefi nor grub for any partition"):
        take(host)
    assert host.calls == calls


@pytest.mark.parametrize("rest", ["# was: quiet\n", "quiet", "\n\n"])
def test_only_the_first_line_is_the_tools(tmp_path, rest):
    host = ProxmoxHost(tmp_path)
    host.write(CMDLINE, host.read(CMDLINE) + rest)
    before = host.read(CMDLINE)
    assert take(host)["args"]["iommu"]["configured"] == ["pt"]
    assert host.boots() == "root=ZFS=rpool/ROOT/pve-1 ro quiet iommu=pt"
    assert host.read(CMDLINE) == "root=ZFS=rpool/ROOT/pve-1 ro quiet iommu=pt\n" + rest
    assert not take(host)["changed"]
    run(host, None, False)
    assert host.read(CMDLINE) == before


def test_the_words_of_a_tool_that_refuses_are_told(tmp_path):
    host = ProxmoxHost(tmp_path)
    host.fail["proxmox-boot-tool"] = 1
    with pytest.raises(ApplyError, match="proxmox-boot-tool failed with status 1: .*no space left on device"):
        take(host)


@pytest.mark.parametrize("text", ["\nroot=ZFS=rpool/ROOT/pve-1 boot=zfs\n", "# root on ZFS\nroot=ZFS=rpool/ROOT/pve-1\n", ""])
def test_a_first_line_with_which_the_tool_ends_is_refused_before_it_runs(tmp_path, text):
    host = ProxmoxHost(tmp_path)
    host.write(CMDLINE, text)
    calls = len(host.calls)
    with pytest.raises(PlanError, match="its first line, the only one that proxmox-boot-tool reads, has no root="):
        take(host, check=True)
    assert len(host.calls) == calls
