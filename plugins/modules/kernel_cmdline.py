#!/usr/bin/python
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_cmdline
short_description: Set arguments of the kernel command line, whatever boots the host
version_added: 0.1.0
description:
  - Sets or removes arguments in the configuration of the boot loader that boots the host. Compares them with the command line of the running kernel.
    Never reboots.
  - Other arguments keep their order, quotes and repetitions.
  - After the boot loader's tool has run, the module reads the entry that will boot. Where the entry is not as declared, or the tool fails, the module
    restores the files, runs the tool again, and fails with the tool's message.
  - Everything that the module set can be taken back, and the arguments from before are restored.
author:
  - vfio.host authors (@vfio-host)
extends_documentation_fragment:
  - vfio.host.attributes
options:
  arguments:
    description:
      - Names of arguments to their values. In names, C(-) and C(_) are the same, as for the kernel.
      - The alias C(args) is not for tasks that are written with C(action:), nor for ad-hoc commands. There, Ansible itself takes an option of that name
        apart.
      - Null or an empty text is the argument without C(=).
      - With a text or a number, the argument occurs once, with this value. Other occurrences are removed. They stay for arguments of which each
        occurrence counts (C(console), C(earlycon), C(ifname), C(ip), C(memmap), C(modprobe.blacklist), and all that begin with C(rd.)).
      - With a list, the argument occurs once with each of the values. Other occurrences stay.
      - A value with a space is put into double quotes. Only printable ASCII characters are allowed. Words that YAML reads as booleans (V(on), V(off))
        must be quoted.
      - With O(state=absent), a value or a list removes only these values. Null removes every occurrence of the argument.
      - Required with O(state=present).
      - Without it, O(state=absent) takes back everything that this collection has set on the kernel command line, and restores what it replaced or
        removed. Where nothing was set, the host need not have a known boot loader.
      - An empty mapping names no argument, so there is nothing to do.
    type: dict
    aliases: [args]
  state:
    description:
      - V(present) sets the arguments.
      - V(absent) removes the arguments in O(arguments), whoever added them. Only GRUB restores a value that V(present) replaced.
      - V(absent) without O(arguments) restores such values with every boot loader.
    type: str
    choices: [present, absent]
    default: present
