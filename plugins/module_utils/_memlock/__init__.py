# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""How much memory services and users may lock."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils import _once

_once.install()
