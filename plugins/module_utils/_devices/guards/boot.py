# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What the next boot needs and no mount need show: fstab's devices and servers, the command line's, EFI's partition."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._devices import mounts
from ansible_collections.vfio.host.plugins.module_utils._devices.guards import filesystems
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.block import Blocks, Way
from ansible_collections.vfio.host.plugins.module_utils._host.errors import errno_name

if TYPE_CHECKING:
    from typing import Collection, Iterator

    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_LONGEST_NAME = 255
_ODD = re.compile(r"[^\w#+.:=@-]")  # what udev escapes in the name of a link
# Global variables, and systemd's: the partition that its boot loader or stub came from.
_EFI, _LOADER = "8be4df61-93ca-11d2-aa0d-00e098032b8c", "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"


class NextBoot:
    """What one host's next boot needs. ``blocks``: its Blocks; ``mounted``: the sources of its mounts, which tell more."""

    def __init__(self, fs: Sysfs, blocks: Blocks, mounted: Collection[str]) -> None:
        self._fs = fs
        self._blocks = blocks
        self._mounted = mounted

    def ways(self) -> Iterator[Way]:
        """Every Way, each of which is the host's only where nothing else is: is_direct is False."""
        fs = self._fs
        wanted: list[tuple[str, str]] = []
        far: list[tuple[str, str]] = []
        units = self._units()
        for what, kind, text in self._told(units):
            (far if filesystems.is_server(what, kind) else wanted).append((what, text))
        # Of the others some are root's alone on many hosts.
        for path in [fs.proc + "/cmdline", fs.fstab] + ([fs.crypttab] + fs.units + units if fs.is_root else []):
            yield from self._unread(path)
        for told in self._booted_from():
            if isinstance(told, Way):
                yield told
            else:
                wanted.append((f"PARTUUID={told.lower()}", "the EFI partition of this boot is"))
        for what, text in far:
            # A name is known to the kernel once it is mounted, and to nothing here before.
            peers = [one for one in filesystems.servers(mounts.Mount("0:0", "", "nfs", what, "")) if one is not None]
            for way in self._blocks.remote(peers, f"{text} on {what}") if peers and what not in self._mounted else ():
                yield replace(way, is_direct=False)
        for what, text in wanted:
            name, is_told = self._named(what)
            if not is_told:
                yield Way(text, None)
            for way in self._blocks.ways(name, text) if name else ():
                yield replace(way, is_direct=False)

    def _told(self, units: list[str]) -> Iterator[tuple[str, str, str]]:
        """(what, kind of file system or "", a Way's text) of all that files name: the command line's, fstab's, crypttab's, ``units``'."""
        fs = self._fs
        for what, key in mounts.boot_devices(fs.read(fs.proc + "/cmdline") or ""):
            yield what, "", f"{key}= of the kernel's command line is"
        for what, where, kind in mounts.parse_fstab(self._text(fs.fstab)):
            yield what, kind, f"{where} of /etc/fstab is"
        for what, name in mounts.parse_crypttab(self._text(fs.crypttab)):
            yield what, "", f"{name} of /etc/crypttab is"
        for path in units:
            what, kind = mounts.parse_unit(self._text(path))
            if what:
                yield what, kind, f"{os.path.basename(path)} of systemd is"

    def _text(self, path: str) -> str:
        return (self._fs.read_file(path) or b"").decode("utf-8", "surrogateescape")

    def _units(self) -> list[str]:
        """The paths of the mount and swap units that a boot starts, or that are mounted at their first use: those of /etc, and what
        generators make, of partitions by their type, too (source: systemd.generator(7), systemd-gpt-auto-generator(8)).
        """
        fs = self._fs
        names = {place: fs.names(place) for place in fs.units}
        wanted = {
            one for place, own in names.items() for directory in own if directory.endswith((".wants", ".requires", ".upholds"))
            for one in fs.names(f"{place}/{directory}")
        }
        stems = {one.rpartition(".")[0] for one in wanted if one.endswith(".automount")}
        return [
            f"{place}/{name}" for place, own in names.items() for name in own
            if name.endswith((".mount", ".swap")) and (name in wanted or name.rpartition(".")[0] in stems)
        ]

    def _unread(self, path: str) -> Iterator[Way]:
        """A Way that cannot be told, where what was just looked for at ``path`` is there and cannot be read."""
        number = self._fs.refusal(path)
        if number is not None:
            yield Way(f"what {path[len(self._fs.root):]} would say ({errno_name(number)}) is", None)

    def _booted_from(self) -> Iterator[str | Way]:
        """UUIDs of the partitions that this boot came from, and a Way for each that cannot be told."""
        fs = self._fs
        # The first four bytes of a variable's file are its attributes (source: Documentation/filesystems/efivarfs.rst).
        paths = [f"{fs.efivars}/LoaderDevicePartUUID-{_LOADER}", f"{fs.efivars}/BootCurrent-{_EFI}"]
        loader, current = ((fs.read_bytes(path) or b"")[4:] for path in paths)
        entry = b""
        if len(current) == 2:
            paths.append(f"{fs.efivars}/Boot{int.from_bytes(current, 'little'):04X}-{_EFI}")
            entry = fs.read_bytes(paths[-1]) or b""
        for path in paths:
            yield from self._unread(path)
        yield from filter(None, (loader.decode("utf-16-le", "replace").strip("\0"), mounts.booted_partition(entry[4:])))

    def _named(self, what: str) -> tuple[str | None, bool]:
        """(the kernel's name of the block device that a boot names, None where it is not there; whether that can be told)."""
        fs = self._fs
        if "\0" in what:
            return None, False
        key, is_tag, value = what.partition("=")
        if is_tag and key in mounts.TAGS:
            shown = _ODD.sub(_escaped, value)
            links = [f"{fs.disk_links}/by-{mounts.TAGS[key]}/{one}" for one in (shown, shown.lower())]
            name = next((name for name in map(fs.link, links) if name), None)
            # What is too long for a link's name is mounted all the same, found by its content.
            return name, name is not None or len(shown.encode("utf-8")) <= _LONGEST_NAME
        if what.startswith("/dev/"):
            return self._blocks.node(what), True
        link = f"{fs.dev_block}/{what}"
        name = fs.link(link) if re.match(r"\d+:\d+\Z", what) else None
        return name, fs.refusal(link) is None


def _escaped(found: re.Match[str]) -> str:
    """A character as udev writes it in the name of a link, byte by byte."""
    return "".join(f"\\x{one:02x}" for one in found.group().encode("utf-8", "surrogateescape"))


__all__ = ("NextBoot",)
