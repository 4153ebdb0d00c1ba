# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""A plan of kernel modules as a task returns it, and as Ansible shows its difference. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._core.diff import of_files, piece
from ansible_collections.vfio.host.plugins.module_utils._kernel import kmod
from ansible_collections.vfio.host.plugins.module_utils._modules.records import parse_records

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._modules.plan import ModulePlan, ModulesPlan


def modules(plan: ModulesPlan) -> list[dict[str, object]]:
    """One mapping for each module of the plan, in the order of its name."""
    rows = [_module(plan, one) for one in plan.modules]
    known = {row["name"] for row in rows}
    rows += [_left(plan, name) for name in sorted(set(plan.named) - known)]
    return sorted(rows, key=lambda row: str(row["name"]))


def _module(plan: ModulesPlan, one: ModulePlan) -> dict[str, object]:
    demand = one.demand
    changed = one.changes or _file_lines(plan, demand.module)
    return {
        "name": demand.module,
        "kind": demand.kind,
        "state_before": _state(demand.kind, one.loaded_before),
        "state": _state(demand.kind, one.loaded),
        "options_before": one.before,
        "options": {name: one.after.get(name) if one.loaded else value for name, value in demand.options.items()},
        "elsewhere": demand.elsewhere,
        "cmdline_args": demand.cmdline_args,
        "status": "pending" if one.reasons else "changed" if changed else "unchanged",
        "reboot_required": bool(one.reasons),
        "reboot_reasons": list(one.reasons),
    }


def _left(plan: ModulesPlan, name: str) -> dict[str, object]:
    """A module of which nothing is wanted any more."""
    kind, loaded = plan.host.modules.kind(name), plan.host.modules.is_loaded(name)
    return {
        "name": name, "kind": kind, "state_before": _state(kind, loaded), "state": _state(kind, loaded),
        "options_before": {}, "options": {}, "elsewhere": {}, "cmdline_args": {},
        "status": "changed" if _file_lines(plan, name) else "unchanged",
        "reboot_required": False, "reboot_reasons": [],
    }


def _state(kind: str, loaded: bool) -> str:
    if kind in (kmod.BUILTIN, kmod.ABSENT):
        return kind
    return "loaded" if loaded else "unloaded"


def _file_lines(plan: ModulesPlan, name: str) -> bool:
    """Whether a module's lines in our files change."""
    host = plan.host
    ends = dict(host.texts, **plan.files)
    after = parse_records(
        ends.get(host.modprobe_path), ends.get(host.load_path), modprobe_path=host.modprobe_path, load_path=host.load_path,
    )
    return {one for one in host.records if one.module == name} != {one for one in after if one.module == name}


def diff(plan: ModulesPlan) -> list[dict[str, str]]:
    """The modules' state in one piece, then each file."""
    pieces = []
    changing = [one for one in plan.modules if one.changes]
    if changing:
        pieces.append(piece(
            "kernel modules",
            before="".join(_line(one, one.loaded_before, one.before) for one in changing),
            after="".join(_line(one, one.loaded, one.after) for one in changing),
        ))
    return pieces + of_files(plan.host.texts, plan.files)


def _line(one: ModulePlan, loaded: bool, options: dict[str, str | None]) -> str:
    shown = "".join(f" {name}={value}" for name, value in sorted(options.items()) if loaded and value is not None)
    return f"{one.demand.module} {_state(one.demand.kind, loaded)}{shown}\n"


__all__ = ("diff", "modules")
