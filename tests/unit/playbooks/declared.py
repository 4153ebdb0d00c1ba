# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two devices for one policy: as an inventory declares them, and as the module takes them; and what tests of several hosts need."""

from __future__ import annotations

import shutil

import pytest

from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, TWIN

DECLARED = f"""\
passthrough_devices:
  guests:
    - match: {{address: "{NIC}"}}
    - match: {{address: "{TWIN}"}}
"""
WISH = {"devices": {"guests": [{"match": {"address": NIC}}, {"match": {"address": TWIN}}]}, "initramfs": False}
needs_ssh = pytest.mark.skipif(not shutil.which("ssh"), reason="there is no ssh here by which a host could be unreachable")
