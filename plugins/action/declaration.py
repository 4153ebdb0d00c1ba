# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side of M(vfio.host.declaration), which has no other: the host is not asked."""

from __future__ import annotations

import uuid

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.vfio.host.plugins.plugin_utils import _declared, _problems


class ActionModule(ActionBase):
    """Compares the variables of a host with what the role knows."""

    _supports_check_mode = True
    _requires_connection = False
    _VALID_ARGS = frozenset(("entry_point",))

    def run(self, tmp=None, task_vars=None):
        """A name of this run of the role, by which its tasks know what is theirs."""
        result = super().run(tmp, task_vars)
        points, entry = _declared.specs(), self._task.args.get("entry_point")
        if entry not in points:
            raise AnsibleActionFail(f"{self._task.action}: say entry_point, one of {', '.join(points)}")
        options = points[entry]["options"]
        values = {name: self._templar.template(task_vars[name]) for name in options if name in task_vars}
        problems = _declared.problems_of(entry, values, task_vars)
        if problems:
            return _problems.failed(result, problems)
        result["run"] = str(uuid.uuid4())
        result["_ansible_verbose_override"] = True
        return result
