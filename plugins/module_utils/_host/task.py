# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From a module to its areas and back: the one place where errors become fail_json."""

from __future__ import annotations

from contextlib import nullcontext

from ansible_collections.vfio.host.plugins.module_utils._host.area import report, run_areas
from ansible_collections.vfio.host.plugins.module_utils._host.errors import VfioHostError
from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
from ansible_collections.vfio.host.plugins.module_utils._host.lock import one_at_a_time
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_PATIENCE = 10  # seconds to wait for another run, where the module has no option for it


def run_task(module, make_wishes, make_result=None):
    """Run a module's task and leave through its exit_json or fail_json.

    ``make_wishes``: called with (Sysfs, Files), gives the wishes as run_areas() takes them. ``make_result``: called with
    name -> plan, gives the areas' part of the result; without it, what each plan has to say is put side by side.
    """
    fs, files = Sysfs(run=module.run_command), Files()
    try:
        with _alone(module, fs, files):
            plans = run_areas(make_wishes(fs, files), module.check_mode)
    except VfioHostError as error:
        module.fail_json(msg="\n".join(error.messages))
    result = report(list(plans.values()))
    result.update((make_result or _side_by_side)(plans))
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)


def _alone(module, fs, files):
    """Nobody else writes meanwhile; what was read stays true. Who only reads waits for nobody."""
    if module.check_mode or not fs.is_root:
        return nullcontext()
    return one_at_a_time(files.lock, module._name, module.params.get("timeout", _PATIENCE))


def _side_by_side(plans):
    return {key: value for plan in plans.values() for key, value in plan.result().items()}


__all__ = ("run_task",)
