# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Selection of devices by what is known of them, or was known before a VFIO driver hid it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._core import globs
from ansible_collections.vfio.host.plugins.module_utils._core.options import did_you_mean, truth_of
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import IDENTITY, Device, normalize_address
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError
from ansible_collections.vfio.host.plugins.module_utils._host.numbers import named, shown
from ansible_collections.vfio.host.plugins.module_utils._host.words import nearest

if TYPE_CHECKING:
    from typing import Callable

    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import Was

# Every field that a match may name, with the way in which it is compared.
ID, ADDRESS, TEXT, NUMBER, FLAG, HEX, RANGE, PF, MAC = "id", "address", "text", "number", "flag", "hex", "range", "pf", "mac"
FIELDS = {
    "address": ADDRESS,
    "vendor": ID,
    "device": ID,
    "subsystem_vendor": ID,
    "subsystem_device": ID,
    "class": ID,
    "revision": ID,
    "driver": TEXT,
    "driver_override": TEXT,
    "modalias": TEXT,
    "iommu_group": TEXT,
    "numa_node": NUMBER,
    "header_type": NUMBER,
    "path": TEXT,
    "is_vf": FLAG,
    "physfn": PF,
    "vf": RANGE,
    "boot_vga": FLAG,
    "serial": TEXT,
    "vendor_name": TEXT,
    "device_name": TEXT,
    "net": TEXT,
    "mac": MAC,
    "uid": HEX,
    "function_id": HEX,
    "pchid": HEX,
    "pft": HEX,
    "pfgid": HEX,
    "vfn": HEX,
    "port": NUMBER,
}
_ID = re.compile(r"(?:[0-9a-f*?]|\[!?[0-9a-f-]+\])+\Z")
_DIGITS = {"class": 6, "revision": 2}  # of an id; of the others 4
_ADDRESS_GLOB = re.compile(r"[0-9a-f:.*?\[\]!-]+\Z")
# Looks as an address, and may be none: no other name has this shape; a MAC has more of ':'.
_ADDRESS_LIKE = re.compile(r"([0-9a-f]*:){1,2}[0-9a-f.]*\Z")
_HEX = re.compile(r"(0x)?[0-9a-f]+\Z")
_NUMBER = re.compile(r"-?[0-9]{1,9}\Z")
_INDEX = re.compile(r"([0-9*?]|\[!?[0-9-]+\])+\Z")
_RANGE = re.compile(r"(\d{1,9})-(\d{1,9})\Z")
_MOST_VFS = 65535  # of one PF: NumVFs has 16 bits
_MAGIC = re.compile(r"[*?\[]")
# Six bytes on Ethernet, twenty on InfiniBand (source: include/linux/netdevice.h MAX_ADDR_LEN), as sysfs prints them.
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5,31}\Z")
_MAC_OF_WORDS = re.compile(r"[0-9a-f]{4}(\.?)[0-9a-f]{4}\1[0-9a-f]{4}\Z")
_LONGEST = 1000  # of a match in a message
_REGEX = re.compile(r"\.\*|\.\+|[\\^$|(]")
_CHARACTERS = re.compile(r"\[[^\]]*\]")  # one of a glob
# Fields whose values YAML reads as numbers where they are not quoted, and other ones than were written.
_QUOTED = frozenset(("address", "mac", "net", "path", "physfn", "serial"))
# Fields whose plain values lead to few devices: these are looked up, not searched.
_INDEXED = ("address", "serial", "mac", "net", "path", "uid", "function_id")
# What a text that names a PF may be, beside its address.
_NAMES = ("net", "mac", "serial", "path")


