# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Has the role say what M(vfio.host.passthrough) says in the inventory's words. In plays of others it is the module alone."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action.normal import ActionModule as Normal

from ansible_collections.vfio.host.plugins.plugin_utils import _problems, _screen
from ansible_collections.vfio.host.plugins.plugin_utils._diff import readable
from ansible_collections.vfio.host.plugins.plugin_utils._words import in_inventory

ROLE = "vfio.host.passthrough"


class ActionModule(Normal):
    """Runs the module of the same name."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The module's result."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        role = self._task._role
        if role is None or role.get_name() != ROLE:
            return result
        if result.get("failed") and isinstance(result.get("msg"), str):
            told = in_inventory(result["msg"], task_vars or {})
            if told != result["msg"]:
                # From 2.19 on it holds the module's own message, which Ansible would print instead of this one.
                result.pop("exception", None)
                result["msg"] = told
            _problems.show(told, is_hidden=self._task.no_log)
            for one in result.get("refusals") or ():
                one.update({key: in_inventory(one[key], task_vars or {}) for key in ("message", "remedy") if one.get(key)})
        # Warnings stay in the module's words: since 2.21 Ansible has them before an action gets them (source: its _internal/_task.py,
        # _convert_warnings), and would print both.
        for one in result.get("undeclared") or ():
            one["reason"] = in_inventory(one["reason"], task_vars or {})
        if isinstance(result.get("diff"), list) and _screen.verbosity() == 0:
            result["diff"] = readable(result["diff"])
        # What the module returns is long, and the outcome that is printed says the same; -vv prints it.
        result["_ansible_verbose_override"] = _screen.verbosity() < 2 and not result.get("failed")
        return result
