#!/usr/bin/python
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: prove
short_description: Open devices as a client of VFIO does, and report what prevents it
version_added: 0.1.0
description:
  - A device that is bound to a VFIO driver may still be impossible to open for a client, such as QEMU or DPDK. This module does what a client does
    when it starts.
  - It opens the device, by its IOMMU group and a container or by its character device and iommufd. It attaches the device to the IOMMU, reads its
    regions, interrupts and the ids in its configuration space, and closes it. It maps no DMA and sets up no interrupt.
  - A device that cannot be opened fails the task. The message has the step, the name of the errno, its usual cause, and the remedy. The module tries
    all devices.
  - A device is not opened while a process has it or another member of its IOMMU group open. A warning and the row of the device name the process. The
    task does not fail.
  - A PF is not opened while one of its VFs is in use or has a driver of the host, since the VFs would be reset with it. A VF is not opened while its
    PF is on VFIO, since that needs a token that only the user of the PF knows. The task does not fail for these either.
  - Opening changes the device. When it is opened and when it is closed, the kernel wakes it to D0, disables its DMA (bus master), and resets it by
    the first of its C(reset_methods). The content of its memory is lost. Afterwards it sleeps in D3hot, as idle devices of vfio-pci do.
  - A device that cannot be reset alone may cause a reset of its bus or slot when it is closed. The kernel does that only if every device there is on
    VFIO and none is open.
  - The module itself resets a device only by function level reset or power state, where VFIO and the kernel say that this resets nothing else.
  - Each step runs in a process of its own. Where a driver or device hangs, the process does not end within O(timeout) seconds. It is left behind, and
    the message names it.
author:
  - vfio.host authors (@vfio-host)
options:
  devices:
    description: The addresses of the devices.
    type: list
    elements: str
    required: true
  way:
    description:
      - How to open the devices.
      - V(group) opens C(/dev/vfio/GROUP) and a container of C(/dev/vfio/vfio).
      - V(cdev) opens C(/dev/vfio/devices/vfioN) and C(/dev/iommu), which kernels from 6.6 on may have.
      - V(auto) uses the group, or the character device where the kernel has no groups.
    type: str
    choices: [auto, group, cdev]
    default: auto
  timeout:
    description: Seconds to wait for each step, from 1 to 86400.
    type: int
    default: 10
attributes:
  check_mode:
    description: Can run in C(check_mode). Then it opens no device, and each row says so.
    support: full
  diff_mode:
    description: Makes no lasting change.
    support: none
  platform:
    description: Target operating systems that it can run on.
    support: full
    platforms: linux
notes:
  - Needs root, to see which processes have a device open. So it proves nothing about owner and mode of nodes, or about a client's limit of locked
    memory.
seealso:
  - module: vfio.host.passthrough
"""

EXAMPLES = r"""
- name: Open everything that the host has for VFIO
  vfio.host.prove:
    devices: "{{ passthrough_result.devices | rejectattr('choice.source', 'equalto', 'native') | rejectattr('status', 'equalto', 'pending')
      | map(attribute='address') }}"

- name: See whether one device can be opened by iommufd
  vfio.host.prove:
    devices: ["0000:02:00.0"]
    way: cdev
