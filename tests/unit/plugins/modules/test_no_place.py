# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a file of ours cannot be put, check mode and the run say the same, before anything is touched."""

from __future__ import annotations

import os
import shutil

import pytest

from ansible_collections.vfio.host.plugins.module_utils._core.area import run_areas
from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._passthrough.declaration import Declaration
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PF
from ansible_collections.vfio.host.tests.unit.fake.whole import WholeHost

OPTIONS = {
    "nodes": {"p": {"group": "kvm"}}, "iommu_node": None, "memlock": {"users": {"vm": "64G"}, "units": {"dpdk.service": "1G"}},
    "undeclared": "report", "devices": {"p": [{"match": {"address": NIC}}]}, "sriov": [{"match": {"address": PF}, "numvfs": 3}],
    "modules": [{"name": "vfio_pci", "options": {"disable_vga": True}}], "kernel_config": None, "platforms": None,
    "kernel_cmdline": {"iommu": "pt"}, "state": "present", "now": True, "at_boot": True, "force": [], "timeout": 1, "initramfs": False,
    "confirm": 0,
}
FILE, NOWHERE = "file", "nowhere"


def put(host, path, kind):
    """Something that is no directory in the place of one."""
    full = host.root + path
    if os.path.isdir(full):
        shutil.rmtree(full)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    if kind == FILE:
        host.tree.put(host.tree.root / path[1:], "# not a directory\n")
    else:
        os.symlink("/nowhere/at/all", full)


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(("path", "kind"), [
    ("/etc/udev/rules.d", NOWHERE), ("/etc/modprobe.d", FILE), ("/etc/modprobe.d", NOWHERE), ("/etc/modules-load.d", FILE),
    ("/etc/security/limits.d", FILE), ("/etc/security", NOWHERE), ("/etc/systemd/system", NOWHERE), ("/etc/systemd/system/dpdk.service.d", FILE),
    ("/etc/default/grub.d", NOWHERE),
])
def test_a_file_that_has_no_place_is_refused_before_anything_is_touched(host_path, path, kind, check):
    host = WholeHost(host_path / "host", hosts.x86(), line="quiet intel_iommu=on")
    host.tree.put(host.tree.root / "lib/systemd/system/dpdk.service", "[Service]\n")
    put(host, path, kind)
    before = host.snapshot()
    with pytest.raises(PlanError, match=rf"{path}/.* cannot be written: .*{path} is (no directory|a link that leads to no directory): mend that"):
        run_areas(
            Declaration(OPTIONS).wishes(host.kernel, host.files), check, open_journal=lambda: Journal(host.kernel, host.files, timeout=1),
        )
    assert host.snapshot() == before


def test_a_directory_that_is_a_link_to_one_is_a_place(host_path):
    host = WholeHost(host_path / "host", hosts.x86(), line="quiet intel_iommu=on")
    host.tree.put(host.tree.root / "lib/systemd/system/dpdk.service", "[Service]\n")
    os.makedirs(host.root + "/usr/share/limits")
    os.makedirs(host.root + "/etc/security")
    os.symlink("../../usr/share/limits", host.root + "/etc/security/limits.d")
    run_areas(Declaration(OPTIONS).wishes(host.kernel, host.files), True)


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(("path", "kind"), [("/run/vfio-host", FILE), ("/run/vfio-host", NOWHERE), ("/run/vfio-host/journal", FILE)])
def test_a_run_whose_journal_has_no_place_is_refused_once_before_anything_is_touched(run_module, host, path, kind, check):
    put(host, path, kind)
    before = host.drivers(), host.rules()
    result = run_module(host, "driver_override", check=check, policy="p", devices=[{"match": {"address": NIC}}])
    assert result["failed"] and result["msg"].count("mend that") == 1 and "\n" not in result["msg"]
    assert (host.drivers(), host.rules()) == before
