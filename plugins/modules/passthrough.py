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
  - Makes a host as declared, with one call and one plan. The plan covers devices, virtual functions, who may open the nodes of devices,
    limits of locked memory, kernel modules and their options, kernel configuration, the kernel command line and the initramfs images. It is
    complete before the first write.
  - Where anything declared cannot be met, nothing is changed. Where a step fails, everything is restored.
  - Results and messages are those of the single modules, since the code is the same.
  - Turns the IOMMU on where devices are declared on an x86 machine whose IOMMU is off. These devices wait for the next boot, and
    RV(reboot_required) is true. The module never reboots.
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
      - V(present) makes the host as declared.
      - V(absent) takes back what the task names. Where the task has none of O(devices), O(sriov), O(modules), O(kernel_cmdline), O(nodes),
        O(iommu_node) and O(memlock), it takes back everything that this collection has done to the host.
      - V(confirmed) keeps a change that waits for its confirmation (O(confirm)), whichever module made the change. The module looks at nothing
        else. The task fails if the host has taken the change back already.
    type: str
    choices: [present, absent, confirmed]
    default: present
  now:
    description:
      - Change what runs at once, such as drivers, VFs, modules and nodes. With V(false), the files are written, and the rest waits for the next
        boot.
    type: bool
    default: true
  at_boot:
    description:
      - Whether devices, VFs, nodes and limits of services are as declared at every boot too, by files below C(/etc).
      - With V(false), these files are below C(/run) and end with the next boot.
      - Kernel modules have O(modules[].at_boot) of their own. What O(kernel_config) and O(kernel_cmdline) need holds at every boot in either case.
    type: bool
    default: true
  devices:
    description:
      - Policy names to lists of devices. Each device has the keys of O(vfio.host.driver_override#module:devices).
      - An empty list gives back what the policy took.
      - A device that moves from one policy to another changes its owner and is not unbound. So a policy can be renamed, split and merged.
      - O(undeclared) decides about a policy that is on the host and not named here.
      - Two policies that select the same device are an error.
      - With O(state=absent), the named policies are given back, whatever they list.
    type: dict
  consumers:
    description:
      - Policy names to the programs that get the devices of the policy, as C(consumer) of a device. V(auto) then chooses a driver that the program
        can open. The programs are V(libvirt), V(qemu), V(kubevirt), V(sriov_device_plugin), V(nova), V(proxmox), V(incus), V(cloud_hypervisor),
        V(dpdk), V(vpp) and V(spdk).
      - C(consumer) of a device wins. A device with the driver V(native) is left out, since no program opens it.
      - Each policy must be in O(devices). A driver by name that the program cannot open is an error.
      - Ignored with O(state=absent).
    type: dict
    version_added: 0.1.0
  sriov:
    description:
      - Physical functions (PFs) and their numbers of virtual functions (VFs). VFs are made before devices are bound, so policies can
        declare VFs that do not exist yet.
      - O(undeclared) decides about a PF that is not named.
      - With O(state=absent), the number from before is restored.
  modules:
    description:
      - Kernel modules and their options.
      - A module is neither unloaded nor disabled while its driver has a device that the host needs, unless O(force) gives up the guard.
      - With O(state=absent), this collection keeps nothing about the named modules. The running kernel stays as it is.
  kernel_config:
    description:
      - Kconfig symbols to accepted values, as in O(vfio.host.kernel_config#module:options). An argument that a symbol needs is added to the
        kernel command line.
      - Not allowed with O(state=absent).
    type: dict
  kernel_cmdline:
    description:
      - Arguments of the kernel command line, as in O(vfio.host.kernel_cmdline#module:arguments).
      - With O(state=absent), these arguments are removed, whoever added them.
    type: dict
  nodes:
    description:
      - Policy names to the users and groups that may open the VFIO nodes of the policy's devices. These are the node of the IOMMU group
        (C(/dev/vfio/NUMBER)) and, where the kernel has it, the node of the device (C(/dev/vfio/devices/vfioNUMBER)). By default, only root can
        open them.
      - The value is a mapping. C(owner) is the name of a user (default V(root)). C(group) is the name of a group (default V(root)). C(mode) is four
        octal digits in quotes (default V("0660") with a group, and V("0600") without). C(symlink) makes links to the nodes (default V(false)).
      - The links are C(/dev/vfio/by-policy/POLICY/PATH/group) and C(/dev/vfio/by-policy/POLICY/PATH/cdev). C(PATH) is the device's field C(path)
        with C(-) in place of C(/).
      - A rules file has udev set owner and mode at every bind and boot. Existing nodes are changed at once and read back, unless O(now=false).
      - A policy must be in O(devices) or on the host already. A user or group that the host does not have is an error, as is a mode that lets
        every user open the node.
      - The node of an IOMMU group is one for all policies with devices in it. Policies that disagree about it are an error. A policy that is not
        named here wants it for root. A member that is on VFIO by no policy is an error, too.
      - An empty mapping gives the nodes of a policy back to root. O(undeclared) decides about a policy that is not named.
      - The rules identify a device by its slot and kind, and for the node of a group also by its present address. Where bus numbers have changed,
        or a device is plugged in for the first time, the node of the group stays root's until the next run. On s390, the rules use a unique UID, or
        the function id.
      - C(/dev/vfio/vfio) is open to all users, as the kernel makes it.
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
      - A limit is V(infinity), a number of bytes, or a size such as V(64G). The units V(K), V(M), V(G), V(T), V(P) and V(E) are powers of 1024.
      - systemd reloads its units, and no service is restarted. RV(restart) lists the services that need a restart.
      - Services, users and groups must exist. A file that is read later and sets another limit is an error, with file and line.
      - With O(state=absent), the named limits are removed. O(undeclared) decides about limits that are not named.
      - Ignored with O(confirm), since a limit changes nothing that runs.
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
      - What each platform needs of the kernel before devices can be taken. Names of platforms, as M(vfio.host.pci_facts) returns them, to mappings of
        C(modules), C(kernel_config) and C(kernel_cmdline). The values are as in O(modules), O(kernel_config) and O(kernel_cmdline).
      - The needs of the host's own platform count, and only where O(devices) declares a device for VFIO. For the same module, symbol or argument,
        O(modules), O(kernel_config) and O(kernel_cmdline) win.
      - Ignored with O(state=absent).
    type: dict
  initramfs:
    description:
      - Rebuild initramfs images that lack the rules of policies or the module options, as M(vfio.host.initramfs) does.
      - With V(false), images are left alone. Then a native driver in an old image binds the device until the root file system is mounted.
    type: bool
    default: true
  undeclared:
    description:
      - What to do about things that this collection has left on the host and that nothing declares any more. It is about those of O(devices),
        O(sriov), O(modules), O(kernel_config), O(kernel_cmdline), O(nodes), O(iommu_node) and O(memlock) that the task names, even with an empty
        value. It has no effect with O(state=absent).
      - V(report) leaves them alone. RV(undeclared) and a warning list them.
      - V(release) gives them back, policies as by an empty list, and everything else as by O(state=absent).
      - V(ignore) leaves them alone without a warning, for a host that several inventories manage.
      - Where O(devices) declares a device of an undeclared policy, V(report) and V(release) change its owner, so a policy can be renamed. With V(ignore),
        it is an error.
      - An argument that turns the IOMMU on counts as declared while any device is declared for VFIO. An argument for a module option or a symbol
        counts as declared while that module or symbol is declared.
    type: str
    choices: [report, release, ignore]
    default: report
  prove:
    description:
      - Whether to open each device that O(devices) has for VFIO, after everything is applied, as M(vfio.host.prove) does. Its documentation says how
        that affects a device. The task fails where a device cannot be opened, and the changes stay.
      - Check mode opens no device. A device that waits for the next boot is not opened.
    type: bool
    default: false
    version_added: 0.1.0
notes:
  - With O(confirm), the kernel command line and the initramfs images are left alone, since they have an effect only at the next boot. Run the
    task again without O(confirm) when the change is confirmed.
  - "Order of applying: kernel modules and configuration, kernel command line, numbers of VFs, devices, their nodes, locked memory, images."
  - The IOMMU counts as off where the kernel shows no IOMMU group. Then C(intel_iommu=on) is added to the command line of an Intel machine (ACPI table
    DMAR), C(amd_iommu=off) is removed from that of an AMD machine (ACPI table IVRS), and C(iommu=off) is removed from either. O(kernel_cmdline) wins
    for these arguments. s390, POWER and arm64 need no argument.
  - IOMMU groups are unknown while the IOMMU is off. The first run after the boot looks at them.
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

- name: A whole policy for KubeVirt, but for one device that QEMU gets, on its variant driver
  vfio.host.passthrough:
    devices:
      guests:
        - match:
            vendor: "10de"
            class: "0302"
        - match:
            serial: S5H9NS0N986704R
          consumer: qemu
    consumers:
      guests: kubevirt

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
refusals:
  description: Why the task is refused, one item a reason. The message has the same as text.
  returned: when the options are wrong, or the host cannot meet them; nothing was touched then
  type: list
  elements: dict
  contains:
    message:
      description: The sentence.
      returned: always
      type: str
    kind:
      description:
        - V(guard) (the host needs a device), V(in_use) (a process or the kernel uses it), V(group) (not its whole IOMMU group is declared), V(unmatched)
          (a match selects nothing), V(driver) (a named driver does not declare the device), V(vfs) (VFs or mediated devices would go along),
          V(dead) (it does not answer), V(stuck) (an earlier run waits for it), V(input) (the options are wrong) or V(host), anything else.
      returned: always
      type: str
    devices:
      description: The addresses of the devices that it is about, where it is about some.
      returned: always
      type: list
      elements: str
    guard:
      description: What O(force) would give up, V(network), V(storage), V(console) or V(driver). V(null) where it would not help.
      returned: always
      type: str
    remedy:
      description: What to do. V(null) where the message alone says it.
      returned: always
      type: str
  sample:
    - devices: ["0000:00:03.0"]
      guard: network
      kind: guard
      message: "0000:00:03.0 (Virtio network device) is needed by this host: ens3 carries the default route; ..."
      remedy: "to give it up all the same, say force: [network] for the whole task (the role's passthrough_force)"
awaits_confirmation:
  description: Whether the change waits for its confirmation (O(confirm)).
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
  description: Every kernel module that is declared or that meets a symbol, as M(vfio.host.kernel_module) returns it.
  returned: when O(modules) or O(kernel_config) declare something
  type: list
  elements: dict
options_wanted:
  description:
    - Module to its declared options, in the form in which the kernel shows them. RV(modules) has the options that are in force. The two differ where
      a module waits for the next boot.
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
  description: One row for each device of a policy in O(nodes), one for C(/dev/iommu), and one for everything that is given back.
  returned: when O(nodes) or O(iommu_node) declare something, something is given back, or O(devices) are declared where an earlier run gave nodes
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
      description: Owner and mode of a node before it changes, as C(OWNER:GROUP MODE). V(null) where no node changes.
      returned: success
      type: str
      sample: root:root 0600
    owner:
      description: The user who owns the nodes.
      returned: success
      type: str
    group:
      description: The group of the nodes.
      returned: success
      type: str
    mode:
      description: The mode.
      returned: success
      type: str
      sample: "0660"
    links:
      description: The links to the nodes.
      returned: success
      type: list
      elements: str
    status:
      description: V(unchanged), V(changed), V(released) (given back to root), or V(pending) (waits for the next boot).
      returned: success
      type: str
memlock:
  description: Every service and user of O(memlock), and every other whose limit is removed.
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
      description: The main process of a service that runs. Of a template, that of its first instance that has to be restarted.
      returned: success
      type: int
    running:
      description: The soft limit that this process has.
      returned: success
      type: str
    restart:
      description: Whether it runs with another limit, so that it has to be restarted. Of a template, whether any of its instances does.
      returned: success
      type: bool
    status:
      description: V(unchanged), V(changed) or V(released).
      returned: success
      type: str
restart:
  description:
    - Services that run with a limit other than the declared one. They need a restart, which this module does not do.
    - Of a template, these are its instances, but those that have a limit of their own in O(memlock).
  returned: with RV(memlock)
  type: list
  elements: str
undeclared:
  description: What this collection has left on the host and nothing declares any more. Empty unless O(undeclared=report).
  returned: success, unless O(state=confirmed)
  type: list
  elements: dict
  contains:
    kind:
      description: V(policy), V(sriov) (a PF), V(module), V(argument) (of the kernel command line), V(nodes) or V(memlock).
      returned: success
      type: str
    name:
      description: Its name. The name of a PF is its address.
      returned: success
      type: str
      sample: gpus
    reason:
      description: A sentence that says what is left, and what to do about it.
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
            consumers={"type": "dict"},
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
