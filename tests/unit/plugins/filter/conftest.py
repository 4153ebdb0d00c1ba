# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts that several tests of filters use."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.vfio.host.tests.unit.plugins.filter.queried import DEVICES


@pytest.fixture
def facts():
    """The facts vfio_host of a host with the devices of queried.py."""
    return {
        "platform": "x86",
        "iommu": {"enabled": True, "groups": {}},
        "devices": {item["address"]: copy.deepcopy(item) for item in DEVICES},
    }
