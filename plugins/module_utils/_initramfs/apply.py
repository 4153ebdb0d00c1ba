# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Builds images and puts them in place: all new ones are built and read before the first old one is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._boot.unified import NotUnified, command_line, is_signed, sections
from ansible_collections.vfio.host.plugins.module_utils._core.resources import Commands, Image
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, errno_text, last_words
from ansible_collections.vfio.host.plugins.module_utils._initramfs.image import Unreadable, findings, is_unified, read_image

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.images import ImageFiles
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
    from ansible_collections.vfio.host.plugins.module_utils._initramfs.plan import ImagePlan
    from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.base import ImageFile, Tool


# Of a unified kernel image, what is put into its stub, whose own sections change with its version (source: man 7 systemd-stub).
_PARTS = frozenset((
    ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".dtbauto", ".efifw", ".hwids", ".uname", ".sbat", ".pcrsig", ".pcrpkey", ".profile",
))


class Builder:
    """Carries one plan out with the ``tool`` that it names. The copies that the journal names last as long as ``paths``."""

    def __init__(self, fs: Sysfs, files: Files, *, paths: ImageFiles, tool: Tool) -> None:
        self._fs = fs
        self._tool = tool
        self._files = files
        self._paths = paths

    def apply(self, plan: ImagePlan, journal: Journal) -> None:
        """Rebuild what is stale. Raises ApplyError."""
        if plan.config_changes:
            journal.remember(files=[self._tool.config_path])
            self._files.put(self._tool.config_path, plan.config, mode=self._tool.config_mode)
        if plan.rebuilt:
            self._make_room()
        if plan.rebuilt and self._tool.remake():
            self._remake(plan, journal)
            return
        built = [(image.file, self._build(plan, image.file)) for image in plan.rebuilt]
        for image, output in built:
            self._switch(plan, image, output, journal)

    def _make_room(self) -> None:
        """Remove what killed runs have left of their images. Raises ApplyError."""
        try:
            self._paths.drop_spools()
        except OSError as error:
            raise ApplyError(f"what a run that was killed has left in /var/tmp cannot be removed: {errno_text(error.errno)}") from error

    def _remake(self, plan: ImagePlan, journal: Journal) -> None:
        """Have the tool make all images anew, by its own ways, and read them. Raises ApplyError."""
        commands = self._tool.remake()
        journal.remember(Commands(commands))
        for words in commands:
            self._run(words, "the images were not rebuilt")
        made = self._tool.images(self._paths.kernels())
        problems = [
            f"{image.file.path} was not rebuilt: {self._tool.name} has left no image that an entry of {image.file.kernel} loads"
            for image in plan.rebuilt if image.file.kernel not in [one.kernel for one in made]
        ]
        for image in made:
            faults = self._faults(plan, image.path)
            problems += [f"{image.path}, read back, {'; '.join(faults)}; look at what its builder is configured to leave out"] if faults else []
        if problems:
            raise ApplyError(*problems)

    def _build(self, plan: ImagePlan, image: ImageFile) -> str:
        """A new image in the spool, read and found good: its path."""
        tool = self._tool
        try:
            output = self._paths.spooled("new")
        except OSError as error:
            raise ApplyError(f"there is no place to build an image in: {errno_text(error.errno)}") from error
        self._run(tool.build(image, output), f"{image.path} was not rebuilt")
        problems = self._other_kind(image, output) or self._faults(plan, output) + (self._other_line(image, output) if image.is_unified else [])
        if problems:
            raise ApplyError(
                f"{image.path} was not rebuilt: the image that {tool.name} made {'; '.join(problems)}; look at what it "
                "is configured to leave out"
            )
        return output

    def _other_kind(self, image: ImageFile, output: str) -> list[str]:
        """Why a new image cannot take the old one's place at all: phrases. What loads the one does not start the other."""
        kinds = ("an image of early user space", "a unified kernel image")
        try:
            was, now = is_unified(self._paths, image.path), is_unified(self._paths, output)
        except OSError as error:
            return [f"cannot be read: {error.strerror or error}"]
        return [] if was == now else [f"is {kinds[now]}, and the one before is {kinds[was]}"]

    def _other_line(self, image: ImageFile, output: str) -> list[str]:
        """Why a unified kernel image has not inside what the one before has: phrases. What is added to its stub counts."""
        lines, parts = [], []
        for path in (image.path, output):
            try:
                with self._paths.opened(path) as stream:
                    lines.append(command_line(stream))
                    parts.append(sections(stream))
            except (OSError, NotUnified) as error:
                return [f"cannot be read: {error}"]
        lost = [name for name in parts[0] if name in _PARTS and name not in parts[1]]
        problems = [f"lacks {' '.join(lost)}, which the one before has inside: where {self._tool.name} builds it so, too, run that first"] if lost else []
        return problems + ([] if lines[0] == lines[1] else [f"has the command line {lines[1]!r} inside, and the one before has {lines[0]!r}"])

    def _unsigned(self, old: str, new: str) -> list[str]:
        """Why firmware would not start a unified kernel image any more: phrases. Only hooks that follow a build sign it."""
        signed = []
        for path in (old, new):
            try:
                with self._paths.opened(path) as stream:
                    signed.append(is_signed(stream))
            except (OSError, NotUnified):
                return []  # what cannot be read is told elsewhere, or is replaced for that
        return ["has no signature, and the one before has: have a hook in /etc/initcpio/post sign it"] if signed == [True, False] else []

    def _faults(self, plan: ImagePlan, path: str) -> list[str]:
        """Why an image is not good: phrases."""
        try:
            content = read_image(self._paths, path)
        except Unreadable as error:
            return [f"cannot be read: {error}"]
        return ([] if content.has_init else ["has no /init"]) + findings(content.held, plan.wanted, tolerated=plan.tolerated)

    def _switch(self, plan: ImagePlan, image: ImageFile, output: str, journal: Journal) -> None:
        """Put a new image in the place of the old one and of its copies, and tell the boot loader. Raises ApplyError."""
        olds = {}
        for path in (image.path,) + image.copies:
            olds[path] = self._paths.spooled("old")
            self._paths.copy(path, olds[path])
        journal.remember(Image(image.path, olds, self._tool.finish(image)))
        self._paths.keep_old(image.path)
        for path in (image.path,) + image.copies:
            self._paths.replace(path, output)
        self._finish(image)
        for path in (image.path,) + image.copies:
            faults = self._faults(plan, path) + (self._unsigned(olds[path], path) if image.is_unified else [])
            if faults:
                raise ApplyError(f"{path}, read back, {'; '.join(faults)}")
        self._paths.drop_old(image.path)
        self._paths.remove(output)

    def _finish(self, image: ImageFile) -> None:
        """Tell the boot loader of an image. Raises ApplyError."""
        for words in self._tool.finish(image):
            self._run(words, f"{image.path} is rebuilt, and the boot loader was not told")

    def _run(self, words: list[str], what: str) -> None:
        """Run a command; ``what``: how the message begins where it fails. Raises ApplyError."""
        status, out, err = self._fs.run(words)
        if status:
            raise ApplyError(f"{what}: {' '.join(words)} ended with status {status}: {last_words(out, err)}")


__all__ = ("Builder",)
