# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What the tools that make images have in common: what they need to be told, which images are theirs, how they build one.

A tool has ``name``; ``found()``; ``config_path``, ``config_mode`` and ``config()``, the text of the one file of ours
that it needs, None where it needs none; ``images(kernels)``; ``problems(images)``, phrases why it could not build as
configured; ``build(image, output)``, the command that makes a new image in a file of its own; and ``finish(image)``,
the commands that the tool or its distribution runs once an image has changed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HEAD = """\
# Of the Ansible collection vfio.host: images of early user space get the rules of its policies and its module options.
"""
# Debian's hook that has kernel-install copy the kernel and its image.
_COPIER = "systemd-boot"
_PROXMOX = "proxmox-boot-sync"


@dataclass(frozen=True)
class ImageFile:
    """An image and how it is made. ``copies``: paths where the boot loader has the same image again.

    ``more``: arguments for the tool; ``config``: the configuration file that the image's preset names. ``is_unified``: it is
    inside of a unified kernel image, of which this is the path.
    """

    path: str
    kernel: str
    copies: tuple = ()
    more: tuple = ()
    config: str = ""
    is_unified: bool = False


class Tool:
    """What the tools have in common. ``files`` reads, ``paths`` is an ImageFiles."""

    name = ""
    program = ""
    config_mode = 0o644
    # Names of a kernel's image, in /boot and in a directory of the Boot Loader Specification.
    in_boot: tuple = ()
    in_entry: tuple = ("initrd",)

    def __init__(self, fs, files, paths):
        self._fs = fs
        self._files = files
        self._paths = paths
        # As the tools' own configuration has to name them.
        self._rules = paths.inner(files.boot_rules) + "/*-vfio-host-*.rules"
        self._options = paths.inner(files.modprobe_conf)

    def found(self):
        """Whether this tool is on the host."""
        return self._paths.program(self.program) is not None

    def images(self, kernels):
        """The images of installed kernels that a boot loader could use."""
        found = []
        for kernel in kernels:
            main = [f"{self._paths.boot}/{name.format(kernel)}" for name in self.in_boot]
            main = [path for path in main if self._paths.is_image(path)]
            entry = self._in_entries(kernel)
            # With an image in /boot, the one in the boot loader's own directory is a copy of it.
            copies = tuple(entry) if main else ()
            found += [ImageFile(path, kernel, copies) for path in main or entry]
        return found

    def _in_entries(self, kernel):
        tokens = {self._files.read(path) for path in (self._paths.machine_id, self._paths.entry_token)}
        tokens = sorted(token.strip() for token in tokens if token and re.match(r"[\w.-]+\s*\Z", token))
        paths = [
            f"{place}/{token}/{kernel}/{name.format(kernel)}"
            for place in self._paths.boots for token in tokens for name in self.in_entry
        ]
        return [path for path in paths if self._paths.is_image(path)]

    def problems(self, dummy_images):
        """Why the tool could not build these images with our configuration."""
        return []

    def finish(self, image):
        """What has to run once an image has changed (source: run_bootloader in update-initramfs; man 8 zipl)."""
        hooks = self._files.names(self._paths.post_update)
        proxmox = self._paths.program("proxmox-boot-tool")
        if proxmox and _PROXMOX not in hooks and (self._files.read(self._paths.proxmox_esps) or "").split():
            # Its partitions hold copies, which this hook of its own makes anew for initramfs-tools alone.
            return self._told(image, hooks) + [[proxmox, "refresh"]]
        return self._told(image, hooks)

    def _told(self, image, hooks):
        if hooks:
            words = [
                self._paths.program("run-parts") or "run-parts", f"--arg={image.kernel}",
                f"--arg={self._paths.inner(image.path)}", self._paths.inner(self._paths.post_update),
            ]
            if not image.copies or _COPIER not in hooks:
                return [words]
            # The builder has put the copies in their place, in one step each; kernel-install writes into them.
            others = [name for name in hooks if name != _COPIER and re.match(r"[\w-]+\Z", name, re.ASCII)]
            return [words[:1] + [f"--regex=^({'|'.join(others)})$"] + words[1:]] if others else []
        zipl = self._paths.program("zipl")
        return [[zipl]] if zipl and self._files.read(self._paths.zipl_conf) is not None else []


__all__ = ("HEAD", "ImageFile", "Tool")
