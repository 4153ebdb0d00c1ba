# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Options of loaded modules that sysfs does not show, remembered until the next boot. Pure.

A line is 'vfio_pci 26038 ids=8086:10d3 other'. It has the module, its inode in sysfs, which differs for each load, and its options. An option
without '=' is not set, whatever modprobe.d says now.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.versions import check_comments
from ansible_collections.vfio.host.plugins.module_utils._kernel.modprobe import split_options

if TYPE_CHECKING:
    from typing import Mapping

_LINE = re.compile(r"([A-Za-z0-9_]+) ([0-9]{1,20}) (\S.*)\Z")


def check(text: str | None, path: str) -> None:
    """Raise PlanError, which names ``path``, where a text (None: no file) has a line that no run writes."""
    check_comments(text, path)
    lines = (text or "").split("\n")
    for number, line in enumerate(lines, 1):
        if line and not line.startswith("#") and (number == len(lines) or not _LINE.match(line)):
            raise PlanError(
                f"{path}, line {number}: this record of a loaded module's options cannot be read: remove the file, and run again; options "
                "that the kernel does not show are taken as not set then, until the next boot"
            )


def parse(text: str | None) -> dict[str, tuple[int, dict[str, str | None]]]:
    """Module -> (inode, option -> value or None) of a text (None: no file). Lines of another shape are left out, see check()."""
    fits = [_LINE.match(line) for line in (text or "").split("\n")]
    return {fit.group(1): (int(fit.group(2)), dict(split_options(fit.group(3)))) for fit in fits if fit}


def render(remembered: Mapping[str, tuple[int, Mapping[str, str | None]]]) -> str | None:
    """The text; None where there is nothing to remember."""
    return "".join(
        "{0} {1} {2}\n".format(module, instance, " ".join(
            name if value is None else f"{name}={value}" for name, value in sorted(options.items())
        ))
        for module, (instance, options) in sorted(remembered.items())
    ) or None


__all__ = ("check", "parse", "render")
