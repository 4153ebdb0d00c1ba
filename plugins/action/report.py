# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side of M(vfio.host.report), which has no other: no host is asked."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.vfio.host.plugins.plugin_utils import _fleet, _screen, _summary
from ansible_collections.vfio.host.plugins.plugin_utils._put import probe, put
from ansible_collections.vfio.host.plugins.plugin_utils._report import page, place
from ansible_collections.vfio.host.plugins.plugin_utils._text import BAD, GOOD, Line


class ActionModule(ActionBase):
    """Makes one file of what the hosts of the play have told."""

    _supports_check_mode = True
    _requires_connection = False
    _VALID_ARGS = frozenset(("path", "write"))

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Where the report is, and how many hosts are in it."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            writing = boolean(self._task.args.get("write", True), strict=True)
        except TypeError as error:
            raise AnsibleActionFail(f"write must be true or false, and is {self._task.args['write']!r}") from error
        try:
            target = place.place(self._task.args.get("path"))
            was = place.before(target)
            result.update(changed=False, path=target, _ansible_verbose_override=True)
            if writing:
                return self._written(result, target, was, task_vars or {})
            if not self._task.check_mode:
                probe(target)
            return result
        except place.Refused as error:
            raise AnsibleActionFail(str(error)) from error
        except OSError as error:
            raise AnsibleActionFail(f"passthrough_report: {target} cannot be written: {error.strerror}; name a file elsewhere") from error

    def _written(self, result: dict[str, Any], target: str, was: str | None, task_vars: dict[str, Any]) -> dict[str, Any]:
        """The result of a run that has the report in its place."""
        standings, records = _fleet.standings(task_vars, _fleet.REPORTED), {}
        for one in standings:
            told = _fleet.raw(task_vars["hostvars"], one.host).get(_fleet.SURVEY) or {}
            if "record" in told:
                records[one.host] = told["record"]
        text = page.page(standings, records)
        result["changed"], result["hosts"] = text != was, len(standings)
        if text != was and not self._task.check_mode:
            put(target, text)
        told = "is as it was" if text == was else "is not written in check mode" if self._task.check_mode else "is written"
        trouble = any(one.state in (_fleet.FAILED, _fleet.UNREACHABLE, _fleet.REFUSED) for one in standings)
        _screen.show(_summary.lines(standings, width=_screen.width(), playbook=_fleet.REPORTED) + [
            Line(f"The report of them {told}: {target}", BAD if trouble else GOOD)
        ], is_hidden=self._task.no_log)
        return result
