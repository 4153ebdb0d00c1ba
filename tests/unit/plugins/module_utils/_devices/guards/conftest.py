# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that several tests of guards use."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NVME
from ansible_collections.vfio.host.tests.unit.fake.model import Disk, Nvme
from ansible_collections.vfio.host.tests.unit.plugins.module_utils._devices.guards.mounting import TWO_PARTS


@pytest.fixture
def with_mounts(make_host):
    """A function: a host with these mounts, and what else is given, which has two disks."""

    def make(*mounts, swaps=(), blocks=(), nvme=None, **changes):
        spec = hosts.x86(**dict({"mounts": mounts, "swaps": swaps, "blocks": blocks, "cmdline": "quiet"}, **changes))
        nvme = nvme or Nvme("nvme0", "NV01", Disk("nvme0n1", "259:0", "", TWO_PARTS))
        return make_host(hosts.changed(spec, NVME, nvme=nvme))

    return make
