# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The devices of a fleet as few characters: every text once, every place and every model once, a device as three numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ansible_collections.vfio.host.plugins.plugin_utils._text import clean

# What devices of a model have in common, in the order in which the page's script reads it.
_COMMON = ("ids", "kind", "name", "driver", "state", "policy")
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


class Packed:
    """Collects the devices of one host after the other."""

    def __init__(self) -> None:
        # Each to its number: texts, (address, group, more), and what devices have in common with others.
        self._texts: dict[str, int] = {}
        self._places: dict[tuple[int, int, int], int] = {}
        self._shapes: dict[tuple[int, ...], int] = {}
        # Of each host, three numbers a device: its place, its shape, and what it alone has.
        self._hosts: list[list[int]] = []

    def add(self, record: dict[str, Any] | None) -> None:
        """The next host's devices; None for a host that has told nothing."""
        numbers: list[int] = []
        for device in record["devices"] if record else ():
            shape = tuple(self._text(device[key]) for key in _COMMON) + (self._many(device["why"]),)
            # Machines of a model have their devices at the same places.
            place = (self._text(device["address"]), self._text(device["group"]), self._many(device["more"]))
            numbers += [
                self._places.setdefault(place, len(self._places)), self._shapes.setdefault(shape, len(self._shapes)), self._many(device["own"]),
            ]
        self._hosts.append(numbers)

    def _text(self, value: object) -> int:
        """The number of a text; -1 for none."""
        return -1 if value is None else self._texts.setdefault(str(value), len(self._texts))

    def _many(self, values: Sequence[object]) -> int:
        return self._text("\n".join(str(one).replace("\n", " ") for one in values)) if values else -1

    def script(self) -> str:
        """JSON that can stand in a script element: it has none of the characters with which HTML begins anything."""
        data = {
            "texts": [clean(text) for text in self._texts], "places": list(self._places), "shapes": list(self._shapes), "hosts": self._hosts,
        }
        return json.dumps(data, separators=(",", ":"), ensure_ascii=False).translate(_ESCAPES)


__all__ = ("Packed",)
