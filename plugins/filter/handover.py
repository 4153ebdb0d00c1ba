# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation is in handover.yml.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display

from ansible_collections.vfio.host.plugins.plugin_utils._handover.consumers import hand_over
from ansible_collections.vfio.host.plugins.plugin_utils._handover.model import Problem
from ansible_collections.vfio.host.plugins.plugin_utils._plain import plain

display = Display()


def handover(data: Any, to: Any = None, **options: Any) -> Any:
    """What a consumer of VFIO devices reads, from results of this collection or facts."""
    try:
        written, warnings = hand_over(plain(data), plain(to), given=plain(options))
    except Problem as error:
        raise AnsibleFilterError(f"handover: {error}") from None
    for warning in warnings:
        display.warning(f"handover: {warning}")
    return written


class FilterModule:
    """Hand devices over to what uses them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"handover": handover}