@dataclass(frozen=True)
class Match:
    """One selection: ``wanted`` maps a field to the patterns of which one must fit; ``text`` is what the user wrote.

    ``pfs``: Matches, of which one must select the device's PF; () where the user names no ``physfn``.
    """

    wanted: dict[str, tuple[str, ...]]
    text: str
    pfs: tuple[Match, ...] = ()

    @property
    def words(self) -> str:
        """``text`` for a message."""
        return named(self.text, longest=_LONGEST)

    @property
    def path(self) -> str | None:
        """The one path that is wanted, without wildcards; None where it is another field, several paths, or a glob."""
        paths = self.wanted.get("path", ())
        return paths[0] if len(paths) == 1 and not _MAGIC.search(paths[0]) else None


def parse_match(value: object, where: str) -> Match:
    """A Match from a user's mapping. Raises InputError naming ``where`` and the key."""
    if not isinstance(value, dict) or not value:
        raise InputError(f'{where}: match must be a mapping of at least one device field, such as {{address: "0000:02:00.0"}}')
    wanted: dict[str, tuple[str, ...]] = {}
    pfs: tuple[Match, ...] = ()
    problems: list[str] = []
    for key in sorted(value, key=str):
        inner = _fields_within(value[key]) if key != "physfn" else ""
        if inner or key not in FIELDS:
            hint = inner or f"there are: {', '.join(sorted(FIELDS))}{did_you_mean(str(key), FIELDS)}"
            problems.append(f"{where}: {shown(key)} is {'a mapping' if inner and key in FIELDS else 'no field of a device'}; {hint}")
            continue
        given = value[key] if isinstance(value[key], list) else [value[key]]
        if not given:
            problems.append(f"{where}: {key} is an empty list, which nothing can match")
        try:
            if FIELDS[key] == PF:
                pfs = tuple(match for one in given for match in _pf_matches(one, f"{where}: {key}"))
            else:
                wanted[key] = tuple(pattern for one in given for pattern in _patterns(key, one))
        except ValueError as error:
            problems.append(f"{where}: {key}: {error}")
        except InputError as error:
            problems += error.messages
    if problems:
        raise InputError(*problems)
    return Match(wanted, " ".join(f"{key}={_show(value[key])}" for key in sorted(value)), pfs)


def _fields_within(value: object) -> str:
    """What to say instead of a mapping of fields, as the facts have some; "" for what is none."""
    items = value if isinstance(value, list) else [value]
    known = dict.fromkeys(str(name) for item in items if isinstance(item, dict) for name in item if name in FIELDS)
    return f"say {' and '.join(f'{name}: ...' for name in known)} beside the other fields" if known else ""


def _patterns(key: str, value: object) -> list[str]:
    """The patterns that one wanted value of a field stands for. Raises ValueError."""
    found = _RANGE.match(str(value).strip()) if FIELDS[key] == RANGE and not isinstance(value, (dict, list)) else None
    if found is None:
        return [_pattern(key, value)]
    first, last = int(found.group(1)), int(found.group(2))
    if first > last or last > _MOST_VFS:
        raise ValueError(f"{shown(value)} is no range; one looks like 0-5, and a PF has at most {_MOST_VFS} VFs")
    return [str(number) for number in range(first, last + 1)]


def _pf_matches(value: object, where: str) -> list[Match]:
    """A Match for each way in which a value may name a PF: a mapping is a match itself, a text an address, or another name.

    Raises ValueError, InputError.
    """
    if isinstance(value, dict):
        if "physfn" in value or "vf" in value:
            raise ValueError("a PF is no VF, so physfn and vf do not select one")
        return [parse_match(value, where)]
    text = _pattern("net", value)
    address = _address(text)
    found = [] if address is None else [Match({"address": (address,)}, text)]
    if address is None and _ADDRESS_LIKE.match(text):
        raise ValueError(f"{shown(value)} is no {_KINDS[ADDRESS]}")
    if address is None or ":" not in address:
        found += [Match({name: ((_mac(text) if name == "mac" else None) or text,)}, text) for name in _NAMES]
    return found


