# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What a user declares of the attributes of VFs, checked for shape, and what each VF gets of it. Pure.

Attributes are those of vfattributes.NAMES. What of a group is not said has the kernel's default: no VLAN without priority is 802.1Q, no rate is
no limit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from ansible_collections.vfio.host.plugins.module_utils._core.globs import fits as fits_glob
from ansible_collections.vfio.host.plugins.module_utils._core.options import truth_of, unknown_options
from ansible_collections.vfio.host.plugins.module_utils._devices.match import parse_match
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError
from ansible_collections.vfio.host.plugins.module_utils._host.numbers import is_whole, shown
from ansible_collections.vfio.host.plugins.module_utils._host.vfattributes import GROUPS, LINK_STATES, NAMES, PROTOCOLS

ALL = "*"
BASE = "mac_base"
OPTIONS = ("vf", BASE) + NAMES

_DEFAULTS = {"vlan": 0, "qos": 0, "vlan_protocol": "802.1Q", "min_tx_rate": 0, "max_tx_rate": 0}
_MAC, _GUID = (re.compile(rf"[0-9a-f]{{2}}([:-][0-9a-f]{{2}}){{{more}}}\Z") for more in (5, 7))
# Of rates, what drivers are given: an int (source: include/linux/netdevice.h ndo_set_vf_rate()).
_MOST = {"vlan": 4094, "qos": 7, "min_tx_rate": 2147483647, "max_tx_rate": 2147483647}
_DIGITS = 10
_MOST_NAMED = 4  # VFs, in a message
_LAST_OF_VENDOR = 0xFFFFFF
# What iproute2 calls them.
_WORDS = {
    "mac": "mac", "vlan": "vlan", "qos": "qos", "spoofchk": "spoofchk", "link_state": "state", "trust": "trust", "node_guid": "node_guid",
    "port_guid": "port_guid",
}


@dataclass(frozen=True)
class Setting:
    """One item of ``vfs``: ``patterns`` of the indexes that it is about, ``values`` of attributes, the address of VF 0 with ``mac_base``."""

    where: str
    patterns: Tuple[str, ...]
    values: Dict[str, Any]

    def indexes(self, number: int) -> List[int]:
        """The VFs that it is about, of so many."""
        plain, globs = {one for one in self.patterns if one.isdecimal()}, [one for one in self.patterns if not one.isdecimal()]
        return [
            index for index in range(number) if str(index) in plain or any(fits_glob(str(index), one) for one in globs)
        ]

    def of(self, index: int) -> Dict[str, Any]:
        """The attributes of one VF."""
        found = {key: value for key, value in self.values.items() if key != BASE}
        if BASE in self.values:
            found["mac"] = _text(_number(self.values[BASE]) + index, 6)
        return found


def parse_settings(value: object, where: str, *, problems: List[str]) -> Tuple[Setting, ...]:
    """The items of an entry's ``vfs``; None is an empty list. Adds a sentence to ``problems`` for each fault."""
    if value is None:
        return ()
    if not isinstance(value, list):
        problems.append(f"{where}.vfs must be a list of mappings with attributes of VFs, not {shown(value)}")
        return ()
    found = [_parse_setting(f"{where}.vfs[{index}]", one, problems) for index, one in enumerate(value)]
    return tuple(one for one in found if one is not None)


def resolve_settings(settings: Iterable[Setting], number: int, *, problems: List[str]) -> Dict[int, Dict[str, Any]]:
    """Index -> attributes, of the VFs of a PF that has so many. Adds a sentence to ``problems`` for each contradiction."""
    found: Dict[int, Dict[str, Any]] = {}
    origin: Dict[Tuple[int, str], str] = {}
    for one in settings:
        problems += _beyond(one, number)
        for index in one.indexes(number):
            for key, value in one.of(index).items():
                mine = found.setdefault(index, {})
                if mine.setdefault(key, value) != value:
                    problems.append(
                        f"VF {index} is declared twice, and otherwise: {key} {shown(mine[key])} by {origin[index, key]}, {shown(value)} by "
                        f"{one.where}; say it once"
                    )
                origin.setdefault((index, key), one.where)
        problems += _overflow(one, number)
    completed = {index: _completed(values) for index, values in sorted(found.items())}
    for index, values in completed.items():
        problems += [f"{origin[index, _first(GROUPS[group], origin, index)]}: VF {index}: {why}" for group, why in _contradictions(values)]
    problems += [
        f"{origin[index, attribute]}: {told}" for attribute, index, told in same_addresses(completed, "VF {}".format)
    ]
    return completed


