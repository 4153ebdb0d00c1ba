# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs M(vfio.host.prove) on the host, and prints a line for each device."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action.normal import ActionModule as Normal

from ansible_collections.vfio.host.plugins.plugin_utils import _proof, _screen


class ActionModule(Normal):
    """The module of the same name."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The module's result."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if isinstance(result.get("proof"), list):
            lines = _proof.lines(result["proof"], host=(task_vars or {}).get("inventory_hostname", ""), width=_screen.width())
            _screen.show(lines, is_hidden=self._task.no_log)
            # The lines say the same; -vv prints all of it.
            result["_ansible_verbose_override"] = _screen.verbosity() < 2 and not result.get("failed")
        return result
