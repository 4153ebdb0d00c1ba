# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""mkinitcpio's presets, shell files of assignments. Pure."""

from __future__ import annotations

import re
import shlex

# Behind an array or a value may be a comment.
_ASSIGNMENT = re.compile(r"^[ \t]*(\w+)=(?:\(([^()]*)\)[ \t]*(?:#[^\n]*)?|([^\n(#]*(?:#[^\n]*)?))$", re.MULTILINE)


def parse_preset(text: str) -> dict[str, list[str]]:
    """Name -> list of words, for each plain assignment of a preset; what needs a shell to be understood is left out."""
    values: dict[str, list[str]] = {}
    for name, array, value in _ASSIGNMENT.findall(text):
        try:
            words = shlex.split(array or value, comments=True)
        except ValueError:
            continue
        if not any(character in word for word in words for character in "$`"):
            values[name] = words
    return values


__all__ = ("parse_preset",)
