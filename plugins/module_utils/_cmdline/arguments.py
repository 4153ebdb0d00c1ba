# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The kernel command line as text: taken apart as the kernel does, changed with every foreign byte kept. Pure."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError
from ansible_collections.vfio.host.plugins.module_utils._host.numbers import check_lengths, shown

if TYPE_CHECKING:
    from typing import Iterable, Mapping

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,:/+-]*\Z")
_SPACE = " \t\n\v\f\r"
# Boot loaders add these themselves, one value an entry.
LOADERS_OWN = frozenset(("BOOT_IMAGE", "initrd"))
# Each occurrence counts here, also where a task gives one value: others stay. So with dracut's, which begin with rd.
_COLLECTED = frozenset(("console", "earlycon", "ifname", "ip", "memmap", "modprobe.blacklist"))


@dataclass(frozen=True)
class Word:
    """One argument: ``space`` before it, ``text`` as written, ``name`` and ``value`` as the kernel sees them.

    ``value`` is None for an argument without '='. What follows a bare ``--`` is init's, not the kernel's.
    """

    space: str
    text: str
    name: str
    value: str | None
    is_inits: bool = False

    @property
    def written(self) -> str:
        """The name as it is written, with '-' where it has one."""
        return _meaning(self.text)[0]


@dataclass(frozen=True)
class Line:
    """A command line; ``str()`` gives back every byte of it."""

    words: tuple[Word, ...]
    tail: str

    def __str__(self) -> str:
        return "".join(word.space + word.text for word in self.words) + self.tail

    def named(self, name: str) -> list[Word]:
        """The kernel's own words of that name; '-' and '_' are one."""
        wanted = normalize(name)
        return [word for word in self.words if word.name == wanted and not word.is_inits]

    def values(self, name: str) -> list[str | None]:
        """The values of an argument, in order."""
        return [word.value for word in self.named(name)]

    def texts(self, name: str) -> list[str]:
        """The words of an argument as they are written, in order."""
        return [word.text for word in self.named(name)]


@dataclass(frozen=True)
class Wish:
    """What a task wants of one argument. ``values``, as the kernel sees them, and ``texts``, the words as they are written, go in pairs.

    ``many``: other occurrences stay. Not ``present``: these values are removed; without any, every occurrence is.
    """

    name: str
    values: tuple[str | None, ...]
    texts: tuple[str, ...]
    many: bool
    present: bool = True

    def is_met(self, line: Line) -> bool:
        """Whether a line is as wished. The same value twice is as good as once."""
        values = line.values(self.name)
        return not self.unwanted(line) and not (self.present and set(self.values) - set(values))

    def unwanted(self, line: Line) -> list[Word]:
        """The words of a line that are to go."""
        words = line.named(self.name)
        if self.present:
            return [word for word in words if not self.many and word.value not in self.values]
        return [word for word in words if not self.values or word.value in self.values]


def normalize(name: str) -> str:
    """'vfio_pci.ids' for 'vfio-pci.ids' (source: parameq() in kernel/params.c, which maps '-' to '_' in names)."""
    return name.replace("-", "_")


@functools.lru_cache(maxsize=128)  # every question about a line begins with it
def parse(text: str) -> Line:
    """The Line of a text, by the rule of next_arg() in lib/cmdline.c.

    White space ends a word unless inside double quotes; quotes open and close anywhere. The first '=' ends the name. A
    quote at the very start, and one at the start of the value, is dropped together with the last one.
    """
    words: list[Word] = []
    at, is_inits = 0, False
    while True:
        begin = at
        while at < len(text) and text[at] in _SPACE:
            at += 1
        if at == len(text):
            return Line(tuple(words), text[begin:])
        start, in_quote = at, False
        while at < len(text) and (in_quote or text[at] not in _SPACE):
            in_quote ^= text[at] == '"'
            at += 1
        word = text[start:at]
        name, value = _meaning(word)
        words.append(Word(text[begin:start], word, normalize(name), value, is_inits))
        is_inits = is_inits or word == "--"


def _meaning(word: str) -> tuple[str, str | None]:
    """(name, value) of a word as the kernel sees them; None: it has no '=' (source: next_arg() in lib/cmdline.c)."""
    quoted = word.startswith('"')
    if quoted:
        word = word[1:]
    name, equals, value = word.partition("=")
    if not equals or not name:
        return (word[:-1] if quoted and word.endswith('"') else word), None
    if value.startswith('"'):
        value = value[1:]
        quoted = True
    return name, value[:-1] if quoted and value.endswith('"') else value


def edit(text: str, wishes: Iterable[Wish]) -> str:
    """The text with ``wishes`` met and everything else as it was."""
    line = parse(text)
    for wish in wishes:
        if not wish.is_met(line):
            line = _met(line, wish) if wish.present else _drop(line, wish.unwanted(line))
    return str(line)


