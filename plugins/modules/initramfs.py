#!/usr/bin/python
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: initramfs
short_description: Keep VFIO policies and module options in the initramfs images
version_added: 0.1.0
description:
  - A native driver in the initramfs can bind a device before the root file system is mounted. With the rules files of policies in the image,
    C(udev) sets C(driver_override) first, and the native driver does not bind.
  - Reads the image of every installed kernel. Compares its content with the rules files of policies (C(/etc/udev/rules.d/*-vfio-host-*.rules)) and
    the file of module options (C(/etc/modprobe.d/vfio-host.conf)). An image is stale if it lacks such a file, has another version of it, or has a
    file that the host no longer has. Only stale images are rebuilt.
  - Builds all new images in C(/var/tmp) and reads them back. Then replaces each old image in one step. Where a tool or a hook of a boot loader
    fails, all images are restored.
  - Configures the tool, so that images of kernels that are installed later have the files too.
author:
  - vfio.host authors (@vfio-host)
extends_documentation_fragment:
  - vfio.host.attributes
options:
  state:
    description:
      - With V(present), the images have the files that are on the host. Without such files, it is the same as V(absent).
      - V(absent) removes the configuration file of the tool, and rebuilds images with files that the host no longer has. Give the policies back
        first.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    details:
      - Check mode reads the images too, and remembers their content in C(/run/vfio-host).
notes:
  - initramfs-tools needs no configuration where udev's own hook copies the files. Elsewhere it gets the hook
    C(/etc/initramfs-tools/hooks/vfio-host), which runs only while an image is built.
  - dracut gets C(/etc/dracut.conf.d/vfio-host.conf), with C(hostonly) on or off. With C(uefi=yes) its images are rebuilt as images;
    its unified kernel images are looked at, and not rebuilt.
  - mkinitcpio gets C(/etc/mkinitcpio.conf.d/vfio-host.conf). mkinitcpio reads it for presets without a configuration file of their own.
  - With sdbootutil (openSUSE), dracut's file is the same, and C(sdbootutil mkinitrd) makes the images, of all kernels of the running snapshot. What
    it would change in an entry beside that is an error before. Entries of other snapshots load the images that they had.
  - A kernel is installed where it has a directory below C(/lib/modules). Rescue images are not touched. Deployments of rpm-ostree are refused.
  - The module reads which images the boot entries of this system load, where their partition is mounted. A copy of an image is replaced together
    with the image. The task fails where the host boots from an image that lacks the files and that no known tool builds.
  - An image inside a unified kernel image is rebuilt where a preset of mkinitcpio builds the unified image. The command line inside must stay the
    same. Another unified image that lacks the files is an error if it started the running kernel, and a warning otherwise.
  - With proxmox-boot-tool, the partitions have copies of the images. Its own hook renews them, or C(proxmox-boot-tool refresh) where there is no
    hook. The partitions are not mounted, so the copies are not read.
  - The image need not have the VFIO modules. The override alone keeps native drivers from binding. VFIO binds when udev triggers all devices again
    from the root file system.
  - Reading an image takes one or two seconds. An image that was read in this boot, and is still the same file, is not read again.
  - Each image needs 1.25 times its size free in C(/boot). All stale images together need a little more than twice their size in C(/var/tmp). The
    module checks this before it changes anything.
  - Needs root.
seealso:
  - module: vfio.host.driver_override
"""

EXAMPLES = r"""
- name: Take two network cards for VFIO
  vfio.host.driver_override:
    policy: guests
    devices:
      - match:
          vendor: "8086"
          device: "10d3"
        count: 2

- name: And keep their native driver off from the first second of a boot
  vfio.host.initramfs:

- name: Give everything back
  vfio.host.driver_override:
    policy: guests
    state: absent

- name: Also in the images
  vfio.host.initramfs:
    state: absent
"""

RETURN = r"""
refusals:
  description: Why the task is refused, as RV(vfio.host.passthrough#module:refusals).
  returned: when the options are wrong, or the host cannot meet them
  type: list
  elements: dict
tool:
  description: The tool that makes this host's images, V(initramfs-tools), V(dracut), V(mkinitcpio) or V(sdbootutil); V(null) for none.
  returned: success
  type: str
  sample: initramfs-tools
images:
  description: The image of every installed kernel. In check mode, as it would be.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Path of the image. V(null) for a kernel without an image.
      returned: success
      type: str
      sample: /boot/initrd.img-6.12.107+deb13-amd64
    kernel:
      description: The kernel of the image. With mkinitcpio, the kernel as the preset names it.
      returned: success
      type: str
      sample: 6.12.107+deb13-amd64
    status:
      description: V(current), V(rebuilt), or V(missing) (a kernel that boots without an image).
      returned: success
      type: str
      sample: rebuilt
    reason:
      description: Why the image is rebuilt. V(null) for a current image.
      returned: success
      type: str
      sample: lacks /etc/udev/rules.d/60-vfio-host-guests.rules
reboot_required:
  description: Always V(false). A new image has its effect at the next boot and does not require one.
  returned: success
  type: bool
reboot_reasons:
  description: Always empty.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vfio.host.plugins.module_utils._core.task import run_task
from ansible_collections.vfio.host.plugins.module_utils._host.images import ImageFiles
from ansible_collections.vfio.host.plugins.module_utils._initramfs.area import ImageArea, ImageRequest


def main() -> None:
    """One host's images, one plan."""
    module = AnsibleModule(
        argument_spec={"state": {"type": "str", "choices": ["present", "absent"], "default": "present"}},
        supports_check_mode=True,
    )
    request = ImageRequest(present=module.params["state"] == "present")
    run_task(module, lambda fs, files: {"images": (ImageArea(fs, files, ImageFiles()), request)})


if __name__ == "__main__":
    main()
