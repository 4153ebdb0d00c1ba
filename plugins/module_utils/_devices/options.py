# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The options that all modules taking devices have in common."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.common.validation import check_type_int

from ansible_collections.vfio.host.plugins.module_utils._core.force import FORCES
from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import IGNORE


class IntType(str):
    """The argument type ``int`` whose check fails for an infinite number as it does for every other value that is no integer.

    ansible-core lets the OverflowError through (source: ansible/module_utils/common/validation.py check_type_int). It is the word as well,
    which the documentation's type is compared with (source: validate-modules, doc-type-does-not-match-spec).
    """

    __name__ = "int"

    def __call__(self, value: Any) -> int:
        try:
            number: int = check_type_int(value)
        except OverflowError as error:
            raise TypeError(f"{value!r} cannot be converted to an int") from error
        return number


ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "absent", "confirmed"], "default": "present"},
    "now": {"type": "bool", "default": True},
    "at_boot": {"type": "bool", "default": True},
    "force": {"type": "list", "elements": "str", "choices": list(FORCES), "default": []},
    "timeout": {"type": IntType("int"), "default": 10},
    "confirm": {"type": IntType("int"), "default": 0},
}


def undeclared(options):
    """What a task does about what it does not declare; what is given back by name leaves all else alone."""
    return options.get("undeclared") if options["state"] == "present" else IGNORE


def device_request(options, policies, iommu_comes=False, prediction=None):
    """The Request that a module's options mean.

    ``policies``: policy -> the user's list of devices; None with state absent means every policy on the host.
    ``iommu_comes`` and ``prediction``: as of Request.
    """
    # With it comes all of planning, and a module whose task declares no devices needs none of that.
    from ansible_collections.vfio.host.plugins.module_utils._devices.plan import Request
    return Request(
        policies=policies, present=options["state"] == "present", now=options["now"], at_boot=options["at_boot"],
        force=tuple(options["force"]), timeout=options["timeout"], iommu_comes=iommu_comes, prediction=prediction,
        undeclared=undeclared(options),
    )


__all__ = ("ARGUMENTS", "device_request", "undeclared")
