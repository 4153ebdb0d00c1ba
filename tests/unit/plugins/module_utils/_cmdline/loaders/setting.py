# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Arguments that tests set and take back on the host of any boot loader, and the bytes that this leaves."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._cmdline.area import Request
from ansible_collections.vfio.host.plugins.module_utils._core.area import report, run_areas
from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal

ON = {"intel_iommu": "on", "iommu": "pt"}
DROP = {"quiet": None, "amd_iommu": "off"}
LINE = "ro  intel_iommu=off quiet console=tty0 panic=5"
RECORD = "var/lib/vfio-host/kernel-cmdline"
# Their tools put what they add at the end.
UNORDERED = ("grubby", "rpm-ostree")


def run(host, args=None, present=True, check=False, drop=None):
    plans = list(run_areas({"cmdline": (host.area, Request(args, present, drop or {}))}, check, open_journal=lambda: Journal(host.kernel, host.files)).values())
    return {**report(plans), **plans[0].result()}


def back(host, check=False):
    return run(host, None, False, check)


def snapshot(host, unordered=False):
    files = {
        str(path.relative_to(host.root)): path.read_bytes()
        for path in host.root.rglob("*")
        if path.is_file() and "proc/cmdline" not in str(path)
    }
    return {path: sorted(text.split()) for path, text in files.items()} if unordered else files
