# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Unified kernel images: the command line is inside, made of /etc/kernel/cmdline by the tool that builds them.

The image that booted says of itself that it did. Tools known here: mkinitcpio by its presets, and kernel-install.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._boot.presets import parse_preset
from ansible_collections.vfio.host.plugins.module_utils._boot.textlines import lines
from ansible_collections.vfio.host.plugins.module_utils._boot.unified import NotUnified, command_line
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.base import Backend, commented, lost, made_otherwise
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.boot import Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

if TYPE_CHECKING:
    from typing import Collection

    from ansible_collections.vfio.host.plugins.module_utils._cmdline.goal import Goal

_LAYOUT = re.compile(r"^\s*layout\s*=\s*uki\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Built:
    """An image of this system, the ``command`` that builds it, and the files beside /etc/kernel/cmdline that its line is made of."""

    path: str
    command: tuple[str, ...]
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnifiedState:
    """``commands``: those that build the images."""

    commands: tuple[tuple[str, ...], ...]


class Unified(Backend[UnifiedState]):
    """Unified kernel images."""

    name = "unified"
    looked_for = "a unified kernel image (the EFI variable StubInfo), of mkinitcpio's presets or kernel-install with layout=uki"
    edits_entries = True

    def found(self) -> str | None:
        """Evidence, or None: systemd-stub leaves its name where it has started the running kernel."""
        return self._paths.loader_text(self._fs, "StubInfo")

    def _built(self) -> list[Built]:
        """The images that there are, each as it is Built."""
        images, program = [], self._paths.program("mkinitcpio") or ""
        for name in self._files.names(self._paths.mkinitcpio_presets) if program else []:
            if not name.endswith(".preset"):
                continue
            text = self._files.read(f"{self._paths.mkinitcpio_presets}/{name}") or ""
            values = parse_preset(text)
            for preset in values.get("PRESETS", ()):
                path = "".join(values.get(f"{preset}_uki", values.get(f"{preset}_efi_image", ())))
                options = " ".join(values.get(f"{preset}_options", ()))
                given = values.get(f"{preset}_cmdline", values.get("ALL_cmdline"))
                if given or "cmdline" in options:
                    raise PlanError(
                        f"{self._paths.mkinitcpio_presets}/{name} gives {preset} a command line of its own: set arguments there, "
                        f"or leave it out, so that {self._paths.kernel_cmdline} counts"
                    )
                if path and self._fs.exists(self._paths.root + path):
                    images.append(Built(self._paths.root + path, (program, "-p", name[: -len(".preset")]), self._mkinitcpios()))
        return images + self._of_kernel_install()

    def _mkinitcpios(self) -> tuple[str, ...]:
        """The drop-in files that mkinitcpio adds to /etc/kernel/cmdline (source: build_uki() in mkinitcpio)."""
        place = self._paths.root + "/etc/cmdline.d"
        return tuple(f"{place}/{name}" for name in self._files.names(place) if name.endswith(".conf"))

    def _of_kernel_install(self) -> list[Built]:
        """The images that kernel-install builds, with layout=uki."""
        program = self._paths.program("kernel-install")
        conf = next((text for text in map(self._files.read, self._paths.install_conf) if text is not None), "")
        if not program or not _LAYOUT.search(conf):
            return []
        images = []
        for place in self._paths.boots:
            for name in self._files.names(f"{place}/EFI/Linux"):
                for version in self._files.names(self._paths.modules):
                    image = f"{self._paths.modules}/{version}/vmlinuz"
                    if re.search(rf"-{re.escape(version)}(?:\+\d+(?:-\d+)?)?\.efi\Z", name) and self._fs.exists(image):
                        images.append(Built(f"{place}/EFI/Linux/{name}", (program, "add", version, image)))
        return images

    def read(self) -> Boot[UnifiedState]:
        """The command line inside of each image of this system, and the file that they are made of."""
        built, path = self._built(), self._paths.kernel_cmdline
        if not built:
            where = "/etc/kernel/cmdline, or for dracut kernel_cmdline in a file of /etc/dracut.conf.d"
            raise PlanError(
                f"a unified kernel image booted this host ({self.found()}), with its command line inside, and neither a preset of "
                f"mkinitcpio nor kernel-install with layout=uki builds it: set arguments in {where}, and build it anew"
            )
        text = self._files.read(path) or ""
        if not text.strip():
            raise PlanError(
                f"{path} is absent or empty, and the tool then takes what the running kernel was started with: write the arguments "
                "there that the unified kernel image has, then run again"
            )
        entries = [(image.path, self._line(image.path)) for image in built]
        entries.sort(key=lambda entry: not self._booted(entry[0]))
        sources = sorted({source for image in built for source in image.sources})
        source = "\n".join([text, *(self._files.read(name) or "" for name in sources)])
        return Boot(
            entries=tuple(entries),
            files={path: text},
            source=" ".join(line for line in lines(source) if not line.startswith("#")),
            lines=((path, text),),
            more=UnifiedState(tuple(dict.fromkeys(image.command for image in built))),
        )

    def _booted(self, path: str) -> bool:
        """Whether this is the image that started the running kernel."""
        said = self._paths.loader_text(self._fs, "StubImageIdentifier") or self._paths.loader_text(self._fs, "LoaderImageIdentifier")
        if not said:
            return False
        return path.lower().endswith(said.replace("\\", "/").lower())

    def _line(self, path: str) -> str:
        """The command line inside of an image. Raises PlanError where there is none, or it cannot be read."""
        try:
            with self._paths.opened(path) as stream:
                line = command_line(stream)
        except (OSError, NotUnified) as error:
            raise PlanError(f"{path} cannot be read as a unified kernel image: {error}") from error
        if line is None:
            raise PlanError(f"{path} has no command line inside: it takes that of the loader, which this collection does not set up")
        return line

    def plan(self, boot: Boot[UnifiedState], goal: Goal) -> Change:
        """/etc/kernel/cmdline, then the tools that build the images."""
        path = self._paths.kernel_cmdline
        before = boot.text(path)
        text, problems = goal.edit(path, before), self.unfit(goal.all)
        files: dict[str, str | None] = {path: text} if text != before else {}
        commands = [list(command) for command in boot.more.commands] if files or goal.again or goal.unmet(boot.entries) else []
        if commands:
            problems += commented(path, before) + self._lost(boot, [wish.name for wish in goal.all])
        return Change(files=files, commands=commands, problems=problems)

    def _lost(self, boot: Boot[UnifiedState], names: list[str]) -> list[str]:
        """Problems of arguments that nobody named, and that an image would lose when it is built."""
        gone = [(name, lost(line, boot.source, names=names)) for name, line in boot.entries]
        return [
            f"{name} has {' '.join(words)} inside, and {self._paths.kernel_cmdline} has not, so that building it anew would lose it: "
            "write it there, then run again"
            for name, words in gone
            if words
        ]

    def foreign_lost(
        self, before: Boot[UnifiedState], after: Boot[UnifiedState], *, names: Collection[str],
    ) -> list[str]:
        """The image is made anew of files, which may say more than it had."""
        return made_otherwise(self.name, after, names=names)


__all__ = ("Unified",)
