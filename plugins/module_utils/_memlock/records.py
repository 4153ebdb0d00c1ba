# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The files that hold limits of locked memory: a drop-in a service for systemd, one file of lines for pam_limits.

Each is its own record: what is in it is what was declared.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Dict, List, Optional

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.words import number as whole_number
from ansible_collections.vfio.host.plugins.module_utils._host.words import words as words_of
from ansible_collections.vfio.host.plugins.module_utils._memlock.spec import Limit, parse_limit

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files

DROPIN = "90-vfio-host.conf"

_HEAD = "# By the Ansible collection vfio.host. The next run undoes changes made by hand."
_DIGITS = 20  # of a size that a run of ours has written, and more
_LINE = re.compile(r"LimitMEMLOCK=(\S+)\Z")


def dropin_path(directory: str, unit: str) -> str:
    """The path of a service's drop-in below a ``directory`` of units."""
    return f"{directory}/{unit}.d/{DROPIN}"


def dropin(limit: Limit) -> str:
    """Its text."""
    return f"{_HEAD}\n[Service]\nLimitMEMLOCK={limit.text}\n"


def parse_dropin(text: str, path: str) -> Limit:
    """The Limit in a drop-in of ours. Raises PlanError."""
    for line in text.split("\n"):
        found = _LINE.match(line)
        limit = parse_limit(found.group(1)) if found else None
        if limit is not None:
            return limit
    raise PlanError(f"{path} has no LimitMEMLOCK that a run of ours wrote: restore it, or remove it, and run again")


def limits(users: Dict[str, Limit]) -> Optional[str]:
    """The text of the file for pam_limits; None for no users. Its numbers are KiB (source: limits.conf(5))."""
    if not users:
        return None
    return f"{_HEAD}\n" + "".join(f"{user} - memlock {limit.kib}\n" for user, limit in sorted(users.items()))


def parse_limits(text: Optional[str], path: str) -> Dict[str, Limit]:
    """User -> Limit of our file. Raises PlanError."""
    found: Dict[str, Limit] = {}
    for number, line in enumerate((text or "").split("\n"), 1):
        words = words_of(line)
        if line.startswith("#") or not words:
            continue
        kib = whole_number(words[3], _DIGITS) if words[3:] else None
        limit = Limit(None) if words[3:] == ["unlimited"] else None if kib is None else Limit(kib * 1024)
        if len(words) != 4 or words[1:3] != ["-", "memlock"] or limit is None:
            raise PlanError(f"{path}, line {number}: no run of ours wrote this: restore the file, or remove it, and run again")
        found[words[0]] = limit
    return found


def written(files: Files) -> List[str]:
    """The paths of all files of ours that are there."""
    found = [
        dropin_path(directory, name[:-len(".d")]) for directory in (files.units, files.volatile_units)
        for name in files.names(directory) if name.endswith(".service.d")
    ]
    return [path for path in found + [files.limits] if files.read(path) is not None]


__all__ = ("DROPIN", "dropin", "dropin_path", "limits", "parse_dropin", "parse_limits", "written")
