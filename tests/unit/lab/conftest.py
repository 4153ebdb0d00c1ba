# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab is a program of its own, not part of the collection: its directory has to be on the path."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest

LAB = Path(__file__).resolve().parents[2] / "lab"
sys.path.insert(0, str(LAB))

DESCRIPTION = {
    "summary": "a host for these tests",
    "architecture": "amd64",
    "machine": "q35",
    "iommu": "intel",
    "suite": "trixie",
    "boot": "direct",
    "kernel_args": ["intel_iommu=on"],
    "disk": {"model": "virtio-blk-pci", "bus": "pcie.0", "addr": "03", "size": "4G"},
    "nic": {"model": "virtio-net-pci", "bus": "pcie.0", "addr": "04", "mac": "52:54:00:76:00:01"},
    "ports": [{"id": "slot1", "slot": 1, "addr": "05"}, {"id": "slot2", "slot": 2, "addr": "06"}],
    "devices": [
        {"id": "nic-a", "model": "e1000e", "bus": "slot1", "mac": "52:54:00:76:01:01"},
        {"id": "disk-a", "model": "nvme", "bus": "slot2", "serial": "NV01", "present": False},
    ],
}


@pytest.fixture
def description():
    """A small valid description; a test may spoil its copy."""
    return copy.deepcopy(DESCRIPTION)


@pytest.fixture
def functions(description):
    """The same host on s390: functions have a UID and a FID, and no slots."""
    description = copy.deepcopy(description)
    description.update(architecture="s390x", machine="s390-ccw-virtio", iommu="zpci", kernel_args=[], ports=[])
    description["disk"] = {"model": "virtio-blk-ccw", "bus": "virtual-css", "options": {"devno": "fe.0.0001"}}
    description["nic"] = {"model": "virtio-net-ccw", "bus": "virtual-css", "mac": "52:54:00:76:00:01"}
    for number, device in enumerate(description["devices"], 1):
        device.update(bus="pci.0", present=True, zpci={"uid": number, "fid": 16 + number})
    return description
