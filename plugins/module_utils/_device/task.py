# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What the modules that take devices have in common: their options, and one call from options to result."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._device.area import DeviceArea
from ansible_collections.vfio.host.plugins.module_utils._device.pci import GUARDS
from ansible_collections.vfio.host.plugins.module_utils._device.plan import Request
from ansible_collections.vfio.host.plugins.module_utils._host.errors import VfioHostError
from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "now": {"type": "bool", "default": True},
    "at_boot": {"type": "bool", "default": True},
    "force": {"type": "list", "elements": "str", "choices": list(GUARDS), "default": []},
    "timeout": {"type": "int", "default": 10},
}


def run_task(module, policies):
    """Run a module's task and leave through its exit_json or fail_json.

    ``policies``: policy -> the user's list of devices; None with state absent means every policy on the host.
    """
    options = module.params
    request = Request(
        policies=policies, present=options["state"] == "present", now=options["now"], at_boot=options["at_boot"],
        force=tuple(options["force"]),
    )
    try:
        result = DeviceArea(Sysfs(run=module.run_command), Files()).run(request, module.check_mode, options["timeout"])
    except VfioHostError as error:
        module.fail_json(msg="\n".join(error.messages))
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)


__all__ = ("ARGUMENTS", "run_task")
