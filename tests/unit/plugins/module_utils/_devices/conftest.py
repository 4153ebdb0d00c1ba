# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that several tests of devices use."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.plugins.module_utils._devices.using import spec


@pytest.fixture
def busy(make_host):
    """A host with sound, graphics, USB and a card with many nodes."""
    return make_host(spec())
