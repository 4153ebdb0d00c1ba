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
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import AT_MOST, BARRED, NUMBER, Claim

if TYPE_CHECKING:
    from typing import Callable, Iterable, Protocol, Sequence

    from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Fits

    class Setting(Protocol):
        """A module's option as some file sets it."""

        @property
        def name(self) -> str:
            """The option."""

        @property
        def value(self) -> str | None:
            """Its value; None for a bare flag."""

        @property
        def where(self) -> str:
            """File and line."""

_MAKES = re.compile(r"(?:max|num)_vfs?\Z|(?:cfg_)?sriov_(?:nr_virtfn|numvfs|num_vfs)\Z|n_?vfs\Z")
_LIMITS = ("sfc", "xe", "i915")
_SURE = ("igb", "ixgbe", "be2net")


def claims(modules: Iterable[str], *, settings: Callable[[str], Sequence[Setting]], disabling: Callable[[str], list[tuple[str, str, bool]]]) -> list[Claim]:
    """The Claims about ``modules``. ``settings``: gives a module's Settings; ``disabling``: gives (where, text, is sure) of each line that
    keeps a module from loading.
    """
    claims_of_all = []
    for module in sorted(modules):
        fits = _has(module)
        last = {one.name: (one.value, one.where) for one in settings(module) if _MAKES.match(one.name) and one.value is not None}
        for name, (value, where) in last.items():
            says = f"option {name}={value} of {module}"
            if module in _LIMITS:
                claims_of_all.append(Claim(where, AT_MOST, value, says, fits))
            elif not re.match(r"(?:0x)?0*\Z", value):
                # A list has a number a card, in the order of their probes.
                number = value if value.isdecimal() else None
                claims_of_all.append(Claim(where, NUMBER, number, says, fits, is_sure=module in _SURE))
        claims_of_all += [Claim(where, BARRED, module, text, fits, is_sure=is_sure) for where, text, is_sure in disabling(module)]
    return claims_of_all


def _has(module: str) -> Fits:
    return lambda target: target.numvfs is not None and module in target.natives


__all__ = ("claims",)
