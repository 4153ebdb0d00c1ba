# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Unified kernel images: the command line is inside, made of /etc/kernel/cmdline by the tool that builds them.

The image that booted says of itself that it did. Tools known here: mkinitcpio by its presets, and kernel-install.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._boot.counters import is_at, uncounted
from ansible_collections.vfio.host.plugins.module_utils._boot.presets import parse_preset, setting, unified_path
from ansible_collections.vfio.host.plugins.module_utils._boot.textlines import lines
from ansible_collections.vfio.host.plugins.module_utils._boot.tokens import named_token, usual_tokens
from ansible_collections.vfio.host.plugins.module_utils._boot.unified import NotUnified, command_line, is_signed
from ansible_collections.vfio.host.plugins.module_utils._boot.versionsort import version_sorted
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.base import Backend, against, commented, lost, made_of, made_otherwise, torn
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.boot import Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._cmdline.records import parse_record
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

if TYPE_CHECKING:
    from typing import Collection, Iterator

    from ansible_collections.vfio.host.plugins.module_utils._cmdline.goal import Goal
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.records import Record
    from ansible_collections.vfio.host.plugins.module_utils._host.bootpaths import BootPaths
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_LAYOUT = re.compile(r"""^[ \t]*layout[ \t]*=[ \t]*["']?(\w*)["']?[ \t]*\r?$""", re.MULTILINE)
# kernel-install puts this in where it names images after the machine (source: kernel_cmdline() in 60-ukify.install of systemd).
_TOOLS_OWN = ("systemd.machine_id",)


@dataclass(frozen=True)
class Built:
    """An image of this system, and the ``command`` that builds it; ``of_presets``: by mkinitcpio, which adds drop-in files to its line."""

    path: str
    command: tuple[str, ...]
    of_presets: bool = False


@dataclass(frozen=True)
class UnifiedState:
    """``commands``: those that build the images. ``others``: path -> line of the drop-in files that are added to /etc/kernel/cmdline;
    ``own``: the arguments that a tool adds itself; ``is_joined``: whether one takes that file apart by white space; ``addons``: path -> line
    of what systemd-stub adds to the images when it starts one; ``signed``: the paths of the images that have a signature.
    """

    commands: tuple[tuple[str, ...], ...]
    others: dict[str, str]
    own: tuple[str, ...]
    is_joined: bool
    addons: dict[str, str]
    signed: frozenset[str]


