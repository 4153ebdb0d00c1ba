# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Units of systemd that the administrator has put in place, by the commands that they run. Pure.

Only what a target wants is known to run at boot; another unit may be started by anything. (source: systemd.service(5), systemd.unit(5))
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._competitors import ini, shell

if TYPE_CHECKING:
    from typing import Iterable

    from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Claim, Script, Text

_COMMANDS = ("ExecStart", "ExecStartPre", "ExecStartPost", "ExecCondition")
_PREFIX = re.compile(r"[-@:+!|]*")
_SPECIFIER = re.compile(r"%([%iI])")


def claims(parts: Iterable[Text], *, is_enabled: bool, script: Script, instance: str = "") -> list[Claim]:
    """The Claims of one unit: ``parts`` are (text, path) of it and of its drop-ins, in systemd's order; ``instance``: what is behind the @
    of its name.
    """
    commands: dict[str, list[ini.Setting]] = {}
    for text, path in parts:
        for one in ini.parse(text, path):
            if one.section != "Service" or one.name not in _COMMANDS:
                continue
            if one.value:
                commands.setdefault(one.name, []).append(one)
            else:
                commands.pop(one.name, None)  # an empty value takes the ones before it back
    found: list[Claim] = []
    for one in (command for several in commands.values() for command in several):
        # $$ is a dollar sign, %% a percent sign; the shell has its words in quotes of systemd's.
        line = _PREFIX.sub("", one.value, count=1).replace("$$", "$")
        line = _SPECIFIER.sub(lambda found: _specified(found.group(1), instance), line)
        says = f"'{one.name}={one.value if len(one.value) <= 120 else one.value[:117] + '...'}'"
        found += shell.claims(line, one.where, first=0, script=script, says=says)
    return found if is_enabled else [replace(one, is_sure=False) for one in found]


def _specified(letter: str, instance: str) -> str:
    """What a specifier stands for: of an instance that is not known, a variable. (source: systemd.unit(5), specifiers, string escaping)"""
    if letter == "%":
        return "%"
    if not instance:
        return "$INSTANCE"
    if letter == "i":
        return instance
    return re.sub(r"\\x([0-9a-f]{2})", lambda code: chr(int(code.group(1), 16)), instance.replace("-", "/"))


__all__ = ("claims",)
