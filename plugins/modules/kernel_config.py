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
  - Compares Kconfig symbols with the running kernel's configuration. Where that is otherwise, it looks for what does
    the same at run time. V(y) on a kernel with V(m) is met by loading the module at boot, V(n) by disabling it;
    C(VFIO_NOIOMMU) and C(VFIO_PCI_VGA) are met by module options; symbols of the IOMMU drivers by kernel arguments.
  - With O(enforce=true) such modules and options are made so, in the same files as by
    M(vfio.host.kernel_module), and the task fails with the whole list of what nothing can meet.
author:
  - vfio.host authors (@vfio-host)
extends_documentation_fragment:
  - vfio.host.attributes
options:
  options:
    description:
      - Symbols, with or without C(CONFIG_), to V(y), V(m), V(n), or a list of those that will do. V(true) is V(y) and
        V(false) is V(n).
      - Names that stand for what a platform needs are understood, too. No kernel has symbols C(VFIO_PCI_S390), C(VFIO_PCI_P9) and
        C(VFIO_PCI_X86); they mean
        C(VFIO_PCI_ZDEV_KVM), C(VFIO_PCI_NVLINK2), and C(VFIO_PCI_IGD) with C(VFIO_PCI_VGA).
      - A task changes only what stands in for the symbols that it names.
    type: dict
    required: true
  enforce:
    description:
      - Make what can be made so. With V(false) nothing is changed and the task does not fail for an unmet symbol;
        RV(options) tells which are met as the host is.
    type: bool
    default: true
attributes:
  check_mode:
    description: Can run in C(check_mode); the result is the same plan, and nothing is written, loaded or unloaded.
    support: full
  diff_mode:
    description: Shows the modules with their options and the files, before and after.
    support: full
notes:
  - "The configuration is read from C(/proc/config.gz), C(config) and C(build/.config) below the running kernel's
    directory in C(/lib/modules), or C(/boot/config-RELEASE), the first of them that is there. Without any, V(y) is
    what C(modules.builtin) names and V(m) what has a module file; the rest is V(unknown), and never V(n)."
  - Kernel arguments are not written by this module. A symbol that one would meet is unmet until the running kernel
    has it, and the message says which. M(vfio.host.kernel_cmdline) writes it.
  - To take back what this module has written about a kernel module, say
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
