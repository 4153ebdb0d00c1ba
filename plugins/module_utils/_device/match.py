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
_MAGIC = re.compile(r"[*?\[]")
# Fields whose plain values lead to few devices: these are looked up, not searched.
_INDEXED = ("address", "serial", "mac", "net", "path", "uid", "function_id", "physfn")


@dataclass(frozen=True)
class Match:
    """One selection: ``wanted`` maps a field to the patterns of which one must fit; ``text`` is what the user wrote."""

    wanted: dict
    text: str


def parse_match(value, where):
    """A Match from a user's mapping. Raises InputError naming ``where`` and the key."""
    if not isinstance(value, dict) or not value:
        raise InputError("{0}: match must be a mapping of at least one device field".format(where))
    wanted, problems = {}, []
    for key in sorted(value, key=str):
        if key not in FIELDS:
            problems.append("{0}: {1!r} is no field of a device; there are: {2}".format(
                where, key, ", ".join(sorted(FIELDS))))
            continue
        given = value[key] if isinstance(value[key], list) else [value[key]]
        if not given:
            problems.append("{0}: {1} is an empty list, which nothing can match".format(where, key))
        try:
            wanted[key] = tuple(_pattern(key, one) for one in given)
        except ValueError as error:
            problems.append("{0}: {1}: {2}".format(where, key, error))
    if problems:
        raise InputError(*problems)
    return Match(wanted, " ".join("{0}={1}".format(key, _show(value[key])) for key in sorted(value)))


def _show(value):
    return ",".join(str(one) for one in value) if isinstance(value, list) else str(value)


def _pattern(key, value):
    kind = FIELDS[key]
    if isinstance(value, (dict, list)) or value is None:
        raise ValueError("{0!r} is neither text, number nor boolean".format(value))
    text = str(value).strip().lower()
    if kind == ID and not isinstance(value, str):
        raise ValueError("write it in quotes: YAML reads {0!r} as a number, and 0300 or 10e5 as other ones".format(value))
    if kind == ID:
        text = text[2:] if text.startswith("0x") else text
        if not _ID.match(text):
            raise ValueError("{0!r} is no hexadecimal id".format(value))
    elif kind == ADDRESS:
        text = text if _MAGIC.search(text) else normalize_address(text) or ""
        if not _ADDRESS_GLOB.match(text):
            raise ValueError("{0!r} is no PCI address; one looks like 0000:02:00.0".format(value))
    elif kind == NUMBER:
        if not re.match(r"-?\d+\Z", text):
            raise ValueError("{0!r} is no number".format(value))
    elif kind == FLAG:
        if text not in ("true", "false", "yes", "no"):
            raise ValueError("{0!r} is no boolean".format(value))
        text = {"yes": "true", "no": "false"}.get(text, text)
    elif kind == HEX:
        if not _HEX.match(text):
            raise ValueError("{0!r} is no hexadecimal number".format(value))
        text = "{0:x}".format(int(text, 16))
    elif not text:
        raise ValueError("an empty text matches nothing")
    return text


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
            self._compiled[pattern] = re.compile(fnmatch.translate(pattern + "*" if kind == ID else pattern)).match
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
            text = (device.zpci or {}).get(key)
            return [] if text is None else ["{0:x}".format(int(text, 16))]
        values = [device.physfn is not None if key == "is_vf" else getattr(device, key), seen.get(key)]
        return [str(value).lower() for value in values if value is not None]


__all__ = ("FIELDS", "Match", "Selector", "parse_match")
