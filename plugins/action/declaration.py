# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side of M(vfio.host.declaration), which has no other: the host is not asked."""

from __future__ import annotations

import uuid
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.vfio.host.plugins.plugin_utils import _declared, _fleet, _problems, _templates


class ActionModule(ActionBase):
    """Compares the variables of a host with what the role knows."""

    _supports_check_mode = True
    _requires_connection = False
    _VALID_ARGS = frozenset(("entry_point",))

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """A name of this run of the role, by which its tasks know what is theirs."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        # By which the summary knows what is of this play.
        result["play"] = _fleet.name_of_play(self._task)
        points, entry = _declared.specs(), self._task.args.get("entry_point")
        if entry not in points:
            raise AnsibleActionFail(f"{self._task.action}: say entry_point, one of {', '.join(points)}")
        options = points[entry]["options"]
        values, problems = _templates.resolved(self._templar.template, variables, names=options)
        # What is not known is not looked at, nor what may depend on it.
        problems = problems or _declared.problems_of(entry, values, variables=variables)
        if problems:
            return _problems.failed(result, problems, is_hidden=self._task.no_log)
        result["run"] = str(uuid.uuid4())
        result["_ansible_verbose_override"] = True
        return result
