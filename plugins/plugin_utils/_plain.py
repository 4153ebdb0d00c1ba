# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Values as filters get them from ansible-core, made plain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import Undefined


def plain(value: Any) -> Any:
    """A copy of the value made of exactly the JSON types.

    ansible-core hands over subclasses of them (unsafe text, tagged strings, lazy containers), and generators. JMESPath's functions
    know types by their exact name. Raises UndefinedError where a variable in it is undefined.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Undefined):
        str(value)  # raises the error that names the variable
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (bytes, Undefined)):
        return [plain(item) for item in value]
    return value


__all__ = ("plain",)