def same_addresses(values: Mapping[Any, Dict[str, Any]], name: Callable[[Any], str]) -> List[Tuple[str, Any, str]]:
    """(attribute, first key, a sentence) for each MAC address or GUID that several VFs would have; ``name``: what a key of ``values`` is
    called.
    """
    found: List[Tuple[str, Any, str]] = []
    for attribute in ("mac", "node_guid", "port_guid"):
        owners: Dict[str, List[Any]] = {}
        for key, one in values.items():
            if one.get(attribute) and any(byte != "00" for byte in one[attribute].split(":")):
                owners.setdefault(one[attribute], []).append(key)
        for value, keys in owners.items():
            if len(keys) > 1:
                told = [name(key) for key in keys[:_MOST_NAMED]] + ([f"{len(keys) - _MOST_NAMED} more"] if len(keys) > _MOST_NAMED else [])
                found.append((attribute, keys[0], (
                    f"{attribute} {value} is declared for {' and '.join(told)}; each needs its own, which "
                    f"{f'{BASE} gives' if attribute == 'mac' else 'an item each gives'} to the VFs of one PF"
                )))
    return found


def groups_of(values: Mapping[str, Any]) -> List[str]:
    """The groups whose attributes are all known."""
    return [group for group, names in GROUPS.items() if all(name in values for name in names)]


def shown_values(values: Mapping[str, Any]) -> str:
    """'mac=52:54:00:aa:00:01 vlan=42', for a person."""
    return " ".join(f"{key}={_word(values[key])}" for key in NAMES if key in values)


def commands(values: Mapping[str, Any]) -> List[str]:
    """What `ip link set dev NAME vf INDEX` is told of a VF: what keeps it apart from others, and its rates (source: ip-link(8))."""
    words = [f"{word} {_word(values[name])}" for name, word in _WORDS.items() if name in values]
    if values.get("vlan_protocol", "802.1Q") != "802.1Q":
        # Told to iproute2 only where it has to: those before 4.8 do not know it.
        words.insert(words.index(f"qos {values['qos']}") + 1, f"proto {values['vlan_protocol']}")
    rates = [f"{name} {values[name]}" for name in ("max_tx_rate", "min_tx_rate") if name in values]
    return [" ".join(words), " ".join(rates)]


def kept_values(kept: Any) -> Dict[str, Any]:
    """The attributes of a VF, from a record that is kept on the host. Raises ValueError, AttributeError for what no run has written."""
    for name, value in kept.items():
        if not _is_kept(name, value):
            raise ValueError(f"{name} is {str(value)[:40]!r}")
    return dict(kept)


def _is_kept(name: str, value: Any) -> bool:
    if name in ("mac", "node_guid", "port_guid"):
        return isinstance(value, str) and bool((_MAC if name == "mac" else _GUID).match(value)) and "-" not in value
    if name in _DEFAULTS and name != "vlan_protocol":
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32
    if name in ("spoofchk", "trust"):
        return isinstance(value, bool)
    return value in {"vlan_protocol": tuple(PROTOCOLS), "link_state": LINK_STATES}.get(name, ())


