# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""mkinitcpio's presets, shell files of assignments. Pure."""

from __future__ import annotations

import re
import shlex

# Behind an array or a value may be a comment.
_ASSIGNMENT = re.compile(
    r"^[ \t]*(?:export[ \t]+)?(\w+)(\+?)=(?:\(([^()]*)\)[ \t]*(?:#[^\n]*)?|([^\n(#]*(?:#[^\n]*)?))$", re.MULTILINE
)
# What is in single quotes, or a variable.
_USE = re.compile(r"'[^']*'|\$(?:\{(\w+)\}|(\w+))")
_PLAIN = re.compile(r"[\w./@:+,=-]*\Z")


def parse_preset(text: str) -> dict[str, list[str]]:
    """Name -> list of words, for each plain assignment of a preset, with the variables that it sets itself; what needs a shell to be
    understood is left out.
    """
    values: dict[str, list[str]] = {}
    for name, plus, array, value in _ASSIGNMENT.findall(text):
        try:
            words = shlex.split(_USE.sub(lambda use: _filled(use, values), array or value), comments=True)
        except ValueError:
            values.pop(name, None)
            continue
        if any(character in word for word in words for character in "$`"):
            values.pop(name, None)
        elif plus and name in values:
            values[name] = values[name] + words if array else ["".join(values[name][:1] + words)] + values[name][1:]
        else:
            values[name] = words
    return values


def _filled(use: re.Match[str], values: dict[str, list[str]]) -> str:
    """What stands for a variable, where a shell would make one plain word of it; else the text as it is."""
    words = values.get(use.group(1) or use.group(2) or "")
    return words[0] if words is not None and len(words) == 1 and _PLAIN.match(words[0]) else use.group()


def setting(values: dict[str, list[str]], key: str, *, preset: str) -> str:
    """What holds for a preset: a value of its own that is not empty, else that of all (source: process_preset() in mkinitcpio)."""
    texts = ("".join(values.get(name, ())[:1]) for name in (f"{preset}_{key}", f"ALL_{key}"))
    return next(filter(None, texts), "")


def unified_path(values: dict[str, list[str]], preset: str) -> str:
    """The unified image of a preset; "" for none. An empty name of the new kind hides one of the old (source: as above)."""
    return "".join(values.get(f"{preset}_uki", values.get(f"{preset}_efi_image", ()))[:1])


__all__ = ("parse_preset", "setting", "unified_path")
