# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What is mounted, and what a boot mounts: mountinfo, swaps, fstab, the kernel's command line, EFI's boot entry. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._host.words import trimmed

if TYPE_CHECKING:
    from typing import Collection, Iterable, Iterator


# Where the files of a boot are, also in an fstab that mounts them on demand only.
_BOOT = frozenset(("/", "/boot", "/boot/efi", "/efi"))
_ESCAPED = re.compile(rb"\\([0-3][0-7]{2})")
# How a device is named by what is on it (source: fstab(5)).
TAGS = {"UUID": "uuid", "LABEL": "label", "PARTUUID": "partuuid", "PARTLABEL": "partlabel", "ID": "id"}
_LUKS, _PARTS = ("rd.luks.", "luks."), re.compile(r"[:,; \t\n\v\f\r]+")
# Options by which systemd mounts what a boot itself does not (source: systemd.mount(5), src/fstab-generator/fstab-generator.c).
_ALL_THE_SAME = ("x-systemd.automount", "comment=systemd.automount", "x-systemd.wanted-by=", "x-systemd.required-by=")
# What separates fields, and what the kernel takes for white space (source: lib/ctype.c); Python knows more of both.
_FIELDS = re.compile(r"[ \t]+")
# An argument may have white space between quotes, anywhere in it (source: lib/cmdline.c next_arg()).
_ARGUMENT = re.compile(r'(?:[^ \t\n\v\f\r"]|"[^"]*"?)+')
_DUMP = re.compile(r"(?:NFS|SSH|KDUMP_SAVEDIR)=(.+)")
_CREATED, _NUMBER = "dm-mod.create", re.compile(r"\d+:\d+\Z")
_BETWEEN_LAYERS = re.compile(r"(?<!\\134):")
_WEIGHT = re.compile(r"\(\d+\)")  # of one of several servers in a map of autofs
_DELETED = "\\040(deleted)"
_SERVERS = frozenset(("addr", "ip", "mon_addr", "mountaddr"))
# An address of another host in an argument: not of a network mask, of none, nor of the loopback.
_ADDRESSES = re.compile(r"(?<![\w.-])(?!0\.|127\.|2[2-5]\d\.)(\d{1,3}(?:\.\d{1,3}){3})(?![\w.-])|\[([0-9A-Fa-f]*:[0-9A-Fa-f:.]+(?:%[^\]]*)?)\]")
_OWN_NETWORK = frozenset(("ip", "nameserver", "netconsole", "rd.route", "systemd.hostname"))
# UEFI specification, 10.3.4 and 10.3.5: types and sub-types of a device path's nodes (MAC, IPv4, IPv6, URI, Wi-Fi), and types of signatures.
_MESSAGING, _NETWORK, _MEDIA, _HARD_DRIVE, _MBR, _GUID = 3, (0x0B, 0x0C, 0x0D, 0x18, 0x1C), 4, 1, 1, 2


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo (source: proc_pid_mountinfo(5)); ``options`` are those of the file system."""

    number: str
    point: str
    kind: str
    source: str
    options: str


def parse_mountinfo(text: str) -> list[Mount]:
    """The Mounts, in their order."""
    found = []
    for line in text.split("\n"):
        left, dummy, right = line.partition(" - ")
        words, rest = left.split(" "), right.split(" ")
        if len(words) > 4 and len(rest) > 2:
            found.append(Mount(words[2], unescape(words[4]), rest[0], unescape(rest[1]), rest[2]))
    return found


def unescape(text: str) -> str:
    """A path as it is, from the octal escapes that the kernel and fstab(5) use."""
    plain = _ESCAPED.sub(lambda found: bytes([int(found.group(1), 8)]), text.encode("utf-8", "surrogateescape"))
    return plain.decode("utf-8", "surrogateescape")


class Holding:
    """Which of some mounts holds a path. A host may have thousands of mounts, and as many layers in these."""

    def __init__(self, mounts: Iterable[Mount]) -> None:
        self._at: dict[str, list[Mount]] = {}
        for mount in mounts:
            self._at.setdefault(mount.point.rstrip("/"), []).append(mount)

    def of(self, path: str, *, but: Collection[object] = ()) -> Mount | None:
        """The Mount that holds an absolute path: the last one of the longest mount point, none of ``but``; None where there is none."""
        path = path.rstrip("/")
        while True:
            for mount in reversed(self._at.get(path, [])):
                if mount not in but:
                    return mount
            if not path:
                return None
            path = path.rpartition("/")[0]


@dataclass(frozen=True)
class Layers:
    """The directories of an overlay: those that it reads, those of them that have nothing but the data of files, and those that it writes.
    ``is_relative``: some are none that begins at the root, and left out.
    """

    lower: list[str]
    data: list[str]
    upper: list[str]
    is_relative: bool


def layers(mount: Mount) -> Layers:
    """The Layers of a mount of overlay (source: fs/overlayfs/params.c ovl_show_options(); Documentation/filesystems/overlayfs.rst,
    "Data-only lower layers": those behind '::', and datadir+). What separates options or directories is escaped where it is part of a name.
    """
    reads: list[str] = []
    data: list[str] = []
    writes: list[str] = []
    for one in mount.options.split(","):
        key, dummy, value = one.partition("=")
        if key in ("upperdir", "workdir"):
            writes.append(_layer(value))
        elif key.startswith("datadir+"):
            data.append(_layer(value))
        elif key.startswith("lowerdir+"):
            reads.append(_layer(value))
        elif key == "lowerdir":
            parts = list(map(_layer, _BETWEEN_LAYERS.split(value)))
            first_data = parts.index("") if "" in parts else len(parts)
            reads += parts[:first_data]
            data += parts[first_data:]
    found = [list(filter(None, dict.fromkeys(some))) for some in (reads, data, writes)]
    lower, behind, upper = ([path for path in some if path.startswith("/")] for some in found)
    return Layers(lower, behind, upper, is_relative=len(lower + behind + upper) < sum(map(len, found)))


def _layer(text: str) -> str:
    """A directory as it is, from what an overlay's option shows: most kernels show it with the escapes of whoever mounted it, 6.5 without."""
    return unescape(text).replace("\\:", ":").replace("\\,", ",")


