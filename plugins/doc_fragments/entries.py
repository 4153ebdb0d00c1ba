# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys of what is declared in lists: devices, physical functions, kernel modules. Modules share them, under names of their own.

The keys themselves, with types, choices and defaults, are those of DEVICE_SPEC, PF_SPEC and MODULE_SPEC in module_utils; a test compares them.
Ansible takes the last word of a fragment's name for a file where there is one of that name, so no name here is that of a file beside this one.
"""

from __future__ import annotations

# Two options take physical functions.
_PFS = r"""
options:
  {name}:
    type: list
    elements: dict
    suboptions:
      match:
        description:
          - Device fields to wanted values, as in O(vfio.host.driver_override#module:devices[].match).
          - It selects devices. Those that have the SR-IOV capability count, and there must be at least one.
        type: dict
        required: true
      numvfs:
        description:
          - How many VFs each PF has. A whole number, or V(max), as many as the PF can have.
          - Required for O(state=present).
          - V(max) is an error for a PF whose firmware allows no VFs.
          - Some drivers (C(bnxt_en), C(bnx2x)) make VFs only while an interface of the PF is up. It is down when a boot sets the number. A
            warning says so, and what to do.
        type: raw
      autoprobe:
        description:
          - The final value of C(sriov_drivers_autoprobe).
          - With V(false), VFs that no policy declares get no driver. With V(true), they get their native driver, after all other VFs have
            theirs.
          - In either case, a policy with the driver V(native) gives a VF its native driver.
        type: bool
        default: false
      vfs:
        description:
          - Attributes of the VFs, set before a driver or guest has one, now and at boot. Attributes that are not named stay as they are.
          - Two items that differ over a VF are an error.
          - An attribute that the PF's driver does not take, or that reads back with another value, fails the task with the kernel's errno,
            and everything is restored.
          - An attribute that is no longer declared gets the value that it had before, where that is known.
        type: list
        elements: dict
        suboptions:
          vf:
            description: Which VFs. An index, a range such as V(0-3), or a list of these. All VFs where it is not named.
            type: raw
          mac:
            description: The MAC address of one VF, in quotes. V(00:00:00:00:00:00) is none.
            type: str
          mac_base:
            description: The MAC address of VF 0, to which the index of each VF is added.
            type: str
          vlan:
            description: The VLAN, from 1 to 4094. With V(0), the VF has none.
            type: int
          qos:
            description: The priority on that VLAN, from 0 to 7.
            type: int
          vlan_protocol:
            description: The protocol of the VLAN. Where C(vlan) is named, V(802.1Q) is the default.
            type: str
            choices: ["802.1Q", "802.1ad"]
          spoofchk:
            description: Whether frames with another source address are dropped.
            type: bool
          trust:
            description: Whether the VF may change what affects others, such as promiscuous mode.
            type: bool
          link_state:
            description: With V(auto), the link is as that of the PF. With V(enable) it is always up, with V(disable) always down.
            type: str
            choices: [auto, enable, disable]
          min_tx_rate:
            description: The least rate in Mbit/s. With V(0), there is none.
            type: int
          max_tx_rate:
            description: The highest rate in Mbit/s. With V(0), there is no limit.
            type: int
          node_guid:
            description: The GUID of the node, for a VF of InfiniBand. Eight bytes in quotes.
            type: str
          port_guid:
            description: The GUID of the port, for a VF of InfiniBand. Eight bytes in quotes.
            type: str
      force:
        description: The same as O(force), for the VFs of this entry only.
        type: list
        elements: str
        choices: [network, storage, console]
        default: []
"""


class ModuleDocFragment:
    """Options whose entries have fixed keys."""

    DEVICE = r"""
options:
  devices:
    type: list
    elements: dict
    suboptions:
      match:
        description: Device fields to wanted values. A device is selected when all fields fit. The notes list the fields.
        type: dict
        required: true
      driver:
        description:
          - The driver for the devices. V(auto) is the best VFIO driver by the kernel's alias table.
          - V(native) is no override. The kernel picks the driver.
          - Any other value is the name of a driver.
        type: str
        default: auto
      fallback:
        description:
          - The name of the driver for a device that the first driver refuses, such as V(vfio-pci).
          - Without it, the task fails where a driver refuses a device.
        type: str
      consumer:
        description:
          - The program that gets the devices. V(auto) then chooses a driver that this program can open.
          - A program that knows VFIO by the driver V(vfio-pci) alone gets devices on that driver, and not on a variant.
        type: str
        choices: [libvirt, qemu, kubevirt, sriov_device_plugin, nova, proxmox, incus, cloud_hypervisor, dpdk, vpp, spdk]
      count:
        description: How many devices must match. The task fails for any other number.
        type: int
      iommu_group:
        description:
          - What to do about other members of the IOMMU group that keep VFIO from using it.
          - V(refuse) fails, with a list of these members.
          - V(extend) takes these members too. It leaves out host bridges without a driver, and devices that vanish together with another
            member.
          - V(ignore) does not look at the group.
        type: str
        choices: [refuse, extend, ignore]
        default: refuse
      optional:
        description: Accept a match without any device.
        type: bool
        default: false
      force:
        description: The same as O(force), for the devices that this entry selects. It does not cover the devices that V(extend) adds.
        type: list
        elements: str
        choices: [network, storage, console, driver]
        default: []
"""

    PF: str

    SRIOV: str

    FORCE = r"""
options:
  force:
    description: Guards to give up for the whole task, as in O(vfio.host.driver_override#module:force).
    type: list
    elements: str
    choices: [network, storage, console]
    default: []
"""

    MODULE = r"""
options:
  modules:
    type: list
    elements: dict
    suboptions:
      name:
        description: The module's name. C(-) and C(_) are the same.
        type: str
        required: true
      state:
        description:
          - With V(loaded), the module is loaded now and at every boot.
          - With V(unloaded), the module is unloaded now, and this collection does not load it at boot. A device that needs the module may
            still cause it to load. The task fails where the module is in use.
          - With V(disabled), neither an alias nor its name loads the module any more, by a C(blacklist) and an C(install) line. The module is
            unloaded now, or by the next boot where it is in use.
          - With V(absent), this collection keeps nothing about the module, and nothing that M(vfio.host.kernel_config) declared about it.
            The running kernel stays as it is.
        type: str
        choices: [loaded, unloaded, disabled, absent]
        default: loaded
      options:
        description:
          - Names of module options to their values.
          - An option that is no longer declared keeps its value until the module is loaded again.
          - A value is a number, a boolean, or one word of letters, digits and C(_.,:/+*@%=~-).
        type: dict
        default: {}
      at_boot:
        description: Whether the declaration holds at every boot too. With V(false), the files have nothing about the module.
        type: bool
        default: true
      before:
        description: Modules of native drivers. This module is loaded before each of them (C(softdep NATIVE pre:)).
        type: list
        elements: str
        default: []
      force:
        description:
          - Guards to give up for this module.
          - A module is neither unloaded nor disabled while its driver has a device that the host needs (C(guards) in the facts of
            M(vfio.host.pci_facts)). The same holds for a module that such a module needs.
        type: list
        elements: str
        choices: [network, storage, console]
        default: []
"""


# Not in the class, where ansible-test reads texts alone.
ModuleDocFragment.PF = _PFS.format(name="devices")
ModuleDocFragment.SRIOV = _PFS.format(name="sriov")
