# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation is in handover.yml.

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display
from jinja2 import Undefined

from ansible_collections.vfio.host.plugins.plugin_utils._handover.consumers import hand_over
from ansible_collections.vfio.host.plugins.plugin_utils._handover.model import Problem

display = Display()


def handover(data: Any, to: Any = None, **options: Any) -> Any:
    """What a consumer of VFIO devices reads, from results of this collection or facts."""
    try:
        written, warnings = hand_over(_plain(data), _plain(to), given=_plain(options))
    except Problem as error:
        raise AnsibleFilterError(f"handover: {error}") from None
    for warning in warnings:
        display.warning(f"handover: {warning}")
    return written


def _plain(value: Any) -> Any:
    """A copy of the value made of exactly the JSON types; ansible-core hands over subclasses of them, and generators."""
    if isinstance(value, str):
        return str.__str__(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Undefined):
        str(value)  # raises the error that names the variable
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (bytes, Undefined)):
        return [_plain(item) for item in value]
    return value


class FilterModule:
    """Hand devices over to what uses them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"handover": handover}
