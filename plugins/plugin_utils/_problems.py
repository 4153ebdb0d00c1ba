# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Problems, one a line, on every release of ansible-core."""

from __future__ import annotations

from typing import Any

from ansible.release import __version__ as core

from ansible_collections.vfio.host.plugins.plugin_utils import _screen
from ansible_collections.vfio.host.plugins.plugin_utils._text import BAD, Line

# From here on Ansible prints a failed task's message as it is; before, only within JSON, where an end of line is two letters.
_PRINTS = (2, 19)


def failed(result: dict[str, Any], problems: list[str], *, is_hidden: bool = False) -> dict[str, Any]:
    """The result of a task that fails with these problems. ``is_hidden``: the task says no_log."""
    told = "\n".join(problems)
    result.update(failed=True, changed=False, msg=told)
    show(told, is_hidden=is_hidden)
    return result


def show(message: str, *, is_hidden: bool = False) -> None:
    """Print a message of several lines where Ansible itself would not. ``is_hidden``: the task says no_log."""
    if "\n" in message and tuple(int(part) for part in core.split(".")[:2]) < _PRINTS:
        _screen.show([Line(line, BAD) for line in message.splitlines()], is_hidden=is_hidden)


__all__ = ("failed", "show")
