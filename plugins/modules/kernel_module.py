#!/usr/bin/python
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_module
short_description: Load, unload or disable kernel modules and set their options, now and at every boot
version_added: 0.1.0
description:
  - Makes kernel modules and their options as declared, on the running kernel and for every boot. One task may declare many modules.
  - Two files stay on the host, C(/etc/modprobe.d/vfio-host.conf) and C(/etc/modules-load.d/vfio-host.conf).
  - Options are compared with those of the running kernel. A writable option is written. For another option, the module is unloaded and loaded
    again. Where the module is in use, the option waits for the next boot, and RV(reboot_required) is true.
author:
  - vfio.host authors (@vfio-host)
extends_documentation_fragment:
  - vfio.host.attributes
  - vfio.host.entries.module
  - vfio.host.entries.force
options:
  modules:
    description:
      - The modules. In names of modules and options, C(-) and C(_) are the same.
      - A task changes only the modules that it names. What it no longer declares of a named module is removed from the files.
    required: true
  now:
    description: Change the running kernel. With V(false), only the files are written, and the rest waits for the next boot.
    type: bool
    default: true
attributes:
  check_mode:
    description: Can run in C(check_mode). The result is the same plan, and nothing is written, loaded or unloaded.
    support: full
  diff_mode:
    description: Shows the modules with their options and the files, before and after.
    support: full
notes:
  - Other files of modprobe.d and modules-load.d are respected. An option that another file sets to the declared value is not written again. A
    line that contradicts the declaration is an error with its file and line. Such a line has another value, C(blacklist) or C(install), or is
    C(modprobe.blacklist), C(module_blacklist) or C(initcall_blacklist) on the kernel command line.
  - modprobe.d has no effect on a module that is built into the kernel. Options of such a module belong on the kernel command line. RV(cmdline_args)
    returns them for M(vfio.host.kernel_cmdline) while the running kernel does not have them.
  - modprobe reads only the first C(softdep) line of a module. Lines from the modules themselves come before those of this collection. Where such
    a line exists, O(modules[].before) is an error. The message has the line to write instead.
  - The kernel does not show some options, such as C(vfio_pci.ids). Such an option is assumed to have the value that modprobe.d had when the module
    was loaded. A different value is remembered below C(/run) until the next boot.
  - M(vfio.host.initramfs) puts modules and options into the initramfs images. This module does not.
  - All or nothing. The task reports all problems before the first write. Where a later step fails, it restores files, modules and options.
  - Needs root.
seealso:
  - module: vfio.host.kernel_config
  - module: vfio.host.kernel_cmdline
  - module: vfio.host.initramfs
"""

EXAMPLES = r"""
- name: The VFIO driver at every boot, before two native drivers, and no VGA access through it
  vfio.host.kernel_module:
    modules:
      - name: vfio-pci
        options:
          disable_vga: true
        before: [nvme, e1000e]

- name: A native driver that must never load
  vfio.host.kernel_module:
    modules:
      - name: nouveau
        state: disabled

- name: An option that can be written at any time, until the next boot only
  vfio.host.kernel_module:
    modules:
      - name: vfio_iommu_type1
        options:
          dma_entry_limit: 131072
        at_boot: false

- name: Nothing of ours about these modules any more
  vfio.host.kernel_module:
    modules:
      - name: vfio-pci
        state: absent
      - name: nouveau
        state: absent
"""

RETURN = r"""
refusals:
  description: Why the task is refused, as RV(vfio.host.passthrough#module:refusals).
  returned: when the options are wrong, or the host cannot meet them
  type: list
  elements: dict
modules:
  description: Every module of the task, in the order of the names. In check mode, as it would be.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The module's name, with C(_).
      returned: success
      type: str
      sample: vfio_pci
    kind:
      description: V(loadable), V(builtin), or V(absent) (only for a module that is to be forgotten).
      returned: success
      type: str
      sample: loadable
    state_before:
      description: V(loaded), V(unloaded), V(builtin) or V(absent), before the task.
      returned: success
      type: str
      sample: unloaded
    state:
      description: The same, after the task.
      returned: success
      type: str
      sample: loaded
    options_before:
      description: The values that the declared options had in the running kernel; V(null) where it does not say.
      returned: success
      type: dict
      sample: {}
    options:
      description: The values that they have now; of a module that is not loaded, those that it will get.
      returned: success
      type: dict
      sample: {disable_vga: Y}
    elsewhere:
      description: Options that other files already set to the wanted value, and where.
      returned: success
      type: dict
      sample: {}
    cmdline_args:
      description: Kernel arguments that the options of this built-in module need.
      returned: success
      type: dict
      sample: {}
    status:
      description: V(unchanged), V(changed), or V(pending) (waits for the next boot).
      returned: success
      type: str
      sample: changed
    reboot_required:
      description: Whether something of this module waits for the next boot.
      returned: success
      type: bool
    reboot_reasons:
      description: What, one sentence each.
      returned: success
      type: list
      elements: str
cmdline_args:
  description: Kernel arguments that options of built-in modules need, and that the running kernel was not given.
  returned: success
  type: dict
  sample: {}
reboot_required:
  description: Whether something waits for the next boot.
  returned: success
  type: bool
reboot_reasons:
  description: What waits, one sentence each.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vfio.host.plugins.module_utils._core.force import GUARDS
from ansible_collections.vfio.host.plugins.module_utils._core.task import run_task
from ansible_collections.vfio.host.plugins.module_utils._devices.needed import modules_needed
from ansible_collections.vfio.host.plugins.module_utils._modules.area import KernelArea, Request


def main() -> None:
    """All modules, one plan."""
    module = AnsibleModule(
        argument_spec={
            "modules": {"type": "list", "elements": "dict", "required": True},
            "now": {"type": "bool", "default": True},
            "force": {"type": "list", "elements": "str", "choices": list(GUARDS), "default": []},
        },
        supports_check_mode=True,
    )
    request = Request(modules=module.params["modules"], now=module.params["now"], force=tuple(module.params["force"]))
    run_task(module, lambda fs, files: {"kernel": (KernelArea(fs, files, modules_needed), request)})


if __name__ == "__main__":
    main()
