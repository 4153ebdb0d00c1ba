# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From a module's options to a request for limits of locked memory."""

from __future__ import annotations

from typing import Any, Dict, List

from ansible_collections.vfio.host.plugins.module_utils._core.options import undeclared
from ansible_collections.vfio.host.plugins.module_utils._memlock.plan import Request
from ansible_collections.vfio.host.plugins.module_utils._memlock.spec import parse


def memlock_request(options: Dict[str, Any], *, gives_all: bool) -> Request:
    """The Request that a module's option ``memlock`` means; what is wrong with it is in it. ``gives_all``: everything goes."""
    problems: List[str] = []
    return Request(
        parse(options["memlock"], options["state"] == "present", problems=problems), problems=problems, now=options["now"], at_boot=options["at_boot"],
        undeclared=undeclared(options), gives_all=gives_all,
    )


__all__ = ("memlock_request",)
