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
      - V(present) makes the host as declared. It gives back devices that the policy took before and no longer declares.
      - V(absent) gives back everything that the policy took, and removes its rules file. It leaves a device alone that somebody else changed
        since then.
      - V(confirmed) keeps a change that waits for its confirmation (O(confirm)), whichever module made the change. The module looks at nothing
        else. The task fails if the host has taken the change back already.
    type: str
    choices: [present, absent, confirmed]
    default: present
  now:
    description: Change the drivers at once. With V(false), the rules file is written and the devices wait for the next boot.
    type: bool
    default: true
  at_boot:
    description:
      - Write the policy's rules file below C(/etc/udev/rules.d). Every boot then ends as declared, and so does the insertion of a device.
      - With V(false), the rules file is below C(/run/udev/rules.d) and ends with the next boot.
    type: bool
    default: true
  force:
    description:
      - Guards to give up for all devices of this task. A guard is a reason why the host itself needs a device.
      - V(network) is the guard of a device that carries a default route or the controller's connection.
      - V(storage) is the guard of a device that a mounted file system, swap or an assembled disk (LVM, LUKS, multipath, md) needs, also over
        the network, and of a device that the next boot mounts.
      - V(console) is the guard of the firmware's display, of the only display, and of a console of the kernel.
      - V(driver) is no guard. It binds a driver by its name although the driver does not declare the device. The kernel does not compare ids
        where an override names the driver, so the driver may fail in any way.
      - C(force) in an entry of devices does the same for the devices of that entry only.
    type: list
    elements: str
    choices: [network, storage, console, driver]
    default: []
  timeout:
    description: Seconds to wait for a driver to bind or unbind, from 1 to 86400.
    type: int
    default: 10
  confirm:
    description:
      - Seconds within which the change has to be confirmed, from 5 to 86400. With V(0), no confirmation is needed.
      - A later task with O(state=confirmed) confirms the change. Without it, the host takes the change back by itself.
      - The confirming task must come by a new connection, since an open connection proves nothing. The task C(meta) with
        C(reset_connection) closes the open one.
      - The host restores drivers, overrides, numbers of virtual functions, module options and files. Modules that the task loaded for the
        driver of a device stay loaded. Others it unloads, where nothing uses them.
      - A task that fails restores everything at once. It says what it could not restore, and the host tries that again when the time is over.
        The time begins with the task.
      - Until then, the host refuses other tasks that could change it. After it took a change back, the next task says so in a warning.
      - This needs systemd. A transient timer of systemd takes the change back, even if the task was killed. A reboot within the time stops the
        timer and keeps the change.
    type: int
    default: 0
attributes:
  check_mode:
    description: Can run in C(check_mode). The result is the same plan, and nothing is written or loaded.
    support: full
    details:
      - The name of a driver is known only when its module is loaded. Until then, check mode returns V(null) for a VFIO variant driver, and shows
        C(driver_of_MODULE) in the diff. That text is never written to the host. The run loads the module before it writes anything, also with
        O(now=false). It fails if the module has no driver of the declared name.
      - Only the run can tell that a driver refuses a device. Check mode predicts the fallback for a driver that refused the device before.
  diff_mode:
    description: Shows the drivers and the rules files before and after.
    support: full
  platform:
    description: Target operating systems that it can run on.
    support: full
    platforms: linux
notes:
  - "Fields of C(match): each scalar field of a device as M(vfio.host.pci_facts) returns it (C(address), C(vendor), C(device), C(class),
    C(driver), C(path), C(serial), C(iommu_group), ...); C(net) and C(mac), the names and MAC addresses of its network interfaces; C(physfn), the
    PF of a VF, by address, interface name, MAC address, serial number or path, or as a mapping that selects it; C(vf), the index of a VF, a
    range such as C(0-5), or a list of these. On s390 also C(uid) where C(uid_is_unique), C(function_id), C(pchid), C(pft), C(pfgid), C(vfn) and
    C(port)."
  - A value of C(match) is a text, a glob, or a list of these. Ids and the class match by their beginning. They must be quoted, since YAML reads
    C(0300) as a number.
  - VFIO hides some of what a match compares (interface names, MAC addresses, NVMe serial numbers, the native driver). The rules file remembers
    these values, so the second run selects the same devices.
  - A driver may refuse a device that it declares. Then the task fails and restores everything, or binds the driver C(fallback), such as
    C(vfio-pci). The rules file remembers the refusal. A later run tries the first driver again when the kernel or the declaration has changed and
    no process has the device open.
  - A device that moved to another address is recognized by its ids and serial number. The device that is at its old address is given back.
  - Where a match names an C(address) and the policy took another device there, the task fails and names both devices. To take the new device,
    match it by C(serial) or by a C(path) that no other device has, or release the policy first.
  - A C(path) begins with its root, which is the PCI domain and bus of the host bridge. Such a path is unique on the host. A path without the root,
    as in earlier versions, is accepted where it fits one device. Where it fits several devices, the task fails and names their full paths.
  - A C(mac) is the permanent address of an interface, even where another address is in use, as in a bond.
  - Rules compare slots and ids. After a change of bus numbers, the boot takes the same device. For a VF, rules compare its PF and index. Rules
    files of earlier versions compare addresses. The next run reads and rewrites them.
  - A device that is bound may still be unusable for a client. The task warns of a reserved region of type C(direct) in the IOMMU group, of a
    framebuffer of the firmware in the device's memory, of a missing reset, and of missing interrupt remapping. Each warning says which client
    fails, and how.
  - On s390, a function is recognized by its UID, whatever its address. Where UIDs need not be unique, it is recognized by its function id.
  - With C(optional), a device that the entry took keeps its rule while it is absent.
  - With C(optional), a standing rule takes every matching device that is plugged in later, also one that was never there before. This needs an
    entry without C(count), whose match has ids only (C(vendor), C(device), C(subsystem_vendor), C(subsystem_device), C(class), with or without
    C(address)), or C(vf), with or without C(physfn) and ids.
  - A device is never unbound while a process has its VFIO file open, since the kernel would wait forever. The task fails before it changes
    anything, and names the process.
  - All or nothing. The task reports all problems before the first write. Where a later step fails, it restores all devices of the task.
  - There is one exception. Where a native driver refuses a device that is given back, the task does everything else and then fails. The next
    task tries again.
  - A device is given back without a driver, and with a warning, where it had no driver before or the running kernel does not have that driver
    any more, unless another driver takes it.
  - Needs root.
"""
