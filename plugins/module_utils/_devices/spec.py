# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What a user declares, checked for shape before anything of the host is looked at. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._core.force import FORCES, parse_force
from ansible_collections.vfio.host.plugins.module_utils._core.options import truth_of, unknown_options
from ansible_collections.vfio.host.plugins.module_utils._devices.consumers import (
    CONSUMERS,
    OF_POLICIES,
    parse_consumer,
    parse_of_policies,
    unopenable,
)
from ansible_collections.vfio.host.plugins.module_utils._devices.match import FIELDS, Match, parse_match
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError
from ansible_collections.vfio.host.plugins.module_utils._host.numbers import check_lengths, is_whole, shown

if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, TypeVar

    _Parsed = TypeVar("_Parsed")

AUTO, NATIVE = "auto", "native"
REFUSE, EXTEND, IGNORE = "refuse", "extend", "ignore"

_POLICY = re.compile(r"[a-z0-9-]+\Z")
_DRIVER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
_MAX_NAME = 64
_MOST_DIGITS = 9  # no bus has as many devices, and Python does not read numbers of thousands of digits
_GROUP_WAYS = (REFUSE, EXTEND, IGNORE)
# One entry of a policy, as the documentation has it.
DEVICE_SPEC = {
    "match": {"type": "dict", "required": True},
    "driver": {"type": "str", "default": AUTO},
    "fallback": {"type": "str"},
    "consumer": {"type": "str", "choices": list(CONSUMERS)},
    "count": {"type": "int"},
    "iommu_group": {"type": "str", "choices": list(_GROUP_WAYS), "default": REFUSE},
    "optional": {"type": "bool", "default": False},
    "force": {"type": "list", "elements": "str", "choices": list(FORCES), "default": []},
}
_OPTIONS = tuple(DEVICE_SPEC)
_ELSEWHERE = dict(
    {field: f"{field} is a field of a device: write it within match" for field in FIELDS if field not in _OPTIONS},
    state="to give back what an entry took, take the entry out",
)


@dataclass(frozen=True)
class Entry:
    """One declaration of a policy: which devices, and the driver for them. ``where`` names it in messages; ``force``: what is given
    up for these devices alone; ``consumer``: who gets the devices, of CONSUMERS; ``is_of_policy``: the policy says so, and not the entry.
    """

    policy: str
    where: str
    match: Match
    driver: str = AUTO
    count: int | None = None
    iommu_group: str = REFUSE
    optional: bool = False
    fallback: str | None = None
    force: tuple[str, ...] = ()
    consumer: str | None = None
    is_of_policy: bool = False

    @property
    def consumer_said(self) -> str:
        """How its consumer was declared, as a message says it."""
        return _said(self.consumer, self.policy if self.is_of_policy else None)


def parse_policy_name(name: object) -> str:
    """The name, or InputError: it becomes part of a file's name."""
    if not isinstance(name, str):
        raise InputError(f"policy {shown(name)}: write the name in quotes: without them YAML read it as {shown(name)}, and no text")
    if not _POLICY.match(name) or len(name) > _MAX_NAME:
        raise InputError(
            f"policy {shown(name)}: a policy's name has lower-case letters, digits and '-' only, at most {_MAX_NAME}"
        )
    return name


def parse_matches(values: Iterable[object]) -> list[Match]:
    """The matches of ``pci_facts`` as a list of Match; all errors at once."""
    check_lengths("match", values)
    return _collect(lambda index, value: parse_match(value, f"match[{index}]"), values)


def parse_declarations(
    policies: dict[str, Any], may_be_empty: bool = False, *, consumers: dict[str, Any] | None = None, consumer_key: str = OF_POLICIES,
) -> dict[str, list[Entry]]:
    """Policy name -> list of Entry, from policy name -> list of the user's mappings; all errors at once.

    ``may_be_empty``: a policy with an empty list gives back what it took; else that is an error, as it may be a slip of an expression.
    ``consumers``: policy name -> who gets the devices of its entries that do not say it themselves; ``consumer_key``: that option's name.
    """
    check_lengths("devices", policies)
    problems: list[str] = []
    found = {}
    of_policies = parse_of_policies(consumers, policies, key=consumer_key, problems=problems)
    for name, values in policies.items():
        try:
            parse_policy_name(name)
            if not isinstance(values, list):
                hint = "; to give back what it took, say []" if may_be_empty and values is None else ""
                raise InputError(f"policy {name}: its devices must be a list, not {shown(values)}{hint}")
            if not (values or may_be_empty):
                raise InputError(
                    f"policy {name}: it declares no devices; to give back what it took, say state: absent"
                )
            found[name] = entries = _collect(partial(_parse_entry, name, consumer=of_policies.get(name)), values)
            if name in of_policies and entries and all(entry.driver == NATIVE for entry in entries):
                problems.append(f"policy {name}: {_said(of_policies[name], name)} means nothing, since all of its devices keep their native driver")
        except InputError as error:
            problems += error.messages
    if problems:
        raise InputError(*problems)
    return found


