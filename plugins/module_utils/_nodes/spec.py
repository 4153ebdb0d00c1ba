# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Access to VFIO nodes as users declare it: from options to valid values. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.vfio.host.plugins.module_utils._core.options import truth_of, unknown_options
from ansible_collections.vfio.host.plugins.module_utils._devices.spec import parse_policy_name
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError
from ansible_collections.vfio.host.plugins.module_utils._host.numbers import shown, too_long

ROOT = "root"
# One word in a rule, without a substitution (source: useradd(8), systemd src/basic/user-util.c valid_user_group_name()).
_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\Z")  # (source: useradd(8), groupadd(8): up to 32 characters)
_MODE = re.compile(r"0[0-7]{3}\Z")
_OTHERS = 0o007
_KEYS = ("owner", "group", "mode", "symlink")


@dataclass(frozen=True)
class Wish:
    """Who may open the nodes of one policy, or of /dev/iommu where ``policy`` is None. ``mode`` is a number; ``symlink``: whether
    stable links to them are made.
    """

    policy: Optional[str]
    owner: str = ROOT
    group: str = ROOT
    mode: int = 0o600
    symlink: bool = False

    @property
    def access(self) -> Tuple[str, str, int]:
        """What two policies have to agree on."""
        return self.owner, self.group, self.mode

    @property
    def words(self) -> str:
        """As a message says it."""
        return f"{self.owner}:{self.group} {self.mode:04o}"


def parse(
    nodes: Optional[Dict[str, Any]], iommu: Optional[Dict[str, Any]], *, problems: List[str],
) -> Dict[Optional[str], Optional[Wish]]:
    """Policy -> its Wish, None for /dev/iommu where anything is said of it. Who declares a policy with nothing in it, gives its nodes back:
    then the value is None.

    ``problems`` gains a sentence for everything that is wrong.
    """
    unusable = too_long("nodes", nodes) + too_long("iommu_node", iommu)
    if unusable:
        problems += unusable
        return {}
    found: Dict[Optional[str], Optional[Wish]] = {}
    for name, value in (nodes or {}).items():
        try:
            policy = parse_policy_name(name)
        except InputError as error:
            problems += [f"nodes: {message}" for message in error.messages]
            continue
        found[policy] = _wish(policy, f"nodes.{policy}", value, problems)
    if iommu:
        found[None] = _wish(None, "iommu_node", iommu, problems)
    return found


def _wish(policy: Optional[str], where: str, value: object, problems: List[str]) -> Optional[Wish]:
    if value is None or value == {}:
        return None
    if not isinstance(value, dict):
        problems.append(f"{where} must be a mapping of {', '.join(_KEYS)}, and is {shown(value)}")
        return None
    keys = _KEYS if policy is not None else _KEYS[:3]
    problems += unknown_options(where, value, known=keys)
    given = {key: one for key, one in value.items() if one is not None}
    owner, group = (_account(where, key, given.get(key, ROOT), problems) for key in ("owner", "group"))
    symlink = truth_of(given.get("symlink", False))
    if symlink is None:
        problems.append(f"{where}: symlink must be true or false, and is {shown(given['symlink'])}")
    mode = _mode(where, given.get("mode", "0600" if group == ROOT else "0660"), problems)
    return Wish(policy, owner, group, mode, symlink is True)


def _account(where: str, key: str, value: object, problems: List[str]) -> str:
    if isinstance(value, str) and _ACCOUNT.match(value):
        return value
    kind = "user" if key == "owner" else "group"
    problems.append(f"{where}: {key} must be the name of a {kind}, and is {shown(value)}; numbers differ between hosts, so they are not taken")
    return ROOT


def _mode(where: str, value: object, problems: List[str]) -> int:
    if not isinstance(value, str) or not _MODE.match(value):
        problems.append(f'{where}: mode must be a text of four octal digits, such as "0660" in quotes, and is {shown(value)}')
        return 0o600
    mode = int(value, 8)
    if mode & _OTHERS:
        problems.append(
            f"{where}: mode {value} lets every user of the host open the devices, and by that write to the memory of whoever "
            'has them: name a group, with mode "0660"'
        )
    return mode


__all__ = ("ROOT", "Wish", "parse")
