#!/usr/bin/python
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sriov_vfs
short_description: Make virtual functions of SR-IOV devices, now and at every boot, without a race for their drivers
version_added: 0.1.0
description:
  - Sets how many virtual functions (VFs) physical functions (PFs) have. While they are made, the kernel's automatic probing
    of VFs is off, so no driver has a VF that a policy of M(vfio.host.driver_override) takes, not even for a moment.
  - At boot, two udev rules files do the same in one event of the PF. No program of this collection runs.
  - A task changes only the PFs that it names. Others stay as they are.
author:
  - vfio.host authors (@vfio-host)
extends_documentation_fragment:
  - vfio.host.attributes
  - vfio.host.entries.pf
  - vfio.host.attributes.actiongroup_vfio
options:
  devices:
    description:
      - The PFs. Required for O(state=present).
      - With O(state=absent) and without O(devices), every PF that this module has changed is meant.
  state:
    description:
      - V(present) makes it as declared.
      - V(absent) gives back the number and the automatic probing that were there before this module's first run, and removes
        the rules. A number that somebody else changed since is left alone.
      - V(confirmed) keeps the change that waits for its confirmation (O(confirm)).
    type: str
    choices: [present, absent, confirmed]
    default: present
  now:
    description: Make the VFs at once. With V(false) only the rules are written, for the next boot.
    type: bool
    default: true
  at_boot:
    description:
      - Write the rules below C(/etc/udev/rules.d), so that every boot ends as declared.
      - With V(false) they are below C(/run/udev/rules.d), with the record of what was before, and end with the next boot.
    type: bool
    default: true
  force:
    description: Guards given up for this task, as in O(vfio.host.driver_override#module:force).
    type: list
    elements: str
    choices: [network, storage, console]
    default: []
  timeout:
    description: Seconds to wait for VFs to appear and for a driver to bind, from 1 to 86400.
    type: int
    default: 10
  confirm:
    description: Seconds, from 5 to 86400, within which the change has to be confirmed; see O(vfio.host.passthrough#module:confirm).
    type: int
    default: 0
attributes:
  check_mode:
    support: full
    details:
      - The addresses of VFs to come are those that the PF's SR-IOV capability says.
  diff_mode:
    support: full
  platform:
    platforms: linux
notes:
  - "The kernel changes a number that is not 0 through 0 only, which takes every VF of that PF away. So growing and
    shrinking are refused while a process holds one of the VFs, or the host needs one, and nothing is touched. VFs that
    a policy has taken are taken again at once. Where one would not be there any more the task fails, and names the policy."
  - Fewer VFs than asked for are an error, and the number that was there before is put back.
  - VFs are made by the PF's native driver. A PF without one, or with a VFIO driver, has none.
  - On s390 each VF is in a PCI domain of its own, which cannot be told beforehand. This module is not tested there.
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

- name: As many VFs as before the first run
  vfio.host.sriov_vfs:
    state: absent
"""

RETURN = r"""
awaits_confirmation:
  description: Whether O(confirm) seconds run by now.
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
      description: What it is.
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
    request = number_request(module.params, module.params["devices"], "devices", frozenset())
    run_task(module, lambda fs, files: {
        "sriov": (NumberArea(fs, files), request),
        "sriov_probes": (ProbeArea(fs, files), lambda plans: (plans["sriov"], []) if "sriov" in plans else None),
    })


if __name__ == "__main__":
    main()
