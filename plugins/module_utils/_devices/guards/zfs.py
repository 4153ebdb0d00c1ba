# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What the pools of ZFS stand on. No file of the kernel names a pool's disks: udev's database does, and their labels do."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Iterator, List, Optional, Tuple

from ansible_collections.vfio.host.plugins.module_utils._devices.guards.block import Blocks, Way
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_MEMBER = "zfs_member"


class Pools:
    """The imported pools of one host, and the block devices that are, or may be, their members."""

    def __init__(self, fs: Sysfs, blocks: Blocks) -> None:
        self._fs = fs
        self._blocks = blocks
        self._candidates: Optional[List[Tuple[str, Optional[Dict[str, str]]]]] = None
        self._told: set[str] = set()
        self._walked: set[str] = set()  # pools whose Ways are being walked: a volume of one may be a member of another
        self.directory = fs.proc + "/spl/kstat/zfs"
        self.names = [name for name in fs.names(self.directory) if fs.exists(f"{self.directory}/{name}/state")]

    def ways(self, pool: str, text: str) -> Iterator[Way]:
        """The Ways of one pool."""
        if pool in self._walked:
            return
        self._walked.add(pool)
        yield from self._ways(pool, text)
        self._walked.discard(pool)

    def _ways(self, pool: str, text: str) -> Iterator[Way]:
        self._told.add(pool)
        guid = self._fs.read(f"{self.directory}/{pool}/guid")
        members, doubtful = [], []
        for name, record in self._members():
            if record is None:
                doubtful.append(name)
            elif self._may_be_of(record, pool, guid):
                members.append(name)
        if not members:
            yield Way(text, None, is_disk=True)
            yield from self._blocks.far(f"{text} on what cannot be told, which may be")
            return
        for name in members:
            yield from self._blocks.ways(name, text)
        for name in doubtful:
            yield from self._blocks.ways(name, f"{text} on what cannot be told, which may be")

    def rest(self) -> Iterator[Way]:
        """The Ways of the pools that nobody has asked for so far."""
        for pool in self.names:
            if pool not in self._told:
                yield from self.ways(pool, f"the ZFS pool {pool} is")

    def is_told(self, pool: str) -> bool:
        """Whether a pool's Ways were asked for."""
        return pool in self._told

    def all(self, text: str) -> Iterator[Way]:
        """The Ways of every pool: of a volume's device, which does not say which pool it is in."""
        for pool in self.names:
            for way in self.ways(pool, text):
                yield replace(way, is_direct=False)
        if not self.names:
            yield Way(text, None)

    @staticmethod
    def _may_be_of(record: dict[str, str], pool: str, guid: str | None) -> bool:
        """Whether a member belongs to an imported pool: by number where both are known, since pools can be renamed."""
        own = record.get("ID_FS_UUID")
        if guid and own:
            return guid == own
        # A cache's or a spare's label does not name its pool.
        return record.get("ID_FS_LABEL") in (pool, None)

    def _members(self) -> list[tuple[str, dict[str, str] | None]]:
        """(name, udev's properties) of each block device that is a member of any pool; None in place of these: it may be."""
        if self._candidates is None:
            self._candidates = []
            for name in self._fs.names(self._fs.block):
                is_member, record = self._look(name)
                if is_member is not False:
                    self._candidates.append((name, record if is_member else None))
        return self._candidates

    def _look(self, name: str) -> tuple[bool | None, dict[str, str]]:
        """(whether a block device is a member, or None, udev's properties)."""
        fs, directory = self._fs, f"{self._fs.block}/{name}"
        number = fs.read(directory + "/dev") or ""
        if name.startswith("zd") or fs.read(directory + "/size") == "0":
            return False, {}
        record = self._record(number)
        if "ID_FS_AMBIVALENT" not in record:
            if record.get("ID_FS_TYPE"):
                return record["ID_FS_TYPE"] == _MEMBER, record
            if record.get("ID_PART_TABLE_TYPE"):
                return False, record
        labelled = fs.is_zfs_member(f"{fs.dev}/{name}", number)
        if labelled is None and record and "ID_FS_AMBIVALENT" not in record:
            return False, record  # udev has looked, and found nothing
        return labelled, record

    def _record(self, number: str) -> dict[str, str]:
        """udev's properties of a block device; {} where it has not finished with it (source: systemd src/libsystemd/sd-device)."""
        lines = (self._fs.read(f"{self._fs.udev_data}/b{number}") or "").split("\n")
        pairs = [line[len("E:"):].partition("=") for line in lines if line.startswith("E:")]
        found = {key: value for key, dummy, value in pairs}
        if any(line.startswith("I:") for line in lines):
            found.setdefault("USEC_INITIALIZED", "")
        return found


__all__ = ("Pools",)
