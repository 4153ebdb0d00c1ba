# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side of M(vfio.host.summary), which has no other: no host is asked."""

from __future__ import annotations

from collections import Counter

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.vfio.host.plugins.plugin_utils import _fleet, _screen, _summary

_PLAYBOOKS = (_fleet.CONVERGED, _fleet.VERIFIED, _fleet.SURVEYED, _fleet.RELEASED)


class ActionModule(ActionBase):
    """Prints what became of the hosts of a play, where they are several."""

    _supports_check_mode = True
    _requires_connection = False
    _VALID_ARGS = frozenset(("of",))

    def run(self, tmp=None, task_vars=None):
        """How many hosts are how, and the lines that were printed."""
        result = super().run(tmp, task_vars)
        of = self._task.args.get("of")
        if of not in _PLAYBOOKS:
            raise AnsibleActionFail(f"of must be one of {', '.join(_PLAYBOOKS)}, and is {of!r}")
        standings = _fleet.standings(task_vars, of, "" if of == _fleet.SURVEYED else _fleet.name_of_play(self._task))
        result.update(changed=False, hosts=dict(Counter(one.state for one in standings)), _ansible_verbose_override=True)
        # What there is to say of one host was said.
        if len(standings) > 1:
            words = _fleet.REPORTED if of == _fleet.CONVERGED and self._task.check_mode else of
            lines = _summary.lines(standings, width=_screen.width(), playbook=words)
            _screen.show(lines)
            result["lines"] = [line.text for line in lines]
        return result
