# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.
"""The options of the filter beside ``to``: what each may be. Every value that ends in a consumer's file is proven by shape here."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.vfio.host.plugins.plugin_utils._handover.model import Problem
from ansible_collections.vfio.host.plugins.plugin_utils._handover.reading import MAC, normal

# What every consumer's options have in common; the rest is checked against Consumer.options.
COMMON = ("facts", "policy", "only_vfio")


def _pattern(pattern: str, words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(f"must be {words}")
        return value

    return read


def _bool(value: Any) -> bool:
    try:
        return bool(boolean(value, strict=True))
    except TypeError:
        raise ValueError("must be true or false") from None


def _number(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return read


def _version(value: Any) -> tuple[int, ...]:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,4}){1,3}", value):
        raise ValueError("must be a version in quotes, such as '10.0.0'")
    return tuple(int(part) for part in value.split("."))


def _macs(value: Any) -> dict[str, str]:
    macs = {}
    for address, mac in (value if isinstance(value, Mapping) else {"": ""}).items():
        text = mac.lower() if isinstance(mac, str) else ""
        if normal(address) is None or not MAC.fullmatch(text):
            raise ValueError("must be a mapping of PCI addresses to MAC addresses, such as {'0000:01:10.0': '52:54:00:12:34:56'}")
        if int(text[:2], 16) & 1:
            raise ValueError(f"names {mac}, a multicast address, which no interface can have")
        macs[str(normal(address))] = text
    return macs


def _token(value: Any) -> str:
    try:
        return str(uuid.UUID(value))
    except (ValueError, TypeError, AttributeError):
        raise ValueError("must be a UUID") from None


# What device_spec has of its own. (source: nova/pci/devspec.py, _init_dev_details)
NOT_TAGS = ("vendor_id", "product_id", "address", "devname", "managed")


def _tags(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(word, str) and word for pair in value.items() for word in pair):
        raise ValueError("must be a mapping of texts to texts, such as {'physical_network': 'physnet1'}")
    own = [name for name in NOT_TAGS if name in value]
    if own:
        raise ValueError(f"must not have {', '.join(own)}: the filter writes that")
    return dict(value)


READERS: dict[str, Callable[[Any], Any]] = {
    "facts": lambda value: value,
    "policy": _pattern(r"[a-z0-9-]+", "the name of a policy"),
    "only_vfio": _bool,
    "name": _pattern(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)?", "a name of letters, digits, '_', '-' and '.', with one '/' at most"),
    "node": _pattern(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?", "the name of a node of the cluster"),
    "iommufd": _bool,
    "keep_driver": _bool,
    "guest_bus": _number(1, 255),
    "libvirt_version": _version,
    "macs": _macs,
    "tags": _tags,
    "vf_token": _token,
}


def read(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options by name, proven; one that is null counts as not given. Raises Problem with all that is wrong."""
    chosen, problems = {}, []
    for name, value in given.items():
        if name not in READERS:
            problems.append(f"unknown option '{name}', known are to, {', '.join(READERS)}")
        elif value is not None:
            try:
                chosen[name] = READERS[name](value)
            except ValueError as error:
                problems.append(f"option '{name}' {error}; it is {_shown(value)}")
    if problems:
        raise Problem(*problems)
    return chosen


def _shown(value: Any) -> str:
    """The value, short enough for a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def name_for(title: str, value: str, *, pattern: str, words: str) -> str:
    """The option ``name`` where it has the form that one consumer asks for. ``title``: the consumer's; ``pattern``: of the form, which
    ``words`` describes. Raises Problem.
    """
    if not re.fullmatch(pattern, value):
        raise Problem(f"option 'name' must be {words} for {title}; it is {value!r}")
    return value


__all__ = ("COMMON", "name_for", "read")
