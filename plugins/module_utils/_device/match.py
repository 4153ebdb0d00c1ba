# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Selection of devices by what is known of them, or was known before a VFIO driver hid it. Pure."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass

from ansible_collections.vfio.host.plugins.module_utils._device.pci import IDENTITY, normalize_address
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError

# Every field that a match may name, with the way in which it is compared.
ID, ADDRESS, TEXT, NUMBER, FLAG, HEX = "id", "address", "text", "number", "flag", "hex"
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
    "physfn": ADDRESS,
    "boot_vga": FLAG,
    "serial": TEXT,
    "vendor_name": TEXT,
    "device_name": TEXT,
    "net": TEXT,
    "mac": TEXT,
    "uid": HEX,
    "function_id": HEX,
    "pchid": HEX,
    "pft": HEX,
    "pfgid": HEX,
    "vfn": HEX,
    "port": NUMBER,
}
_ID = re.compile(r"[0-9a-f*?\[\]!-]{1,8}\Z")
_ADDRESS_GLOB = re.compile(r"[0-9a-f:.*?\[\]!-]+\Z")
_HEX = re.compile(r"(0x)?[0-9a-f]+\Z")
_NUMBER = re.compile(r"-?\d+\Z")
_MAGIC = re.compile(r"[*?\[]")
# Fields whose plain values lead to few devices: these are looked up, not searched.
_INDEXED = ("address", "serial", "mac", "net", "path", "uid", "function_id", "physfn")


@dataclass(frozen=True)
class Match:
    """One selection: ``wanted`` maps a field to the patterns of which one must fit; ``text`` is what the user wrote."""

    wanted: dict
    text: str

    @property
    def path(self):
        """The one path that is wanted, without wildcards; None where it is another field, several paths, or a glob."""
        paths = self.wanted.get("path", ())
        return paths[0] if len(paths) == 1 and not _MAGIC.search(paths[0]) else None


def parse_match(value, where):
    """A Match from a user's mapping. Raises InputError naming ``where`` and the key."""
    if not isinstance(value, dict) or not value:
        raise InputError(f"{where}: match must be a mapping of at least one device field")
    wanted, problems = {}, []
    for key in sorted(value, key=str):
        if key not in FIELDS:
            problems.append(f"{where}: {key!r} is no field of a device; there are: {', '.join(sorted(FIELDS))}")
            continue
        given = value[key] if isinstance(value[key], list) else [value[key]]
        if not given:
            problems.append(f"{where}: {key} is an empty list, which nothing can match")
        try:
            wanted[key] = tuple(_pattern(key, one) for one in given)
        except ValueError as error:
            problems.append(f"{where}: {key}: {error}")
    if problems:
        raise InputError(*problems)
    return Match(wanted, " ".join(f"{key}={_show(value[key])}" for key in sorted(value)))


def shared_paths(match, where, devices):
    """Why a match by path does not say which of the selected ``devices`` it means, one sentence for each path.

    A path is counted from a root and does not say which; a VF whose bus is not its PF's may have the path of another, too.
    """
    if "path" not in match.wanted:
        return []
    places = {}
    for device in devices:
        places.setdefault(device.path, []).append(device.address)
    return [
        f"{where}: path {path} is the place of {len(addresses)} devices: {', '.join(addresses)}; a path is counted from its own root "
        "(PCI domain and host bridge) and does not say which of them is meant: add address, or another field that tells"
        for path, addresses in sorted(places.items()) if len(addresses) > 1
    ]


def _show(value):
    return ",".join(str(one) for one in value) if isinstance(value, list) else str(value)


def _pattern(key, value):
    """The text that values of this field are compared with. Raises ValueError for what none can equal."""
    if isinstance(value, (dict, list)) or value is None:
        raise ValueError(f"{value!r} is neither text, number nor boolean")
    if FIELDS[key] in (ID, HEX) and not isinstance(value, str):
        raise ValueError(f"write it in quotes: YAML reads {value!r} as a number, and an unquoted 0300 as 192")
    found = _PATTERNS[FIELDS[key]](str(value).strip().lower())
    if not found:
        raise ValueError(f"{value!r} is no {_KINDS[FIELDS[key]]}")
    return found


