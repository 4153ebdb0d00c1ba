# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""netplan's and nmstate's numbers of VFs, and netplan's switch of a card's mode, read line by line. Pure.

YAML is not in Python's standard library: what has one key a line is read, and of a file that has its keys otherwise it is said that
it is not understood. netplan goes through 0 where a number is in the way; the VFs are the explicit count or those that name the
card by ``link``, whichever is more; a delayed rebind gives VFs back to their drivers. (source: netplan doc, netplan-yaml.md;
netplan_cli/cli/sriov.py, set_numvfs_for_pf, _get_vf_number_per_pf, bind_vfs; nmstate rust/src/lib/ifaces/sriov.rs)
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import (
    NUMBER,
    PROGRAM,
    Claim,
    all_of,
    by_driver,
    by_interface,
    by_mac,
    whole,
)

if TYPE_CHECKING:
    from typing import Dict, Iterable, Iterator, Tuple

    from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Fits, Note, Target, Text

    # What netplan says of one card: a key, with dots -> (value, where).
    Card = Dict[str, Tuple[str, str]]

_KEY = re.compile(r"""(?P<indent>\s*(?:-\s+)?)(?P<key>"[^"]*"|'[^']*'|[^\s:#{}\[\]"'][^:#{}]*?)\s*:(?:\s+(?P<value>.*))?\Z""")
_NEEDLES = re.compile(r"virtual-function-count|embedded-switch-mode|delay-virtual-functions-rebind|\blink:|total-vfs")
_SAME = "remove it there, or declare the same number"


def _lines(text: str) -> Iterator[tuple[int, int | None, str, str]]:
    """(number, indent, key, value) of each line that has a key; (number, None, the line, "") of one that has more than that."""
    for number, raw in enumerate(text.split("\n"), 1):
        line = re.sub(r"(?:^|\s)#.*$", "", raw.replace("\t", " ")).rstrip()
        if not line.strip() or line.strip() in ("---", "..."):
            continue
        parts = _KEY.match(line)
        if parts is None:
            yield number, None, line, ""
            continue
        value = (parts.group("value") or "").strip()
        yield number, len(parts.group("indent")), parts.group("key").strip("\"'"), value.strip("\"'")


def netplan_claims(files: Iterable[Text], *, note: Note) -> list[Claim]:
    """The Claims of netplan's ``files``, in netplan's order. For the same key, the later file wins."""
    cards: dict[str, Card] = {}
    links: dict[str, list[str]] = {}
    for text, path in files:
        if _NEEDLES.search(text):
            _read(text, path, cards, links, note)
    found = []
    for name, card in cards.items():
        fits = _of_card(name, card)
        count = card.get("virtual-function-count")
        several = links.get(name, [])
        if count and whole(count[0]) is None:
            note(f"{count[1]}: virtual-function-count {count[0]!r} is not understood, not checked")
        elif (count or several) and max(int(count[0]) if count else 0, len(several)):
            number = max(int(count[0]) if count else 0, len(several))
            where = count[1] if count and int(count[0]) == number else several[-1]
            says = f"virtual-function-count {number}" if count and int(count[0]) == number else f"link: {name}, of {number} VFs,"
            found.append(Claim(where, NUMBER, str(number), says, fits, _SAME))
        for key in ("embedded-switch-mode", "delay-virtual-functions-rebind"):
            if key in card:
                value, where = card[key]
                found.append(Claim(where, PROGRAM, None, f"{key}: {value}, which takes VFs from their drivers for a while,", fits))
    return found


def _read(text: str, path: str, cards: dict[str, Card], links: dict[str, list[str]], note: Note) -> None:
    """Collect (value, where) by card and key, and where each card is named by ``link``."""
    for where, keys, value in _leaves(text, path, note):
        if len(keys) < 3 or keys[0] != "network" or keys[1] != "ethernets":
            continue
        card = cards.setdefault(keys[2], {})
        if value:
            card[".".join(keys[3:])] = value, where
            if keys[3:] == ("link",):
                links.setdefault(value, []).append(where)


