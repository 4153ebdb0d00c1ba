# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""modprobe.d about the drivers of cards: options that make VFs, and what keeps a driver from loading. Pure.

Where an option makes VFs, they are there before any rule of udev sees the card. (source: linux drivers/net/ethernet: igb and ixgbe
max_vfs; mellanox/mlx4/main.c num_vfs; emulex/benet num_vfs; chelsio/cxgb4 num_vf; sfc max_vfs; drivers/gpu/drm xe, i915 max_vfs)
"""

from __future__ import annotations

import re

from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import AT_MOST, BARRED, NUMBER, Claim

_MAKES = re.compile(r"(?:max|num)_vfs?\Z|(?:cfg_)?sriov_(?:nr_virtfn|numvfs|num_vfs)\Z|n_?vfs\Z")
_LIMITS = ("sfc", "xe", "i915")
_SURE = ("igb", "ixgbe", "be2net")


def claims(settings, disabling, modules) -> list:
    """The Claims about ``modules``. ``settings``: module -> [Setting]; ``disabling``: module -> [(where, text, is sure)]."""
    found = []
    for module in sorted(modules):
        fits = _has(module)
        last = {one.name: one for one in settings(module) if _MAKES.match(one.name) and one.value is not None}
        for one in last.values():
            says = f"option {one.name}={one.value} of {module}"
            if module in _LIMITS:
                found.append(Claim(one.where, AT_MOST, one.value, says, fits))
            elif not re.match(r"(?:0x)?0*\Z", one.value):
                # A list has a number a card, in the order of their probes.
                value = one.value if one.value.isdecimal() else None
                found.append(Claim(one.where, NUMBER, value, says, fits, is_sure=module in _SURE))
        found += [Claim(where, BARRED, module, text, fits, is_sure=is_sure) for where, text, is_sure in disabling(module)]
    return found


def _has(module):
    return lambda target: target.numvfs is not None and module in target.natives


__all__ = ("claims",)
