# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.
"""Incus: entries for ``devices`` of an instance.

It binds vfio-pci when the instance starts, and sets the override to the driver of before when it stops
(source: internal/server/device/pci.go and pci/pci.go), so a variant is lost.
"""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.plugin_utils._handover.model import DISPLAY, Consumer, Wanted
from ansible_collections.vfio.host.plugins.plugin_utils._handover.options import name_for


def write(wanted: Wanted) -> dict[str, dict[str, str]]:
    """A mapping of device names to their options. A GPU brings the other functions of its card along."""
    name = name_for("Incus", wanted.options.get("name", "vfio"), pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]{0,50}", words="a name without '/'")
    entries: list[dict[str, str]] = []
    for unit in wanted.units:
        if unit[0].is_of(DISPLAY):
            entries.append({"type": "gpu", "gputype": "physical", "pci": unit[0].address})
            if len(unit) > 1:
                # (source: internal/server/device/gpu_physical.go, pciDeviceDriverOverrideIOMMU with restore)
                wanted.warnings.append(
                    f"when the instance stops, Incus gives {', '.join(member.address for member in unit[1:])} to the native driver: converge "
                    "again to take it back"
                )
        else:
            entries += [{"type": "pci", "address": member.address} for member in unit]
    return {f"{name}{number}": options for number, options in enumerate(entries)}


CONSUMER = Consumer(
    "Incus", write, frozenset(("name",)),
    wide=False,  # (source: shared/validate/validate.go, IsPCIAddress)
)

__all__ = ("CONSUMER",)
