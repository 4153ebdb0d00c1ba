# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Rules files of udev as udev reads them, whoever wrote them. Pure.

Source: systemd src/udev/udev-rules.c, udev_rules_parse_file (comments, continuation) and parse_line (KEY{attribute}op"value").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._host.words import systemd_lines

if TYPE_CHECKING:
    from typing import Iterator

_TOKEN = re.compile(
    r"[\s,]*(?P<key>[A-Z_]+)(?:\{(?P<name>[^}]*)\})?\s*(?P<op>==|!=|\+=|-=|:=|=)\s*(?P<kind>[ei]{0,2})\"(?P<value>(?:[^\"\\]|\\.)*)\""
)
MATCHING = ("==", "!=")


@dataclass(frozen=True)
class Token:
    """One KEY{name}op"value". ``is_any_case``: an i before the value, so a match ignores case."""

    key: str
    name: str
    op: str
    value: str
    is_any_case: bool = False

    @property
    def text(self) -> str:
        """The token as it stands in the file, without the kind of its quotes."""
        name = f"{{{self.name}}}" if self.name else ""
        return f'{self.key}{name}{self.op}"{self.value}"'


@dataclass(frozen=True)
class Rule:
    """One rule. ``tokens``: None where the line is not understood; ``text``: the line."""

    line: int
    tokens: tuple[Token, ...] | None
    text: str


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """(number of its first line, line): comments go, also those between lines that a backslash joins."""
    start, joined = 0, ""
    for number, raw in enumerate(systemd_lines(text), 1):
        line = raw.lstrip(" \t\r\v\f")
        if line.startswith("#"):
            continue
        start = start or number
        joined += line
        if joined.endswith("\\"):
            joined = joined[:-1]
            continue
        if joined.strip():
            yield start, joined
        start, joined = 0, ""
    if joined.strip():
        yield start, joined


def parse(text: str) -> list[Rule]:
    """The Rules of a file, in its order."""
    return [Rule(number, _tokens(line), line) for number, line in logical_lines(text)]


def _tokens(line: str) -> tuple[Token, ...] | None:
    tokens: list[Token] = []
    place = 0
    while place < len(line):
        one = _TOKEN.match(line, place)
        if one is None:
            return None if line[place:].strip(" \t,\r\\") else tuple(tokens)
        value = one.group("value")
        # Without e only a quote is quoted; with it, as in C (source: udev_rule_parse_value).
        value = _unescaped(value) if "e" in one.group("kind") else value.replace('\\"', '"')
        tokens.append(Token(one.group("key"), one.group("name") or "", one.group("op"), value, "i" in one.group("kind")))
        place = one.end()
    return tuple(tokens)


def _unescaped(value: str) -> str:
    simple = {"n": "\n", "t": "\t", "\\": "\\", '"': '"', "s": " "}
    return re.sub(r"\\(.)", lambda one: simple.get(one.group(1), one.group(0)), value)


__all__ = ("MATCHING", "Rule", "Token", "logical_lines", "parse")
