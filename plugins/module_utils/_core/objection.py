# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""A sentence that says why a task is refused, and the same as data, for who counts or sorts refusals. Pure."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Tuple

# Of what kind a refusal is, where nothing says more: the options are wrong, or the host cannot meet them.
INPUT, HOST = "input", "host"
DEAD, DRIVER, GROUP, GUARD, IN_USE, STUCK, UNMATCHED, VFS = "dead", "driver", "group", "guard", "in_use", "stuck", "unmatched", "vfs"


class Objection(str):
    """A text like any other. ``kind``: a word of those above; ``guard``: what ``force`` would give up, or ""."""

    kind: str
    devices: Tuple[str, ...]
    guard: str
    remedy: str

    def __new__(cls, text: str, kind: str, devices: Iterable[str] = (), guard: str = "", remedy: str = "") -> Objection:
        """``devices``: addresses; ``remedy``: what to do, or ""."""
        made = super().__new__(cls, text)
        made.kind, made.devices, made.guard, made.remedy = kind, tuple(devices), guard, remedy
        return made


def marked(messages: Iterable[str], is_input: bool) -> List[str]:
    """Messages of one error, which know afterwards whether the options were wrong, whatever they are put together with."""
    kind = INPUT if is_input else HOST
    return [one if isinstance(one, Objection) else Objection(one, kind) for one in messages]


def as_data(messages: Iterable[str], kind: str) -> List[Dict[str, Any]]:
    """Messages as a task returns them. ``kind``: that of those which tell none themselves."""
    return [
        {
            "message": str(one), "kind": getattr(one, "kind", kind), "devices": list(getattr(one, "devices", ())),
            "guard": getattr(one, "guard", "") or None, "remedy": getattr(one, "remedy", "") or None,
        } for one in messages
    ]


__all__ = ("DEAD", "DRIVER", "GROUP", "GUARD", "HOST", "INPUT", "IN_USE", "Objection", "STUCK", "UNMATCHED", "VFS", "as_data", "marked")
