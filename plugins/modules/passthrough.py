#!/usr/bin/python
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: passthrough
short_description: Make a whole host as declared for VFIO device assignment
version_added: 0.1.0
description:
  - Everything that is declared for a host, in one call and one plan, which is made before the first write.
  - The same options, results and messages as M(vfio.host.driver_override) for each policy, since it is the same
    code. All policies are refused where one cannot be met.
author:
  - vfio.host authors (@vfio-host)
extends_documentation_fragment:
  - vfio.host.devices
options:
  devices:
    description:
      - Policy names to lists of devices; the notes say how one is declared.
      - A policy that is on the host and not named here is left as it is, with a warning.
      - With O(state=absent) the named policies are given back, whatever they list; left out, every policy on the host is.
    type: dict
seealso:
  - module: vfio.host.driver_override
"""

EXAMPLES = r"""
- name: Two policies, planned and applied together
  vfio.host.passthrough:
    devices:
      gpus:
        - match:
            vendor: "10de"
            class: "0300"
          iommu_group: extend
      storage:
        - match:
            serial: S5H9NS0N986704R

- name: Give the host back
  vfio.host.passthrough:
    state: absent
"""

RETURN = r"""
devices:
  description: Every device of every policy, as M(vfio.host.driver_override) returns it.
  returned: success
  type: list
  elements: dict
reboot_required:
  description: Whether something waits for the next boot.
  returned: success
  type: bool
reboot_reasons:
  description: What waits, one sentence each.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vfio.host.plugins.module_utils._device.area import DeviceArea
from ansible_collections.vfio.host.plugins.module_utils._device.options import ARGUMENTS, device_request
from ansible_collections.vfio.host.plugins.module_utils._host.task import run_task


def main():
    """All policies, one plan."""
    module = AnsibleModule(
        argument_spec=dict(ARGUMENTS, devices={"type": "dict"}),
        required_if=[("state", "present", ["devices"])],
        supports_check_mode=True,
    )
    request = device_request(module.params, module.params["devices"])
    run_task(module, lambda fs, files: [(DeviceArea(fs, files), request)])


if __name__ == "__main__":
    main()
