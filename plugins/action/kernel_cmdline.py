# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lets a task write ``args:`` inside M(vfio.host.kernel_cmdline), which Ansible's parser otherwise dissolves.

Every release of ansible-core merges a module option called ``args`` into the options beside it (source:
``_normalize_parameters`` in lib/ansible/parsing/mod_args.py). This puts the dissolved names back together.
"""

from __future__ import annotations

from ansible.plugins.action import ActionBase

OPTIONS = ("arguments", "state")


def regroup(options, written):
    """The module's options from those that Ansible's parser gave; ``written``: the task as it is in the playbook."""
    if "arguments" in options:
        return options
    names = set(options) - set(OPTIONS)
    given = written.get("args") if isinstance(written, dict) else None
    if isinstance(given, dict):
        # What stands beside args: is a mistake for the module to name, not an argument of the kernel.
        names &= set(given)
    if not names:
        # An args: of which nothing is left must not become a task without arguments, which takes everything back.
        return options if given is None or "args" in options else dict(options, arguments=given)
    grouped = {name: value for name, value in options.items() if name not in names}
    return dict(grouped, arguments={name: options[name] for name in names})


class ActionModule(ActionBase):
    """Runs the module of the same name."""

    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """One module call."""
        result = super().run(tmp, task_vars)
        written = (self._task.get_ds() or {}).get(self._task.action) if hasattr(self._task, "get_ds") else None
        options = regroup(dict(self._task.args), written)
        result.update(self._execute_module(module_args=options, task_vars=task_vars, wrap_async=self._task.async_val))
        return result
