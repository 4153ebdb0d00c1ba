# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What a user declares of virtual functions, checked for shape before anything of the host is looked at. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.vfio.host.plugins.module_utils._core.force import GUARDS, parse_force
from ansible_collections.vfio.host.plugins.module_utils._core.options import truth_of, unknown_options
from ansible_collections.vfio.host.plugins.module_utils._devices.match import Match, parse_match
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError
from ansible_collections.vfio.host.plugins.module_utils._host.numbers import check_lengths, is_whole, shown
from ansible_collections.vfio.host.plugins.module_utils._sriov.attributes import parse_settings, resolve_settings

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._sriov.attributes import Setting

MAX = "max"

_MOST_VFS = 65535
_MOST_DIGITS = 9  # a PF has fewer VFs, and Python does not read numbers of thousands of digits
# One entry of a list of physical functions, as the documentation has it.
PF_SPEC = {
    "match": {"type": "dict", "required": True},
    "numvfs": {"type": "raw"},
    "autoprobe": {"type": "bool", "default": False},
    "vfs": {"type": "list", "elements": "dict"},
    "force": {"type": "list", "elements": "str", "choices": list(GUARDS), "default": []},
}
_OPTIONS = tuple(PF_SPEC)


@dataclass(frozen=True)
class Entry:
    """How many VFs the physical functions that match shall have. ``numvfs``: a number, MAX, or None where it is not said;
    ``settings``: what their VFs shall have; ``force``: guards of their VFs that are given up.
    """

    where: str
    match: Match
    numvfs: int | str | None
    autoprobe: bool
    settings: tuple[Setting, ...] = ()
    force: tuple[str, ...] = ()

    def number(self, total: int) -> int:
        """How many VFs a PF shall have that can have ``total``; 0 where it is not said."""
        return total if self.numvfs == MAX else int(self.numvfs or 0)


def parse_entries(values: Any, key: str, *, present: bool) -> list[Entry]:
    """The user's list as a list of Entry; all errors at once. ``key`` names the list; ``present``: numbers are needed."""
    check_lengths(key, values)
    if not isinstance(values, list):
        raise InputError(f"{key} must be a list, not {shown(values)}")
    found, problems = [], []
    for index, value in enumerate(values):
        try:
            found.append(_parse_entry(f"{key}[{index}]", value, present))
        except InputError as error:
            problems += error.messages
    if problems:
        raise InputError(*problems)
    return found


def _parse_entry(where: str, value: Any, present: bool) -> Entry:
    if not isinstance(value, dict):
        raise InputError(f"{where}: must be a mapping with 'match' and 'numvfs', not {shown(value)}")
    problems = unknown_options(where, value, known=_OPTIONS)
    match, number = None, value.get("numvfs")
    try:
        match = parse_match(value.get("match"), where)
    except InputError as error:
        problems += error.messages
    text = MAX if isinstance(number, str) and number.strip().lower() == MAX else None
    if number is not None and text != MAX and not is_whole(number, _MOST_DIGITS):
        problems.append(f"{where}: numvfs {shown(number)} must be a whole number from 0, or max")
    if number is None and present:
        problems.append(f"{where}: say how many VFs there shall be: numvfs, a whole number from 0, or max")
    autoprobe = truth_of(value.get("autoprobe", False))
    if autoprobe is None:
        problems.append(f"{where}: autoprobe {shown(value['autoprobe'])} must be true or false")
    known = len(problems)
    settings = parse_settings(value.get("vfs"), where, problems=problems)
    if len(problems) == known and text != MAX and number is not None and is_whole(number, most_digits=_MOST_DIGITS):
        resolve_settings(settings, min(int(number), _MOST_VFS), problems=problems)
    force = parse_force(value.get("force"), where, known=GUARDS, problems=problems)
    if problems or match is None or autoprobe is None:
        raise InputError(*problems)
    wanted = None if number is None else MAX if text == MAX else int(number)
    return Entry(where, match, wanted, autoprobe, settings, force)


__all__ = ("Entry", "MAX", "PF_SPEC", "parse_entries")
