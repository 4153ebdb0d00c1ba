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

import re

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

_KEY = re.compile(r"""(?P<indent>\s*(?:-\s+)?)(?P<key>"[^"]*"|'[^']*'|[^\s:#{}\[\]"'][^:#{}]*?)\s*:(?:\s+(?P<value>.*))?\Z""")
_NEEDLES = re.compile(r"virtual-function-count|embedded-switch-mode|delay-virtual-functions-rebind|\blink:|total-vfs")
_SAME = "remove it there, or declare the same number"


def _lines(text):
    """(line, indent, key, value) of each line that has a key; None for one that has more than that."""
    for number, raw in enumerate(text.split("\n"), 1):
        line = re.sub(r"(?:^|\s)#.*$", "", raw.replace("\t", " ")).rstrip()
        if not line.strip() or line.strip() in ("---", "..."):
            continue
        found = _KEY.match(line)
        if found is None:
            yield number, None, line, None
            continue
        value = (found.group("value") or "").strip()
        yield number, len(found.group("indent")), found.group("key").strip("\"'"), value.strip("\"'")


def netplan_claims(files, *, note) -> list:
    """The Claims of netplan's files, [(text, path)] in netplan's order: a key of a later file counts."""
    cards: dict = {}
    links: dict = {}
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
            value = max(int(count[0]) if count else 0, len(several))
            where = count[1] if count and int(count[0]) == value else several[-1]
            says = f"virtual-function-count {value}" if count and int(count[0]) == value else f"link: {name}, of {value} VFs,"
            found.append(Claim(where, NUMBER, str(value), says, fits, _SAME))
        for key in ("embedded-switch-mode", "delay-virtual-functions-rebind"):
            if key in card:
                value, where = card[key]
                found.append(Claim(where, PROGRAM, None, f"{key}: {value}, which takes VFs from their drivers for a while,", fits))
    return found


def _read(text, path, cards, links, note):
    """Collect (value, where) by card and key, and where each card is named by ``link``."""
    for where, keys, value in _leaves(text, path, note):
        if len(keys) < 3 or keys[0] != "network" or keys[1] != "ethernets":
            continue
        card = cards.setdefault(keys[2], {})
        if value:
            card[".".join(keys[3:])] = value, where
            if keys[3:] == ("link",):
                links.setdefault(value, []).append(where)


def _leaves(text, path, note):
    """(where, the keys from the top, value) of each line with a key."""
    above = []
    for number, indent, key, value in _lines(text):
        if indent is None or (value and value[0] in "{[&*|>"):
            if _NEEDLES.search(f"{key}: {value}"):
                note(f"{path}:{number}: is not understood, not checked")
            continue
        while above and above[-1][0] >= indent:
            above.pop()
        above.append((indent, key))
        yield f"{path}:{number}", tuple(one for dummy, one in above), value


def _of_card(name, card):
    """Target -> whether a netplan definition is for an interface of it: its match, or its name where it has none."""
    matches = {key[len("match."):]: value for key, (value, dummy) in card.items() if key.startswith("match.")}
    set_name = card.get("set-name", (None,))[0]

    def fits(target):
        if not target.is_network:
            return False
        if not matches:
            return by_interface(target, [name])
        if set_name and by_interface(target, [set_name]):
            return True
        tests = {"macaddress": by_mac, "driver": by_driver, "name": by_interface}
        return all_of(tests[key](target, [value]) if key in tests else None for key, value in matches.items())

    return fits


def nmstate_claims(text: str, path: str, *, note) -> list:
    """The Claims of one file that nmstate applies at boot: ``total-vfs`` of the interface whose ``name`` is above it."""
    found, name = [], None
    for number, indent, key, value in _lines(text):
        where = f"{path}:{number}"
        if indent is None or value.startswith("{"):
            if "total-vfs" in f"{key}{value}":
                note(f"{where}: is not understood, not checked")
        elif key == "name":
            name = value
        elif key == "total-vfs":
            known = name
            found.append(Claim(
                where, NUMBER, value, f"total-vfs: {value}", lambda target, known=known: by_interface(target, [known]) if known else None,
                _SAME, is_sure=False,
            ))
    return found


__all__ = ("netplan_claims", "nmstate_claims")
