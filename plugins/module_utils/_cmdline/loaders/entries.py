# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What back ends have in common whose entries are files on the boot or EFI system partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._boot.counters import uncounted
from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.base import Backend
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.blsentries import Entry, System
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.boot import More
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

if TYPE_CHECKING:
    from typing import Callable, Iterable


class EntryFiles(Backend[More]):
    """What back ends have in common whose entries are files on the boot or EFI system partition."""

    def all_entries(self) -> list[Entry]:
        """Every Entry there is."""
        unquotes = self.loader() is not None
        return [
            Entry(f"{place}/loader/entries/{name}", place, self._files.read(f"{place}/loader/entries/{name}") or "", unquotes)
            for place in self._paths.boots
            for name in self._files.names(f"{place}/loader/entries")
            if is_entry(name)
        ]

    def system(self) -> System:
        """The running System."""
        machine = (self._files.read(self._paths.machine_id) or "").strip()
        return System(
            # An image that has not booted yet says so there (source: man 5 machine-id).
            machine="" if machine == "uninitialized" else machine,
            line=parse(self._fs.read(f"{self._fs.proc}/cmdline") or ""),
            installed=self._is_installed,
            exists=self._fs.exists,
        )

    def _is_installed(self, version: str) -> bool:
        """Whether a kernel of this release is installed."""
        places = (f"{self._paths.modules}/{version}/vmlinuz", f"{self._paths.boot}/vmlinuz-{version}")
        return any(self._fs.exists(path) for path in places)

    def loader(self) -> str | None:
        """systemd-boot's file, or None."""
        loaders = [
            f"{place}/EFI/systemd/{name}"
            for place in self._paths.boots
            for name in self._files.names(f"{place}/EFI/systemd")
            if name.startswith("systemd-boot")
        ]
        return loaders[0] if loaders else None

    def booted_first(self, entries: Iterable[Entry]) -> list[Entry]:
        """Entries with the one first that the running kernel was started by, where the loader has said which that is."""
        return sorted(entries, key=lambda entry: not self.has_booted(entry))

    def has_booted(self, entry: Entry) -> bool:
        """Whether the loader says that the running kernel was started by an entry."""
        said = self._paths.loader_text(self._fs, "LoaderEntrySelected")
        return said is not None and uncounted(entry.path.rpartition("/")[2]) == uncounted(said)

    def none_is_ours(self, why_not: Callable[[Entry], str | None]) -> PlanError:
        """The PlanError where no entry is this system's; ``why_not(entry)``: a phrase."""
        entries = self.all_entries()
        if not self.system().machine and any("machine-id" in entry.fields for entry in entries):
            return PlanError(
                f"{self._paths.machine_id} is absent or empty, and entries name the system that they are of by it: run "
                "systemd-machine-id-setup, or write there the machine-id that this system's entries have, then run again"
            )
        seen = [f"{entry.path} {why_not(entry)}" for entry in entries]
        return PlanError(
            f"systemd-boot has no entry of this system that can be told as such: {'; '.join(seen) or 'there is none at all'}; "
            "see bootctl list"
        )


def is_entry(name: str) -> bool:
    """Whether a file below loader/entries is an entry by its name (source: systemd src/boot/boot.c valid_type1_filename())."""
    return name.lower().endswith(".conf") and not name.startswith(".") and not name.lower().startswith("auto-")


__all__ = ("EntryFiles", "is_entry")
