# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options and notes of every module that takes devices."""

from __future__ import annotations


class ModuleDocFragment:
    """How devices are declared, and what a task does with them."""

    DOCUMENTATION = r"""
options:
  state:
    description:
      - V(present) makes the host as declared. What a policy took before and no longer declares is given back.
      - V(absent) gives back everything that the policy took, and removes its rules file. Devices that somebody else
        changed since are left alone.
      - V(confirmed) keeps the change that waits for its confirmation (O(confirm)), whichever module made it; nothing else is
        looked at. It fails where that change was taken back already.
    type: str
    choices: [present, absent, confirmed]
    default: present
  now:
    description: Change the drivers at once. With V(false) the rules file is written and the devices wait for the next boot.
    type: bool
    default: true
  at_boot:
    description:
      - Write the policy's rules file below C(/etc/udev/rules.d), so that every boot, and a device plugged in later, ends
        as declared.
      - With V(false) the rules are below C(/run/udev/rules.d) and end with the next boot.
    type: bool
    default: true
  force:
    description:
      - Guards given up for this task, of every device in it. V(network), what an interface with a default route or with the
        controller's connection stands on; V(storage), what is below a mounted file system, swap, an assembled disk (LVM, LUKS,
        multipath, md), or what the next boot mounts, or what these are reached over; V(console), the firmware's display, or the only
        one, or a console of the kernel.
      - C(force) in an entry of devices gives up the same for what that entry selects alone.
      - V(driver) binds a driver that is named and does not declare the device. The kernel does not look at a driver's ids
        where an override names it, so what follows is between that driver and the device.
    type: list
    elements: str
    choices: [network, storage, console, driver]
    default: []
  timeout:
    description: Seconds to wait for a driver to bind or to let go, from 1 to 86400.
    type: int
    default: 10
  confirm:
    description:
      - Seconds, from 5 to 86400, within which the change has to be confirmed, by a task with O(state=confirmed), once this task has
        ended; else the host takes it back by itself. V(0), nothing has to be confirmed. Make the confirming task come by a new connection
        (the task C(meta) with C(reset_connection)), since an open one proves nothing.
      - Drivers, overrides, numbers of virtual functions, module options and files go back to what they were. A module that was
        loaded stays loaded.
      - A task that fails puts everything back at once. Where it cannot put back everything, it says so, and the host takes back the
        rest when the time that began with the task is over.
      - Until then another task that could change the host is refused. The next one after a change was taken back says so, in a
        warning.
      - Needs systemd, whose transient timer does it, also after this task was killed. A reboot within the time ends it, and
        keeps the change.
    type: int
    default: 0
attributes:
  check_mode:
    description: Can run in C(check_mode); the result is the same plan, and nothing is written or loaded.
    support: full
    details:
      - The name of a VFIO variant driver is known only once its module is loaded, and so is that of any driver that C(driver) names
        and whose module is not loaded. Where it is not, check mode says V(null), and C(driver_of_MODULE) in the diff, which is
        never written. The run loads the module before it writes anything, also with O(now=false), and fails where the module has no
        driver of the declared name.
      - That a driver refuses a device is known only once it was asked. Where it was, check mode predicts the fallback.
  diff_mode:
    description: Shows the drivers and the rules files before and after.
    support: full
  platform:
    description: Target operating systems that it can run on.
    support: full
    platforms: linux
notes:
  - "Fields that C(match) may name: any scalar field of a device as M(vfio.host.pci_facts) returns it (C(address),
    C(vendor), C(device), C(class), C(driver), C(path), C(serial), C(iommu_group), ...), C(net) and C(mac) of its network
    interfaces, C(physfn) (address, interface name, MAC, serial number or path of a VF's PF, or a mapping that selects it), C(vf) (a VF's
    index, a range such as C(0-5), or a list of these), and on s390 C(uid) where C(uid_is_unique), C(function_id), C(pchid), C(pft),
    C(pfgid), C(vfn), C(port). A value is a text, a glob or a list of these; ids and the class fit by their beginning, and must be
    quoted, since YAML reads C(0300) as a number."
  - What a match saw and VFIO hides afterwards (interface names, MAC addresses, NVMe serials, the native driver) is
    remembered in the rules file, so the second run finds the same devices.
  - "A driver may refuse a device that it declares. Then the task fails and puts everything back, or takes C(fallback), the
    name of another driver, such as C(vfio-pci). That is remembered in the rules file: the driver is asked again after a
    change of the kernel or of the declaration, and not while a process has the device open."
  - A device that moved to another address is known again by its ids and serial number, and the device that is in its old
    place is given back. Where a match names an C(address) and another device is there than the one that the policy took,
    the task fails and names both; match it by C(serial), by a C(path) that no other device has, or release the policy first, to
    take the new one.
  - A C(path) begins with its root, the PCI domain and bus of the host bridge, and no other device of the host has it. One without
    the root, as in earlier versions, works where it fits one device; where it fits several, the task fails and names them with their whole
    paths.
  - A C(mac) is the permanent address, whatever address is in use, as it is in a bond.
  - Rules compare slots and ids, so after bus numbers moved the boot takes the same device. Of a VF they compare PF and index. Rules
    files of earlier versions, which compare addresses, are read, and rewritten by the next run.
  - A device that is bound may still be of no use to a client. A reserved region of type C(direct) in its IOMMU group, a framebuffer of the
    firmware in its memory, a reset that it lacks, and interrupts that are not remapped are each a warning that says which client
    fails, and how.
  - On s390 a function is known again by its UID, or by its function id where UIDs need not be unique, whatever its address.
  - With C(optional), a device that the entry took keeps its rule while it is absent. Where the match has ids only (C(vendor),
    C(device), C(subsystem_vendor), C(subsystem_device), C(class), and C(address) beside these) or C(vf), with C(physfn) and ids or
    without, and there is no C(count),
    a standing rule takes every device of that kind that is plugged in, also one that was never there before.
  - A device with a VFIO file open in some process is never unbound, since the kernel would wait for it for ever. The task
    fails and names the process before anything is touched.
  - It is all or nothing. Every problem is found and reported before the first write, and where a step fails after that,
    all devices of the task are put back. The exception is a device that is given back and that its native driver refuses. Then all
    else is done, the task fails at its end, and the next one tries again.
  - A device that had no driver when it was taken, or whose driver the running kernel has no more, is given back without a driver where no
    other one takes it, with a warning.
  - Needs root.
"""
