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
  - Sets or removes the named arguments in the configuration of the boot loader that boots the host, and compares with
    what the running kernel was started with. It never reboots.
  - Arguments that are not named stay as they are, with their order, quotes and repetitions.
  - After the boot loader's tool has run, the entry that will boot is read again. Where it is not as wished, or a tool
    fails, the files are put back, the tool runs once more, and the task fails with the tool's words.
  - What it changed can be taken back as a whole, and what was there before comes back.
author:
  - vfio.host authors (@vfio-host)
extends_documentation_fragment:
  - vfio.host.attributes
options:
  arguments:
    description:
      - Names of arguments to their values. C(-) and C(_) in a name are the same, as they are to the kernel.
      - May be written as C(args), with the arguments written out. Ansible takes an option of that name apart before any
        module sees it, so a variable with arguments goes to O(arguments).
      - Null or an empty text is the bare argument, without C(=).
      - A text or a number is the one value that the argument has. Other occurrences go, except for arguments of which
        each occurrence counts (C(console), C(earlycon), C(ifname), C(ip), C(memmap), C(modprobe.blacklist), and all
        that begin with C(rd.)).
      - A list is for an argument that may occur more than once. Each of its values will be there; others stay.
      - A value with a space is put into double quotes. Values have printable ASCII characters only. Words that YAML
        reads as booleans (V(on), V(off)) have to be quoted.
      - With O(state=absent), a value or a list removes these values only, null removes every occurrence of the
        argument.
      - Required with O(state=present). Left out with O(state=absent), all that this collection has set on the kernel
        command line is taken back, and what it replaced or removed comes back. Where nothing was set, no boot loader is
        needed. An empty dictionary is no argument at all, and so nothing to do.
    type: dict
    aliases: [args]
  state:
    description:
      - V(absent) removes the arguments in O(arguments), whoever added them. A value that V(present) replaced does not
        come back then, except with GRUB; without O(arguments) it does.
    type: str
    choices: [present, absent]
    default: present
