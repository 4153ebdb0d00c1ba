# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Differences that a person can read: of udev rules of ours, what they do instead of their text."""

from __future__ import annotations

import json
import re
from typing import Any

_RULES = re.compile(r"/(59|6[01])-vfio-host-[^/]+\.rules\Z")
# A VF's override is written in the event of its PF, under the VF's own address.
_TAKES = re.compile(r'ATTR\{(?:\[pci/([^\]]+)\])?driver_override\}="([^"]*)"')
_NUMBERS = re.compile(r'ATTR\{sriov_numvfs\}="(\d+)"')
# What takes VFs back whose attributes a driver refuses.
_REFUSED = '=="refused"'
_WHICH = re.compile(r'(?:KERNEL|ENV\{VFIO_HOST_SRIOV\}|ATTR\{(?:uid|function_id)\})=="([^"]+)"')
# A rule knows a device by root and slots, without bus numbers; the record above it says which address that was.
_DEVPATH = re.compile(r'DEVPATH=="([^"]+)"')
_RECORD = re.compile(r"# (?:device|pf) (\{.*\})\Z")


def readable(diff: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same pieces of a diff; of a rules file, one short line a rule that takes a device or makes VFs. -v shows the text."""
    return [
        dict(piece, before=_summary(piece["before"]), after=_summary(piece["after"]))
        if _RULES.search(str(piece.get("after_header", ""))) else piece
        for piece in diff
    ]


def _summary(text: str) -> str:
    """What rules do, a line each; nothing for no file."""
    if not text:
        return ""
    lines, addresses = [], _addresses(text)
    for line in text.splitlines():
        which, driver, number = _WHICH.search(line), _TAKES.search(line), _NUMBERS.search(line)
        if line.startswith("#") or not (driver or number) or _REFUSED in line:
            continue
        named = which[1] if which else _by_place(line, addresses)
        if driver:
            told = f"{driver[1] or named}: driver {driver[2]}"
        else:
            told = f"{named}: {number[1] if number else 0} VFs"
        if told not in lines:
            lines.append(told)
    rules = sum(bool(line.strip()) and not line.startswith("#") for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines + [f"({rules} udev rules; -v shows their text)"])


def _addresses(text: str) -> dict[str, str]:
    """Pattern of a device's path -> its address when the rules were written, from the records of a rules file."""
    addresses: dict[str, str] = {}
    for line in text.splitlines():
        record = _RECORD.match(line)
        try:
            values = json.loads(record[1]) if record else {}
        except ValueError:  # a record that was edited by hand: the module says so, a summary need not
            continue
        if isinstance(values.get("devpath"), str):
            addresses[values["devpath"]] = str(values.get("address"))
    return addresses


def _by_place(line: str, addresses: dict[str, str]) -> str:
    """What a rule that compares neither name nor UID is about."""
    place = _DEVPATH.search(line)
    if not place:
        return "every device of the kind"
    return addresses.get(place[1]) or place[1]


__all__ = ("readable",)
