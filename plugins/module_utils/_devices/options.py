# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What the options of a task mean for devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._core.options import undeclared
from ansible_collections.vfio.host.plugins.module_utils._devices.consumers import OF_POLICIES

if TYPE_CHECKING:
    from typing import Any

    from ansible_collections.vfio.host.plugins.module_utils._devices.plan import Prediction, Request


def device_request(
    options: dict[str, Any], policies: dict[str, Any] | None, *, iommu_comes: bool = False, prediction: Prediction | None = None,
    consumers: dict[str, Any] | None = None, consumer_key: str = OF_POLICIES,
) -> Request:
    """The Request that a module's options mean.

    ``policies``: policy -> the user's list of devices; None with state absent means every policy on the host.
    ``iommu_comes``, ``prediction``, ``consumers`` and ``consumer_key``: as of Request.
    """
    # With it comes all of planning, and a module whose task declares no devices needs none of that.
    from ansible_collections.vfio.host.plugins.module_utils._devices.plan import Request
    return Request(
        policies=policies, present=options["state"] == "present", now=options["now"], at_boot=options["at_boot"],
        force=tuple(options["force"]), timeout=options["timeout"], iommu_comes=iommu_comes, prediction=prediction,
        undeclared=undeclared(options), consumers=consumers, consumer_key=consumer_key,
    )


__all__ = ("device_request",)
