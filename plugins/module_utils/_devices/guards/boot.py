# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What the next boot needs and no mount need show: fstab's devices and servers, the command line's, EFI's partition."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._devices import mounts
from ansible_collections.vfio.host.plugins.module_utils._devices.guards import filesystems
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.block import Blocks, Way
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.names import Names
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.units import Unit, units

if TYPE_CHECKING:
    from typing import Collection, Iterator

    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

# Global variables, and systemd's: the partition that its boot loader or stub came from.
_EFI, _LOADER = "8be4df61-93ca-11d2-aa0d-00e098032b8c", "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
_AUTOFS = "autofs"  # its source is the map, of a program's or of systemd's no file (source: automount(8))
_ACTIVE = 0x1  # LOAD_OPTION_ACTIVE: UEFI specification, 3.1.3


class NextBoot:
    """What one host's next boot needs. ``blocks``: its Blocks; ``mounted``: its mounts, of which sources tell more."""

    def __init__(self, fs: Sysfs, blocks: Blocks, mounted: Collection[mounts.Mount]) -> None:
        self._fs = fs
        self._blocks = blocks
        self._names = Names(fs, blocks)
        self._mounted = {mount.source for mount in mounted}
        self._maps = sorted({mount.source for mount in mounted if mount.kind == _AUTOFS and mount.source.startswith("/")})

    def ways(self) -> Iterator[Way]:
        """Every Way, each of which is the host's only where nothing else is: is_direct is False."""
        fs = self._fs
        wanted: list[tuple[str, str]] = []
        far: list[tuple[str, str]] = []
        started, paths = units(fs)
        for what, kind, text in self._told(started):
            (far if filesystems.is_server(what, kind) else wanted).append((what, text))
        wanted += self._mapped({what for what, dummy in wanted})
        # Of the others some are root's alone on many hosts.
        roots = fs.tables_of_mapped + fs.kdumps + paths + [fs.root + path for path in self._maps]
        for path in [fs.proc + "/cmdline", fs.fstab, fs.resume] + (roots if fs.is_root else []):
            yield from self._blocks.unread(path)
        for told in self._partitions():
            if isinstance(told, Way):
                yield told
            else:
                wanted.append((f"PARTUUID={told[0].lower()}", f"the EFI partition of {told[1]} boot is"))
        for what, text in far:
            # A name is known to the kernel once it is mounted, and to nothing here before.
            peers = [one for one in filesystems.servers(mounts.Mount("0:0", "", "nfs", what, "")) if one is not None]
            for way in self._blocks.remote(peers, f"{text} on {what}", is_in_use=False) if peers and what not in self._mounted else ():
                yield replace(way, is_direct=False)
        for what, text in wanted:
            for one in filesystems.members_of(what) or (what,):
                yield from self._of_name(one, text)

    def _of_name(self, what: str, text: str) -> Iterator[Way]:
        """The Ways of all that ``what`` may be the name of."""
        names, is_told, is_made = self._names.of(what)
        if not is_told:
            yield Way(text, None)
        if is_made:
            text = f"{text} on {what}, which is not there now and may be made of what is"
        for name in names:
            for way in self._blocks.ways(name, text):
                yield replace(way, is_direct=False)

    def _told(self, started: list[Unit]) -> Iterator[tuple[str, str, str]]:
        """(what, kind of file system or "", a Way's text) of all that files name: the command line's, those of /etc, and units'."""
        fs = self._fs
        for what, key in mounts.boot_devices(fs.read(fs.proc + "/cmdline") or ""):
            yield what, "", f"{key}= of the kernel's command line is"
        for what, key in mounts.boot_servers(fs.read(fs.proc + "/cmdline") or ""):
            yield what, "nfs", f"{key}= of the kernel's command line is"
        for what, where, kind in mounts.parse_fstab(fs.text(fs.fstab)):
            yield what, kind, f"{where} of /etc/fstab is"
        for path in fs.kdumps:
            for what, kind in mounts.parse_kdump(fs.text(path)):
                yield what, kind, f"the place for crashes of {path[len(fs.root):]} is"
        for path in self._maps:
            for what, kind in mounts.parse_map(fs.text(fs.root + path)):
                yield what, kind, f"what autofs mounts by {path} is"
        resume = fs.read(fs.resume)
        if resume and resume != "0:0":
            yield resume, "", "the image of the next hibernation is"
        for unit in started:
            for what, kind in mounts.parse_unit(unit.text):
                yield what, kind, f"{unit.name} of systemd is"

    def _mapped(self, asked: Collection[str]) -> list[tuple[str, str]]:
        """(what, a Way's text) of the mapped devices that a boot sets up: all but those with noauto, and of these what is ``asked`` for, as
        by a line of fstab (source: crypttab(5)), also by another mapped device.
        """
        fs = self._fs
        lines = [(what, name, is_unasked, path) for path in fs.tables_of_mapped for what, name, is_unasked in mounts.parse_mapped(fs.text(path))]
        wanted = set(asked)
        while True:
            found = [
                (what, f"{name} of {path[len(fs.root):]} is") for what, name, is_unasked, path in lines
                if is_unasked or f"/dev/mapper/{name}" in wanted
            ]
            more = {what for what, dummy in found} - wanted
            if not more:
                return found
            wanted |= more

    def _partitions(self) -> Iterator[tuple[str, str] | Way]:
        """(UUID, which boot) of the partitions that this boot came from and the next one comes from, and a Way for each that cannot be
        told.
        """
        fs = self._fs
        # The first four bytes of a variable's file are its attributes (source: Documentation/filesystems/efivarfs.rst).
        paths = [f"{fs.efivars}/LoaderDevicePartUUID-{_LOADER}"] + [
            f"{fs.efivars}/{name}-{_EFI}" for name in ("BootCurrent", "BootNext", "BootOrder")
        ]
        loader, current, once, order = ((fs.read_bytes(path) or b"")[4:] for path in paths)
        found = [(loader.decode("utf-16-le", "replace").strip("\0"), "this")]
        for which, numbers, is_chosen in (("this", current, True), ("the next", once, True), ("the next", order, False)):
            for at in range(0, len(numbers) - 1, 2):
                paths.append(f"{fs.efivars}/Boot{int.from_bytes(numbers[at:at + 2], 'little'):04X}-{_EFI}")
                entry = (fs.read_bytes(paths[-1]) or b"")[4:]
                if entry and (is_chosen or int.from_bytes(entry[:4], "little") & _ACTIVE):
                    found.append((mounts.booted_partition(entry) or "", which))
                    if not mounts.is_of_network(entry):
                        break  # the firmware takes the first one that is there and active
        for path in paths:
            yield from self._blocks.unread(path)
        known: set[str] = set()
        for uuid, which in found:
            if uuid and uuid.lower() not in known:
                known.add(uuid.lower())
                yield uuid, which


__all__ = ("NextBoot",)