"""

RETURN = r"""
proof:
  description: One mapping for each device.
  returned: always, unless an option is invalid
  type: list
  elements: dict
  contains:
    address:
      description: The device's address.
      returned: always
      type: str
      sample: "0000:02:00.0"
    driver:
      description: The driver of the device.
      returned: always
      type: str
      sample: vfio-pci
    status:
      description:
        - V(opened), or V(failed).
        - V(in_use) where a process has the device or a member of its group open.
        - V(not_opened) where RV(proof[].reason) says why the module did not try.
      returned: always
      type: str
      sample: opened
    reason:
      description: A sentence that says why the device was not opened. V(null) where it was.
      returned: always
      type: str
    way:
      description: V(group) or V(cdev). V(null) where nothing was tried.
      returned: always
      type: str
      sample: group
    node:
      description: The node that was opened.
      returned: always
      type: str
      sample: /dev/vfio/14
    back_end:
      description: The back end of the IOMMU, V(type1v2), V(spapr_tce), V(spapr_tce_v2), V(noiommu) or V(iommufd).
      returned: always
      type: str
      sample: type1v2
    step:
      description: The step that was refused; V(null) for none.
      returned: always
      type: str
      sample: VFIO_SET_IOMMU
    errno:
      description: The name of the errno that it was refused with; V(null) for none, and where the answer itself says no.
      returned: always
      type: str
      sample: EPERM
    regions:
      description: Its regions as VFIO shows them, mappings of C(index), C(name), C(size) in bytes and C(flags).
      returned: always
      type: list
      elements: dict
      sample: [{index: 0, name: bar0, size: 131072, flags: [read, write, mmap]}]
    interrupts:
      description: Its kinds of interrupts, mappings of C(index), C(name), C(count) and C(flags).
      returned: always
      type: list
      elements: dict
      sample: [{index: 2, name: msix, count: 5, flags: [eventfd, noresize]}]
    can_reset:
      description: Whether VFIO can reset it; V(null) where that is not known.
      returned: always
      type: bool
    reset:
      description: Whether this module reset it on purpose, and why not, in a few words.
      returned: always
      type: str
      sample: reset by flr
"""

from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vfio.host.plugins.module_utils._core.area import require_root
from ansible_collections.vfio.host.plugins.module_utils._core.endings import ENDINGS
from ansible_collections.vfio.host.plugins.module_utils._core.leaving import fail, printable, runner
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import normalize_address
from ansible_collections.vfio.host.plugins.module_utils._devices.state import survey
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError
from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
from ansible_collections.vfio.host.plugins.module_utils._host.lock import one_at_a_time
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
from ansible_collections.vfio.host.plugins.module_utils._prove.prove import AUTO, WAYS, prove

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.state import Survey
    from ansible_collections.vfio.host.plugins.module_utils._prove.prove import Proof

LONGEST = 86400


def main() -> None:
    """Open the devices, return what became of each."""
    module = AnsibleModule(
        argument_spec={
            "devices": {"type": "list", "elements": "str", "required": True},
            "way": {"type": "str", "choices": list(WAYS), "default": AUTO},
            "timeout": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    proof: Proof | BaseException
    try:
        proof = opened(module)
    except ENDINGS as error:
        proof = error
    if isinstance(proof, BaseException):
        fail(module, proof)
    for warning in proof.warnings:
        module.warn(printable(warning))
    result = printable(proof.result())
    if proof.failures:
        module.fail_json(msg=printable("\n".join(proof.failures)), **result)
    module.exit_json(changed=False, **result)


def _survey(fs: Sysfs) -> Survey:
    return survey(fs, with_guards=False, with_loaded=False, with_others=True)


def opened(module: AnsibleModule) -> Proof:
    """The Proof. Raises InputError, Busy."""
    addresses, timeout = wanted(module.params["devices"]), module.params["timeout"]
    if not 1 <= timeout <= LONGEST:
        raise InputError(f"timeout is {timeout}; it is a number of seconds from 1 to {LONGEST}")
    fs = Sysfs(run=runner(module))
    require_root(fs)
    if module.check_mode:
        return prove(fs, _survey(fs), addresses=addresses, timeout=timeout, way=module.params["way"], check=True)
    # No other run may take a device away while it is open.
    with one_at_a_time(Files(fs.root).lock, module._name, timeout=timeout):
        return prove(fs, _survey(fs), addresses=addresses, timeout=timeout, way=module.params["way"])


def wanted(devices: list[str]) -> list[str]:
    """The addresses, each once. Raises InputError for what is none."""
    found = {device: normalize_address(device) for device in devices}
    problems = [
        f"devices: {device!r} is no PCI address; it looks like 0000:02:00.0" for device, address in found.items() if address is None
    ]
    if problems:
        raise InputError(*problems)
    return list(dict.fromkeys(address for address in found.values() if address is not None))


if __name__ == "__main__":
    main()
