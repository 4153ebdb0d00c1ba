#!/usr/bin/python
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: prove
short_description: Open devices as a client of VFIO does, and say what keeps one from being opened
version_added: 0.1.0
description:
  - That a device is bound to a VFIO driver does not mean that a client, such as QEMU or DPDK, can open it. This module does what
    a client does at its start. It opens the device by its IOMMU group and a container, or by its character device and iommufd,
    attaches it to the IOMMU, asks for its regions and interrupts, reads the ids in its configuration space, and closes it. No DMA
    is mapped, and no interrupt is set up.
  - A device that cannot be opened fails the task, with the step, the name of the errno, its usual cause, and the remedy. All
    devices are tried.
  - A device that a process has open, or another member of its IOMMU group, is not opened. Its row says who has it, with a warning,
    and the task does not fail for it. The same holds for a PF one of whose VFs is in use or has a driver of the host, since they
    would be reset with it; and for a VF whose PF is on VFIO, which needs a token that only the PF's user knows.
  - Opening is not without effect. The kernel wakes the device to D0, takes its right to DMA (bus master), and resets it by the
    first of its C(reset_methods), when it is opened and when it is closed. What was in its memory is lost. Afterwards it sleeps in
    D3hot again, as idle devices of vfio-pci do. Where one could not be reset by itself, the kernel may reset its bus or slot when it is
    closed, if every device there is on VFIO and none is open.
  - The module itself resets a device only where VFIO and the kernel say that this reaches nothing else, by function level reset or
    power state.
  - Each step is made by a process of its own. One that does not end in O(timeout) seconds, since the driver or the device hangs,
    is left behind and named.
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
      - V(group), by C(/dev/vfio/GROUP) and a container of C(/dev/vfio/vfio). V(cdev), by C(/dev/vfio/devices/vfioN) and
        C(/dev/iommu), which kernels from 6.6 on may have. V(auto), by the group, or by the character device where the kernel has no groups.
    type: str
    choices: [auto, group, cdev]
    default: auto
  timeout:
    description: Seconds to wait for each step, from 1 to 86400.
    type: int
    default: 10
attributes:
  check_mode:
    description: Can run in C(check_mode); then it opens nothing, and every row says so.
    support: full
  diff_mode:
    description: Changes nothing that lasts.
    support: none
  platform:
    description: Target operating systems that it can run on.
    support: full
    platforms: linux
notes:
  - It needs root rights, to see who has a device open. So it proves nothing about the owner and mode of nodes, nor about a client's
    limit of locked memory.
seealso:
  - module: vfio.host.passthrough
"""

EXAMPLES = r"""
- name: Open everything that the host has for VFIO
  vfio.host.prove:
    devices: "{{ passthrough_result.devices | rejectattr('choice.source', 'equalto', 'native') | map(attribute='address') }}"

- name: See whether one device can be opened by iommufd
  vfio.host.prove:
    devices: ["0000:02:00.0"]
    way: cdev
"""

RETURN = r"""
proof:
  description: One mapping for each device.
  returned: always, but where the task itself is wrong
  type: list
  elements: dict
  contains:
    address:
      description: The device.
      returned: always
      type: str
      sample: "0000:02:00.0"
    driver:
      description: The driver that it has.
      returned: always
      type: str
      sample: vfio-pci
    status:
      description:
        - V(opened); V(in_use), a process has it or a member of its group; V(not_opened), which RV(proof[].reason) explains; V(failed).
      returned: always
      type: str
      sample: opened
    reason:
      description: Why it was not opened, a sentence; V(null) where it was.
      returned: always
      type: str
    way:
      description: V(group) or V(cdev); V(null) where nothing was tried.
      returned: always
      type: str
      sample: group
    node:
      description: The node by which it was opened.
      returned: always
      type: str
      sample: /dev/vfio/14
    back_end:
      description: The IOMMU's back end, V(type1v2), V(spapr_tce), V(spapr_tce_v2), V(noiommu) or V(iommufd).
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
        return
    for warning in proof.warnings:
        module.warn(printable(warning))
    result = printable(proof.result())
    if proof.failures:
        module.fail_json(msg=printable("\n".join(proof.failures)), **result)
    module.exit_json(changed=False, **result)


def opened(module: AnsibleModule) -> Proof:
    """The Proof. Raises InputError, Busy."""
    addresses, timeout = wanted(module.params["devices"]), module.params["timeout"]
    if not 1 <= timeout <= LONGEST:
        raise InputError(f"timeout is {timeout}; it is a number of seconds from 1 to {LONGEST}")
    fs = Sysfs(run=runner(module))
    require_root(fs)
    if module.check_mode:
        return prove(fs, survey(fs), addresses=addresses, timeout=timeout, way=module.params["way"], check=True)
    # No other run may take a device away while it is open.
    with one_at_a_time(Files(fs.root).lock, module._name, timeout=timeout):
        return prove(fs, survey(fs), addresses=addresses, timeout=timeout, way=module.params["way"])


def wanted(devices: list[str]) -> list[str]:
    """The addresses, each once. Raises InputError for what is none."""
    found = {device: normalize_address(device) for device in devices}
    problems = [
        f"devices: {device!r} is no PCI address; it looks like 0000:02:00.0" for device, address in found.items() if address is None
    ]
    if problems:
        raise InputError(*problems)
    return list(dict.fromkeys(found.values()))


if __name__ == "__main__":
    main()
