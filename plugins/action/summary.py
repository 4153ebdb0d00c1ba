# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side of M(vfio.host.summary), which has no other: no host is asked."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.vfio.host.plugins.plugin_utils import _fleet, _screen, _summary
from ansible_collections.vfio.host.plugins.plugin_utils._text import counted

_SUM = "passthrough_sum"
_PLAYBOOKS = (_fleet.CONVERGED, _fleet.VERIFIED, _fleet.SURVEYED, _fleet.RELEASED)


class ActionModule(ActionBase):
    """Prints what became of the hosts of a play, where they are several."""

    _supports_check_mode = True
    _requires_connection = False
    _VALID_ARGS = frozenset(("of", "max_fail_percentage"))

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """How many hosts are how, and the lines that were printed."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        of = self._task.args.get("of")
        if of not in _PLAYBOOKS:
            raise AnsibleActionFail(f"of must be one of {', '.join(_PLAYBOOKS)}, and is {of!r}")
        variables = task_vars or {}
        standings = _fleet.standings(variables, of, play="" if of == _fleet.SURVEYED else _fleet.name_of_play(self._task))
        result.update(changed=False, hosts=dict(Counter(one.state for one in standings)), _ansible_verbose_override=True)
        # What there is to say of one host was said.
        if len(standings) > 1:
            words = _fleet.REPORTED if of == _fleet.CONVERGED and self._task.check_mode else of
            lines = _summary.lines(standings, width=_screen.width(), playbook=words)
            _screen.show(lines, is_hidden=self._task.no_log)
            result["lines"] = [line.text for line in lines]
        return self._stopped(result, standings, variables)

    def _stopped(self, result: dict[str, Any], standings: list[_fleet.Standing], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The result; one that fails, and so ends the play, where too many hosts of this batch have failed and others are left."""
        try:
            most = float(self._task.args.get("max_fail_percentage", 100))
        except (TypeError, ValueError) as error:
            told = self._task.args["max_fail_percentage"]
            raise AnsibleActionFail(f"max_fail_percentage must be a number from 0 to 100, and is {told!r}") from error
        asked = [one for one in standings if one.state != _fleet.MISSED]
        # Batches follow each other in the order of the play. What this task returned before, every host of that batch has registered.
        earlier = (_fleet.raw(task_vars["hostvars"], one.host).get(_SUM) or {} for one in asked)
        result.update(play=_fleet.name_of_play(self._task), asked=len(asked))
        before = max((one.get("asked", 0) for one in earlier if one.get("play") == result["play"]), default=0)
        batch = asked[before:]
        failed = sum(one.state in (_fleet.FAILED, _fleet.REFUSED, _fleet.UNREACHABLE) for one in batch)
        left = len(standings) - len(asked)
        if left and failed * 100 > most * len(batch):
            result.update(failed=True, msg=(
                f"{failed} of the {counted(len(batch), 'host')} of this batch failed, were refused or not reached, which is more than "
                f"passthrough_max_fail_percentage ({most:g}) allows: the play ends here, and {counted(left, 'host is', plural='hosts are')} not asked"
            ))
        return result