def _leaves(text: str, path: str, note: Note) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """(path and line, all keys from the top level down, value) of each line with a key."""
    above: list[tuple[int, str]] = []
    for number, indent, key, value in _lines(text):
        where, is_flow = f"{path}:{number}", bool(value) and value[0] in "{[&*|>"
        if indent is None or (is_flow and _NEEDLES.search(f"{key}: {value}")):
            if _NEEDLES.search(f"{key}: {value}"):
                note(f"{where}: is not understood, not checked")
            continue
        while above and above[-1][0] >= indent:
            above.pop()
        above.append((indent, key))
        keys = tuple(one for dummy, one in above)
        yield where, keys, "" if value == "{}" else value
        if value.startswith("{") and value.endswith("}"):
            # What is nested in it has a key that no card is compared by, and so leaves open whether it fits.
            for pair in value[1:-1].split(","):
                inner, dummy, text = pair.partition(":")
                if text:
                    yield where, (*keys, inner.strip(" \"'")), text.strip(" \"'")


def _of_card(name: str, card: Card) -> Fits:
    """Target -> whether a netplan definition is for an interface of it: its match, or its name where it has none."""
    matches = {key[len("match."):]: value for key, (value, dummy) in card.items() if key.startswith("match.")}
    # An alias, or whatever else is no mapping that can be read here.
    matches.update({"": ""} if "match" in card and not matches else {})
    set_name = card["set-name"][0] if "set-name" in card else None

    def fits(target: Target) -> bool | None:
        if not target.is_network:
            return False
        if not matches:
            return by_interface(target, [name])
        if set_name and by_interface(target, [set_name]):
            return True
        tests = {"macaddress": by_mac, "driver": by_driver, "name": by_interface}
        return all_of(tests[key](target, [value]) if key in tests else None for key, value in matches.items())

    return fits


def nmstate_claims(text: str, path: str, *, note: Note) -> list[Claim]:
    """The Claims of one file that nmstate applies at boot: ``total-vfs`` of the interface whose ``name`` is above it."""
    claims: list[Claim] = []
    name = None
    for number, indent, key, value in _lines(text):
        where = f"{path}:{number}"
        if indent is None or value.startswith("{"):
            if "total-vfs" in f"{key}{value}":
                note(f"{where}: is not understood, not checked")
        elif key == "name":
            name = value
        elif key == "total-vfs":
            claims.append(Claim(where, NUMBER, value, f"total-vfs: {value}", _of_interface(name), _SAME, is_sure=False))
    return claims


def vf_list_claims(text: str, path: str) -> list[Claim]:
    """The Claims of a list of interfaces with their numbers of VFs: ``numvfs`` of the ``name`` above it, or ``num_vfs`` below the interface
    (source: sriov_config.py of os-net-config; README of sriov-netplan-shim).
    """
    claims: list[Claim] = []
    above = ""
    for number, indent, key, value in _lines(text):
        if indent is not None and key == "name":
            above = value
        elif indent is not None and key in ("numvfs", "num_vfs"):
            claims.append(Claim(f"{path}:{number}", NUMBER, value, f"{key}: {value}", _of_interface(above), _SAME, is_sure=False))
        elif indent is not None and not value:
            above = key
    return claims


def operator_claims(text: str, path: str) -> list[Claim]:
    """The Claim of what the SR-IOV operator of Kubernetes has set of a card, in JSON (source: sriov-network-operator, pkg/host/store,
    SaveLastPfAppliedStatus(), api/v1 Interface). Its daemon does so again after a boot; of a card that is managed elsewhere it makes no VFs.
    """
    try:
        card = json.loads(text)
    except (ValueError, RecursionError):
        return []
    number, address = (card.get("numVfs", 0), card.get("pciAddress")) if isinstance(card, dict) else (None, None)
    if not isinstance(address, str) or not isinstance(number, int) or isinstance(number, bool) or card.get("externallyManaged") is True:
        return []
    remedy = "take it out of the SriovNetworkNodePolicy"
    return [Claim(path, NUMBER, str(number), f"numVfs: {number}", lambda target: target.address == address.lower(), remedy, is_sure=False)]


def _of_interface(name: str | None) -> Fits:
    return lambda target: by_interface(target, [name]) if name else None


__all__ = ("netplan_claims", "nmstate_claims", "operator_claims", "vf_list_claims")