def _word(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _first(names: Iterable[str], origin: Mapping[Tuple[int, str], str], index: int) -> str:
    return next(name for name in names if (index, name) in origin)


def _parse_setting(where: str, value: object, problems: List[str]) -> Optional[Setting]:
    if not isinstance(value, dict):
        problems.append(f"{where} must be a mapping of attributes, such as {{vf: 0, mac: \"52:54:00:12:34:56\"}}, not {shown(value)}")
        return None
    mine = unknown_options(where, value, known=OPTIONS)
    values: Dict[str, Any] = {}
    for key, one in value.items():
        if key in _PARSERS:
            try:
                values[key] = _PARSERS[key](one)
            except ValueError as error:
                mine.append(f"{where}: {key} {shown(one)} {error}")
    patterns: Tuple[str, ...] = (ALL,)
    if "vf" in value:
        try:
            patterns = parse_match({"vf": value["vf"]}, where).wanted["vf"]
        except InputError as error:
            mine += error.messages
    if not mine and not values:
        mine.append(f"{where}: says nothing of its VFs; there are: {', '.join(OPTIONS[1:])}")
    if "mac" in values and BASE in values:
        mine.append(f"{where}: mac and {BASE} are both said; mac is the address of one VF, {BASE} that of VF 0, to which each VF's index is added")
    mine += [f"{where}: {key} needs vlan; vlan: 0 is none" for key in ("qos", "vlan_protocol") if key in values and "vlan" not in value]
    problems += mine
    return None if mine else Setting(where, patterns, values)


def _beyond(setting: Setting, number: int) -> List[str]:
    """Why a setting is about VFs that there are not: an index is named that is none, or a pattern fits none."""
    if setting.patterns == (ALL,):
        return []
    missing = [
        one for one in setting.patterns
        if (int(one) >= number if one.isdecimal() else not any(fits_glob(str(index), one) for index in range(number)))
    ]
    if not missing:
        return []
    there = f"its VFs are 0 to {number - 1}" if number else "it has no VFs"
    return [f"{setting.where}: there is no VF {', '.join(missing[:4])}{', ...' if len(missing) > 4 else ''}: {there}"]


def _overflow(setting: Setting, number: int) -> List[str]:
    indexes = setting.indexes(number)
    if BASE not in setting.values or not indexes:
        return []
    base = _number(setting.values[BASE])
    if (base & _LAST_OF_VENDOR) + indexes[-1] <= _LAST_OF_VENDOR:
        return []
    return [
        f"{setting.where}: {BASE} {setting.values[BASE]} with {indexes[-1]} added has another vendor's first three bytes; say a lower one"
    ]


def _completed(values: Dict[str, Any]) -> Dict[str, Any]:
    """With the defaults of what the kernel is told together."""
    said = {name for names in GROUPS.values() if set(names).intersection(values) for name in names}
    return {name: values.get(name, _DEFAULTS.get(name)) for name in NAMES if name in said}


def _contradictions(values: Mapping[str, Any]) -> List[Tuple[str, str]]:
    """(group, why its values cannot be together)."""
    found = []
    least, most = values.get("min_tx_rate", 0), values.get("max_tx_rate", 0)
    if most and least > most:
        found.append(("rate", f"min_tx_rate {least} is more than max_tx_rate {most}"))
    if values.get("vlan_protocol", "802.1Q") != "802.1Q" and not values["vlan"]:
        found.append(("vlan", f"vlan_protocol {values['vlan_protocol']} is that of no VLAN; say vlan, from 1"))
    return found


def _number(address: str) -> int:
    return int(address.replace(":", ""), 16)


def _text(number: int, size: int) -> str:
    return ":".join(f"{byte:02x}" for byte in number.to_bytes(size, "big"))


def _address(shape: re.Pattern[str], value: object) -> str:
    text = str(value).strip().lower()
    if isinstance(value, int) or not shape.match(text):
        example = "52:54:00:12:34:56" if shape is _MAC else "02:00:00:00:00:00:00:01"
        raise ValueError(f'is no address: write it in quotes, as "{example}"')
    return text.replace("-", ":")


def _mac(value: object) -> str:
    text = _address(_MAC, value)
    if int(text[:2], 16) & 1:
        raise ValueError("is a multicast address, since the lowest bit of its first byte is set; the kernel gives none to a VF")
    return text


def _base(value: object) -> str:
    text = _mac(value)
    if not _number(text):
        raise ValueError("is no address of a device")
    return text


def _guid(value: object) -> str:
    return _address(_GUID, value)


def _whole(name: str) -> Callable[[object], int]:
    def parse(value: object) -> int:
        if not is_whole(value, _DIGITS) or int(str(value).strip()) > _MOST[name]:
            raise ValueError(f"must be a whole number from 0 to {_MOST[name]}")
        return int(str(value).strip())
    return parse


def _flag(value: object) -> bool:
    found = truth_of(value)
    if found is None:
        raise ValueError("must be true or false")
    return found


def _one_of(choices: Iterable[str]) -> Callable[[object], str]:
    known = {one.lower(): one for one in choices}

    def parse(value: object) -> str:
        found = known.get(str(value).strip().lower())
        if found is None:
            raise ValueError(f"must be one of {', '.join(known.values())}")
        return found
    return parse


_PARSERS: Dict[object, Callable[[object], Any]] = {
    BASE: _base, "mac": _mac, "vlan": _whole("vlan"), "qos": _whole("qos"), "vlan_protocol": _one_of(PROTOCOLS),
    "min_tx_rate": _whole("min_tx_rate"), "max_tx_rate": _whole("max_tx_rate"), "spoofchk": _flag, "link_state": _one_of(LINK_STATES),
    "trust": _flag, "node_guid": _guid, "port_guid": _guid,
}


__all__ = (
    "ALL", "BASE", "OPTIONS", "Setting", "commands", "groups_of", "kept_values", "parse_settings", "resolve_settings", "same_addresses",
    "shown_values",
)
