# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The options that tasks have in common, whichever areas they are about. Pure."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence

from ansible.module_utils.common.validation import check_type_int
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.vfio.host.plugins.module_utils._core.force import FORCES
from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import IGNORE
from ansible_collections.vfio.host.plugins.module_utils._host.numbers import is_whole, shown
from ansible_collections.vfio.host.plugins.module_utils._host.words import nearest

_LONGEST = 86400  # seconds that a run may wait for anything
_SHORTEST = 5  # seconds in which somebody can come back by a new connection; ``true``, which Ansible takes for 1, is a slip
# What is declared once and for all devices, and is looked for in an entry.
_OF_THE_TASK = ("state", "now", "at_boot", "timeout", "confirm")


class IntType(str):
    """The argument type ``int`` whose check fails for an infinite number as it does for every other value that is no integer.

    ansible-core lets the OverflowError through (source: ansible/module_utils/common/validation.py check_type_int). It is the word as well,
    which the documentation's type is compared with (source: validate-modules, doc-type-does-not-match-spec).
    """

    __name__ = "int"

    def __call__(self, value: object) -> int:
        try:
            number: int = check_type_int(value)
        except OverflowError as error:
            raise TypeError(f"{shown(value)} cannot be converted to an int") from error
        return number


ARGUMENTS: Dict[str, Dict[str, Any]] = {
    "state": {"type": "str", "choices": ["present", "absent", "confirmed"], "default": "present"},
    "now": {"type": "bool", "default": True},
    "at_boot": {"type": "bool", "default": True},
    "force": {"type": "list", "elements": "str", "choices": list(FORCES), "default": []},
    "timeout": {"type": IntType("int"), "default": 10},
    "confirm": {"type": IntType("int"), "default": 0},
}


def undeclared(options: Mapping[str, Any]) -> Optional[str]:
    """What a task does about what it does not declare: one of undeclared.CHOICES, None where it has no such option. What is given
    back by name leaves all else alone.
    """
    return options.get("undeclared") if options["state"] == "present" else IGNORE


def wrong_seconds(timeout: Any, confirm: Any) -> List[str]:
    """A sentence for each of the two that is no number of seconds that a task can have. ansible-core 2.13 hands on a null as it is."""
    problems = []
    if not is_whole(timeout, 9) or not 1 <= timeout <= _LONGEST:
        problems.append(f"timeout is {shown(timeout)}; it is a number of seconds from 1 to {_LONGEST}")
    if confirm is None or (confirm and not (is_whole(confirm, 9) and _SHORTEST <= confirm <= _LONGEST)):
        problems.append(
            f"confirm is {shown(confirm)}; it is a number of seconds from {_SHORTEST} to {_LONGEST}, or 0 where nothing has to be confirmed"
        )
    return problems


def truth_of(value: object) -> Optional[bool]:
    """The boolean that a YAML value, or the text that a template made of it, means to Ansible; None for what is none."""
    try:
        return bool(boolean(value, strict=True))
    except TypeError:
        return None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """"; did you mean …?" with the nearest of the known words, or nothing."""
    near = nearest(word, known, most=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def unknown_options(
    where: str, value: Mapping[Any, object], *, known: Sequence[str], elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> List[str]:
    """One sentence for each key of an entry that is not ``known``, with what may have been meant. ``where`` names the entry; ``elsewhere``:
    key -> what to do, of keys that belong to another place.
    """
    problems = []
    for key in value:
        if key in known:
            continue
        hint = did_you_mean(str(key), known)
        if key in elsewhere:
            hint = f"; {elsewhere[key]}"
        elif key in _OF_THE_TASK:
            hint = f"; {key} is an option of the task, for all of its devices"
        problems.append(f"{where}: unknown option {shown(key)}; there are: {', '.join(known)}{hint}")
    return problems


__all__ = ("ARGUMENTS", "did_you_mean", "truth_of", "undeclared", "unknown_options", "wrong_seconds")