def _id(text):
    text = text[2:] if text.startswith("0x") else text
    return text if _ID.match(text) else None


def _address(text):
    if _MAGIC.search(text):
        return text if _ADDRESS_GLOB.match(text) else None
    return normalize_address(text)


def _hex(text):
    return f"{int(text, 16):x}" if _HEX.match(text) else None


_PATTERNS = {
    ID: _id,
    ADDRESS: _address,
    TEXT: lambda text: text,
    NUMBER: lambda text: text if _NUMBER.match(text) else None,
    FLAG: {"true": "true", "yes": "true", "false": "false", "no": "false"}.get,
    HEX: _hex,
}
_KINDS = {
    ID: "hexadecimal id",
    ADDRESS: "PCI address; one looks like 0000:02:00.0",
    TEXT: "text that something could match",
    NUMBER: "number",
    FLAG: "boolean",
    HEX: "hexadecimal number",
}


def _glob(pattern):
    try:
        return re.compile(fnmatch.translate(pattern)).match
    except re.error:  # a range of which nothing can be, '[z-a]', before Python 3.10
        return lambda dummy: None


class Selector:
    """Selects among ``devices`` (address -> Device).

    ``seen`` maps an address to what was known of the device there before VFIO took it (fields driver, net, serial):
    the caller vouches that it is the same device. A field fits by its value now or by the one remembered.
    """

    def __init__(self, devices, seen=None):
        self._devices = devices
        self._seen = seen or {}
        self._facts = {}
        self._indexes = {}
        self._compiled = {}

    def select(self, match):
        """The addresses that a Match selects, sorted."""
        return [address for address in self._candidates(match) if self._fits(address, match)]

    def _candidates(self, match):
        for key in _INDEXED:
            patterns = match.wanted.get(key)
            if patterns and not any(_MAGIC.search(pattern) for pattern in patterns):
                index = self._index(key)
                return sorted({address for pattern in patterns for address in index.get(pattern, ())})
        return sorted(self._devices)

    def _index(self, key):
        if key not in self._indexes:
            index = {}
            for address in self._devices:
                for value in self._values(address, key):
                    index.setdefault(value, []).append(address)
            self._indexes[key] = index
        return self._indexes[key]

    def _fits(self, address, match):
        return all(
            any(self._equal(FIELDS[key], value, pattern) for value in self._values(address, key) for pattern in patterns)
            for key, patterns in match.wanted.items()
        )

    def _equal(self, kind, value, pattern):
        if not _MAGIC.search(pattern):
            return value.startswith(pattern) if kind == ID else value == pattern
        if pattern not in self._compiled:
            self._compiled[pattern] = _glob(pattern + "*" if kind == ID else pattern)
        return self._compiled[pattern](value) is not None

    def _values(self, address, key):
        """The values of one field as lower-case texts: the one now, and those remembered."""
        device, seen = self._devices[address], self._seen.get(address, {})
        if key in ("net", "mac"):
            part = "name" if key == "net" else "mac"
            return [str(one[part]).lower() for one in device.net + seen.get("net", [])]
        if key in IDENTITY:
            return [device.ids[key]]
        if FIELDS[key] == HEX or key == "port":
            zpci = device.zpci or {}
            # Without the firmware's check several functions may have one UID.
            text = None if key == "uid" and not zpci.get("uid_is_unique") else zpci.get(key)
            return [] if text is None else [f"{int(text, 16):x}"]
        values = [device.physfn is not None if key == "is_vf" else getattr(device, key), seen.get(key)]
        return [str(value).lower() for value in values if value is not None]


__all__ = ("FIELDS", "Match", "Selector", "parse_match", "shared_paths")
