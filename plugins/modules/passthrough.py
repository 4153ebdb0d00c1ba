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
  - Everything that is declared for a host, in one call and one plan, which is made before the first write. Devices,
    kernel modules and their options, kernel configuration, the kernel command line, and the images of early user space.
  - The same results and messages as the modules for each of these, since it is the same code. Nothing is touched where
    anything declared cannot be met, and everything is put back where a step fails.
  - Turns the IOMMU on where devices are declared and it is off on an x86 machine that has one. Such devices wait for the
    next boot, and RV(reboot_required) says so. It never reboots.
author:
  - vfio.host authors (@vfio-host)
extends_documentation_fragment:
  - vfio.host.devices
  - vfio.host.entries.module
  - vfio.host.entries.sriov
  - vfio.host.attributes.actiongroup_vfio
options:
  state:
    description:
      - V(present) makes the host as declared. What a policy took before and no longer declares is given back.
      - V(absent) takes back what is named of policies, virtual functions, modules and kernel arguments. With none of
        O(devices), O(sriov), O(modules), O(kernel_cmdline), O(nodes) and O(memlock), it takes back everything that this collection has done
        to the host.
      - V(confirmed) keeps the change that waits for its confirmation (O(confirm)), whichever module made it; nothing else is
        looked at. It fails where that change was taken back already.
    type: str
    choices: [present, absent, confirmed]
    default: present
  devices:
    description:
      - Policy names to lists of devices. Each device has the keys of O(vfio.host.driver_override#module:devices).
      - An empty list gives back what the policy took.
      - A device that another policy of this task declares now changes its owner only, and is not unbound. So a policy is renamed,
        split and merged by declaring it so.
      - Of a policy that is on the host and not named here O(undeclared) decides.
      - Two policies that select one device are an error.
      - With O(state=absent) the named policies are given back, whatever they list.
    type: dict
  sriov:
    description:
      - Physical functions (PFs) and how many virtual functions (VFs) they have. VFs are made before O(devices) are looked at, so policies
        can declare VFs that do not exist yet.
      - Of a PF that is not named O(undeclared) decides.
      - With O(state=absent) the number that was there before is given back.
  modules:
    description:
      - Kernel modules and their options.
      - O(force) is about these, too. A module whose driver has a device that the host needs is neither disabled nor unloaded otherwise.
      - With O(state=absent) nothing of this collection is left about the named modules. What runs is left as it is.
  kernel_config:
    description:
      - Kconfig symbols to the values that will do, as in O(vfio.host.kernel_config#module:options). What only a kernel
        argument can meet is put on the kernel command line.
      - Not with O(state=absent).
    type: dict
  kernel_cmdline:
    description:
      - Arguments of the kernel command line, as in O(vfio.host.kernel_cmdline#module:arguments).
      - With O(state=absent) these are removed, whoever added them.
    type: dict
  nodes:
    description:
      - Policy names to who may open the VFIO nodes of their devices, the node of the IOMMU group, C(/dev/vfio/NUMBER), and that of
        the device, C(/dev/vfio/devices/vfioNUMBER), where the kernel has it. Without it only root can open them.
      - Each is a mapping. C(owner) is a user by name (V(root) unless it is said), C(group) a group by name (V(root)), C(mode) four octal
        digits in quotes (V("0660") with a group, else V("0600")), and C(symlink) whether there are links
        C(/dev/vfio/by-policy/POLICY/PATH/group) and C(/cdev) to them (V(false)). C(PATH) is the device's field C(path), with C(-) for C(/).
      - udev does it at every bind and boot, by a rules file of its own. Nodes that exist are changed at once, unless O(now=false), and
        read back.
      - A policy is one of O(devices), or on the host already. A name that is neither is an error, as are a user or group that
        the host does not have, a mode that lets every user in, and policies that disagree over one IOMMU group, which has one node. A
        policy in the group that is not named here wants it for root.
      - An empty mapping in place of one gives the nodes back to root. Of a policy that is not named O(undeclared) decides.
      - The rules know a device by its slot, kind and, for the node of a group, its present address. Where bus numbers have moved since,
        that node stays root's until the next run. So does that of a device that is plugged in for the first time. On s390 a unique
        UID decides, or the function id.
      - C(/dev/vfio/vfio) is for all users, as the kernel has it.
    type: dict
    version_added: 0.1.0
  iommu_node:
    description:
      - Who may open C(/dev/iommu), by which user space uses a device without its group. The host has one such node.
      - An empty mapping declares nothing. O(undeclared) decides about what was declared before.
    type: dict
    suboptions:
      owner:
        description: A user, by name.
        type: str
        default: root
      group:
        description: A group, by name.
        type: str
        default: root
      mode:
        description: Four octal digits in quotes, of which the last is 0. The default is V("0660") with a group, and V("0600") without.
        type: str
    version_added: 0.1.0
  memlock:
    description:
      - How much memory services and users may lock. A process that uses a device locks the memory that the device can reach, which is most
        of a guest's memory.
      - A limit is V(infinity), a number of bytes, or a size such as V(64G) (V(K), V(M), V(G), V(T), V(P), V(E), of 1024).
      - systemd reads its units again, and nothing is restarted. RV(restart) says what has to be.
      - Services, users and groups have to be there. A file that is read after ours and says otherwise is an error, with its line.
      - With O(state=absent), what is named is taken away. What is not named O(undeclared) decides about. Not looked at with O(confirm), since it
        changes nothing that runs.
    type: dict
    suboptions:
      units:
        description: Services (C(NAME.service)) to limits, in C(/etc/systemd/system/NAME.service.d/90-vfio-host.conf).
        type: dict
      users:
        description:
          - Users, or groups with C(@) before the name, to limits, in C(/etc/security/limits.d/90-vfio-host.conf). They hold from the next login
            on.
        type: dict
    version_added: 0.1.0
  platforms:
    description:
      - What each platform needs of the kernel so that devices can be taken, by the platform's name as M(vfio.host.pci_facts)
        returns it. A mapping of C(modules), C(kernel_config) and C(kernel_cmdline), declared as in O(modules),
        O(kernel_config) and O(kernel_cmdline).
      - That of the host's own platform counts, and only where O(devices) declares one for VFIO. What those options name
        themselves wins, module by module, symbol by symbol and argument by argument.
      - Not looked at with O(state=absent).
    type: dict
  initramfs:
    description:
      - Have the images of early user space hold the rules of the policies and the module options, and rebuild those that
        do not, as M(vfio.host.initramfs) does.
      - With V(false) images are not looked at. A native driver in an old image then has the device until the real root
        is there.
    type: bool
    default: true
  undeclared:
    description:
      - What is done about what is on the host by this collection and is not declared any more, of those of O(devices), O(sriov),
        O(modules), O(kernel_config), O(kernel_cmdline), O(nodes) and O(memlock) that are named, be it with nothing in them. Not with O(state=absent).
      - With V(report) it stays as it is, is in RV(undeclared), and a warning says so. With V(release) it is given back, a policy as by an
        empty list, and the others as by O(state=absent). With either, a device of a policy that is not declared changes its
        owner where O(devices) declares it, so renaming a policy needs nothing more.
      - With V(ignore) it is somebody else's, as on a host that several inventories manage. Nothing is said of it, and a device of such a
        policy that O(devices) declares is an error.
      - An argument that turns the IOMMU on is declared by any device for VFIO, and one that an option of a declared module or a declared
        symbol rests on by these.
    type: str
    choices: [report, release, ignore]
    default: report
  prove:
    description:
      - Whether to open each device that O(devices) has for VFIO, when all is applied, as M(vfio.host.prove) does, which says what that
        does to a device. Where a client could not open one, the task fails, and what it applied stays.
      - Nothing is opened in check mode, and no device that waits for the next boot.
    type: bool
    default: false
    version_added: 0.1.0
notes:
  - With O(confirm), kernel command line and images of early user space are not looked at, since they change nothing before the
    next boot. Run again without it when the change is confirmed.
  - "The areas are applied in this order: kernel modules and configuration, kernel command line, numbers of virtual
    functions, devices, their nodes, locked memory, images."
  - "The IOMMU is off where the kernel shows no IOMMU group. On an Intel machine (ACPI table DMAR) C(intel_iommu=on) is
    then added to O(kernel_cmdline), on an AMD machine (ACPI table IVRS) C(amd_iommu=off) is removed, and C(iommu=off) on
    either. What O(kernel_cmdline) itself says of these arguments wins. IOMMU groups cannot be known before it is on, so
    they are looked at by the first run after that boot. Nothing is to be turned on for s390 and POWER."
seealso:
  - module: vfio.host.prove
  - module: vfio.host.driver_override
  - module: vfio.host.sriov_vfs
  - module: vfio.host.kernel_module
  - module: vfio.host.kernel_config
  - module: vfio.host.kernel_cmdline
  - module: vfio.host.initramfs
"""

EXAMPLES = r"""
- name: Two policies, and what they need of the kernel, planned and applied together
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
    modules:
      - name: vfio-pci
        options:
          disable_vga: true
      - name: nouveau
        state: disabled
    kernel_config:
      VFIO_PCI: [y, m]
      VFIO_NOIOMMU: n
    kernel_cmdline:
      iommu: pt

- name: Seven VFs of one card, five of them for guests, two for the host
  vfio.host.passthrough:
    sriov:
      - match:
          address: "0000:01:00.0"
        numvfs: 7
    devices:
      guests:
        - match:
            physfn: "0000:01:00.0"
            vf: 0-4
          count: 5
      host:
        - match:
            physfn: "0000:01:00.0"
            vf: [5, 6]
          driver: native

- name: Take VFs of the card that the default route is on, and give up no other card
  vfio.host.passthrough:
    devices:
      guests:
        - match:
            physfn: "0000:01:00.0"
          force: [network]

- name: Take the card that this connection may go over, and have it back in 30 seconds if nobody gets through any more
  vfio.host.passthrough:
    devices:
      cards:
        - match:
            mac: "52:54:00:12:34:56"
    force: [network]
    confirm: 30

- name: One policy for a service that runs as a user of group vm
  vfio.host.passthrough:
    devices:
      guests:
        - match:
            physfn: "0000:01:00.0"
            vf: 0-3
    nodes:
      guests:
        group: vm
        symlink: true
    memlock:
      units:
        guest.service: 64G

- name: Come by a new connection
  ansible.builtin.meta: reset_connection

- name: Keep the change
  vfio.host.passthrough:
    state: confirmed

- name: Give one policy back
  vfio.host.passthrough:
    devices:
      gpus:
    state: absent

- name: This is all that there shall be; whatever else was declared once is given back
  vfio.host.passthrough:
    devices:
      storage:
        - match:
            serial: S5H9NS0N986704R
    undeclared: release

- name: Give the host back
  vfio.host.passthrough:
    state: absent
"""

RETURN = r"""
awaits_confirmation:
  description: Whether O(confirm) seconds run by now.
  returned: success, unless O(state=confirmed)
  type: bool
devices:
  description: Every device of every policy, as M(vfio.host.driver_override) returns it.
  returned: when O(devices) is named, or everything is taken back
  type: list
  elements: dict
sriov:
  description: Every physical function that O(sriov) names, as M(vfio.host.sriov_vfs) returns it.
  returned: when O(sriov) is named, or everything is taken back
  type: list
  elements: dict
modules:
  description: Every kernel module that is declared or stands in for a symbol, as M(vfio.host.kernel_module) returns it.
  returned: when O(modules) or O(kernel_config) declare something
  type: list
  elements: dict
options_wanted:
  description:
    - Module to its declared options, as the kernel shows them once they are in force. RV(modules) has what is in force; the two
      differ where a module waits for the next boot.
  returned: when O(modules) or O(kernel_config) declare something
  type: dict
  sample: {vfio_pci: {disable_idle_d3: "Y"}}
vfs_before:
  description: Address of a physical function to the addresses of the virtual functions that it had.
  returned: when O(sriov) is named, or everything is taken back
  type: dict
  sample: {"0000:01:00.0": []}
kernel_config:
  description: Every symbol, as RV(vfio.host.kernel_config#module:options).
  returned: when O(kernel_config) declares something
  type: dict
kernel_cmdline:
  description: The boot loader in C(backend) and every argument in C(args), as M(vfio.host.kernel_cmdline) returns them.
  returned: when an argument is declared or needed
  type: dict
  sample:
    args:
      intel_iommu:
        configured: ["on"]
        running: []
        status: pending
        wanted: ["on"]
    backend: grub
proof:
  description: Every device that is for VFIO, as RV(vfio.host.prove#module:proof).
  returned: when O(prove=true), and the changes were made
  type: list
  elements: dict
initramfs:
  description: The tool in C(tool) and every image in C(images), as M(vfio.host.initramfs) returns them.
  returned: when O(initramfs=true)
  type: dict
nodes:
  description: Every device of a policy of O(nodes), with the nodes that are known when the run begins, C(/dev/iommu), and what is given back.
  returned: when O(nodes) or O(iommu_node) declare something, or something is given back
  type: list
  elements: dict
  contains:
    policy:
      description: The policy. V(null) for C(/dev/iommu).
      returned: success
      type: str
    address:
      description: The device. V(null) for C(/dev/iommu).
      returned: success
      type: str
    iommu_group:
      description: The number of its IOMMU group. V(null) of a VF that this run makes.
      returned: success
      type: str
      sample: "14"
    node:
      description: The path of the group's node.
      returned: success
      type: str
      sample: /dev/vfio/14
    cdev:
      description: The path of the device's node. V(null) where there is none yet, or the kernel makes none.
      returned: success
      type: str
    before:
      description: Who had a node that changes, as C(OWNER:GROUP MODE). V(null) where none changes.
      returned: success
      type: str
      sample: root:root 0600
    owner:
      description: The user who has them.
      returned: success
      type: str
    group:
      description: The group that has them.
      returned: success
      type: str
    mode:
      description: The mode.
      returned: success
      type: str
      sample: "0660"
    links:
      description: The links to them.
      returned: success
      type: list
      elements: str
    status:
      description: V(unchanged), V(changed), V(released) (root's again), or V(pending) (for the next boot).
      returned: success
      type: str
memlock:
  description: Every service and user of O(memlock), and every one of which a limit is taken away.
  returned: when O(memlock) declares something, or something is given back
  type: list
  elements: dict
  contains:
    kind:
      description: V(unit) or V(user).
      returned: success
      type: str
    name:
      description: Its name.
      returned: success
      type: str
    limit_before:
      description: The limit by this collection before, in bytes or V(infinity). V(null) for none.
      returned: success
      type: str
    limit:
      description: The limit by this collection.
      returned: success
      type: str
      sample: "68719476736"
    pid:
      description: The main process of a service that runs.
      returned: success
      type: int
    running:
      description: The soft limit that this process has.
      returned: success
      type: str
    restart:
      description: Whether it runs with another limit, so that it has to be restarted.
      returned: success
      type: bool
    status:
      description: V(unchanged), V(changed) or V(released).
      returned: success
      type: str
restart:
  description: Services that run with another limit of locked memory than is declared. Restarting them is yours.
  returned: with RV(memlock)
  type: list
  elements: str
undeclared:
  description: What is on the host by this collection, and is not declared. Empty unless O(undeclared=report).
  returned: success, unless O(state=confirmed)
  type: list
  elements: dict
  contains:
    kind:
      description: V(policy), V(sriov) (a PF), V(module), V(argument) (of the kernel command line), V(nodes) or V(memlock).
      returned: success
      type: str
    name:
      description: Its name; a PF's is its address.
      returned: success
      type: str
      sample: gpus
    reason:
      description: What is there of it, and what to do about it, one sentence.
      returned: success
      type: str
reboot_required:
  description: Whether something waits for the next boot.
  returned: success
  type: bool
reboot_reasons:
  description: What waits, one sentence each.
  returned: success
  type: list
  elements: str
  sample:
    - the running kernel was not started with intel_iommu=on
    - 0000:02:00.0 (Intel Corporation 82574L Gigabit Network Connection) waits for the next boot
"""

from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vfio.host.plugins.module_utils._core.options import ARGUMENTS
from ansible_collections.vfio.host.plugins.module_utils._core.task import run_task
from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import CHOICES, REPORT
from ansible_collections.vfio.host.plugins.module_utils._passthrough.declaration import DEVICES, Declaration, result

if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
    from ansible_collections.vfio.host.plugins.module_utils._prove.prove import Proof


def main() -> None:
    """All areas, one plan."""
    module = AnsibleModule(
        argument_spec=dict(
            ARGUMENTS,
            devices={"type": "dict"},
            sriov={"type": "list", "elements": "dict"},
            modules={"type": "list", "elements": "dict"},
            kernel_config={"type": "dict"},
            kernel_cmdline={"type": "dict"},
            nodes={"type": "dict"},
            iommu_node={"type": "dict"},
            memlock={"type": "dict"},
            platforms={"type": "dict"},
            initramfs={"type": "bool", "default": True},
            undeclared={"type": "str", "choices": list(CHOICES), "default": REPORT},
            prove={"type": "bool", "default": False},
        ),
        supports_check_mode=True,
    )
    run_task(module, Declaration(module.params).wishes, make_result=result, after=proof_for(module) if module.params["prove"] else None)


def proof_for(module: AnsibleModule) -> Callable[[Sysfs, Mapping[str, Any]], Proof]:
    """A function from (Sysfs, name -> plan) to the Proof of the devices."""

    def proof(fs: Sysfs, plans: Mapping[str, Any]) -> Proof:
        # Only tasks that ask for it load it.
        from ansible_collections.vfio.host.plugins.module_utils._prove.prove import prove_plan
        return prove_plan(fs, plans.get(DEVICES), timeout=module.params["timeout"], check=module.check_mode)

    return proof


if __name__ == "__main__":
    main()
