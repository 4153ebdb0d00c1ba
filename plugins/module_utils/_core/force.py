# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What a task may be forced to give up, as users write it and as messages say it. Pure."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

from ansible_collections.vfio.host.plugins.module_utils._host.numbers import shown

# Why the host itself may need a device.
NETWORK, STORAGE, CONSOLE = GUARDS = ("network", "storage", "console")
# What a task may be forced to do beside: bind a driver that does not declare the device.
UNDECLARED = "driver"
FORCES = GUARDS + (UNDECLARED,)


def parse_force(value: object, where: str, *, known: Sequence[str], problems: List[str]) -> Tuple[str, ...]:
    """The words of an entry's ``force``, as YAML gives it. ``where`` names the entry; ``known``: the words that there are. Adds to
    ``problems`` a sentence for what is wrong with it.
    """
    items: object = [word.strip() for word in value.split(",")] if isinstance(value, str) else value or ()
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        problems.append(f"{where}: force must be a list of {', '.join(known)}, not {shown(value)}")
        return ()
    words: Tuple[str, ...] = tuple(items)
    unknown = sorted(set(words) - set(known))
    if unknown:
        problems.append(f"{where}: force: {', '.join(unknown)} cannot be forced; there are: {', '.join(known)}")
    return words


def how_to_force(kind: str, where: Optional[str], *, variable: str = "passthrough_devices") -> str:
    """What to write, and where, so that ``kind`` (of FORCES) is given up for what an entry selects, or in the whole task.

    ``where`` names the entry; None: there is none. ``variable``: the role's variable that has it.
    """
    entry = f"in this entry of {where} (the role's {variable}), or " if where else ""
    return f"say force: [{kind}] {entry}for the whole task (the role's passthrough_force)"


__all__ = ("CONSOLE", "FORCES", "GUARDS", "NETWORK", "STORAGE", "UNDECLARED", "how_to_force", "parse_force")