def _met(line: Line, wish: Wish) -> Line:
    """What is missing takes the place of what is too much; what is left of either is inserted or dropped."""
    spare, missing = line.named(wish.name), []
    for value, text in zip(wish.values, wish.texts):
        found = next((word for word in spare if word.value == value), None)
        missing += [text] if found is None else []
        spare = [word for word in spare if word is not found]
    spare = [] if wish.many else spare
    for text in missing:
        if spare:
            line = _replace(line, spare.pop(0), text)
        else:
            line = _insert(line, text, after=line.named(wish.name))
    return _drop(line, spare)


def _replace(line: Line, old: Word, text: str) -> Line:
    """The line with another text in the place of one of its words."""
    new = replace(old, text=text, value=_meaning(text)[1])
    return Line(tuple(new if word is old else word for word in line.words), line.tail)


def _insert(line: Line, text: str, after: list[Word]) -> Line:
    """Put a word behind the last one of ``after``, else behind the last one that is the kernel's."""
    words = list(line.words)
    if after:
        at = max(index for index, word in enumerate(words) if any(word is other for other in after)) + 1
    else:
        at = next((index for index, word in enumerate(words) if word.text == "--"), len(words))
    space = " "
    if not at:
        # The first word takes over what the line began with, so that dropping it leaves no trace.
        space = words[0].space if words else ""
        words[:1] = [replace(words[0], space=" ")] if words else []
    name, value = _meaning(text)
    words.insert(at, Word(space, text, normalize(name), value))
    return Line(tuple(words), line.tail)


def _drop(line: Line, gone: list[Word]) -> Line:
    """The line without some of its words, which are named by identity."""
    words: list[Word] = []
    lost = None
    for word in line.words:
        if any(word is other for other in gone):
            lost = word.space if not words and lost is None else lost
        else:
            # What followed a dropped first word takes its place.
            words.append(replace(word, space=lost) if lost is not None and not words else word)
    tail = line.tail if words else line.tail.lstrip(" ")
    return Line(tuple(words), tail)


def exact(name: str, line: Line) -> Wish:
    """The wish for an argument to be as it is on a line."""
    return Wish(name, tuple(line.values(name)), tuple(line.texts(name)), False)


def is_collected(name: str) -> bool:
    """Whether each occurrence of an argument counts."""
    return name in _COLLECTED or name.startswith("rd.")


def parse_wishes(arguments: Mapping[str, object], present: bool) -> list[Wish]:
    """The wishes of a task's ``arguments``, name -> value, null or list. Raises InputError with every problem."""
    check_lengths("arguments", arguments)
    wishes: list[Wish] = []
    problems: list[str] = []
    for given, value in arguments.items():
        name = str(given)
        try:
            wishes.append(_wish(name, value, present))
        except InputError as error:
            problems += error.messages
            continue
        twins = [wish.name for wish in wishes[:-1] if normalize(wish.name) == normalize(name)]
        problems += [f"arguments: {name} and {twin} are one argument to the kernel; name it once" for twin in twins]
    if problems:
        raise InputError(*problems)
    return wishes


def _wish(name: str, value: object, present: bool) -> Wish:
    """The wish for one argument of a task. Raises InputError."""
    if not _NAME.match(name):
        raise InputError(
            f"arguments: {shown(name)} is no argument's name; it begins with a letter, a digit or '_' and holds these and . , "
            ": / + -"
        )
    if name in LOADERS_OWN:
        raise InputError(f"arguments: {name} is the boot loader's own; it cannot be set here")
    is_list = isinstance(value, list)
    values = value if isinstance(value, list) else [value]
    if not values:
        raise InputError(f"arguments: {name} is an empty list; give values, or null for the bare argument")
    if not (present or is_list or value not in (None, "")):
        return Wish(name, (), (), True, present)
    texts = [_text(name, single) for single in values]
    kernels = tuple(_meaning(text)[1] for text in texts)
    return Wish(name, kernels, tuple(texts), is_list or is_collected(name), present)


def _text(name: str, value: object) -> str:
    """'name=value' as it is written on a command line. Raises InputError."""
    if value is None or value == "":
        return name
    if isinstance(value, bool):
        raise InputError(
            f"arguments: {name} is the boolean {str(value).lower()}: YAML reads on, off, yes and no so; write the value "
            "in quotes"
        )
    if isinstance(value, int):
        return f"{name}={value}"
    if not isinstance(value, str):
        raise InputError(f"arguments: {name} is {shown(value)}; a value is a text, a whole number or null: write it in quotes")
    if not all(" " <= letter <= "~" for letter in value):
        raise InputError(f"arguments: {name} is {shown(value)}; a value has printable ASCII characters only, and no line end")
    if value.count('"') % 2:
        raise InputError(f"arguments: {name} is {shown(value)}, with a double quote that is not closed")
    text = f"{name}={value}"
    if " " in value and '"' not in value:
        text = f'{name}="{value}"'
    if len(parse(text).words) != 1 or parse(text).tail:
        raise InputError(
            f"arguments: {name} is {shown(value)}, which the kernel reads as several arguments; give each its own name, or "
            "put the whole value into double quotes"
        )
    return text


__all__ = ("LOADERS_OWN", "Line", "Wish", "Word", "edit", "exact", "is_collected", "normalize", "parse", "parse_wishes")
