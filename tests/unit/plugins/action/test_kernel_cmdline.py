# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.action.kernel_cmdline import regroup


@pytest.mark.parametrize(
    "given, written, options",
    [
        (
            {"iommu": "pt", "state": "absent"},
            {"args": {"iommu": "pt"}, "state": "absent"},
            {"arguments": {"iommu": "pt"}, "state": "absent"},
        ),
        ({"quiet": None}, {"args": {"quiet": None}}, {"arguments": {"quiet": None}}),
        ({"arguments": {"iommu": "pt"}, "sate": "absent"}, None, {"arguments": {"iommu": "pt"}, "sate": "absent"}),
        (
            {"iommu": "pt", "sate": "absent"},
            {"args": {"iommu": "pt"}, "sate": "absent"},
            {"arguments": {"iommu": "pt"}, "sate": "absent"},
        ),
        ({"iommu": "pt"}, None, {"arguments": {"iommu": "pt"}}),
        ({"state": "absent"}, {"state": "absent"}, {"state": "absent"}),
        ({}, None, {}),
        ({"state": "absent"}, {"args": {}, "state": "absent"}, {"state": "absent", "arguments": {}}),
        ({"state": "absent", "args": {}}, {"args": {}, "state": "absent"}, {"state": "absent", "args": {}}),
        ({"state": "absent"}, {"args": "{{ x }}", "state": "absent"}, {"state": "absent", "arguments": "{{ x }}"}),
    ],
)
def test_what_ansible_took_apart_is_put_together(given, written, options):
    assert regroup(given, written) == options