def option(mount: Mount, *names: str) -> list[str]:
    """The values of a file system's options of one of these names."""
    pairs = [one.partition("=") for one in mount.options.split(",")]
    return [value for key, dummy, value in pairs if key in names and value]


def nodes_named(mount: Mount) -> list[str]:
    """The device nodes that a file system's options name, whatever the option is called: a journal's, a log's."""
    values = [unescape(one.partition("=")[2]) for one in mount.options.split(",")]
    return [value for value in values if value.startswith("/dev/")]


def parse_swaps(text: str) -> list[tuple[str, bool]]:
    """(path, whether it is a file) of each swap in use."""
    lines = [_FIELDS.split(line) for line in text.split("\n")[1:]]
    return [
        (unescape(words[0].replace(_DELETED, "")), "file" in words[1:3]) for words in lines if len(words) > 1
    ]


def devices_in(text: str) -> list[str]:
    """What names a device in a text: the whole, or its parts."""
    parts = dict.fromkeys([text] + _PARTS.split(text))
    return [one for one in parts if one.startswith("/dev/") or one.partition("=")[0] in TAGS]


def _of_options(options: list[str]) -> list[str]:
    """The devices that options name, whatever these are called: a log's, a journal's, a key's, further members'."""
    return [what for option in options for one in (option, option.partition("=")[2]) for what in devices_in(one)]


def _servers_of_options(options: list[str]) -> list[str]:
    """The addresses that options name as those of servers (source: mount.ceph(8), mount.cifs(8), nfs(5))."""
    pairs = [one.partition("=") for one in options]
    return [one for key, dummy, value in pairs if key in _SERVERS for one in value.split("/") if one]


