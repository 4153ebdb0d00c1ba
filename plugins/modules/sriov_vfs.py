#!/usr/bin/python
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sriov_vfs
short_description: Make virtual functions of SR-IOV devices and set their attributes, now and at every boot
version_added: 0.1.0
description:
  - Sets the number of virtual functions (VFs) of physical functions (PFs).
  - Automatic probing of VFs is off while VFs are made. So no native driver binds to a VF that a policy of M(vfio.host.driver_override) takes.
  - Sets attributes of VFs, such as address, VLAN and trust, before any driver or guest has one.
  - At boot, two udev rules files do the same in one event of the PF. No program of this collection runs at boot.
  - A task changes only the PFs that it names.
author:
  - vfio.host authors (@vfio-host)
extends_documentation_fragment:
  - vfio.host.attributes
  - vfio.host.entries.pf
  - vfio.host.entries.force
  - vfio.host.attributes.actiongroup_vfio
options:
  devices:
    description:
      - The PFs. Required for O(state=present).
      - Without it, O(state=absent) is about every PF that this module has changed.
    type: list
    elements: dict
  state:
    description:
      - V(present) makes the PFs as declared.
      - V(absent) restores the number of VFs and the automatic probing from before the first run of this module, and removes the rules. It
        leaves a number alone that somebody else changed since then.
      - V(confirmed) keeps the change that waits for its confirmation (O(confirm)).
    type: str
    choices: [present, absent, confirmed]
    default: present
  now:
    description: Make the VFs at once. With V(false), only the rules are written, for the next boot.
    type: bool
    default: true
  at_boot:
    description:
      - Write the rules below C(/etc/udev/rules.d), so that every boot ends as declared.
      - With V(false), the rules are below C(/run/udev/rules.d), with the record of the state before, and end with the next boot.
    type: bool
    default: true
  timeout:
    description: Seconds to wait for VFs to appear and for a driver to bind, from 1 to 86400.
    type: int
    default: 10
  confirm:
    description: Seconds within which the change has to be confirmed, from 5 to 86400, as in O(vfio.host.passthrough#module:confirm).
    type: int
    default: 0
attributes:
  check_mode:
    support: full
    details:
      - Addresses of future VFs are computed from the PF's SR-IOV capability.
  diff_mode:
    support: full
  platform:
    platforms: linux
notes:
  - The kernel changes a number of VFs only by way of 0, which removes all VFs of the PF. So the task refuses to change the number while a
    process uses one of the VFs or the host needs one. It fails before it changes anything.
  - VFs that a policy has taken are taken again at once. The task fails where such a VF would not exist any more, and names the policy.
  - Fewer VFs than declared are an error. The task then restores the number from before.
  - The PF's native driver makes VFs. A PF without a driver, or with a VFIO driver, cannot have VFs.
  - On s390, each VF is in a PCI domain of its own, which cannot be predicted. This module is not tested there.
  - At boot, udev gives new VFs their attributes by C(ip) of iproute2, before the next rule is read. Where the driver refuses one then, the boot
    ends without VFs of that PF, since a VF without its VLAN must not go to a guest. A rate alone that is refused costs no VF. An initramfs
    image mostly has no C(ip). Such VFs are made when the root file system is there.
  - The address and the VLAN of a VF that a process holds do not change. Trust, spoof check, link state and rates do. A native driver
    goes on with the address that it read when it was bound, and a warning says so.
  - Needs root.
seealso:
  - module: vfio.host.driver_override
  - module: vfio.host.passthrough
"""

EXAMPLES = r"""
- name: All VFs that a network card can have, and none of them with a driver yet
  vfio.host.sriov_vfs:
    devices:
      - match:
          mac: "52:54:00:12:34:56"
        numvfs: max

- name: Take the first four for VFIO; the others get no driver
  vfio.host.driver_override:
    policy: guests
    devices:
      - match:
          physfn: enp1s0
          vf: 0-3

- name: Eight VFs on each card of a kind, native where no policy says otherwise
  vfio.host.sriov_vfs:
    devices:
      - match:
          vendor: "15b3"
          device: "101d"
        numvfs: 8
        autoprobe: true

- name: Four VFs with addresses from one on, the first two on VLAN 42
  vfio.host.sriov_vfs:
    devices:
      - match:
          mac: "52:54:00:12:34:56"
        numvfs: 4
        vfs:
          - mac_base: "52:54:00:aa:00:00"
            spoofchk: true
          - vf: 0-1
            vlan: 42

- name: As many VFs as before the first run
  vfio.host.sriov_vfs:
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
sriov:
  description: Every PF that the task declares or gives back. In check mode, as it would be.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: The PF's address.
      returned: success
      type: str
      sample: "0000:01:00.0"
    name:
      description: Its vendor and model.
      returned: success
      type: str
    total:
      description: How many VFs it can have.
      returned: success
      type: int
    numvfs_before:
      description: How many it had.
      returned: success
      type: int
    numvfs:
      description: How many it has, or will have from the next boot on.
      returned: success
      type: int
      sample: 7
    autoprobe_before:
      description: Whether automatic probing of its VFs was on.
      returned: success
      type: bool
    autoprobe:
      description: Whether it is on.
      returned: success
      type: bool
    vfs:
      description: The addresses of its VFs.
      returned: success
      type: list
      elements: str
      sample: ["0000:01:10.0", "0000:01:10.2"]
    attributes:
      description:
        - One mapping for each VF with attributes that are declared or restored. C(vf) is its index. The other keys are those of O(devices). Attributes
          that the kernel sets together are all there.
      returned: success
      type: list
      elements: dict
      sample: [{vf: 0, mac: "52:54:00:aa:00:00", vlan: 42, qos: 0, vlan_protocol: "802.1Q"}]
    status:
      description: V(unchanged), V(changed), V(released) (given back), or V(pending) (waits for a boot).
      returned: success
      type: str
reboot_required:
  description: Whether a PF waits for the next boot.
  returned: success
  type: bool
reboot_reasons:
  description: Which PFs, one sentence each.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vfio.host.plugins.module_utils._core.force import GUARDS
from ansible_collections.vfio.host.plugins.module_utils._core.options import ARGUMENTS
from ansible_collections.vfio.host.plugins.module_utils._core.task import run_task
from ansible_collections.vfio.host.plugins.module_utils._sriov.area import NumberArea, ProbeArea
from ansible_collections.vfio.host.plugins.module_utils._sriov.options import number_request


def main() -> None:
    """Numbers, then native drivers for those that nobody declares."""
    module = AnsibleModule(
        argument_spec=dict(
            ARGUMENTS,
            devices={"type": "list", "elements": "dict"},
            force={"type": "list", "elements": "str", "choices": list(GUARDS), "default": []},
        ),
        required_if=[("state", "present", ["devices"])],
        supports_check_mode=True,
    )
    request = number_request(module.params, module.params["devices"], key="devices", policies=frozenset())
    run_task(module, lambda fs, files: {
        "sriov": (NumberArea(fs, files), request),
        "sriov_probes": (ProbeArea(fs, files), lambda plans: (plans["sriov"], []) if "sriov" in plans else None),
    })


if __name__ == "__main__":
    main()