def _shared_paths(match: Match, where: str, devices: list[Device]) -> list[str]:
    """Paths without a root that are the place of several of the selected ``devices``: below each root there is one."""
    patterns = match.wanted.get("path", ())
    whole = [globs.compiled(pattern) for pattern in patterns if "/" in pattern]
    places: dict[str, list[Device]] = {}
    for device in devices if patterns else ():
        if not any(fits(str(device.path).lower()) for fits in whole):
            places.setdefault(device.slots or device.path or "", []).append(device)
    return [
        f"{where}: path {path} is the place of {len(some)} devices: {', '.join(one.address for one in some)}; without its root (PCI "
        "domain and bus of the host bridge) a path does not say which of them is meant: say the whole path, "
        f"{' or '.join(str(one.path) for one in some)}, or add address, or another field that tells"
        for path, some in sorted(places.items()) if len(some) > 1
    ]


def _show(value: object) -> str:
    if isinstance(value, dict):
        return "(" + " ".join(f"{key}={_show(value[key])}" for key in sorted(value, key=str)) + ")"
    return ",".join(_show(one) for one in value) if isinstance(value, list) else str(value)


def _pattern(key: str, value: object) -> str:
    """The text that values of this field are compared with. Raises ValueError for what none can equal."""
    if isinstance(value, (dict, list)) or value is None:
        raise ValueError(f"{shown(value)} is neither text, number nor boolean")
    if FIELDS[key] in (ID, HEX) and not isinstance(value, str):
        raise ValueError(f"write it in quotes: without them YAML made the number {shown(value)} of it, as it makes 192 of 0300")
    if key in _QUOTED and not isinstance(value, (str, dict)):
        raise ValueError(f"write it in quotes: without them YAML read it as {shown(value)}, and no text")
    found = _PATTERNS[FIELDS[key]](str(value).strip().lower())
    if not found:
        raise ValueError(f"{shown(value)} is no {_KINDS[FIELDS[key]]}")
    digits = _DIGITS.get(key, 4)
    if FIELDS[key] == ID and len(_CHARACTERS.sub("?", found).replace("*", "")) > digits:
        raise ValueError(f"{shown(value)} has more digits than any {key}, of which there are {digits}")
    return found


def _id(text: str) -> str | None:
    text = text[2:] if text.startswith("0x") else text
    return text if _ID.match(text) else None


def _address(text: str) -> str | None:
    if not _MAGIC.search(text):
        return normalize_address(text)
    if not _ADDRESS_GLOB.match(text):
        return None
    # A bus has two digits and a domain four or more, so what begins with two, and no '*' among them, has no domain.
    first, colon, rest = text.partition(":")
    places = _CHARACTERS.sub("?", first)
    return f"0000:{text}" if colon and ":" not in rest and "*" not in places and len(places) <= 2 else text


def _mac(text: str) -> str | None:
    """As sysfs prints it, also where it is written with dashes, as 5254.0012.3456 or as 525400123456; None for what no card has. A glob may be any."""
    if _MAC_OF_WORDS.match(text):
        digits = text.replace(".", "")
        return ":".join(digits[place:place + 2] for place in range(0, len(digits), 2))
    sets = _CHARACTERS.findall(text)
    plain = [part.replace("-", ":") for part in _CHARACTERS.split(text)]
    colons = "".join(part + one for part, one in zip(plain, [*sets, ""]))
    return colons if _MAGIC.search(text) or (_MAC.match(colons) and colons.strip("0:")) else None


def _index(text: str) -> str | None:
    if text.isdecimal():
        return str(int(text)) if _NUMBER.match(text) else None
    return text if _INDEX.match(text) else None


def _hex(text: str) -> str | None:
    return f"{int(text, 16):x}" if _HEX.match(text) else None


_PATTERNS: dict[str, Callable[[str], str | None]] = {
    ID: _id,
    ADDRESS: _address,
    TEXT: lambda text: text,
    NUMBER: lambda text: str(int(text)) if _NUMBER.match(text) else None,
    FLAG: lambda text: {True: "true", False: "false", None: None}[truth_of(text)],
    HEX: _hex,
    RANGE: _index,
    MAC: _mac,
}
_KINDS = {
    ID: "hexadecimal id",
    ADDRESS: "PCI address; one looks like 0000:02:00.0",
    TEXT: "text that something could match",
    NUMBER: "number",
    FLAG: "boolean",
    HEX: "hexadecimal number",
    RANGE: "number of a VF, nor a range such as 0-5",
    MAC: "MAC address; one looks like 52:54:00:12:34:56",
}


