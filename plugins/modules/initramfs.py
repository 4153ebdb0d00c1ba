#!/usr/bin/python
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: initramfs
short_description: Keep VFIO policies and module options in the images of early user space
version_added: 0.1.0
description:
  - Native drivers in the initramfs meet a device before the root file system is there. With the rules of this
    collection's policies in the image, C(udev) sets the device's C(driver_override) first, and the native driver never
    touches it.
  - Reads the image of every installed kernel and compares what it holds with the host's rules files of policies
    (C(/etc/udev/rules.d/*-vfio-host-*.rules)) and its options file (C(/etc/modprobe.d/vfio-host.conf)). An image that
    lacks one, holds another version of one, or still holds one that is gone is stale. Only stale images are rebuilt.
  - New images are built in C(/var/tmp) and read back before the first old one is replaced, each in one step. Where a
    tool or a boot loader's hook fails, all images are put back.
  - Images of kernels that are installed later hold the files too, by their tool's own ways.
author:
  - vfio.host authors (@vfio-host)
extends_documentation_fragment:
  - vfio.host.attributes
options:
  state:
    description:
      - V(present) has the images hold the files that are on the host; without any, it is the same as V(absent).
      - V(absent) takes back the tool's configuration file and rebuilds images that hold files which are no longer on
        the host. Give the policies back first.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    details:
      - The images are read in check mode, too, and what was found in them is remembered in C(/run/vfio-host).
notes:
  - "Tools: initramfs-tools needs nothing, since udev's own hook copies the files, or else gets one hook,
    C(/etc/initramfs-tools/hooks/vfio-host), which runs only while an image is built; dracut gets
    C(/etc/dracut.conf.d/vfio-host.conf), with C(hostonly) on or off; mkinitcpio gets
    C(/etc/mkinitcpio.conf.d/vfio-host.conf), which it reads where presets name no configuration file of their own."
  - Kernels are those with a directory below C(/lib/modules). Rescue images and the like are not touched; the deployments of
    rpm-ostree are refused.
  - What the boot entries of this system load is looked at, where the partition is mounted. A copy of an image is replaced with it. Where the
    host boots by an image that no known tool builds and that lacks the files, the task fails.
  - The image inside of a unified kernel image is rebuilt where a preset of mkinitcpio builds that; the command line inside has to stay. Other
    unified kernel images are an error where one has started the running kernel and lacks the files, else a warning.
  - With proxmox-boot-tool, the images on its partitions are copies that its own hook makes anew, or C(proxmox-boot-tool refresh)
    where there is no such hook. They are not mounted, so they are not read.
  - The VFIO modules need not be in the image. The override alone keeps native drivers off, and VFIO binds when udev
    goes through the devices again on the real root.
  - Reading an image takes a second or two. An image that is the same file as when it was last read in this boot is not
    read again.
  - An image needs its own size, and a quarter more, free in C(/boot), and the stale images together a little more than
    twice their size in C(/var/tmp). This is looked at before anything is touched.
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
tool:
  description: The tool that makes this host's images, V(initramfs-tools), V(dracut) or V(mkinitcpio); V(null) for none.
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
      description: The image; V(null) for a kernel without one.
      returned: success
      type: str
      sample: /boot/initrd.img-6.12.107+deb13-amd64
    kernel:
      description: The kernel that it is for; with mkinitcpio, as the preset names it.
      returned: success
      type: str
      sample: 6.12.107+deb13-amd64
    status:
      description: V(current), V(rebuilt), or V(missing) (a kernel that boots without an image).
      returned: success
      type: str
      sample: rebuilt
    reason:
      description: Why it is rebuilt; V(null) for a current image.
      returned: success
      type: str
      sample: lacks /etc/udev/rules.d/60-vfio-host-guests.rules
reboot_required:
  description: Always V(false). An image does its work at the next boot and asks for none.
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
