# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What a user declares of kernel modules, checked for shape before the host is read. Pure."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ansible.module_utils.common.validation import check_type_dict

from ansible_collections.vfio.host.plugins.module_utils._core.force import GUARDS, parse_force
from ansible_collections.vfio.host.plugins.module_utils._core.options import truth_of, unknown_options
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError
from ansible_collections.vfio.host.plugins.module_utils._host.numbers import check_lengths, shown
from ansible_collections.vfio.host.plugins.module_utils._kernel.modprobe import module_name
from ansible_collections.vfio.host.plugins.module_utils._kernel.parameters import as_text
from ansible_collections.vfio.host.plugins.module_utils._modules import records

if TYPE_CHECKING:
    from typing import Iterator

LOADED, UNLOADED, DISABLED, ABSENT = "loaded", "unloaded", "disabled", "absent"
STATES = (LOADED, UNLOADED, DISABLED, ABSENT)
# States for boots only, which leave the running kernel alone. ENABLED: not disabled. CLEAR: neither disabled nor loaded.
ENABLED, CLEAR = "enabled", "clear"

# One entry of the option `modules`, as the documentation has it.
MODULE_SPEC = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": list(STATES), "default": LOADED},
    "options": {"type": "dict", "default": {}},
    "at_boot": {"type": "bool", "default": True},
    "before": {"type": "list", "elements": "str", "default": []},
    "force": {"type": "list", "elements": "str", "choices": list(GUARDS), "default": []},
}
_KEYS = tuple(MODULE_SPEC)


@dataclass(frozen=True)
class Wish:
    """What ``owner`` wants of a module. ``where`` names it in messages.

    ``state`` None: as it is. ``implied``: options that are right without a line of ours. ``patch``: options of the
    owner that the wish does not name stay; otherwise the wish is all that the owner wants of the module. ``force``: what the host
    needs the module for and gives up.
    """

    owner: str
    module: str
    where: str
    state: str | None = LOADED
    options: dict[str, str] = field(default_factory=dict)
    at_boot: bool = True
    before: tuple[str, ...] = ()
    implied: frozenset[str] = frozenset()
    patch: bool = False
    force: tuple[str, ...] = ()


def parse_wishes(entries: object) -> list[Wish]:
    """A list of Wish from the user's list of mappings. Raises InputError with every problem."""
    check_lengths("modules", entries)
    wishes: list[Wish] = []
    problems: list[str] = []
    if not isinstance(entries, (list, tuple)):
        raise InputError(f"modules: must be a list of mappings with 'name', not {shown(entries)}")
    for index, entry in enumerate(entries):
        try:
            wishes.append(_parse_entry(f"modules[{index}]", entry))
        except InputError as error:
            problems += error.messages
    seen: dict[str, str] = {}
    for wish in wishes:
        if wish.module in seen:
            problems.append(
                f"{wish.where}: the module is declared twice, see {seen[wish.module]}; '-' and '_' are the same"
            )
        seen.setdefault(wish.module, wish.where)
    if problems:
        raise InputError(*problems)
    return wishes


def _parse_entry(where: str, entry: object) -> Wish:
    if not isinstance(entry, dict):
        raise InputError(f"{where}: must be a mapping with 'name', not {shown(entry)}")
    problems = unknown_options(where, entry, known=_KEYS)
    name = _module(entry.get("name"), f"{where}: name", problems)
    if name:
        where = f"{where} {name}"
    state = LOADED if entry.get("state") is None else entry["state"]
    if state not in STATES:
        problems.append(f"{where}: state {shown(state)} must be one of {', '.join(STATES)}")
    at_boot = True if entry.get("at_boot") is None else truth_of(entry["at_boot"])
    if at_boot is None:
        problems.append(f"{where}: at_boot {shown(entry['at_boot'])} must be true or false")
    options = _options(where, entry.get("options"), problems)
    before = entry.get("before") or []
    if isinstance(before, str):
        before = [native.strip() for native in before.split(",")]
    if not isinstance(before, (list, tuple)):
        problems.append(f"{where}: before must be a list of modules, not {shown(before)}")
        before = []
    natives = [_module(native, f"{where}: before", problems) for native in before]
    if name and name in natives:
        problems.append(f"{where}: before names the module itself")
    force = parse_force(entry.get("force"), where, known=GUARDS, problems=problems)
    problems += _contradictions(where, state, options, natives, at_boot)
    if problems:
        raise InputError(*problems)
    return Wish(
        records.KERNEL_MODULE, name, where, state, options, at_boot or state == ABSENT,
        tuple(sorted(set(natives))), force=force,
    )


def _contradictions(where: str, state: str, options: dict[str, str], natives: list[str], at_boot: bool | None) -> Iterator[str]:
    if state in (DISABLED, ABSENT) and (options or natives):
        yield f"{where}: options and before have no meaning with state {state}"
    if state == UNLOADED and natives:
        yield f"{where}: before has no meaning with state unloaded"
    if at_boot is False:
        if state == DISABLED:
            yield f"{where}: state disabled is about every boot; without at_boot, say state: unloaded"
        if natives:
            yield f"{where}: before is about every boot, and at_boot is false"
        if state == UNLOADED and options:
            yield f"{where}: options have no meaning with state unloaded and at_boot false"


def _module(value: object, where: str, problems: list[str]) -> str:
    """A module's name as the kernel writes it; '' where it is none, and ``problems`` gains why."""
    if value is None:
        problems.append(f"{where} is missing: say which module")
        return ""
    if isinstance(value, str) and records.MODULE.match(value) and len(value) <= records.MAX_MODULE:
        return module_name(value)
    problems.append(
        f"{where} {shown(value)}: a module's name has letters, digits, '_' and '-' only, at most {records.MAX_MODULE}"
    )
    return ""


def _options(where: str, value: object, problems: list[str]) -> dict[str, str]:
    if not value:
        return {}
    if isinstance(value, str):
        with suppress(TypeError):
            value = check_type_dict(value)  # a=1 b=2, or JSON
    if not isinstance(value, dict):
        problems.append(f"{where}: options must be a mapping of names to values, not {shown(value)}")
        return {}
    options: dict[str, str] = {}
    for name, wanted in value.items():
        if not isinstance(name, str) or not records.OPTION.match(name):
            problems.append(f"{where}: option {shown(name)}: an option's name has letters, digits, '_', '-' and '.' only")
            continue
        try:
            text = as_text(wanted)
        except ValueError:
            problems.append(f"{where}: option {name}: {shown(wanted)} must be one text, number or boolean")
            continue
        if not records.VALUE.match(text) or len(text) > records.MAX_VALUE:
            problems.append(
                f"{where}: option {name}: {shown(text)} must be one word of letters, digits and _.,:/+*@%=~- , at most "
                f"{records.MAX_VALUE}: no blanks, quotes, comments or line ends"
            )
        if options.setdefault(module_name(name), text) != text:
            problems.append(f"{where}: option {name} is declared twice with different values; '-' and '_' are the same")
    return options


__all__ = (
    "ABSENT", "CLEAR", "DISABLED", "ENABLED", "LOADED", "MODULE_SPEC", "STATES", "UNLOADED", "Wish", "parse_wishes",
)