def parse_fstab(text: str) -> list[tuple[str, str, str]]:
    """(what, where, kind) of each line that a boot mounts, or that the files of a boot are on, and of the devices that its options
    name, with kind "", and of the servers, as of NFS. ``where`` is "swap" for swap.
    """
    found = []
    for words in (_FIELDS.split(line.strip(" \t\r")) for line in text.split("\n")):
        if len(words) < 3 or words[0].startswith("#"):
            continue
        where = "swap" if words[2] == "swap" else unescape(words[1])
        options = [unescape(one).replace('"', "") for one in words[3].split(",")] if len(words) > 3 else []
        if where in _BOOT or "noauto" not in options or any(one.startswith(_ALL_THE_SAME) for one in options):
            found.append((unescape(words[0]).replace('"', ""), where, words[2]))
            found += [(what, where, "") for what in _of_options(options)] + [(what, where, "nfs") for what in _servers_of_options(options)]
    return found


def boot_devices(command_line: str) -> list[tuple[str, str]]:
    """(what, argument) of the devices that the kernel's command line names, or may name: whatever the argument is called, since each
    image has its own (mount.usr=, boot=, cryptdevice=, rd.luks.uuid=, md=).
    """
    found: dict[tuple[str, str], None] = {}
    for key, value in arguments(command_line):
        if key in ("root", "resume") and value:
            found[value, key] = None
        if key.startswith(_LUKS):
            uuid = value.partition("=")[0]
            found[f"UUID={uuid[len('luks-'):] if uuid.startswith('luks-') else uuid}", key] = None
        for one in devices_in(value):
            found[one, key] = None
        if key == _CREATED:
            for one in filter(_NUMBER.match, value.replace(",", " ").split(" ")):
                found[one, key] = None
    return list(found)


def boot_servers(command_line: str) -> list[tuple[str, str]]:
    """(address, argument) of the addresses in the kernel's command line, but in arguments that are about this host's own network: whatever
    the argument is called, since each image has its own (nfsroot=, netroot=, root=live:http://..., rd.nvmf.discover=).
    """
    found: dict[tuple[str, str], None] = {}
    for key, value in arguments(command_line):
        if key not in _OWN_NETWORK:
            found.update(dict.fromkeys((four or six, key) for four, six in _ADDRESSES.findall(value)))
    return list(found)


def arguments(command_line: str) -> list[tuple[str, str]]:
    """(key, value) of each argument of the kernel's command line, quotes away; value is "" where there is none."""
    pairs = [word.replace('"', "").partition("=") for word in _ARGUMENT.findall(command_line)]
    return [(key, value) for key, dummy, value in pairs]


def parse_mapped(text: str) -> list[tuple[str, str, bool]]:
    """(what, name, whether a boot sets it up unasked) of the devices in each line for a mapped device: the device, and what keys, hashes and
    options are on (source: crypttab(5), veritytab(5), integritytab(5)).
    """
    found = []
    for words in (_FIELDS.split(line.strip(" \t\r")) for line in text.split("\n")):
        options = [one for word in words[3:] for one in word.split(",")]
        if len(words) > 1 and not words[0].startswith("#"):
            plain = [word.replace('"', "") for word in words[1:3]]
            more = [what for word in plain[1:] for what in devices_in(word)] + _of_options(options)
            found += [(what, words[0], "noauto" not in options) for what in dict.fromkeys(plain[:1] + more)]
    return found


def parse_unit(text: str) -> list[tuple[str, str]]:
    """(what, kind) of a mount or swap unit of systemd, of the devices that its options name, with kind "", and of the servers, as of NFS;
    the last assignment of a key counts (source: systemd.mount(5), systemd.swap(5)).
    """
    told = {"What": "", "Type": "", "Options": ""}
    for line in text.split("\n"):
        key, equals, value = line.partition("=")
        if equals and key.strip(" \t") in told:
            told[key.strip(" \t")] = value.strip(" \t\r").strip("\"'")
    found = [(told["What"], told["Type"])] if told["What"] else []
    options = told["Options"].split(",")
    return found + [(what, "") for what in _of_options(options)] + [(what, "nfs") for what in _servers_of_options(options)]


