# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host for unit tests: real files and links below a temporary root, which react as the kernel and udev do."""

from __future__ import annotations

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.faults import Killed
from ansible_collections.vfio.host.tests.unit.fake.host import FakeHost

__all__ = ("FakeHost", "Killed", "hosts")
