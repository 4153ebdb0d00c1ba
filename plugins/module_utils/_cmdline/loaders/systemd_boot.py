# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""systemd-boot with entries that somebody wrote by hand: their options, where they start this system.

No tool makes them anew, so the entries themselves are all there is. Those of other systems and for rescue stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.blsentries import with_options
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.boot import Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.entries import EntryFiles
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.refused import refuse_writer

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.goal import Goal


class SystemdBoot(EntryFiles[None]):
    """systemd-boot with entries by hand."""

    name = "systemd-boot"
    looked_for = "systemd-boot with entries by hand in loader/entries, which start the system that runs"

    def found(self) -> str | None:
        """Evidence, or None: where a tool makes entries for installed kernels, they are that tool's."""
        system, loader = self.system(), self.loader()
        entries = self.all_entries() if loader else []
        if any(entry.why_not_generated(system) is None for entry in entries):
            return None
        return loader if any(entry.why_not_by_hand(system) is None for entry in entries) else None

    def read(self) -> Boot[None]:
        """The options of each entry that starts this system."""
        refuse_writer(self._paths)
        system = self.system()
        ours = self.booted_first([entry for entry in self.all_entries() if entry.why_not_by_hand(system) is None])
        if not ours:
            raise self.none_is_ours(lambda entry: entry.why_not_by_hand(system))
        entries = tuple((entry.path, entry.options) for entry in ours)
        return Boot(entries=entries, more=None, files={entry.path: entry.text for entry in ours}, lines=entries)

    def plan(self, boot: Boot[None], goal: Goal) -> Change:
        """Each entry with other options, in one step a file."""
        edited = {name: (line, goal.edit(name, line)) for name, line in boot.entries}
        files: dict[str, str | None] = {
            name: with_options(boot.text(name), new) for name, (line, new) in edited.items() if new != line
        }
        return Change(files=files, problems=self.unfit(goal.all))


__all__ = ("SystemdBoot",)
