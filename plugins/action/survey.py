# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side of M(vfio.host.survey): reads the facts, prints them, and writes a draft where one is asked for."""

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.vfio.host.plugins.module_utils._core.diff import piece
from ansible_collections.vfio.host.plugins.module_utils._host.numbers import shown
from ansible_collections.vfio.host.plugins.plugin_utils import _declared, _draft, _screen, _survey, _templates
from ansible_collections.vfio.host.plugins.plugin_utils._report.record import record

FACTS = "vfio.host.pci_facts"


class ActionModule(ActionBase):
    """One call of the module that reads the facts."""

    _supports_check_mode = True
    _VALID_ARGS = frozenset(("draft", "record"))

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The facts, as the module returns them, and the lines that were printed."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        draft = self._task.args.get("draft")
        if draft is not None and not (isinstance(draft, str) and draft.isprintable()):
            raise AnsibleActionFail(f"draft must be the path of a file on the controller, not {shown(draft)}")
        try:
            recording = boolean(self._task.args.get("record") or False, strict=True)
        except TypeError as error:
            raise AnsibleActionFail(f"record must be true or false, and is {self._task.args['record']!r}") from error
        if recording and draft:
            raise AnsibleActionFail("say record or draft, one of them")
        result.update(self._execute_module(module_name=FACTS, module_args={"owners": True}, task_vars=task_vars))
        facts = (result.get("ansible_facts") or {}).get("vfio_host")
        if result.get("failed") or facts is None:
            return result
        if recording:
            del result["ansible_facts"]
            result.update(changed=False, record=record(facts), _ansible_verbose_override=True)
            return result
        variables = task_vars or {}
        host = variables["inventory_hostname"]
        lines = _survey.lines(facts, host=host, width=_screen.width(), verbose=_screen.verbosity() > 0)
        values, problems = _templates.resolved(self._templar.template, variables, names=("passthrough_undeclared", "passthrough_devices"))
        if values.get("passthrough_undeclared") != "ignore" and not problems:
            declared = values.get("passthrough_devices")
            lines += _survey.undeclared(facts, declared if isinstance(declared, dict) else (), width=_screen.width())
        _screen.show(lines, is_hidden=self._task.no_log)
        result["lines"] = [line.text for line in lines]
        # Thousands of characters that the lines say as well; -vv prints them.
        result["_ansible_verbose_override"] = _screen.verbosity() < 2
        result["changed"] = False
        known = {name for point in _declared.specs().values() for name in point["options"]}
        result["warnings"] = list(result.get("warnings") or ()) + problems + _declared.unknown_variables(variables, known)
        if draft:
            self._write(draft, facts, host, result)
        return result

    def _write(self, draft: str, facts: dict[str, Any], host: str, result: dict[str, Any]) -> None:
        """Have the draft on the controller. Raises AnsibleActionFail where somebody else's file is in the way."""
        path, text = os.path.abspath(os.path.expanduser(draft)), _draft.text(facts, host=host)
        try:
            before = _draft.before(path, host=host)
            if before != text:
                result["changed"] = True
                result["diff"] = [piece(path, before=before or "", after=text)]
                if not self._task.check_mode:
                    _draft.write(path, text)
        except _draft.Refused as error:
            raise AnsibleActionFail(str(error)) from error
        result["draft"] = path
        lines = _draft.told(draft, is_new=before != text, checking=self._task.check_mode, width=_screen.width())
        _screen.show(lines, is_hidden=self._task.no_log)
