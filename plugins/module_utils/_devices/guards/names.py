# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Which block devices have a name below /dev, or a tag as fstab writes them: the one that the link points to, and the others that
have it as well.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._devices.mounts import TAGS

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.guards.block import Blocks
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_LONGEST_NAME = 255
# What udev escapes in the name of a link: of ASCII nearly all, and bytes that are no UTF-8 (source: systemd
# src/shared/device-nodes.c encode_devnode_name()).
_ODD = re.compile(r"[^0-9A-Za-z#+.:=@_\-\u0080-\ud7ff\ue000-\U0010ffff]")
_NUMBER = re.compile(r"\d+:\d+\Z")
_OFFSET = "/PARTNROFF="  # another partition of the same disk (source: block/early-lookup.c devt_from_partuuid())
_LINK, _TYPE, _USAGE = "S:", "E:ID_FS_TYPE=", "E:ID_FS_USAGE="
# What the kernel, or a program, makes of disks, by its name: of LVM /dev/GROUP/VOLUME, too, of Stratis /dev/stratis/POOL/NAME.
_MADE = re.compile(r"(mapper/|md(/|\d|_d\d)|dm-\d|bcache\d|drbd\d|disk/by-id/(dm|md|bcache)-|(?!disk/|block/|char/|shm/|zvol/)[^/]+/.)")
_OF_NO_KEY = re.compile(r"(disk/by-id/)?(md|bcache|drbd)")  # and of these what is not made of a disk that waits for a key alone
# What is on a disk by udev: a part of something (LVM, md, VDO, Stratis), or what waits for a key or a hash (LUKS, BitLocker, integrity)
# (source: util-linux libblkid/src/superblocks/). bcache is of another usage, and pools of ZFS are no block devices.
_RAID, _CRYPTO, _BCACHE, _ZFS, _MEMBER = "raid", "crypto", "bcache", "zfs_member", "_member"


class Names:
    """The names of one host's block devices. ``blocks``: its Blocks."""

    def __init__(self, fs: Sysfs, blocks: Blocks) -> None:
        self._fs = fs
        self._blocks = blocks

    def of(self, what: str) -> tuple[list[str], bool, bool]:
        """(the kernel's names of the block devices that ``what`` names, none where they are not there; whether that can be told; whether
        it is not there, and may be made of these).

        A link points to one device, and the members of a file system on several, or copies, have its UUID and label as well. Where one
        of them is in use, that is what is meant. What is made of disks and is not there may be made of each that waits for that.
        """
        fs = self._fs
        if "\0" in what:
            return [], False, False
        key, is_tag, value = what.partition("=")
        if is_tag and key in TAGS:
            shown = _ODD.sub(_escaped, value.partition(_OFFSET)[0] if key == "PARTUUID" else value)
            links = [f"disk/by-{TAGS[key]}/{one}" for one in dict.fromkeys((shown, shown.lower()))]
            found = [fs.link(f"{fs.dev}/{link}") for link in links]
            # What is too long for a link's name is mounted all the same, found by its content.
            is_told = any(found) or len(shown.encode("utf-8")) <= _LONGEST_NAME
        elif what.startswith("/dev/"):
            links, found, is_told = [what[len("/dev/"):]], [self._blocks.node(what)], True
            if found == [None] and _MADE.match(links[0]):
                return self._unassembled(is_locked_too=not _OF_NO_KEY.match(links[0])), self._is_udev_told, True
        else:
            path = f"{fs.dev_block}/{what}"
            return list(filter(None, [fs.link(path)] if _NUMBER.match(what) else [])), fs.refusal(path) is None, False
        pointed = list(filter(None, found))
        others = list(filter(None, (self._blocks.numbered(one) for link in links for one in self._told_by_udev[0].get(link, ()))))
        is_told = is_told and self._is_udev_told
        if self._blocks.used.intersection(pointed + others):
            others = []
        return list(dict.fromkeys(pointed + others)), is_told, False

    def _unassembled(self, *, is_locked_too: bool) -> list[str]:
        """The block devices that udev calls parts of LVM, md and the like, and that nothing is made of. ``is_locked_too``: also those that
        wait for a key.
        """
        parts, locked, dummy = self._told_by_udev[1:]
        names = filter(None, map(self._blocks.numbered, parts + (locked if is_locked_too else [])))
        return [name for name in names if not self._fs.names(f"{self._fs.block}/{name}/holders")]

    @property
    def _is_udev_told(self) -> bool:
        return self._told_by_udev[3]

    @cached_property
    def _told_by_udev(self) -> tuple[dict[str, list[str]], list[str], list[str], bool]:
        """(link below /dev -> the numbers of all block devices that are to have it, those of all parts, those of all that are locked,
        whether all of it could be read) (source: systemd src/libsystemd/sd-device/device-private.c device_update_db()).
        """
        fs = self._fs
        claims: dict[str, list[str]] = {}
        parts, locked = [], []
        entries = [entry for entry in fs.names(fs.udev_data) if entry.startswith("b")]
        is_told = fs.refusal(fs.udev_data) is None
        for path, number in ((f"{fs.udev_data}/{entry}", entry[1:]) for entry in entries):
            kind = usage = ""
            for line in (fs.read(path) or "").split("\n"):
                if line.startswith(_LINK):
                    claims.setdefault(line[len(_LINK):], []).append(number)
                elif line.startswith(_TYPE):
                    kind = line[len(_TYPE):]
                elif line.startswith(_USAGE):
                    usage = line[len(_USAGE):]
            if kind != _ZFS and (usage == _RAID or kind.endswith(_MEMBER) or kind == _BCACHE):
                parts.append(number)
            elif usage == _CRYPTO:
                locked.append(number)
            is_told = is_told and fs.refusal(path) is None
        return claims, parts, locked, is_told


def _escaped(found: re.Match[str]) -> str:
    """A character as udev writes it in the name of a link, byte by byte."""
    return "".join(f"\\x{one:02x}" for one in found.group().encode("utf-8", "surrogateescape"))


__all__ = ("Names",)
