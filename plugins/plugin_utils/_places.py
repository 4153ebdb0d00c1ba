# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Where a variable was written: file and line, as far as Ansible knows them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

try:
    from ansible._internal._datatag._tags import Origin
except ImportError:  # before 2.19, and where a later release has it elsewhere
    Origin = None


def place(value: object) -> str:
    """'inventory/host_vars/node1.yml:12' for a value as it was read, '' where nothing tells. No decision hangs on it."""
    return _written(*_origin(value))


def _written(path: str | None, line: int | None) -> str:
    if not path:
        return ""
    near = os.path.relpath(path)
    path = path if near.startswith("..") else near
    return f"{path}:{line}" if line else path


def _origin(value: object) -> tuple[str | None, int | None]:
    """(path, line) of a value as it was read; None where that is not known."""
    tag = Origin.get_tag(value) if Origin is not None else None
    if tag is not None:
        return tag.path, tag.line_num
    # ansible-core 2.16 to 2.18 (source: lib/ansible/parsing/yaml/objects.py, AnsibleBaseYAMLObject).
    position = getattr(value, "ansible_pos", None)
    return (position[0], position[1]) if isinstance(position, tuple) and len(position) == 3 else (None, None)


def of_name(name: str, variables: Mapping[str, Any]) -> str:
    """Where a variable was written: the line of its name, where that is in its value's file.

    Of a variable that several files set, Ansible keeps the name as the first of them wrote it, be that the role's own default, and the
    value of the last (source: lib/ansible/utils/vars.py combine_vars(), which updates a copy). So a name alone tells nothing.
    """
    path, line = _origin(variables.get(name))
    key = next((known for known in variables if known == name), name)
    path_of_key, line_of_key = _origin(key)
    return _written(path, line_of_key if path_of_key == path else line)


def of_item(name: str, keys: Sequence[str | int], *, variables: Mapping[str, Any]) -> str:
    """Where an item of a variable was written; of the variable, where the item is a template's. ``keys``: the way to it."""
    item: Any = variables.get(name)
    for key in keys:
        try:
            item = item[key]
        except (KeyError, IndexError, TypeError):
            return of_name(name, variables)
    return place(item) or of_name(name, variables)


def at(where: str) -> str:
    """' (at FILE:LINE)', or nothing."""
    return f" (at {where})" if where else ""


__all__ = ("at", "of_item", "of_name", "place")
