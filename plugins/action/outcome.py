# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side of M(vfio.host.outcome), which has no other: the host is not asked."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.vfio.host.plugins.plugin_utils import _outcome, _problems, _rows, _screen

_MOST = 8  # differences that a failure names


class ActionModule(ActionBase):
    """Prints what a result of the module passthrough says."""

    _supports_check_mode = True
    _requires_connection = False
    _VALID_ARGS = frozenset(("result", "earlier", "verify", "hint", "only_changes", "release"))

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The lines that were printed. It fails where O(verify) is asked for, and anything differs."""
        done: dict[str, Any] = super().run(tmp, task_vars)
        given = self._task.args
        if not isinstance(given.get("result"), dict):
            raise AnsibleActionFail("result must be what the module passthrough returned")
        result = given["result"]
        verify, only_changes, release = (self._switch(name) for name in ("verify", "only_changes", "release"))
        try:
            rows = _rows.rows(result)
            if given.get("earlier"):
                rows = _rows.merged(_rows.rows(given["earlier"]), rows)
            undeclared = [str(row["reason"]) for row in result.get("undeclared") or []] if verify else []
            restart = list(map(str, result.get("restart") or ())) if verify else []
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise AnsibleActionFail(f"result or earlier is not what vfio.host.passthrough returns: {error!r}") from error
        host, waits = (task_vars or {})["inventory_hostname"], tuple(result.get("reboot_reasons") or ())
        lines = _outcome.lines(
            rows, host=host, width=_screen.width(), waits=waits,
            mode=_outcome.VERIFIED if verify else _outcome.PLANNED if self._task.check_mode else _outcome.DONE,
            verbose=_screen.verbosity() > 0, hint=given.get("hint") or "", gives_back=release,
        )
        if not only_changes or _screen.verbosity() > 0 or waits or not rows or any(row.is_told for row in rows):
            _screen.show(lines, is_hidden=self._task.no_log)
        done.update(changed=False, _ansible_verbose_override=True)
        differs = verify and (
            result.get("changed") or result.get("diff") or result.get("reboot_required") or any(row.is_change for row in rows)
        )
        told = [_refusal(host, rows, waits)] if differs else [f"{host} has what nothing declares"] if undeclared else []
        told += undeclared
        if restart:
            told.append(f"{', '.join(restart)} may lock as much memory as when it was started, and not as declared: restart it")
        if not told:
            done["lines"] = [line.text for line in lines]
        else:  # Ansible prints all that a task which failed returns
            _problems.failed(done, told, is_hidden=self._task.no_log)
        return done

    def _switch(self, name: str) -> bool:
        """The value of an option that is true or false. Raises AnsibleActionFail."""
        try:
            return bool(boolean(self._task.args.get(name) or False, strict=True))
        except TypeError as error:
            raise AnsibleActionFail(f"{name} must be true or false, and is {self._task.args[name]!r}") from error


def _refusal(host: str, rows: list[_rows.Row], waits: tuple[str, ...]) -> str:
    """One line: the differences, shortly; what they are in full stands above it."""
    told = [_outcome.in_short(row) for row in rows if row.is_change]
    if len(told) > _MOST:
        told[_MOST:] = [f"and {len(told) - _MOST} more"]
    return f"{host} is not as declared: {'; '.join(told) or '; '.join(waits) or 'a run would change it'}"