def parse_kdump(text: str) -> list[tuple[str, str]]:
    """(what, kind) of where a crash is dumped to: 'KIND WHERE' of kdump.conf(5), and the variables of kdump-tools and of SUSE's kdump."""
    found = []
    for line in map(trimmed, text.split("\n")):
        words = _FIELDS.split(line)
        assigned = _DUMP.match(line)
        if assigned:
            place = assigned.group(1).strip("\"'").partition("://")
            found.append((place[2] if place[1] else place[0], "nfs"))
        elif len(words) > 1 and words[0] in ("nfs", "nfs4", "ssh"):
            found.append((words[1], "nfs"))
        elif len(words) > 1 and not line.startswith("#"):
            found += [(what, words[0]) for what in devices_in(words[1])]
    return [(what, kind) for what, kind in found if not what.startswith("/") or what.startswith("/dev/")]


def parse_map(text: str) -> list[tuple[str, str]]:
    """(what, kind) of the devices and servers in a map of autofs, 'KEY [-OPTIONS] LOCATION...'; the kind of a server is that of NFS (source:
    autofs(5)). A program that prints a map says nothing.
    """
    found: list[tuple[str, str]] = []
    for words in (_FIELDS.split(trimmed(line)) for line in text.replace("\\\n", " ").split("\n") if not text.startswith("#!")):
        for word in (_WEIGHT.sub("", one) for one in words[1:]) if words[0][:1] not in ("#", "+", "") else ():
            if word.startswith("-"):
                options = word[1:].split(",")
                found += [(what, "") for what in _of_options(options)] + [(what, "nfs") for what in _servers_of_options(options)]
            elif word.startswith(":/dev/"):
                found.append((word[1:], ""))
            elif ":" in word:
                found.append((word.lstrip(":"), "nfs"))
    return found


def booted_partition(load_option: bytes) -> str | None:
    """The partition's UUID in an EFI boot entry, as udev has it (PARTUUID); None where it names none."""
    for kind, sort, node in _nodes(load_option):
        if (kind, sort) == (_MEDIA, _HARD_DRIVE) and len(node) == 42:
            one = node[24:40]
            if node[41] == _GUID:
                parts = (one[3::-1], one[5:3:-1], one[7:5:-1], one[8:10], one[10:])
                return "-".join(part.hex() for part in parts)
            if node[41] == _MBR:
                return f"{one[3::-1].hex()}-{int.from_bytes(node[4:8], 'little'):02x}"
    return None


def is_of_network(load_option: bytes) -> bool:
    """Whether an EFI boot entry boots over a network, which may have nothing to boot: the firmware goes on to the next entry then."""
    return any(kind == _MESSAGING and sort in _NETWORK for kind, sort, dummy in _nodes(load_option))


def _nodes(load_option: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(type, sub-type, the whole) of each node of the device path in an EFI boot entry (UEFI specification, 3.1.3: EFI_LOAD_OPTION)."""
    at = 6
    while load_option[at:at + 2] not in (b"\0\0", b""):
        at += 2
    at += 2
    while at + 4 <= len(load_option):
        size = int.from_bytes(load_option[at + 2:at + 4], "little")
        yield load_option[at], load_option[at + 1], load_option[at:at + size]
        if size < 4:
            return
        at += size


__all__ = (
    "Holding",
    "Layers",
    "Mount",
    "TAGS",
    "arguments",
    "boot_devices",
    "boot_servers",
    "booted_partition",
    "devices_in",
    "is_of_network",
    "layers",
    "nodes_named",
    "option",
    "parse_fstab",
    "parse_kdump",
    "parse_map",
    "parse_mapped",
    "parse_mountinfo",
    "parse_swaps",
    "parse_unit",
    "unescape",
)
