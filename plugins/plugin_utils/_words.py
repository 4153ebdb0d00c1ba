# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""A module's message in the words of the inventory: who uses the role wrote its variables, and never the module's options."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible_collections.vfio.host.plugins.plugin_utils._places import at, of_item

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "passthrough_"

_ENTRY = re.compile(r"\bpolicy ([a-z0-9-]+), devices\[(\d+)\]")
_NO_POLICY = re.compile(r"^(?=policy (?:['\"]|[^:]+: write the name in quotes))")
_POLICY = re.compile(r"^policy ([a-z0-9-]+): ")
_LISTED = re.compile(r"(?<![\w.])(sriov|modules)\[(\d+)\]")
# An option of the module, where a message says what to write. Keys of entries have the same shape and other values.
_ADVICE = re.compile(
    r"(?<![\w.])(force: \[(?!\w+\] in this entry)|state: (?:absent|present)\b|(?:now|at_boot|initramfs): (?:true|false)\b|confirm: \d|timeout: \d)"
)
# A key of an option that is a mapping, up to its end: 'nodes.guests', 'memlock.units.qemu@a.service'.
# An entry has a key of its own beside the variable for all.
_WHOLE_TASK = "for the whole task (the role's passthrough_force)"
_IN_ENTRY = re.compile(rf"force: \[(\w+)\] in this entry of (.+?) \(the role's passthrough_\w+\), or {re.escape(_WHOLE_TASK)}")
_KEYED = re.compile(r"^(nodes|memlock|consumers)((?:\.[A-Za-z0-9@_\\:-][A-Za-z0-9@_.\\:-]*)?)(?=: | is | must )")
_SUBJECT = re.compile(
    r"^(force|timeout|confirm|platforms|kernel_cmdline|kernel_config|modules|sriov|devices|nodes|memlock|iommu_node|consumers)(?=: | is | must )"
)
_BOTH = re.compile(r"\bnow and at_boot are both false")
_NOW = re.compile(r"\bnow is false")
_TASKS = re.compile(r"; (\w+) is an option of the task, for all of its devices")
_UNDECLARED = re.compile(
    r"\bundeclared: release \((?:in the role passthrough_undeclared: release|passthrough_undeclared)\)|(?<!_)\bundeclared(?= is ignore\b)"
)
_OR_BY = re.compile(r"\bin (\w+) \(the role's (passthrough_\1)\) or by vfio\.host\.\w+")
_NOTHING = re.compile(r"name at least one of [a-z_, ]+")


def in_inventory(message: str, variables: Mapping[str, Any]) -> str:
    """The message, line by line, with the role's variables for the module's options, and the place of what it names."""
    return "\n".join(_line(line, variables) for line in message.splitlines())


def _line(line: str, variables: Mapping[str, Any]) -> str:
    places: list[str] = []

    def entry(found: re.Match[str]) -> str:
        places.append(of_item(f"{PREFIX}devices", (found[1], int(found[2])), variables=variables))
        return f"{PREFIX}devices.{found[1]}[{found[2]}]"

    def policy(found: re.Match[str]) -> str:
        places.append(of_item(f"{PREFIX}devices", (found[1],), variables=variables))
        return f"{PREFIX}devices.{found[1]}: "

    def listed(found: re.Match[str]) -> str:
        places.append(of_item(PREFIX + found[1], (int(found[2]),), variables=variables))
        return f"{PREFIX}{found[1]}[{found[2]}]"

    def keyed(found: re.Match[str]) -> str:
        places.append(of_item(PREFIX + found[1], tuple(found[2].split(".")[1:2]), variables=variables))
        return f"{PREFIX}{found[0]}"

    def subject(found: re.Match[str]) -> str:
        places.append(of_item(PREFIX + found[1], (), variables=variables))
        return f"{PREFIX}{found[1]}"

    line = _ADVICE.sub(rf"{PREFIX}\1", line)
    line = _OR_BY.sub(r"in \2", line)
    line = _UNDECLARED.sub(lambda found: PREFIX + found[0].partition(" (")[0], line)
    line = _IN_ENTRY.sub(rf"force: [\1] in this entry of \2, or {PREFIX}force: [\1] for the whole host", line)
    line = line.replace(f"] {_WHOLE_TASK}", "] for the whole host")
    line = _BOTH.sub(f"{PREFIX}now and {PREFIX}at_boot are both false", line)
    line = _NOW.sub(f"{PREFIX}now is false", line)
    line = _NOTHING.sub(lambda found: re.sub(r"\b(devices|sriov|modules|kernel_config|kernel_cmdline|nodes|memlock)\b", rf"{PREFIX}\1", found[0]), line)
    line = re.sub(r"^arguments: ", "kernel_cmdline: ", line)
    line = _TASKS.sub(rf"; {PREFIX}\1 is a variable of the host, for all of its devices", line)
    line = _NO_POLICY.sub("devices: ", line)
    for pattern, known in ((_ENTRY, entry), (_POLICY, policy), (_LISTED, listed), (_KEYED, keyed), (_SUBJECT, subject)):
        line = pattern.sub(known, line)
    told = dict.fromkeys(place for place in places if place)
    return line + at(", ".join(told))


__all__ = ("PREFIX", "in_inventory")
