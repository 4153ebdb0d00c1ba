# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""mkinitcpio, of Arch Linux."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._boot.presets import parse_preset, setting, unified_path
from ansible_collections.vfio.host.plugins.module_utils._host.words import words
from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.base import HEAD, ImageFile, Tool

if TYPE_CHECKING:
    from typing import Iterator, Sequence


class Mkinitcpio(Tool):
    """Arch Linux's mkinitcpio: images are listed in presets, shell files of assignments."""

    name = "mkinitcpio"
    program = "mkinitcpio"

    @property
    def config_path(self) -> str:
        """A drop-in file of mkinitcpio's."""
        return self._paths.mkinitcpio_conf

    def config(self) -> str:
        """The line that has mkinitcpio copy both kinds of files (source: man 5 mkinitcpio.conf, FILES)."""
        return HEAD + f"FILES+=($(compgen -G '{self._rules}') $(compgen -G '{self._options}'))\n"

    def images(self, kernels: Sequence[str]) -> list[ImageFile]:
        """Those of the presets that are there, then those of kernel-install."""
        files: list[ImageFile] = []
        for name in self._files.names(self._paths.mkinitcpio_presets):
            if name.endswith(".preset"):
                files += self._of_preset(self._files.read(f"{self._paths.mkinitcpio_presets}/{name}") or "")
        return files + super().images(kernels)

    def _of_preset(self, text: str) -> Iterator[ImageFile]:
        """The images that one preset's text names, unified ones where they are there."""
        values = parse_preset(text)
        for preset in values.get("PRESETS", ()):
            path = "".join(values.get(f"{preset}_image", ())[:1])
            kernel, config = setting(values, "kver", preset=preset), setting(values, "config", preset=preset)
            options = values.get(f"{preset}_options", [])
            # A text is taken apart at its blanks, an array is not.
            options = words(options[0]) if len(options) == 1 else options
            # Nothing boots by one that is not there; the next update of a package makes it, with our file.
            if path and kernel and self._fs.exists(self._paths.root + path):
                yield ImageFile(self._paths.root + path, kernel, (), tuple(options), config)
            path = unified_path(values, preset)
            if path and kernel and self._paths.is_image(self._paths.root + path):
                for option in ("cmdline", "splash"):
                    given = setting(values, option, preset=preset)
                    options = [f"--{option}", given] + options if given else options
                yield ImageFile(self._paths.root + path, kernel, (), tuple(options), config, True)

    def problems(self, images: Sequence[ImageFile]) -> list[str]:
        """A sentence for each configuration file that a preset names, since drop-in files are not read then."""
        named = sorted({image.config for image in images if image.config})
        return [
            f"mkinitcpio reads no drop-in file where a preset names its configuration, and the presets in "
            f"{self._paths.inner(self._paths.mkinitcpio_presets)} name {path}: comment that line out, if it is the "
            "default /etc/mkinitcpio.conf, or move what it says to drop-in files" for path in named
        ]

    def build(self, image: ImageFile, output: str) -> list[str]:
        """mkinitcpio with another output file than the preset's, without the hooks that follow a build."""
        program = self.path()
        # The hooks that follow a build are for the image in its place: finish() runs them.
        dummy, out, err = self._fs.run([program, "--help"])
        nopost = ["--nopost"] if "--nopost" in out or "--nopost" in err else []
        what = "-U" if image.is_unified else "-g"
        return [program, "-n", "-k", image.kernel, what, output] + nopost + list(image.more)

    def finish(self, image: ImageFile) -> list[list[str]]:
        """The hooks that mkinitcpio runs after a build, which sign kernels and images (source: run_post_hooks in mkinitcpio; man 8
        mkinitcpio, about post hooks): with the kernel, the image, and a unified one behind these.
        """
        kernel, settings = self._kernel(image.kernel)
        path = self._paths.inner(image.path)
        # What is inside of a unified image is nowhere else by now.
        words = [kernel, "", path] if image.is_unified else [kernel, path]
        hooks: dict[str, str | None] = {}
        for place in self._paths.mkinitcpio_post:
            for name in self._files.names(place):
                # One that cannot be run keeps its namesake from running.
                runs = self._files.is_executable(f"{place}/{name}")
                hooks.setdefault(name, self._paths.inner(f"{place}/{name}") if runs else None)
        return [["env", *settings, hook, *words] for hook in hooks.values() if hook is not None]

    def _kernel(self, named: str) -> tuple[str, list[str]]:
        """(the kernel's file, what hooks have in their environment) of a kernel that a preset names by its path or its version."""
        modules, boot = self._paths.modules, f"{self._paths.inner(self._paths.boot)}/vmlinuz-"
        bases = {version: (self._files.read(f"{modules}/{version}/pkgbase") or "").strip() for version in self._paths.kernels()}
        if named.startswith("/"):
            version = next((version for version, base in bases.items() if base and named == boot + base), None)
            return named, [f"KERNELDESTINATION={named}", *([f"KERNELVERSION={version}"] if version else [])]
        path = f"{modules}/{named}/vmlinuz"
        kernel = self._paths.inner(path) if self._fs.exists(path) else boot + named
        return kernel, [f"KERNELDESTINATION={boot}{bases.get(named) or named}", f"KERNELVERSION={named}"]


__all__ = ("Mkinitcpio",)
