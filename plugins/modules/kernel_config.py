#!/usr/bin/python
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_config
short_description: Require kernel configuration options, or what stands in for them at run time
version_added: 0.1.0
description:
  - Compares Kconfig symbols with the configuration of the running kernel. For a symbol that differs, it looks for an equivalent at run time.
  - On a kernel with V(m), loading the module at boot is the equivalent of V(y), and disabling the module that of V(n). C(VFIO_NOIOMMU) and
    C(VFIO_PCI_VGA) have module options as equivalents. Symbols of IOMMU drivers have kernel arguments.
  - With O(enforce=true), the module sets such module states and options, in the same files as M(vfio.host.kernel_module). The task fails with the
    list of all symbols that nothing can meet.
author:
  - vfio.host authors (@vfio-host)
extends_documentation_fragment:
  - vfio.host.attributes
options:
  options:
    description:
      - Symbols, with or without C(CONFIG_), to accepted values. A value is V(y), V(m), V(n), or a list of these. V(true) is V(y), and V(false) is
        V(n).
      - Three names of platforms are accepted too, although no kernel has such symbols. C(VFIO_PCI_S390) means C(VFIO_PCI_ZDEV_KVM),
        C(VFIO_PCI_P9) means C(VFIO_PCI_NVLINK2), and C(VFIO_PCI_X86) means both C(VFIO_PCI_IGD) and C(VFIO_PCI_VGA).
      - A task changes only the equivalents of the symbols that it names.
    type: dict
    required: true
  enforce:
    description:
      - Set the equivalents of symbols that the kernel's configuration does not meet.
      - With V(false), nothing is changed, and an unmet symbol is no failure. RV(options) says which symbols are met now.
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
  - The configuration is read from the first of these files that exists, C(/proc/config.gz), C(config) and C(build/.config) in the running kernel's
    directory below C(/lib/modules), and C(/boot/config-RELEASE).
  - Without such a file, a symbol is V(y) where C(modules.builtin) has its module, V(m) where the module has a file, and V(unknown) otherwise. It is
    never V(n).
  - This module does not write kernel arguments. A symbol that needs an argument is unmet until the running kernel has the argument. The message
    names it, and M(vfio.host.kernel_cmdline) writes it.
  - To remove what this module wrote about a kernel module, use
    O(vfio.host.kernel_module#module:modules[].state=absent).
  - Needs root.
seealso:
  - module: vfio.host.kernel_module
  - module: vfio.host.kernel_cmdline
"""

EXAMPLES = r"""
- name: What PCI pass-through needs, and what it should not have
  vfio.host.kernel_config:
    options:
      VFIO_PCI: [y, m]
      VFIO_NOIOMMU: n
      VFIO_PCI_VGA: n

- name: Look only
  vfio.host.kernel_config:
    options:
      IOMMUFD: [y, m]
      IOMMU_DEFAULT_PASSTHROUGH: y
    enforce: false
  register: kernel
"""

RETURN = r"""
refusals:
  description: Why the task is refused, as RV(vfio.host.passthrough#module:refusals).
  returned: when the options are wrong, or the host cannot meet them
  type: list
  elements: dict
options:
  description: Every symbol, by its name without C(CONFIG_). In check mode, as it would be.
  returned: success
  type: dict
  contains:
    wanted:
      description: The values that will do.
      returned: success
      type: list
      elements: str
      sample: ["n"]
    value:
      description: The symbol's value in the configuration, V(unknown) where nothing tells it.
      returned: success
      type: str
      sample: "y"
    source:
      description: The file or table that says so; V(null) for none.
      returned: success
      type: str
      sample: /boot/config-6.12.107+deb13-amd64
    met:
      description: Whether the requirement is met, from the next boot on where RV(reboot_required).
      returned: success
      type: bool
    by:
      description: V(config), V(module), V(option) or V(cmdline); V(null) where it is not met.
      returned: success
      type: str
      sample: option
    reason:
      description: The evidence; for an unmet symbol, also what would meet it.
      returned: success
      type: str
      sample: it is y in /boot/config-6.12.107+deb13-amd64; vfio_pci.disable_vga is Y
modules:
  description: The kernel modules that stand in, as M(vfio.host.kernel_module) returns them.
  returned: success
  type: list
  elements: dict
cmdline_args:
  description: Kernel arguments that would meet symbols which are not met yet.
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

from ansible_collections.vfio.host.plugins.module_utils._core.task import run_task
from ansible_collections.vfio.host.plugins.module_utils._devices.needed import modules_needed
from ansible_collections.vfio.host.plugins.module_utils._modules.area import KernelArea, Request


def main() -> None:
    """All symbols, one plan."""
    module = AnsibleModule(
        argument_spec={
            "options": {"type": "dict", "required": True},
            "enforce": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    request = Request(config=module.params["options"], enforce=module.params["enforce"])
    run_task(module, lambda fs, files: {"kernel": (KernelArea(fs, files, modules_needed), request)})


if __name__ == "__main__":
    main()