def _collect(parse: Callable[[int, object], _Parsed], values: Iterable[object]) -> list[_Parsed]:
    """What ``parse(index, value)`` makes of each value; the problems of all values in one InputError."""
    found, problems = [], []
    for index, value in enumerate(values):
        try:
            found.append(parse(index, value))
        except InputError as error:
            problems += error.messages
    if problems:
        raise InputError(*problems)
    return found


def _parse_entry(policy: str, index: int, value: object, *, consumer: str | None) -> Entry:
    """``consumer``: of the policy, for an entry that names none and is for VFIO."""
    where = f"policy {policy}, devices[{index}]"
    if not isinstance(value, dict):
        raise InputError(f"{where}: must be a mapping with 'match', not {shown(value)}")
    problems = unknown_options(where, value, known=_OPTIONS, elsewhere=_ELSEWHERE)
    match = None
    try:
        match = parse_match(value.get("match"), where)
    except InputError as error:
        problems += error.messages
    driver = value.get("driver", AUTO)
    if not _is_driver(driver):
        problems.append(
            f"{where}: driver {shown(driver)}: a driver's name has letters, digits, '_', '-' and '.' only; "
            "or say auto or native"
        )
    fallback = value.get("fallback")
    if fallback is not None and (not _is_driver(fallback) or fallback in (AUTO, NATIVE)):
        problems.append(f"{where}: fallback {shown(fallback)}: must be the name of a driver, such as vfio-pci")
    elif fallback is not None and driver in (NATIVE, fallback):
        problems.append(f"{where}: fallback {shown(fallback)} is never taken with driver {shown(driver)}; leave it out")
    is_of_policy = value.get("consumer") is None
    if is_of_policy:
        consumer = None if driver == NATIVE else consumer
    else:
        consumer = parse_consumer(value["consumer"], f"{where}: consumer", problems=problems)
    said = _said(consumer, policy if is_of_policy else None)
    problems += unopenable(consumer, where, said=said, drivers={"driver": driver, "fallback": fallback})
    count = _number(value.get("count"))
    if count is not None and count < 0:
        problems.append(f"{where}: count {shown(value['count'])} must be a whole number from 0")
    group = value.get("iommu_group", REFUSE)
    if group not in _GROUP_WAYS:
        problems.append(f"{where}: iommu_group {shown(group)} must be one of {', '.join(_GROUP_WAYS)}")
    optional = truth_of(value.get("optional", False))
    if optional is None:
        problems.append(f"{where}: optional {shown(value['optional'])} must be true or false")
    force = parse_force(value.get("force"), where, known=FORCES, problems=problems)
    if problems or match is None or optional is None:
        raise InputError(*problems)
    return Entry(policy, where, match, driver, count, group, optional, fallback, force, consumer, consumer is not None and is_of_policy)


def _said(consumer: str | None, policy: str | None) -> str:
    """How a consumer was declared: by an entry, where ``policy`` is None."""
    return f"consumer: {consumer}" if policy is None else f"consumer of policy {policy}: {consumer}"


def _is_driver(value: object) -> bool:
    return isinstance(value, str) and bool(_DRIVER.match(value)) and len(value) <= _MAX_NAME


def _number(value: object) -> int | None:
    """The number that a YAML value or a rendered template means; -1 for what is none."""
    if value is None:
        return None
    return int(str(value)) if is_whole(value, _MOST_DIGITS) else -1


__all__ = (
    "AUTO",
    "DEVICE_SPEC",
    "EXTEND",
    "Entry",
    "IGNORE",
    "NATIVE",
    "REFUSE",
    "parse_declarations",
    "parse_matches",
    "parse_policy_name",
)
