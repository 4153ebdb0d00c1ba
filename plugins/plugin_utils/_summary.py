# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""A fleet in a few lines: how many hosts are how, and which of them need a look, by what they have in common."""

from __future__ import annotations

from collections import Counter

from ansible_collections.vfio.host.plugins.plugin_utils import _fleet
from ansible_collections.vfio.host.plugins.plugin_utils._text import BAD, CHANGE, GOOD, Line, counted, cut, fill

_WORDS = {
    _fleet.DECLARED: "as declared", _fleet.CHANGED: "changed", _fleet.WAITING: "waiting for a reboot", _fleet.REFUSED: "refused",
    _fleet.FAILED: "failed", _fleet.UNREACHABLE: "unreachable", _fleet.NOTHING: "with nothing declared", _fleet.MISSED: "not asked",
}
# What is called otherwise after some of the playbooks.
_OWN_WORDS = {
    _fleet.REPORTED: {_fleet.CHANGED: "would change"}, _fleet.VERIFIED: {_fleet.CHANGED: "not as declared"},
    _fleet.SURVEYED: {_fleet.DECLARED: "surveyed"},
    _fleet.RELEASED: {_fleet.CHANGED: "given back", _fleet.DECLARED: "with nothing to give back", _fleet.NOTHING: "with nothing to give back"},
}
_MOST_GROUPS, _MOST_HOSTS = 6, 8


def lines(standings: list[_fleet.Standing], *, width: int, playbook: str, rest: str = "") -> list[Line]:
    """The Lines of a fleet. ``playbook``: which words are meant, as _fleet has them; ``rest``: what else the first line says."""
    sums = Counter(one.state for one in standings)
    words = dict(_WORDS, **_OWN_WORDS.get(playbook, {}))
    told = [f"{sums[state]} {words[state]}" for state in reversed(_fleet.ORDER) if sums[state]] + ([rest] if rest else [])
    trouble = any(sums[state] for state in (_fleet.FAILED, _fleet.UNREACHABLE, _fleet.REFUSED))
    style = BAD if trouble else CHANGE if sums[_fleet.WAITING] or sums[_fleet.MISSED] else GOOD
    found = [Line(text, style) for text in fill([f"{counted(len(standings), 'host')}: {told[0] if told else 'none'}", *told[1:]], width, indent=4)]
    groups = _groups(standings, words)
    for label, hosts in groups[:_MOST_GROUPS]:
        names = " ".join(hosts[:_MOST_HOSTS]) + (f" and {len(hosts) - _MOST_HOSTS} more" if len(hosts) > _MOST_HOSTS else "")
        room = max(width - len(names) - 4, width // 2)
        found.append(Line(cut(f"  {cut(label, room)}: {names}", width), BAD))
    if len(groups) > _MOST_GROUPS:
        found.append(Line(f"  and {counted(len(groups) - _MOST_GROUPS, 'more reason')}, which are told above", BAD))
    return found


def _groups(standings: list[_fleet.Standing], words: dict[str, str]) -> list[tuple[str, list[str]]]:
    """(what hosts have in common, their names), the most urgent first."""
    found = []
    for state in (_fleet.FAILED, _fleet.UNREACHABLE, _fleet.REFUSED, _fleet.WAITING):
        those = [one for one in standings if one.state == state]
        if state in (_fleet.FAILED, _fleet.REFUSED):
            found += [(f"{words[state]}, {short}", hosts) for short, hosts in _fleet.grouped(those).items()]
        elif those:
            found.append((words[state], [one.host for one in those]))
    return found


__all__ = ("lines",)