notes:
  - "The module looks for a boot loader in this order: rpm-ostree on a host that ostree booted; proxmox-boot-tool where it manages a partition; a
    unified kernel image that started the running kernel; sdbootutil; kernelstub."
  - "On other hosts, it uses the boot loader that is installed: grubby with entries below C(/boot/loader/entries); GRUB without C(blscfg), with
    C(grub-mkconfig) and C(/boot/grub/grub.cfg) or C(grub2-mkconfig) and C(/boot/grub2/grub.cfg); systemd-boot with kernel-install; systemd-boot with
    entries by hand; zipl. Where several are installed, the EFI variable C(LoaderInfo) decides."
  - Some systems take kernel arguments from a declaration or an image of their own (NixOS, Guix System, Talos Linux, Unraid, TrueNAS, Flatcar,
    Bottlerocket, Ubuntu Core, SteamOS, Vanilla OS; bootc or ostree without rpm-ostree). The module refuses them, and names the place for arguments. It
    also refuses boot loaders that it does not support (extlinux, U-Boot, syslinux, Limine, rEFInd and others).
  - Entries of other systems, for rescue and of memory tests are not changed. The task fails before it changes anything where a tool would change or
    drop an argument that the task does not name.
  - "GRUB: the lines are in C(/etc/default/grub.d/zz-vfio-host.cfg), which no one else writes. Where C(grub-mkconfig) does not read that directory, they
    are at the end of C(/etc/default/grub), between marks, and the other lines stay. Removing the lines and running GRUB's tool undoes everything."
  - "GRUB: the lines append to C(GRUB_CMDLINE_LINUX), which GRUB puts before C(GRUB_CMDLINE_LINUX_DEFAULT). A value in another file that contradicts the
    declaration is left out of the command line, with a warning that names file and line. It returns when the module takes its own argument back. A file
    that is read later and sets C(GRUB_CMDLINE_LINUX), or contradicts the declaration, is an error that names the file."
  - "GRUB: these files are shell code. A shell reads them, as in GRUB's tool, also in check mode. Values that GRUB's own language would change are
    refused. The tool writes a new file (C(-o)), which replaces C(grub.cfg) in one step."
  - "Other boot loaders: their files are edited in place. C(/var/lib/vfio-host/kernel-cmdline) has each edited line, before and after. A line that
    nobody edited since is restored byte by byte. On an edited line, an argument is taken back if it still has the value that was set. Otherwise it
    stays, with a warning. Arguments that were there before or that were removed by name are not in the record. Without the record, arguments can be
    removed by name only."
  - "kernel-install: the module edits C(/etc/kernel/cmdline), which has the arguments of later kernels, and the options of each installed kernel's entry,
    each file in one step. It does not run kernel-install, since that writes kernels, images and entries in place, and a power cut could leave a host
    that does not boot. Arguments of one entry only stay."
  - "kernel-install: a missing C(/etc/kernel/cmdline) is created from C(/usr/lib/kernel/cmdline), or from the options of the entry that has booted, and
    removed when nothing is left to take back. kernel-install would use the running kernel's arguments, which include what was typed in the loader's menu."
  - "systemd-boot with entries by hand: the module edits the options of entries that have the running kernel's C(root=) and subvolume, no C(version), no
    comment of a tool that wrote them, and a kernel on their partition."
  - "sdbootutil: the module edits C(/etc/kernel/cmdline) and runs C(sdbootutil update-all-entries), which renews the options of this snapshot's entries.
    It refuses arguments of one entry only, and arguments that the tool would change."
  - "kernelstub: the module edits the list C(kernel_options) of C(/etc/kernelstub/configuration), and the entries of kernelstub. It does not run
    kernelstub. It refuses a host where kernelstub writes the firmware's boot entries."
  - "Unified kernel images: the module edits C(/etc/kernel/cmdline). Where that is absent, and C(/etc/cmdline.d) or C(/usr/lib/kernel/cmdline) has the
    arguments, it is created, and removed when nothing is left to take back. Then it runs mkinitcpio with the presets that build a unified image, or
    C(kernel-install add) where C(layout=uki) is set, and reads the command line inside the images. It refuses arguments of one image only, and images
    that another tool builds."
  - "grubby: the module makes one call for all entries. Where some entries must not change (for rescue, or of another system) and do not share their
    arguments, it makes one call for each entry. With C(/etc/zipl.conf), C(zipl) runs afterwards. An entry that starts no Linux kernel or has no line
    of options is left out, with a warning."
  - "grubby cannot set white space or quotes in a value. It appends a restored argument at the end of the line, as rpm-ostree does. Taking back gives all
    entries what the default entry had. An argument of others that grubby would change (several blanks in quotes, C(&), C(\\)) is refused."
  - "grubby: later entries are made from two other files, which the module edits itself. One is C(/etc/kernel/cmdline). Where it does not exist, it is
    created from the default entry, and removed when nothing is left to take back. The other is C(GRUB_CMDLINE_LINUX) in C(/etc/default/grub), if that is
    set once, to one quoted value on one line. Otherwise it stays as it is, with a warning."
  - "proxmox-boot-tool: the module edits the first line of C(/etc/kernel/cmdline) for systemd-boot and the drop-in for GRUB, and runs one refresh. The
    partitions are not mounted, so the module reads the configuration and the tool's output. A partition that the tool leaves out is named in a
    warning. Where it leaves out all partitions, the task fails."
  - "zipl: the module edits the C(parameters) of each section of C(/etc/zipl.conf) that has the C(root=) of the default one and is not for rescue, runs
    C(zipl), and reads that file. It refuses a value with C(${), which zipl would replace from its environment block. Quotes stay where possible."
  - GRUB and systemd-boot are tested on virtual hosts that boot with them. All others are tested with files and with stand-ins for the tools. Most of
    these stand-ins are compared with the real tools.
  - Needs root.
seealso:
  - module: vfio.host.driver_override
  - module: vfio.host.passthrough
"""

EXAMPLES = r"""
- name: The IOMMU on, host devices without translation
  vfio.host.kernel_cmdline:
    arguments:
      intel_iommu: "on"
      iommu: pt
  register: result

- name: Reboot where the running kernel was started without them
  ansible.builtin.reboot:
  when: result.reboot_required

- name: A serial console beside those that are there, and a bare argument
  vfio.host.kernel_cmdline:
    arguments:
      console:
        - ttyS0,115200
      nosmt:

- name: Take one value back
  vfio.host.kernel_cmdline:
    arguments:
      iommu: pt
    state: absent

- name: Remove an argument, whatever its value
  vfio.host.kernel_cmdline:
    arguments:
      intel_iommu:
    state: absent

- name: Take back whatever this collection has set, and reboot where that still runs
  vfio.host.kernel_cmdline:
    state: absent
  register: result

- name: Reboot into the command line as it was
  ansible.builtin.reboot:
  when: result.reboot_required
"""

RETURN = r"""
refusals:
  description: Why the task is refused, as RV(vfio.host.passthrough#module:refusals).
  returned: when the options are wrong, or the host cannot meet them
  type: list
  elements: dict
args:
  description: Every named argument. Without O(arguments), every argument that this collection had set. In check mode, the predicted state.
  returned: success
  type: dict
  contains:
    wanted:
      description: Its declared values. V(null) is the argument without C(=). Empty with O(state=absent).
      returned: success
      type: list
      elements: str
      sample: ["on"]
    configured:
      description: Its values in the entry that boots next, in order.
      returned: success
      type: list
      elements: str
      sample: ["on"]
    running:
      description: Its values on the command line of the running kernel.
      returned: success
      type: list
      elements: str
      sample: []
    status:
      description: V(met), or V(pending) where the running kernel was started otherwise.
      returned: success
      type: str
      sample: pending
backend:
  description: The boot loader. V(grub), V(grubby), V(kernel-install), V(systemd-boot), V(sdbootutil), V(kernelstub),
      V(unified), V(zipl), V(proxmox-boot-tool) or V(rpm-ostree). V(null) where nothing was to be taken back.
  returned: success
  type: str
  sample: grub
reboot_required:
  description: Whether the running kernel was started with other arguments than declared.
  returned: success
  type: bool
reboot_reasons:
  description: A sentence for each argument that waits for a reboot.
  returned: success
  type: list
  elements: str
  sample: ["the running kernel was not started with intel_iommu=on"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vfio.host.plugins.module_utils._cmdline.area import CmdlineArea, Request
from ansible_collections.vfio.host.plugins.module_utils._core.task import run_task


def main() -> None:
    """One area, one request."""
    module = AnsibleModule(
        argument_spec={
            "arguments": {"type": "dict", "aliases": ["args"]},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["arguments"])],
        supports_check_mode=True,
    )
    request = Request(module.params["arguments"], module.params["state"] == "present")
    run_task(module, lambda fs, files: {"cmdline": (CmdlineArea(fs, files), request)})


if __name__ == "__main__":
    main()
