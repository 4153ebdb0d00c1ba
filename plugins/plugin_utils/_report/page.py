# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The report as one HTML file: what became of the hosts as plain HTML, their devices as data for the page's own script."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections import Counter
from typing import Any

import jinja2
from markupsafe import Markup

from ansible_collections.vfio.host.plugins.plugin_utils import _fleet, _outcome
from ansible_collections.vfio.host.plugins.plugin_utils._report.pack import Packed
from ansible_collections.vfio.host.plugins.plugin_utils._report.record import STATES
from ansible_collections.vfio.host.plugins.plugin_utils._rows import CHANGE, DEVICES, GIVE, NONE, TAKE, Row
from ansible_collections.vfio.host.plugins.plugin_utils._text import clean, counted, short

# By this a later run knows a file that it may replace.
MARK = '<meta name="generator" content="vfio.host report">'

WORDS = {
    _fleet.FAILED: "failed", _fleet.UNREACHABLE: "unreachable", _fleet.REFUSED: "refused", _fleet.MISSED: "not asked",
    _fleet.WAITING: "waits for a reboot", _fleet.CHANGED: "would change", _fleet.DECLARED: "as declared", _fleet.NOTHING: "nothing declared",
}
_VERBS = {TAKE: "added", GIVE: "removed", CHANGE: "changed"}
_TROUBLE = (_fleet.FAILED, _fleet.UNREACHABLE, _fleet.REFUSED, _fleet.MISSED)
_HERE = os.path.dirname(__file__)


def page(standings: list[_fleet.Standing], records: dict[str, str]) -> str:
    """The whole file. ``records``: host -> what record() gave, as text; hosts that told nothing have none.

    Nothing in it tells when it was made, so hosts that are as they were give the same file.
    """
    packed, hosts = Packed(), []
    ordered = sorted(standings, key=lambda one: (_fleet.ORDER.index(one.state), one.host))
    for one in ordered:
        record = json.loads(records[one.host]) if one.host in records else None
        packed.add(record)
        hosts.append(_host(one, record))
    style, script = _read("report.css"), _read("report.js")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )
    states, functions = Counter(one["state"] for one in hosts), sum(one["functions"] for one in hosts)
    return environment.from_string(_read("report.html.j2")).render(
        mark=_as_is(MARK), style=_as_is(style), script=_as_is(script), data=_as_is(packed.script()),
        policy=_as_is(f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'"),
        hosts=hosts, chips=[(state, WORDS[state], states[state]) for state in _fleet.ORDER if states[state]],
        sum=f"{counted(len(hosts), 'host')}, {functions:,} PCI function{'' if functions == 1 else 's'}",
        groups=_groups(ordered),
    )


def _host(one: _fleet.Standing, record: dict[str, Any] | None) -> dict[str, Any]:
    """What the template shows of a host."""
    devices = record["devices"] if record else []
    sums = Counter(device["state"] for device in devices)
    told = [f"{sums[state]} {state}" for state in STATES.values() if sums[state]]
    about = []
    if record:
        about = [record["platform"], f"kernel {record['kernel']}", f"IOMMU {'on' if record['iommu'] else 'off'}"]
        about += ["interrupts are not remapped"] if record["remapping"] is False else []
        about.append(counted(len({device["group"] for device in devices} - {None}), "IOMMU group"))
    return {
        "host": clean(one.host), "id": _id(one.host),
        "state": one.state, "word": WORDS[one.state], "trouble": one.state in _TROUBLE,
        "brief": clean(_brief(one, told)), "about": clean(", ".join(about)), "sums": ", ".join(told), "functions": len(devices),
        "reasons": [_lines(reason.text) for reason in one.reasons], "waits": [clean(text) for text in one.waits],
        "warnings": [clean(text) for text in one.warnings], "rows": [_row(row) for row in one.rows if row.is_change],
        "restarts": [clean(f"{', '.join(row.restart)}: to lock {row.new}") for row in one.rows if row.restart],
        "taken": _taken(devices),
    }


def _lines(text: str) -> list[str]:
    return [clean(line) for line in text.splitlines() if line.strip()]


def _brief(one: _fleet.Standing, told: list[str]) -> str:
    """What stands beside a host's name while its part of the page is closed."""
    if one.state in _TROUBLE:
        return one.reasons[0].text.partition("\n")[0] if one.reasons else "no task has asked it"
    taking = sum(row.group == DEVICES and row.sign == TAKE for row in one.rows)
    changes = sum(row.is_change for row in one.rows)
    found = [counted(changes, "change") + (f", {taking} to take" if taking else "")] if changes else []
    restarts = ", ".join(name for row in one.rows for name in row.restart)
    found += [f"a restart is required: {restarts}"] if restarts else []
    return "; ".join(found + [reason.text for reason in one.reasons[:1]] + ([", ".join(told)] if told else []))


def _row(row: Row) -> dict[str, Any]:
    old, new = row.old or NONE, row.new or NONE
    return {
        "sign": row.sign, "verb": _VERBS.get(row.sign, "kept"), "kind": clean(row.kind), "what": clean(" ".join((row.subject, row.name)).strip()),
        "change": clean(f"{old} → {new}" if row.old or row.new else ""), "when": _outcome.LATER if row.later else "",
        "notes": [clean(note) for note in row.notes],
    }


def _taken(devices: list[dict[str, Any]]) -> list[str]:
    """For who reads without the script: a line for each kind of device that is taken, with its addresses."""
    found: dict[str, list[str]] = {}
    for one in devices:
        if one["state"] == "taken":
            who = f"policy {one['policy']}" if one["policy"] else ", ".join(one["why"])
            found.setdefault(f"[{one['ids']}] {one['name']}, {one['driver'] or 'no driver'}, {who}", []).append(short(one["address"]))
    return [clean(f"{what}: {' '.join(addresses)}") for what, addresses in found.items()]


def _id(host: str) -> str:
    """By what the rest of the page names a host's part of it, whatever its name is made of."""
    return "h-" + hashlib.sha256(host.encode(errors="surrogatepass")).hexdigest()[:12]


def _groups(standings: list[_fleet.Standing]) -> list[dict[str, Any]]:
    """What hosts have in common that were not read or refused: state, reason, and the hosts with their places on the page."""
    return [
        {"state": state, "word": WORDS[state], "why": clean(why), "hosts": [(clean(host), _id(host)) for host in hosts]}
        for state in _TROUBLE
        for why, hosts in _fleet.grouped([one for one in standings if one.state == state]).items()
    ]


def _hash(text: str) -> str:
    """As a content security policy names an inline element (source: CSP Level 3, 'hash-source')."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _as_is(text: str) -> Markup:
    return Markup(text)


def _read(name: str) -> str:
    with open(os.path.join(_HERE, name), encoding="utf-8") as stream:
        return stream.read()


__all__ = ("MARK", "WORDS", "page")
