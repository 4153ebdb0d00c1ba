# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.iommu import blocks_group, groups_of, why_not_bindable
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device

IDS = {"vendor": "8086", "device": "10d3", "subsystem_vendor": "0000", "subsystem_device": "0000", "class": "020000"}


def device(address="0000:02:00.0", group="1", header_type=0):
    return Device(address, IDS, iommu_group=group, header_type=header_type)


def test_groups_list_their_members_in_order():
    devices = [
        device("0000:05:02.0", "9"),
        device("0000:05:01.0", "9"),
        device("0000:00:00.0", "0"),
        device("x", None),
    ]
    assert groups_of(devices) == {"9": ["0000:05:01.0", "0000:05:02.0"], "0": ["0000:00:00.0"]}


@pytest.mark.parametrize(
    ("driver", "is_vfio", "header_type", "blocks"),
    [
        (None, False, 0, False),
        ("vfio-pci", True, 0, False),
        ("pci-stub", False, 0, False),
        ("pcieport", False, 1, False),
        ("e1000e", False, 0, True),
        ("shpchp", False, 1, False),
    ],
)
def test_only_an_endpoints_own_driver_blocks_its_group(driver, is_vfio, header_type, blocks):
    assert blocks_group(device(header_type=header_type), driver=driver, is_vfio=is_vfio) is blocks


@pytest.mark.parametrize(
    ("one", "base", "noiommu", "reason"),
    [
        (device(), True, False, None),
        (device(group=None), True, True, None),
        (device(group=None), True, False, "no IOMMU group"),
        (device(header_type=1), True, False, "a bridge"),
        (device(), False, False, "no module vfio_pci"),
    ],
)
def test_what_vfio_cannot_take_has_a_reason(one, base, noiommu, reason):
    answer = why_not_bindable(one, has_base_module=base, noiommu=noiommu)
    assert answer is None if reason is None else reason in answer.reason
