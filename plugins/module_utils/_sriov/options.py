# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From a module's options to a request for VFs."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.vfio.host.plugins.module_utils._core.force import GUARDS
from ansible_collections.vfio.host.plugins.module_utils._core.options import undeclared
from ansible_collections.vfio.host.plugins.module_utils._sriov.resolve import Request


def number_request(options: Mapping[str, Any], entries: list[Any] | None, *, key: str, policies: frozenset[str] | None) -> Request:
    """The Request that a module's options mean. ``entries``, ``key`` and ``policies``: as of Request.

    Of what a task may force, what is about drivers says nothing here.
    """
    return Request(
        devices=entries, present=options["state"] == "present", now=options["now"], at_boot=options["at_boot"],
        force=tuple(one for one in options["force"] if one in GUARDS), timeout=options["timeout"], policies=policies, key=key,
        undeclared=undeclared(options),
    )


__all__ = ("number_request",)
