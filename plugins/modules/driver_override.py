#!/usr/bin/python
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: driver_override
short_description: Decide which driver serves a PCI device, now and at every boot
version_added: 0.1.0
description:
  - Binds PCI devices to a VFIO driver, or to another driver by name, through the kernel's C(driver_override). Gives them back.
  - The kernel's alias table decides which VFIO driver a device gets. So a device with a VFIO variant driver gets that driver.
  - A policy is a named set of devices. Its udev rules file is all that stays on the host. No program of this collection runs between plays.
author:
  - vfio.host authors (@vfio-host)
extends_documentation_fragment:
  - vfio.host.devices
  - vfio.host.entries.device
  - vfio.host.attributes.actiongroup_vfio
options:
  policy:
    description: The policy's name, of lower-case letters, digits and C(-).
    type: str
    default: default
  devices:
    description: The devices of the policy. Required for O(state=present).
  consumer:
    description:
      - The program that gets the devices of the policy, as O(devices[].consumer), for all devices that do not name one themselves. A device with the
        driver V(native) is left out, since no program opens it.
      - Ignored with O(state=absent).
    type: str
    version_added: 0.1.0
seealso:
  - module: vfio.host.pci_facts
  - module: vfio.host.passthrough
"""

EXAMPLES = r"""
- name: Two GPUs of one vendor to VFIO, and nothing if there are not exactly two
  vfio.host.driver_override:
    policy: gpus
    devices:
      - match:
          vendor: "10de"
          class: "0300"
        count: 2
        iommu_group: extend

- name: A network card by its MAC address and a disk by its serial number
  vfio.host.driver_override:
    policy: guests
    devices:
      - match:
          mac: "52:54:00:12:34:56"
      - match:
          serial: S5H9NS0N986704R

- name: What the facts say, asked with JMESPath on the controller
  vfio.host.driver_override:
    policy: functions
    devices: "{{ ansible_facts.vfio_host | vfio.host.pci_query('[?is_vf]') }}"

- name: The variant driver, or vfio-pci where it refuses a card
  vfio.host.driver_override:
    policy: adapters
    devices:
      - match:
          vendor: "15b3"
          device: "101e"
        fallback: vfio-pci

- name: Give everything back
  vfio.host.driver_override:
    policy: gpus
    state: absent
"""

RETURN = r"""
refusals:
  description: Why the task is refused, as RV(vfio.host.passthrough#module:refusals).
  returned: when the options are wrong, or the host cannot meet them
  type: list
  elements: dict
awaits_confirmation:
  description: Whether the change waits for its confirmation (O(confirm)).
  returned: success, unless O(state=confirmed)
  type: bool
devices:
  description: Every device that the policy declares or gives back. In check mode, as it would be.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: The device's address.
      returned: success
      type: str
      sample: "0000:02:00.0"
    policy:
      description: The policy that it belongs to.
      returned: success
      type: str
    policy_before:
      description: The policy that it belonged to before; V(null) for none.
      returned: success
      type: str
    identity:
      description: Its ids, and where known serial, path, s390 uid and name.
      returned: success
      type: dict
    driver_before:
      description: The driver that had it before; V(null) for none.
      returned: success
      type: str
      sample: e1000e
    driver:
      description: The driver that has it now, read back.
      returned: success
      type: str
      sample: vfio-pci
    override:
      description: The C(driver_override) that it has now.
      returned: success
      type: str
      sample: vfio-pci
    choice:
      description:
        - Why the device has this driver.
        - C(source) is V(auto), V(pinned) (named in the declaration), V(native) or V(fallback).
        - C(module) and C(driver) are what was chosen. C(alias) is the line of the kernel's table that names the module. C(ties) are other
          modules whose aliases match equally well. C(blacklisted) are modules that match and are blacklisted. C(reason) is a sentence, which
          ends in the C(notes). C(is_usual) says that without these it tells no more than the declaration does.
      returned: success
      type: dict
    status:
      description: V(unchanged), V(bound), V(released), V(pending) (waits for a boot), or V(failed) (could not be given back).
      returned: success
      type: str
reboot_required:
  description: Whether a device waits for the next boot.
  returned: success
  type: bool
reboot_reasons:
  description: Which devices, one sentence each.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vfio.host.plugins.module_utils._core.options import ARGUMENTS
from ansible_collections.vfio.host.plugins.module_utils._core.task import run_task
from ansible_collections.vfio.host.plugins.module_utils._devices.area import DeviceArea
from ansible_collections.vfio.host.plugins.module_utils._devices.options import device_request


def main() -> None:
    """One policy, one plan."""
    module = AnsibleModule(
        argument_spec=dict(
            ARGUMENTS,
            policy={"type": "str", "default": "default"},
            devices={"type": "list", "elements": "dict"},
            consumer={"type": "str"},
        ),
        required_if=[("state", "present", ["devices"])],
        supports_check_mode=True,
    )
    policy, consumer = module.params["policy"], module.params["consumer"]
    request = device_request(module.params, {policy: module.params["devices"]}, consumers={policy: consumer}, consumer_key="consumer")
    run_task(module, lambda fs, files: {"devices": (DeviceArea(fs, files), request)})


if __name__ == "__main__":
    main()
