# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""systemd-boot with entries by kernel-install: /etc/kernel/cmdline, and the options of each installed kernel's entry.

kernel-install itself is not asked: it writes kernel, image and entry anew in place, and a host whose power goes in
between boots no more (seen with systemd 257). An entry that is replaced in one step is the old one or the new one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.base import commented, torn
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.blsentries import with_options
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.boot import Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.entries import EntryFiles
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.systemd_boot import SystemdBoot
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.goal import Goal
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.blsentries import Entry, System
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.records import Record

# What a boot loader or kernel-install puts on a line by itself (source: 90-loaderentry.install).
_NOT_SEEDED = ("BOOT_IMAGE", "initrd", "systemd.machine_id")


class KernelInstall(EntryFiles[None]):
    """systemd-boot with entries of kernel-install."""

    name = "kernel-install"
    looked_for = "systemd-boot with kernel-install (EFI/systemd and loader/entries on the boot or EFI system partition)"

    def found(self) -> str | None:
        """Evidence, or None. Entries by hand are not kernel-install's, though it is on every host with systemd."""
        by_hand = SystemdBoot(self._fs, self._files, self._paths).found()
        return self.loader() if self._paths.program("kernel-install") and not by_hand else None

    @property
    def removable(self) -> frozenset[str]:
        """Without it, kernel-install makes later entries from what there is."""
        return frozenset((self._paths.kernel_cmdline,))

    def read(self) -> Boot[None]:
        """The line of /etc/kernel/cmdline, and every entry of an installed kernel of this system."""
        system = self.system()
        ours = self.booted_first([entry for entry in self.all_entries() if entry.why_not_generated(system) is None])
        if not ours:
            raise self.none_is_ours(lambda entry: entry.why_not_generated(system))
        self._refuse_another(ours, system)
        entries = tuple((entry.path, entry.options) for entry in ours)
        files: dict[str, str | None] = {entry.path: entry.text for entry in ours}
        path = self._paths.kernel_cmdline
        text = self._files.read(path)
        source = self._seed(ours[0]) if text is None else text
        return Boot(
            entries=entries, more=None, files={path: text, **files}, source=source, lines=((path, source), *entries),
            new=(path,) if text is None else (),
        )

    def _refuse_another(self, ours: list[Entry], system: System) -> None:
        """Raises PlanError where the loader says that it booted this system by an entry that is not kernel-install's."""
        for entry in self.all_entries():
            if self.has_booted(entry) and entry not in ours and entry.why_not_by_hand(system) is None:
                raise PlanError(
                    f"this system was booted by {entry.path}, which {entry.why_not_generated(system)}, beside entries of "
                    "kernel-install: boot one of these, or remove them"
                )

    def _seed(self, booted: Entry) -> str:
        """What entries to come are made of where /etc/kernel/cmdline is absent.

        kernel-install would take the running kernel's line, which is of one boot: somebody may have edited it in the loader's menu.
        """
        vendor = self._files.read(self._paths.vendor_cmdline)
        if vendor is not None:
            return vendor
        return " ".join(word.text for word in parse(booted.options).words if word.name not in _NOT_SEEDED) + "\n"

    def back(self, boot: Boot[None], record: Record) -> tuple[Goal, list[str]]:
        """As ever; a file that is absent stays so."""
        goal, left = super().back(boot, record)
        lines = dict(boot.lines)
        return replace(goal, texts={**goal.texts, **{name: lines[name] for name in boot.new}}, gone=goal.gone.difference(boot.new)), left

    def plan(self, boot: Boot[None], goal: Goal) -> Change:
        """/etc/kernel/cmdline, from which kernel-install makes the entries to come, and those that are there."""
        path = self._paths.kernel_cmdline
        then = None if path in goal.gone else goal.edit(path, boot.source)
        now = boot.source if path in boot.new else boot.files[path]
        texts: dict[str, str | None] = {path: then} if then != now and (then is not None or path not in boot.new) else {}
        problems = self.unfit(goal.all) + (commented("/etc/kernel/cmdline", boot.source) if texts.get(path) else [])
        if path not in goal.texts:
            # As it was before us it is written again; of ours, entries of later kernels would have something else.
            problems += torn(" ".join(text for wish in goal.all for text in wish.texts if wish.present), "kernel-install")
        for name, line in boot.entries:
            new = goal.edit(name, line)
            if new != line:
                texts[name] = with_options(boot.text(name), new)
        return Change(files=texts, problems=problems)


__all__ = ("KernelInstall",)
