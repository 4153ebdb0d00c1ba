# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse
from ansible_collections.vfio.host.plugins.module_utils._cmdline.iommu_arguments import AMD, INTEL, is_on, turning_on
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError


@pytest.mark.parametrize("table, line, expected", [
    (INTEL, "intel_iommu=on", True),
    (INTEL, "intel_iommu=sm_on,on", True),
    (INTEL, "", False),  # may be on, by the kernel's configuration; not for sure
    (INTEL, "intel_iommu=off", False),
    (INTEL, "intel_iommu=on iommu=pt", True),
    (INTEL, "intel_iommu=on iommu=off", False),
    (INTEL, "intel_iommu", False),
    (AMD, "", True),
    (AMD, "intel_iommu=off", True),
    (AMD, "amd_iommu=off", False),
    (AMD, "iommu=off", False),
    (AMD, "amd_iommu=on iommu=pt", True),
])
def test_whether_a_command_line_has_the_iommu_on(table, line, expected):
    assert is_on(table, parse(line)) is expected


@pytest.mark.parametrize("table, line", [
    (INTEL, ""), (INTEL, "intel_iommu=off"), (INTEL, "intel_iommu=on iommu=off"), (AMD, "amd_iommu=off"), (AMD, "iommu=off"),
])
def test_what_turns_it_on_does(table, line):
    args, drop = turning_on(table, parse(line))
    words = [word for word in line.split() if (word.split("=") + [""])[1] != drop.get(word.split("=")[0])]
    words = [word for word in words if word.split("=")[0] not in args] + [f"{name}={value}" for name, value in args.items()]
    assert is_on(table, parse(" ".join(words)))


def test_without_a_table_firmware_has_to_be_told():
    with pytest.raises(PlanError, match="switch on VT-d or AMD-Vi in the firmware's setup"):
        turning_on(None, parse("intel_iommu=on"))


@pytest.mark.parametrize("table, line, look", [(INTEL, "intel_iommu=on", "dmesg | grep DMAR"), (AMD, "", "dmesg | grep AMD-Vi")])
def test_where_the_command_line_is_not_the_reason_the_kernel_log_is_named(table, line, look):
    with pytest.raises(PlanError) as caught:
        turning_on(table, parse(line))
    assert look in caught.value.messages[0]
