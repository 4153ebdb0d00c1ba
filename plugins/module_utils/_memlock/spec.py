# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Limits of locked memory as users declare them: from options to valid values. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from ansible_collections.vfio.host.plugins.module_utils._core.options import unknown_options
from ansible_collections.vfio.host.plugins.module_utils._host.numbers import shown, too_long

# A service's name as systemd takes it (source: systemd src/basic/unit-name.c, VALID_CHARS and UNIT_NAME_MAX).
_UNIT = re.compile(r"[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]*)?\.service\Z")
_LONGEST = 255
# One word in a line, that is no number and no range: of directories also 'vm@example.org', 'CORP\\vm' and 'vm$' (source: limits.conf(5)).
_USER = re.compile(r"@?[A-Za-z_][A-Za-z0-9_.@+$\\-]{0,254}\Z")
_SIZE = re.compile(r"([0-9]{1,20})([KMGTPE]?)\Z")
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_INFINITY = "infinity"
_MOST = 2 ** 63  # what is more is no limit for the kernel's counters, and a slip
_LEAST = 4096  # a page
_KEYS = ("units", "users")


@dataclass(frozen=True)
class Limit:
    """How many bytes may be locked; None: as many as there are."""

    size: Optional[int]

    @property
    def text(self) -> str:
        """As systemd and /proc/PID/limits have it, but for the latter's word for infinity."""
        return _INFINITY if self.size is None else str(self.size)

    @property
    def kib(self) -> str:
        """As pam_limits has it: KiB, rounded up."""
        return "unlimited" if self.size is None else str(-(-self.size // 1024))

    @property
    def words(self) -> str:
        """For a person: '64 GiB', or bytes where no unit divides them."""
        if self.size is None:
            return "unlimited"
        for letter, power in reversed(list(_POWERS.items())):
            if power and self.size % 1024 ** power == 0:
                return f"{self.size // 1024 ** power} {letter}iB"
        return f"{self.size} bytes"


@dataclass(frozen=True)
class Wishes:
    """Unit -> Limit and user (a group with @ before it) -> Limit; None in place of a Limit takes ours away."""

    units: Dict[str, Optional[Limit]] = field(default_factory=dict)
    users: Dict[str, Optional[Limit]] = field(default_factory=dict)


def parse(value: Optional[Dict[str, Any]], present: bool, *, problems: List[str]) -> Wishes:
    """The Wishes that an option means. Not ``present``: names alone count. ``problems`` gains a sentence for everything that is wrong."""
    unusable = too_long("memlock", value)
    if unusable:
        problems += unusable
        return Wishes()
    problems += unknown_options("memlock", value or {}, known=_KEYS)
    found: Dict[str, Dict[str, Optional[Limit]]] = {key: {} for key in _KEYS}
    for key in _KEYS:
        entries = (value or {}).get(key)
        if entries is None:
            continue
        if not isinstance(entries, dict):
            problems.append(f"memlock.{key} must be a mapping of names to limits, and is {shown(entries)}")
            continue
        for name, limit in entries.items():
            where = f"memlock.{key}.{name}"
            if _is_name(key, name, problems):
                found[key][name] = _limit(where, limit, problems) if present else None
    return Wishes(found["units"], found["users"])


def _is_name(key: str, name: object, problems: List[str]) -> bool:
    if key == "units":
        if isinstance(name, str) and _UNIT.match(name) and len(name) <= _LONGEST and not name.startswith((".", "@")):
            return True
        problems.append(f"memlock.units: {shown(name)} is no name of a service: it ends in .service, as libvirtd.service does")
        return False
    if isinstance(name, str) and _USER.match(name):
        return True
    problems.append(f"memlock.users: {shown(name)} is no name of a user, nor of a group with @ before it")
    return False


def _limit(where: str, value: object, problems: List[str]) -> Optional[Limit]:
    limit = parse_limit(value)
    if limit is None:
        problems.append(f'{where} must be infinity, a number of bytes, or a size such as "64G" (K, M, G, T, P or E, of 1024), and is {shown(value)}')
    elif limit.size is not None and not _LEAST <= limit.size < _MOST:
        problems.append(f"{where} is {shown(value)}, which is {'less than a page' if limit.size < _LEAST else 'more than any host has; say infinity'}")
    return limit


def template_of(unit: str) -> Optional[str]:
    """The template that a service is an instance of; None for one that is none."""
    stem, at, instance = unit[:-len(".service")].partition("@")
    return f"{stem}@.service" if at and instance else None


def parse_limit(value: object) -> Optional[Limit]:
    """The Limit that a value means; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    text = str(value).strip()
    if text == _INFINITY:
        return Limit(None)
    found = _SIZE.match(text)
    return Limit(int(found.group(1)) * 1024 ** _POWERS[found.group(2)]) if found else None


__all__ = ("Limit", "Wishes", "parse", "parse_limit", "template_of")