class Selector:
    """Selects among ``devices`` (address -> Device).

    ``seen`` maps an address to what was known of the device there before VFIO took it (fields driver, net, serial):
    the caller vouches that it is the same device. A field fits by its value now or by the one remembered.
    """

    def __init__(self, devices: dict[str, Device], seen: dict[str, Was] | None = None) -> None:
        self._devices = devices
        self._seen = seen or {}
        self._indexes: dict[str, dict[str, list[str]]] = {}
        self._compiled: dict[str, Callable[[str], object]] = {}
        self._pfs: dict[int, tuple[Match, set[str]]] = {}

    def select(self, match: Match) -> list[str]:
        """The addresses that a Match selects, sorted."""
        return [address for address in self._candidates(match) if self._fits(address, match)]

    def unclear(self, match: Match, *, where: str, addresses: list[str]) -> list[str]:
        """Why a match does not say which of the selected ``addresses`` it means, one sentence for each name that several have."""
        devices = [self._devices[address] for address in addresses]
        return _shared_paths(match, where, devices) + self._shared_macs(match, where, addresses) + self._unclear_pfs(match, where)

    def _shared_macs(self, match: Match, where: str, addresses: list[str]) -> list[str]:
        """Addresses that several devices are known by: each card has its own, so some records are not of their own."""
        owners = {}
        for mac in match.wanted.get("mac", ()):
            if not _MAGIC.search(mac):
                owners[mac] = [address for address in self._index("mac").get(mac, ()) if address in addresses]
        return [
            f"{where}: mac {mac} is known of {len(some)} devices: {', '.join(sorted(some))}; a port of a bond shows the address of "
            "another, and what was recorded then is not its own: add address, or another field that tells"
            for mac, some in sorted(owners.items()) if len(set(some)) > 1
        ]

    def _unclear_pfs(self, match: Match, where: str) -> list[str]:
        problems: list[str] = []
        named: dict[str, set[str]] = {}
        for pf_match in match.pfs:
            addresses = sorted(self._pfs_of(pf_match))
            problems += self.unclear(pf_match, where=f"{where}: physfn", addresses=[pf for pf in addresses if pf in self._devices])
            if len(match.pfs) > 1 and not _MAGIC.search(pf_match.text):
                named.setdefault(pf_match.words, set()).update(addresses)
        return problems or [
            f"{where}: physfn {text} is a name of {len(pfs)} PFs: {', '.join(sorted(pfs))}; write it as a mapping, such as "
            f"physfn: {{net: {text}}}" for text, pfs in named.items() if len(pfs) > 1
        ]

    def pfs(self, match: Match) -> set[str]:
        """The addresses of the PFs that a match's ``physfn`` names; empty where it names none."""
        return {address for pf_match in match.pfs for address in self._pfs_of(pf_match)}

    def _pfs_of(self, match: Match) -> set[str]:
        """The PFs that one Match of ``physfn`` selects. By its address a PF is known that is not among the devices, too."""
        if id(match) not in self._pfs:
            known = {device.physfn for device in self._devices.values() if device.physfn is not None}
            known.update(address for address, device in self._devices.items() if device.sriov is not None)
            if set(match.wanted) == {"address"}:
                pfs = {address for address in known for pattern in match.wanted["address"] if self._equal(ADDRESS, address, pattern)}
            else:
                pfs = known.intersection(self.select(match))
            self._pfs[id(match)] = match, pfs  # with the match, whose id is another's once it is gone
        return self._pfs[id(match)][1]

    def nearest(self, match: Match, *, has_vfs: bool = True) -> str:
        """What somebody may have meant by a Match that selects nothing; "" where nothing is near. ``has_vfs``: among the VFs of its PFs
        there are those that it names.
        """
        told: list[str] = []
        missing: list[str] = []
        for key, patterns in match.wanted.items():  # a PF that is absent is told apart
            if FIELDS[key] == RANGE:
                continue  # an index is no name
            there = {value for address in self._devices for value in self._values(address, key)}
            if any(self._equal(FIELDS[key], value, pattern) for pattern in patterns for value in there):
                continue
            missing.append(key)
            near = nearest(patterns[0], sorted(there), most=2, cutoff=0.75)
            told += [f"the nearest {key} of this host is {' or '.join(near)}"] if near else []
            if FIELDS[key] in (TEXT, ADDRESS, MAC) and any(_REGEX.search(pattern) for pattern in patterns):
                told.append(f"{key} takes globs (* and ?), and no regular expressions")
        if has_vfs and not missing and len(match.wanted) + bool(match.pfs) > 1:
            told.append("some device has each of these values, and none has all")
        return "; ".join(told)

    def _candidates(self, match: Match) -> list[str]:
        for key in _INDEXED:
            patterns = match.wanted.get(key)
            if patterns and not any(_MAGIC.search(pattern) for pattern in patterns):
                index = self._index(key)
                return sorted({address for pattern in patterns for address in index.get(pattern, ())})
        return sorted(self._devices)

    def _index(self, key: str) -> dict[str, list[str]]:
        if key not in self._indexes:
            index: dict[str, list[str]] = {}
            for address in self._devices:
                for value in self._values(address, key):
                    index.setdefault(value, []).append(address)
            self._indexes[key] = index
        return self._indexes[key]

    def _fits(self, address: str, match: Match) -> bool:
        return all(
            any(self._equal(FIELDS[key], value, pattern) for value in self._values(address, key) for pattern in patterns)
            for key, patterns in match.wanted.items()
        ) and self._fits_pf(address, match)

    def _fits_pf(self, address: str, match: Match) -> bool:
        physfn = self._devices[address].physfn
        return not match.pfs or (physfn is not None and any(physfn in self._pfs_of(pf_match) for pf_match in match.pfs))

    def _equal(self, kind: str, value: str, pattern: str) -> bool:
        if not _MAGIC.search(pattern):
            return value.startswith(pattern) if kind == ID else value == pattern
        if pattern not in self._compiled:
            self._compiled[pattern] = globs.compiled(pattern + "*" if kind == ID else pattern)
        # A serial number may hold what makes a glob, and then fits as it is.
        return value == pattern or self._compiled[pattern](value) is not None

    def _values(self, address: str, key: str) -> list[str]:
        """The values of one field as lower-case texts: the one now, and those remembered."""
        device, seen = self._devices[address], self._seen.get(address, {})
        if key == "net":
            return [str(one["name"]).lower() for one in device.net + seen.get("net", [])]
        if key == "mac":
            # What was remembered may be the address of a bond; what the device shows now is its own.
            return [str(one["mac"]).lower() for one in device.net or seen.get("net", [])]
        if key == "path":
            return [str(value).lower() for value in (device.path, device.slots) if value is not None]
        if key == "serial":
            own = (device.serial, device.nvme, seen.get("serial"), seen.get("nvme"))
            return [value.lower() for value in own if value is not None]
        if key in IDENTITY:
            return [device.ids[key]]
        if FIELDS[key] == HEX or key == "port":
            zpci = device.zpci
            # Without the firmware's check several functions may have one UID.
            if zpci is None or (key == "uid" and not zpci["uid_is_unique"]):
                return []
            text = zpci.get(key)
            return [f"{int(text, 16):x}"] if isinstance(text, str) else []
        values = [device.physfn is not None if key == "is_vf" else getattr(device, key), seen.get(key)]
        return [str(value).lower() for value in values if value is not None]


__all__ = ("FIELDS", "Match", "Selector", "parse_match")
