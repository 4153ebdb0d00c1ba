# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""systemd-boot with entries that somebody wrote by hand: their options, where they start this system.

No tool makes them anew, so the entries themselves are all there is. Those of other systems and for rescue stay.
"""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._boot.blsentries import Entry, System, with_options
from ansible_collections.vfio.host.plugins.module_utils._boot.bootloader import Backend, Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._boot.bootloader_refused import refuse_writer
from ansible_collections.vfio.host.plugins.module_utils._boot.cmdline import parse
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError


class EntryFiles(Backend):
    """What back ends have in common whose entries are files on the boot or EFI system partition."""

    def all_entries(self):
        """Every Entry there is."""
        return [
            Entry(f"{place}/loader/entries/{name}", place, self._files.read(f"{place}/loader/entries/{name}") or "")
            for place in self._paths.boots
            for name in self._files.names(f"{place}/loader/entries")
            if name.endswith(".conf")
        ]

    def system(self):
        """The running System."""
        return System(
            machine=(self._files.read(self._paths.machine_id) or "").strip(),
            line=parse(self._fs.read(f"{self._fs.proc}/cmdline") or ""),
            installed=self._is_installed,
            exists=self._fs.exists,
        )

    def _is_installed(self, version):
        places = (f"{self._paths.modules}/{version}/vmlinuz", f"{self._paths.boot}/vmlinuz-{version}")
        return any(self._fs.exists(path) for path in places)

    def loader(self):
        """systemd-boot's file, or None."""
        loaders = [
            f"{place}/EFI/systemd/{name}"
            for place in self._paths.boots
            for name in self._files.names(f"{place}/EFI/systemd")
            if name.startswith("systemd-boot")
        ]
        return loaders[0] if loaders else None

    def booted_first(self, entries):
        """Entries with the one first that the running kernel was started by, where the loader has said which that is."""
        booted = self._paths.loader_text(self._fs, "LoaderEntrySelected")
        return sorted(entries, key=lambda entry: entry.path.rpartition("/")[2] != booted)

    def none_is_ours(self, why_not):
        """The PlanError where no entry is this system's; ``why_not(entry)``: a phrase."""
        seen = [f"{entry.path} {why_not(entry)}" for entry in self.all_entries()]
        return PlanError(
            f"systemd-boot has no entry of this system that can be told as such: {'; '.join(seen) or 'there is none at all'}; "
            "see bootctl list"
        )


class SystemdBoot(EntryFiles):
    """systemd-boot with entries by hand."""

    name = "systemd-boot"
    looked_for = "systemd-boot with entries by hand in loader/entries, which start the system that runs"

    def found(self):
        """Evidence, or None: where a tool makes entries for installed kernels, they are that tool's."""
        system, loader = self.system(), self.loader()
        entries = self.all_entries() if loader else []
        if any(entry.why_not_generated(system) is None for entry in entries):
            return None
        return loader if any(entry.why_not_by_hand(system) is None for entry in entries) else None

    def read(self):
        """The options of each entry that starts this system."""
        refuse_writer(self._paths)
        system = self.system()
        ours = self.booted_first([one for one in self.all_entries() if one.why_not_by_hand(system) is None])
        if not ours:
            raise self.none_is_ours(lambda entry: entry.why_not_by_hand(system))
        entries = tuple((entry.path, entry.options) for entry in ours)
        return Boot(entries=entries, files={entry.path: entry.text for entry in ours}, lines=entries)

    def plan(self, boot, goal):
        """Each entry with other options, in one step a file."""
        edited = {name: (line, goal.edit(name, line)) for name, line in boot.entries}
        files = {name: with_options(boot.files[name], new) for name, (line, new) in edited.items() if new != line}
        return Change(files=files, problems=self.unfit(goal.all))


__all__ = ("EntryFiles", "SystemdBoot")
