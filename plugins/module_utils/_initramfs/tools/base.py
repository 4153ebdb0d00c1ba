# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What the tools that make images have in common: what they need to be told, which images are theirs, how they build one.

A tool has ``name``; ``found()``; ``config_path``, ``config_mode`` and ``config()``, the text of the one file of ours
that it needs, None where it needs none; ``images(kernels)``; ``problems(images)``, phrases why it could not build as
configured; ``build(image, output)``, the command that makes a new image in a file of its own; ``finish(image)``, the
commands that the tool or its distribution runs once an image has changed; and ``remake()``, in the place of both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._boot.tokens import named_token, usual_tokens
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.words import words

if TYPE_CHECKING:
    from typing import Sequence

    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.images import ImageFiles
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

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
    copies: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    config: str = ""
    is_unified: bool = False


@dataclass(frozen=True)
class Chosen:
    """The tool that builds this host's images, as a value: its ``name``, and path and mode of the one file of ours that it reads."""

    name: str
    config_path: str
    config_mode: int


class Tool:
    """What the tools have in common. ``files`` reads, ``paths`` is an ImageFiles."""

    name = ""
    program = ""
    config_mode = 0o644
    # Names of a kernel's image, in /boot and in a directory of the Boot Loader Specification.
    in_boot: tuple[str, ...] = ()
    in_entry: tuple[str, ...] = ("initrd",)

    def __init__(self, fs: Sysfs, files: Files, paths: ImageFiles) -> None:
        self._fs = fs
        self._files = files
        self._paths = paths
        # As the tools' own configuration has to name them.
        self._rules = paths.inner(files.boot_rules) + "/*-vfio-host-*.rules"
        self._options = paths.inner(files.modprobe_conf)

    def found(self) -> bool:
        """Whether this tool is on the host."""
        return self._paths.program(self.program) is not None

    @property
    def chosen(self) -> Chosen:
        """This tool as a value."""
        return Chosen(self.name, self.config_path, self.config_mode)

    @property
    def config_path(self) -> str:
        """The path of the one file of ours that the tool needs."""
        raise NotImplementedError

    def config(self) -> str | None:
        """The text of that file; None where the tool needs none."""
        raise NotImplementedError

    def build(self, image: ImageFile, output: str) -> list[str]:
        """The command that makes a new image in the file ``output``."""
        raise NotImplementedError

    def path(self) -> str:
        """The path of the tool's program. Raises PlanError where it is not installed."""
        path: str | None = self._paths.program(self.program)
        if path is None:
            raise PlanError(f"{self.program}, which builds the images of this host, is not installed any more: install {self.name}")
        return path

    def images(self, kernels: Sequence[str]) -> list[ImageFile]:
        """The images of installed kernels that a boot loader could use."""
        files: list[ImageFile] = []
        for kernel in kernels:
            main = [f"{self._paths.boot}/{name.format(kernel)}" for name in self.in_boot]
            main = [path for path in main if self._paths.is_image(path)]
            entry = self._in_entries(kernel)
            # With an image in /boot, the one in the boot loader's own directory is a copy of it.
            copies = tuple(entry) if main else ()
            files += [ImageFile(path, kernel, copies) for path in main or entry]
        return files

    def _in_entries(self, kernel: str) -> list[str]:
        """The images of a kernel in the directories of the Boot Loader Specification."""
        read = self._files.read
        tokens = sorted({named_token(read, self._paths) or "", *usual_tokens(read, self._paths)} - {""})
        paths = [
            f"{place}/{token}/{kernel}/{name.format(kernel)}"
            for place in self._paths.boots for token in tokens for name in self.in_entry
        ]
        return [path for path in paths if self._paths.is_image(path)]

    def problems(self, images: Sequence[ImageFile]) -> list[str]:
        """Why the tool could not build these images with our configuration."""
        return []

    def remake(self) -> list[list[str]]:
        """The commands that make all images anew, of a tool that alone can put them in their places; of any other none."""
        return []

    def finish(self, image: ImageFile) -> list[list[str]]:
        """What has to run once an image has changed (source: run_bootloader in update-initramfs; man 8 zipl)."""
        hooks = self._files.names(self._paths.post_update)
        proxmox = self._paths.program("proxmox-boot-tool")
        if proxmox and _PROXMOX not in hooks and words(self._files.read(self._paths.proxmox_esps) or ""):
            # Its partitions hold copies, which this hook of its own makes anew for initramfs-tools alone.
            return self._told(image, hooks) + [[proxmox, "refresh"]]
        return self._told(image, hooks)

    def _told(self, image: ImageFile, hooks: list[str]) -> list[list[str]]:
        """The commands that tell the boot loader of an image."""
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


__all__ = ("Chosen", "HEAD", "ImageFile", "Tool")
