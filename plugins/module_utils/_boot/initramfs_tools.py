# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The tools that make images, one class each: what they need to be told, which images are theirs, how they build one.

A tool has ``name``; ``found()``; ``config_path``, ``config_mode`` and ``config()``, the text of the one file of ours
that it needs, None where it needs none; ``images(kernels)``; ``problems(images)``, phrases why it could not build as
configured; ``build(image, output)``, the command that makes a new image in a file of its own; and ``finish(image)``,
the commands that the tool or its distribution runs once an image has changed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.vfio.host.plugins.module_utils._boot.presets import parse_preset

_HEAD = """\
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


class InitramfsTools(Tool):
    """Debian's and Ubuntu's initramfs-tools.

    update-initramfs replaces an image without a look at the new one, and before its bytes are on disk: so this takes
    the builder behind it, mkinitramfs, and does by itself what update-initramfs does after that.
    """

    name = "initramfs-tools"
    program = "mkinitramfs"
    config_mode = 0o755
    in_boot = ("initrd.img-{}",)
    in_entry = ("initrd", "initrd.img-{}")

    def found(self):
        """The builder stays where dracut took its place, and dracut may bring an update-initramfs of its own."""
        front = self._paths.program("update-initramfs")
        return super().found() and front is not None and "mkinitramfs" in (self._files.read(front) or "")

    @property
    def config_path(self):
        """A hook, which runs while an image is built and never else."""
        return self._paths.initramfs_tools_hook

    def config(self):
        """None where udev's own hook copies the rules files of /etc: it has on Debian since 2015, and on Ubuntu."""
        for path in self._paths.initramfs_tools_udev:
            text = self._files.read(path)
            if text is not None and re.search(r"^for \w+ in /etc/udev/rules\.d/\*\.rules", text, re.MULTILINE):
                return None
        return "#!/bin/sh\n" + _HEAD + (
            '[ "${1:-}" != prereqs ] || exit 0\n'
            'mkdir -p "$DESTDIR/etc/udev/rules.d"\n'
            f"for rules in {self._rules}; do\n"
            '    [ ! -e "$rules" ] || cp -p "$rules" "$DESTDIR/etc/udev/rules.d/"\n'
            "done\n"
        )

    def build(self, image, output):
        return [self._paths.program(self.program), "-o", output, image.kernel]


class Dracut(Tool):
    """dracut. By itself it copies both kinds of files where hostonly is on, and neither where it is off."""

    name = "dracut"
    program = "dracut"
    in_boot = ("initramfs-{}.img", "initrd.img-{}", "initrd-{}")
    in_entry = ("initrd", "initrd.img-{}")

    @property
    def config_path(self):
        return self._paths.dracut_conf

    def config(self):
        return _HEAD + f'install_optional_items+=" {self._rules} {self._options} "\n'

    def build(self, image, output):
        # Where dracut itself tells boot loaders of an image, it would tell them of the wrong file.
        return [
            "env", "NO_POST_UPDATE_HOOKS=1",
            self._paths.program(self.program), "--quiet", "--force", output, image.kernel,
        ]


class Mkinitcpio(Tool):
    """Arch Linux's mkinitcpio: images are listed in presets, shell files of assignments."""

    name = "mkinitcpio"
    program = "mkinitcpio"

    @property
    def config_path(self):
        return self._paths.mkinitcpio_conf

    def config(self):
        return _HEAD + f"FILES+=($(compgen -G '{self._rules}') $(compgen -G '{self._options}'))\n"

    def images(self, kernels):
        """Those of the presets that are there, then those of kernel-install."""
        found = []
        for name in self._files.names(self._paths.mkinitcpio_presets):
            if name.endswith(".preset"):
                found += self._of_preset(self._files.read(f"{self._paths.mkinitcpio_presets}/{name}") or "")
        return found + super().images(kernels)

    def _of_preset(self, text):
        values = parse_preset(text)
        for preset in values.get("PRESETS", ()):
            path = "".join(values.get(f"{preset}_image", ()))
            kernel = "".join(values.get(f"{preset}_kver", values.get("ALL_kver", ())))
            config = "".join(values.get(f"{preset}_config", values.get("ALL_config", ())))
            options = [word for value in values.get(f"{preset}_options", ()) for word in value.split()]
            if path and kernel:
                yield ImageFile(self._paths.root + path, kernel, (), tuple(options), config)
            path = "".join(values.get(f"{preset}_uki", values.get(f"{preset}_efi_image", ())))
            if path and kernel and self._paths.is_image(self._paths.root + path):
                for option in ("cmdline", "splash"):
                    given = values.get(f"{preset}_{option}", values.get(f"ALL_{option}", ()))
                    options = [f"--{option}", *given] + options if given else options
                yield ImageFile(self._paths.root + path, kernel, (), tuple(options), config, True)

    def problems(self, images):
        named = sorted({image.config for image in images if image.config})
        return [
            f"mkinitcpio reads no drop-in file where a preset names its configuration, and the presets in "
            f"{self._paths.inner(self._paths.mkinitcpio_presets)} name {path}: comment that line out, if it is the "
            "default /etc/mkinitcpio.conf, or move what it says to drop-in files" for path in named
        ]

    def build(self, image, output):
        program = self._paths.program(self.program)
        # The hooks that follow a build are for the image in its place: finish() runs them.
        status_out_err = self._fs.run([program, "--help"])
        nopost = ["--nopost"] if any("--nopost" in said for said in status_out_err[1:]) else []
        what = "-U" if image.is_unified else "-g"
        return [program, "-n", "-k", image.kernel, what, output] + nopost + list(image.more)

    def finish(self, image):
        kernel = image.kernel
        if not kernel.startswith("/"):
            kernel = f"{self._paths.inner(self._paths.boot)}/vmlinuz-{kernel}"
        hooks = {}
        for place in self._paths.mkinitcpio_post:
            for name in self._files.names(place):
                if self._files.is_executable(f"{place}/{name}"):
                    hooks.setdefault(name, self._paths.inner(f"{place}/{name}"))
        return [[hooks[name], kernel, self._paths.inner(image.path)] for name in sorted(hooks)]


# In the order of asking: a distribution's own tool first.
TOOLS = (InitramfsTools, Mkinitcpio, Dracut)


__all__ = ("Dracut", "ImageFile", "InitramfsTools", "Mkinitcpio", "TOOLS", "Tool")
