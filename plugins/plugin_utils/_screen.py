# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Lines on the user's screen, by way of Ansible's own Display: a worker's lines reach it through the main process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible import constants
from ansible.utils.color import stringc
from ansible.utils.display import Display

from ansible_collections.vfio.host.plugins.plugin_utils._text import ADD, BAD, CHANGE, GOOD, HEAD, REMOVE, Line, clean

if TYPE_CHECKING:
    from collections.abc import Sequence

# The names of Ansible's colours for each style: a user who set others in ansible.cfg gets these.
_COLOURS = {
    ADD: "COLOR_DIFF_ADD", REMOVE: "COLOR_DIFF_REMOVE", CHANGE: "COLOR_CHANGED", GOOD: "COLOR_OK", BAD: "COLOR_WARN",
    HEAD: "COLOR_HIGHLIGHT",
}


def width() -> int:
    """The columns of the user's terminal, less one, as Ansible found them; 79 where the output goes elsewhere."""
    return int(getattr(Display(), "columns", 79))


def verbosity() -> int:
    """How many -v the user gave."""
    return int(Display().verbosity)


def show(lines: Sequence[Line], *, is_hidden: bool = False) -> None:
    """Print Lines in one piece, so that those of several hosts do not mix. A log file gets them without colours. ``is_hidden``: the task
    says no_log, and nothing is printed.

    Names of a host do not control the terminal. A callback that writes JSON has standard output for itself: there the lines go to standard error.
    """
    if is_hidden:
        return
    lines = [Line(clean(line.text), line.style) for line in lines]
    coloured = "\n".join(
        stringc(line.text, getattr(constants, _COLOURS[line.style])) if line.text and line.style in _COLOURS else line.text
        for line in lines
    )
    machine = "json" in str(constants.DEFAULT_STDOUT_CALLBACK)
    display = Display()
    display.display(coloured, stderr=machine, screen_only=True)
    display.display("\n".join(line.text for line in lines), log_only=True)


__all__ = ("show", "verbosity", "width")
