# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Symbols of the kernel's configuration as users declare them. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError
from ansible_collections.vfio.host.plugins.module_utils._host.numbers import check_lengths, shown

if TYPE_CHECKING:
    from typing import Mapping

_SYMBOL = re.compile(r"\w{1,128}\Z", re.ASCII)
_PREFIX = "CONFIG_"
_WORDS = {"true": "y", "yes": "y", "on": "y", "false": "n", "no": "n", "off": "n", "module": "m"}


def parse_wanted(options: Mapping[object, object], key: str = "options") -> dict[str, tuple[str, ...]]:
    """Symbol without CONFIG_ -> tuple of accepted values, from the user's mapping, which messages call ``key``. Raises InputError."""
    check_lengths(key, options)
    problems: list[str] = []
    wanted: dict[str, tuple[str, ...]] = {}
    for name, value in options.items():
        symbol = name[len(_PREFIX):] if isinstance(name, str) and name.startswith(_PREFIX) else name
        if not isinstance(symbol, str) or not _SYMBOL.match(symbol):
            problems.append(f"{key}: {shown(name)} is no Kconfig symbol: letters, digits and '_' only, such as VFIO_PCI")
            continue
        if symbol in wanted:
            problems.append(f"{key}: {symbol} is declared twice, with and without {_PREFIX}")
        values = [_value(word) for word in (value if isinstance(value, (list, tuple)) else [value])]
        if not values or None in values:
            problems.append(f"{key}: {name}: {shown(value)} must be y, m or n, or a list of them")
        wanted[symbol] = tuple(word for word in values if word is not None)
    if problems:
        raise InputError(*problems)
    return wanted


def _value(value: object) -> str | None:
    """'y', 'm' or 'n' of a value as YAML, a template or a user writes it; None for any other value."""
    text = str(value).strip().lower()
    text = _WORDS.get(text, text)
    return text if text in ("y", "m", "n") and isinstance(value, (str, bool)) else None


__all__ = ("parse_wanted",)