notes:
  - "The boot loader is found by what is on the host, in this order: rpm-ostree (on a host that ostree booted),
    proxmox-boot-tool (where it manages a partition), a unified kernel image that started the running kernel, sdbootutil, kernelstub,
    then the one of these that is there: grubby with entries below C(/boot/loader/entries); GRUB with C(grub-mkconfig) and
    C(/boot/grub/grub.cfg), or C(grub2-mkconfig) and C(/boot/grub2/grub.cfg), without C(blscfg); systemd-boot with kernel-install;
    systemd-boot with entries by hand; zipl. Of several, the one that the EFI variable C(LoaderInfo) names."
  - "Systems that take kernel arguments from a declaration or an image of their own (NixOS, Guix System, Talos Linux, Unraid,
    TrueNAS, Flatcar, Bottlerocket, Ubuntu Core, SteamOS, Vanilla OS; bootc or ostree without rpm-ostree) are refused by name, with the
    place; so are boot loaders that are not set up here (extlinux, U-Boot, syslinux, Limine, rEFInd and others)."
  - "Entries of other systems, for rescue and of memory tests stay as they are. Where a tool would change or drop an argument
    that nobody named, the run refuses before it begins."
  - "GRUB: where C(grub-mkconfig) reads C(/etc/default/grub.d), everything is in C(/etc/default/grub.d/zz-vfio-host.cfg), which
    only this module writes; the files of others are not edited. Where it does not, the same lines stand between marks at the end of
    C(/etc/default/grub), whose other bytes stay. A file that is read after these lines and sets C(GRUB_CMDLINE_LINUX) anew, or
    something against the wish, is an error that names it. The lines append to C(GRUB_CMDLINE_LINUX), which GRUB puts before
    C(GRUB_CMDLINE_LINUX_DEFAULT). What others set against the wish, it leaves out, and a warning names file and line;
    that holds again once the module has taken its own argument back. Removing these lines and running GRUB's tool
    gives the host back. These files are shell code: a shell reads them, as in that tool, in check mode too.
    Values that GRUB's own language would change are refused. The tool runs with C(-o) and the name of a new file,
    which takes the place of C(grub.cfg) in one step."
  - "All others are edited in place, so C(/var/lib/vfio-host/kernel-cmdline) remembers the lines as they were and as they
    were made. A line that is still as it was made gets its every byte back. On a line that somebody edited since, an
    argument that is still as it was set is taken back; one that is not stays, with a warning. An argument that was
    there already as wished, or that was removed by name, is not remembered. The file goes when nothing is left to take
    back. When it is lost, arguments are removed by name only."
  - "kernel-install: C(/etc/kernel/cmdline), from which it makes the entries of kernels to come, and the options of each
    installed kernel's entry, each file in one step; kernel-install itself does not run, since it writes kernels, images
    and entries in place, where a power cut leaves a host that does not boot. What an entry alone has stays. Where
    C(/etc/kernel/cmdline) does not exist, it is made of what kernel-install would take, and stays: the running kernel's
    arguments, which kernel-install would take next time, have what was set."
  - "systemd-boot with entries by hand: the options of each entry that has the running kernel's C(root=) and subvolume, no
    C(version), no comment of a tool that wrote it, and a kernel that is on its partition."
  - "sdbootutil: C(/etc/kernel/cmdline), then C(sdbootutil update-all-entries), which makes the options of this snapshot's entries
    anew. What an entry alone has, and what that tool would change on the way, is refused."
  - "kernelstub: the list C(kernel_options) of C(/etc/kernelstub/configuration), and its entries; kernelstub itself does not run.
    Where it writes the firmware's boot entries instead, it is refused."
  - "Unified kernel images: C(/etc/kernel/cmdline), then mkinitcpio with the presets that name one, or C(kernel-install add) where
    C(layout=uki) is set; the command line inside is read again. What an image alone has is refused, and so are images that another tool
    builds."
  - "grubby: one call for all entries, or one for each where others are to stay as they are (an entry for rescue or of another
    system, unless the entries share their arguments); with C(/etc/zipl.conf), C(zipl) runs afterwards. It cannot carry white space or
    quotes in a value. All entries are taken back to what the default one had; the tool puts it at the end of the line,
    as rpm-ostree does. An entry that starts no Linux kernel, or has no line of options, is left out, with a warning. An
    argument of others that grubby would change (more than one blank within quotes, C(&), C(\\)) is refused. Two files
    that later entries are made from are edited by the module itself: the value of C(GRUB_CMDLINE_LINUX) in
    C(/etc/default/grub), where it is set once, to one quoted value on one line, else a warning says that it was left as
    it is; and C(/etc/kernel/cmdline). Where that does not exist, it is made from the default entry, and goes when
    nothing is left to take back."
  - "proxmox-boot-tool: the first line of C(/etc/kernel/cmdline) for systemd-boot, the drop-in for GRUB, then one refresh.
    Its partitions are not mounted, so what is re-read is the configuration and the tool's output. A partition that the
    tool leaves out is named in a warning; when it leaves out all of them, the task fails."
  - "zipl: the C(parameters) of every section of C(/etc/zipl.conf), then C(zipl). What is re-read is that file. A value with C(${)
    is refused, which zipl fills in from its environment block. Quotes stay as they are where they can."
  - "GRUB and systemd-boot are tested by booting virtual hosts through them. All others are tested with
    files and tools that behave as the real ones do, which most of them are compared with."
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
args:
  description: Every named argument; without O(arguments), every one that was set. In check mode, as it would be.
  returned: success
  type: dict
  contains:
    wanted:
      description: Its values as the task wants them; V(null) stands for the bare argument. Empty with O(state=absent).
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
      description: V(met), or V(pending) where the running kernel was not started so.
      returned: success
      type: str
      sample: pending
backend:
  description: What boots the host. V(grub), V(grubby), V(kernel-install), V(systemd-boot), V(sdbootutil), V(kernelstub),
      V(unified), V(zipl), V(proxmox-boot-tool) or V(rpm-ostree). V(null) where nothing was to be taken back, so that it was not looked for.
  returned: success
  type: str
  sample: grub
reboot_required:
  description: Whether the running kernel was started otherwise than wished.
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