class Unified(Backend[UnifiedState]):
    """Unified kernel images."""

    name = "unified"
    looked_for = "a unified kernel image (the EFI variable StubInfo), of mkinitcpio's presets or kernel-install with layout=uki"
    edits_entries = True

    def __init__(self, fs: Sysfs, files: Files, paths: BootPaths) -> None:
        super().__init__(fs, files, paths)
        self._is_removable = False

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
                path = unified_path(values, preset)
                options = " ".join(values.get(f"{preset}_options", ()))
                if setting(values, "cmdline", preset=preset) or "cmdline" in options:
                    raise PlanError(
                        f"{self._paths.mkinitcpio_presets}/{name} gives {preset} a command line of its own: set arguments there, "
                        f"or leave it out, so that {self._paths.kernel_cmdline} counts"
                    )
                if path and self._fs.exists(self._paths.root + path):
                    images.append(Built(self._paths.root + path, (program, "-p", name[: -len(".preset")]), True))
        return images + self._of_kernel_install()

    @property
    def removable(self) -> frozenset[str]:
        """As read() has found: where the tools have something else to take, they do without it."""
        return frozenset((self._paths.kernel_cmdline,) if self._is_removable else ())

    def _seed(self, built: list[Built]) -> str | None:
        """What stands for /etc/kernel/cmdline where that is absent: the distribution's file, or nothing beside mkinitcpio's drop-in files.
        None: then the tools would take what the running kernel was started with.
        """
        vendor = self._files.read(self._paths.vendor_cmdline)
        if vendor is not None:
            return vendor
        return "\n" if built and all(image.of_presets for image in built) and self._dropins() else None

    def _is_made(self, text: str | None) -> bool:
        """Whether /etc/kernel/cmdline, of which this is the text, is absent, or was until a run made it."""
        kept = parse_record(self._files.read(self.record), self.record).lines.get(self._paths.kernel_cmdline)
        return text is None or (kept is not None and kept.was is None)

    def made(self) -> list[str]:
        """The images."""
        return [image.path for image in self._built()]

    def _dropins(self) -> dict[str, str]:
        """Path -> line of the drop-in files that mkinitcpio adds to /etc/kernel/cmdline (source: build_uki() in mkinitcpio)."""
        paths = [path for path in self._paths.below(self._paths.mkinitcpio_dropins) if path.endswith(".conf")]
        return {path: _joined(self._files.read(path) or "") for path in version_sorted(paths)}

    def _of_kernel_install(self) -> list[Built]:
        """The images that kernel-install builds, with layout=uki."""
        program = self._paths.program("kernel-install")
        if not program or self._layout() != "uki":
            return []
        images = {
            Built(path, (program, "add", version, f"{self._paths.modules}/{version}/vmlinuz")): token
            for path, token, version in self._named_by_version()
        }
        # Another system may have a kernel of the same version on that partition.
        ours = {token for image, token in images.items() if self._booted(image.path)} or self._tokens()
        return [image for image, token in images.items() if token in ours or not ours & set(images.values())]

    def _named_by_version(self) -> Iterator[tuple[str, str, str]]:
        """(path, what is before the version in its name, version) of each image that is named after an installed kernel."""
        versions = [version for version in self._files.names(self._paths.modules) if self._fs.exists(f"{self._paths.modules}/{version}/vmlinuz")]
        for place in self._paths.boots:
            for name in self._files.names(f"{place}/EFI/Linux"):
                for version in versions:
                    end = f"-{version}.efi".lower()
                    if uncounted(name).endswith(end):
                        yield f"{place}/EFI/Linux/{name}", uncounted(name)[: -len(end)], version

    def _tokens(self) -> set[str]:
        """What kernel-install may put before the version, in lower case."""
        token = named_token(self._files.read, self._paths)
        return {token.lower() for token in ([token] if token else usual_tokens(self._files.read, self._paths))}

    def _layout(self) -> str:
        """What kernel-install makes (source: man 8 kernel-install, install.conf): a file, and drop-in files, of which the last one counts."""
        places = self._paths.install_places
        text = next((text for text in (self._files.read(f"{place}/install.conf") for place in places) if text is not None), "")
        dropins = {
            name: f"{place}/install.conf.d/{name}"
            for place in reversed(places) for name in self._files.names(f"{place}/install.conf.d") if name.endswith(".conf")
        }
        texts = [text, *(self._files.read(dropins[name]) or "" for name in sorted(dropins))]
        layouts: list[str] = [layout for text in texts for layout in _LAYOUT.findall(text)]
        return layouts[-1] if layouts else ""

    def read(self) -> Boot[UnifiedState]:
        """The command line inside of each image of this system, and the file that they are made of."""
        built, path = self._built(), self._paths.kernel_cmdline
        if not built:
            where = "/etc/kernel/cmdline, or for dracut kernel_cmdline in a file of /etc/dracut.conf.d"
            raise PlanError(
                f"a unified kernel image booted this host ({self.found()}), with its command line inside, and neither a preset of "
                f"mkinitcpio nor kernel-install with layout=uki builds it: set arguments in {where}, and build it anew"
            )
        text = self._files.read(path)
        seed = self._seed(built)
        self._is_removable = seed is not None
        line = seed if text is None else text
        if line is None or not (text is None or line.strip()):
            raise PlanError(
                f"{path} is absent or empty, and the tool then takes what the running kernel was started with: write the arguments "
                "there that the unified kernel image has, then run again"
            )
        entries = [(image.path, self._line(image.path)) for image in built]
        entries.sort(key=lambda entry: not self._booted(entry[0]))
        others = self._dropins() if any(image.of_presets for image in built) else {}
        is_joined = not all(image.of_presets for image in built)
        return Boot(
            entries=tuple(entries),
            files={path: text},
            source=" ".join((_joined(line), *others.values())).strip(),
            # Of a file that is made here, the image that boots says what was before.
            lines=((tuple(entries[:1]) if self._is_made(text) else ()) + ((path, line),)),
            new=(path,) if text is None else (),
            more=UnifiedState(
                commands=tuple(dict.fromkeys(image.command for image in built)), others=others,
                own=_TOOLS_OWN if is_joined else (), is_joined=is_joined, addons=self._addons(built),
                signed=frozenset(image.path for image in built if self._is_signed(image.path)),
            ),
        )

    def _addons(self, built: list[Built]) -> dict[str, str]:
        """Path -> line of each addon of these images, and of all images of their partitions (source: man 7 systemd-stub)."""
        directories = [f"{image.path}.extra.d" for image in built]
        directories += [f"{place}/loader/addons" for place in self._paths.boots]
        paths = [f"{directory}/{name}" for directory in directories for name in self._files.names(directory) if name.lower().endswith(".addon.efi")]
        return {path: self._line(path, is_addon=True) for path in paths}

    def _booted(self, path: str) -> bool:
        """Whether this is the image that started the running kernel."""
        said = self._paths.loader_text(self._fs, "StubImageIdentifier") or self._paths.loader_text(self._fs, "LoaderImageIdentifier")
        return bool(said) and is_at(path, said or "")

    def _line(self, path: str, *, is_addon: bool = False) -> str:
        """The command line inside of an image, or of an addon, which may have none. Raises PlanError where there is none, or it cannot be read."""
        try:
            with self._paths.opened(path) as stream:
                line = command_line(stream, is_addon=is_addon)
        except (OSError, NotUnified) as error:
            raise PlanError(f"{path} cannot be read as a unified kernel image: {error}") from error
        if line is None and not is_addon:
            raise PlanError(f"{path} has no command line inside: it takes that of the loader, which this collection does not set up")
        return line or ""

    def _is_signed(self, path: str) -> bool:
        """Whether an image has a signature; one that cannot be read is told where its line is read."""
        with suppress(OSError, NotUnified), self._paths.opened(path) as stream:
            return is_signed(stream)
        return False

    def prove(self, before: Boot[UnifiedState], goal: Goal) -> Boot[UnifiedState]:
        """As ever; a signature that the tool has not given again is told, since building anew would not bring it back either."""
        after = super().prove(before, goal)
        # kernel-install puts a new image's counter of boots into its name (source: 90-uki-copy.install of systemd, tries).
        signed, now = set(map(uncounted, after.more.signed)), {uncounted(path): path for path, dummy in after.entries}
        self.noticed += [
            f"{now.get(uncounted(path), path)} was signed, and was built anew without a signature: sign it before the next boot, which fails with "
            "Secure Boot (sbctl sign-all)"
            for path in sorted(before.more.signed) if uncounted(path) not in signed
        ]
        return after

    def back(self, boot: Boot[UnifiedState], record: Record) -> tuple[Goal, list[str]]:
        """As ever; what drop-in files say stays in the images, and a file that is absent stays so."""
        goal, left = super().back(boot, record)
        path, lines = self._paths.kernel_cmdline, dict(boot.lines)
        goal = replace(goal, texts={**goal.texts, **{name: lines[name] for name in boot.new}}, gone=goal.gone.difference(boot.new))
        return made_of(goal, path, line=lines[path], others=boot.more.others), left

    def plan(self, boot: Boot[UnifiedState], goal: Goal) -> Change:
        """/etc/kernel/cmdline, then the tools that build the images."""
        path = self._paths.kernel_cmdline
        before, problems = dict(boot.lines)[path], self.unfit(goal.all)
        text = None if path in goal.gone else goal.edit(path, before)
        is_made = path not in boot.new or text not in (None, before)
        files: dict[str, str | None] = {path: text} if text != boot.files[path] and is_made else {}
        commands = [list(command) for command in boot.more.commands] if files or goal.again or goal.unmet(boot.entries) else []
        if commands:
            problems += commented(path, before) + self._lost(boot, [wish.name for wish in goal.all])
            problems += against(goal.wishes, boot.more.others) + (torn(text or "", "kernel-install") if boot.more.is_joined else [])
        problems += against(goal.wishes, boot.more.addons, who="systemd-stub") if path not in goal.texts else []
        return Change(files=files, commands=commands, problems=problems)

    def _lost(self, boot: Boot[UnifiedState], names: list[str]) -> list[str]:
        """Problems of arguments that nobody named, and that an image would lose when it is built."""
        gone = [(name, lost(line, boot.source, names=[*names, *boot.more.own])) for name, line in boot.entries]
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
        return made_otherwise(self.name, after, names=[*names, *after.more.own])


def _joined(text: str) -> str:
    """The line that a file stands for."""
    return " ".join(line for line in lines(text) if not line.startswith("#"))


__all__ = ("Unified",)
