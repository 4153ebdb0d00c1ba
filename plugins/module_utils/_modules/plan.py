# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From demands to a plan for kernel modules: the files and every step, before anything is done. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._kernel import kmod
from ansible_collections.vfio.host.plugins.module_utils._kernel.parameters import as_shown, same
from ansible_collections.vfio.host.plugins.module_utils._modules import records as module_records
from ansible_collections.vfio.host.plugins.module_utils._modules.conflicts import Demand, Problem, merge
from ansible_collections.vfio.host.plugins.module_utils._modules.spec import DISABLED, LOADED, UNLOADED

if TYPE_CHECKING:
    from typing import Mapping

    from ansible_collections.vfio.host.plugins.module_utils._modules.records import Record
    from ansible_collections.vfio.host.plugins.module_utils._modules.spec import Wish
    from ansible_collections.vfio.host.plugins.module_utils._modules.state import Host

UNCHANGED, CHANGED, PENDING = "unchanged", "changed", "pending"
STAYS = "stays"  # the kind of a Problem: what is in the kernel cannot be changed there

# Parameters that may be written at any time, and that the module reads only while it loads
# (source: linux drivers/vfio/pci/vfio_pci.c, vfio_pci_init: vfio_pci_core_set_params).
_READ_AT_LOAD = frozenset((("vfio_pci", "nointxmask"), ("vfio_pci", "disable_idle_d3")))


@dataclass(frozen=True)
class ModulePlan:
    """What happens to one module. ``before``: option -> value, None: not set; ``load``: the options to load it with; ``sets``: (option, value,
    value before).

    ``hidden``: options that it has in the end and that neither sysfs nor a file of modprobe.d tells; these are
    remembered.
    """

    demand: Demand
    loaded_before: bool
    loaded: bool
    before: dict[str, str | None]
    unload: bool = False
    load: tuple[tuple[str, str], ...] | None = None
    sets: tuple[tuple[str, str, str | None], ...] = ()
    reasons: tuple[str, ...] = ()
    hidden: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def changes(self) -> bool:
        """Whether the running kernel changes."""
        return self.unload or self.load is not None or bool(self.sets)

    @property
    def after(self) -> dict[str, str | None]:
        """Option -> value after the plan, as the kernel prints it. None: not set, or unknown."""
        after = dict(self.before)
        if self.load is not None:
            after.update(self.demand.options)
        after.update({name: value for name, value, dummy in self.sets})
        types = self.demand.types
        return {name: value if value is None else as_shown(value, types.get(name, "")) for name, value in after.items()}


@dataclass(frozen=True)
class ModulesPlan:
    """The whole of a run. ``files``: path -> text or None, each file that changes."""

    host: Host
    modules: list[ModulePlan]
    files: dict[str, str | None]
    named: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether applying it changes anything."""
        return bool(self.files) or any(one.changes for one in self.modules)

    @property
    def reboot_reasons(self) -> list[str]:
        """One sentence for each thing that waits for the next boot."""
        return [reason for one in self.modules for reason in one.reasons]

    @property
    def cmdline_args(self) -> dict[str, str]:
        """Kernel arguments that options of built-in modules need, and that this boot does not have."""
        return {name: value for one in self.modules for name, value in one.demand.cmdline_args.items()}


def problems(host: Host, wishes: list[Wish], *, now: bool) -> list[Problem]:
    """Every reason why a list of Wish cannot be met."""
    return _planned(host, wishes, now)[2]


def make_plan(host: Host, wishes: list[Wish], *, now: bool) -> ModulesPlan:
    """The ModulesPlan for a list of Wish. Raises PlanError with every problem."""
    modules, records, found = _planned(host, wishes, now)
    if found:
        raise PlanError(*(one.text for one in found))
    ends = {
        host.modprobe_path: module_records.render_modprobe(records),
        host.load_path: module_records.render_load(records),
    }
    files = {path: text for path, text in ends.items() if text != host.texts.get(path)}
    return ModulesPlan(host, modules, files, tuple(wish.module for wish in wishes))


def _planned(host: Host, wishes: list[Wish], now: bool) -> tuple[list[ModulePlan], list[Record], list[Problem]]:
    """(a ModulePlan for each module, our records as they have to be, all problems)."""
    demands, records, found = merge(host, wishes)
    free = _free(host, demands) if now else set()
    return [_plan_module(host, one, now, free, found) for one in demands], records, found


def _believed(host: Host, module: str, name: str) -> str | None:
    """The value of an option that sysfs does not show: the remembered one, else the one that modprobe.d has. None: not set."""
    remembered = host.remembered.get(module, {})
    if name in remembered:
        return remembered[name]
    values: list[str | None] = [value for one in host.records if one.module == module for option, value in one.options if option == name]
    values += [one.value for one in host.foreign.settings(module) if one.name == name]
    return values[-1] if values else None


def _stale(host: Host, demand: Demand) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """(options to write now, options that need a load) of a module in the kernel, which differ from the demand: name -> present value."""
    writable: dict[str, str | None] = {}
    others: dict[str, str | None] = {}
    for name, value in demand.options.items():
        live, takes_writes = host.live(demand.module, name)
        known = live
        if live is None and demand.kind != kmod.BUILTIN:
            known = _believed(host, demand.module, name)
        elif live is None:
            known = None if f"{demand.module}.{name}" in demand.cmdline_args else value
        if same(known, value, kind=demand.types[name]) and (known is not None or value == ""):
            continue
        if takes_writes and (demand.module, name) not in _READ_AT_LOAD:
            writable[name] = live
        else:
            others[name] = known
    return writable, others


def _wants_unload(host: Host, demand: Demand) -> bool:
    """Whether the module has to be unloaded, for good or to be loaded again with other options."""
    if demand.kind == kmod.BUILTIN or not host.modules.is_loaded(demand.module):
        return False
    return demand.state in (UNLOADED, DISABLED) or bool(_stale(host, demand)[1])


def _free(host: Host, demands: list[Demand]) -> set[str]:
    """The modules that can be unloaded: only modules that are unloaded before them use them."""
    waiting = {one.module: host.users[one.module] for one in demands if _wants_unload(host, one)}
    free: set[str] = set()
    while True:
        leaving = {
            module for module, users in waiting.items()
            if module not in free and users.references is not None and not users.devices
            and set(users.holders) <= free and users.references <= len(users.holders)
        }
        if not leaving:
            return free
        free |= leaving


def _plan_module(host: Host, demand: Demand, now: bool, free: set[str], problems: list[Problem]) -> ModulePlan:
    module = demand.module
    loaded = host.modules.is_loaded(module)
    if demand.kind == kmod.BUILTIN:
        return _plan_builtin(host, demand, now)
    before = {
        name: host.live(module, name)[0] or _believed(host, module, name) for name in demand.options
    } if loaded else {}
    if demand.state in (UNLOADED, DISABLED):
        return _plan_leaving(host, demand, now, free, problems, before, loaded)
    if not loaded:
        passing = {name: value for name, value in demand.options.items() if not demand.persists[name]}
        if demand.state != LOADED:
            return ModulePlan(demand, False, False, before)
        if now:
            return ModulePlan(demand, False, True, before, load=tuple(sorted(passing.items())), hidden=passing)
        return ModulePlan(demand, False, False, before, reasons=(f"module {module} is loaded at the next boot",))
    writable, others = _stale(host, demand)
    if others and now and module in free:
        # An option that is remembered as not set is not passed: modprobe takes its value from modprobe.d, as at every load.
        remembered = {name: value for name, value in host.remembered.get(module, {}).items() if value is not None}
        arguments = {**remembered, **demand.options}
        passing = {name: value for name, value in arguments.items() if not demand.persists.get(name)}
        return ModulePlan(
            demand, True, True, before, unload=True, load=tuple(sorted(arguments.items())), hidden=passing,
        )
    sets = tuple((name, demand.options[name], old) for name, old in sorted(writable.items())) if now else ()
    late = others if now else dict(others, **writable)
    reasons = []
    for name, old in sorted(late.items()):
        why = f"{_in_use(host, module)}, and the option is set only when it loads" if now else "now is false"
        stale = f"module {module}: {name} is {old or 'not set'}, not {demand.options[name]}"
        if now and not demand.persists[name]:
            problems.append(Problem((STAYS, module, name), f"{stale} (and at_boot is false): {why}"))
        reasons.append(f"{stale}, until the next boot: {why}")
    return ModulePlan(
        demand, True, True, before, sets=sets, reasons=tuple(reasons), hidden=_hidden(host, demand)
    )


def _plan_leaving(host: Host, demand: Demand, now: bool, free: set[str], problems: list[Problem], before: dict[str, str | None], loaded: bool) -> ModulePlan:
    module = demand.module
    if not loaded:
        return ModulePlan(demand, False, False, before)
    if now and module in free:
        return ModulePlan(demand, True, False, before, unload=True)
    if now and demand.state == UNLOADED:
        problems.append(Problem(
            (STAYS, module), f"module {module} cannot be unloaded: {_in_use(host, module)}; release it first, or say state: disabled",
        ))
    why = _in_use(host, module) if now else "now is false"
    return ModulePlan(demand, True, True, before, reasons=(f"module {module} stays loaded until the next boot: {why}",))


def _plan_builtin(host: Host, demand: Demand, now: bool) -> ModulePlan:
    module = demand.module
    before = {name: host.live(module, name)[0] for name in demand.options}
    writable, others = _stale(host, demand)
    sets = tuple((name, demand.options[name], old) for name, old in sorted(writable.items())) if now else ()
    late = others if now else dict(others, **writable)
    reasons = []
    for name in sorted(late):
        argument = f"{module}.{name}={demand.options[name]}"
        where = (
            f"it belongs on the kernel command line, as {argument} (vfio.host.kernel_cmdline)"
            if f"{module}.{name}" in demand.cmdline_args else f"{argument} is on the command line, and did not take"
        )
        reasons.append(
            f"module {module} is built into the kernel, and modprobe.d does nothing for its option {name}: {where}"
        )
    return ModulePlan(demand, True, True, before, sets=sets, reasons=tuple(reasons))


def _hidden(host: Host, demand: Demand) -> dict[str, str | None]:
    """Option -> present value, of options that sysfs does not show and that differ from what the files will have."""
    believed = {
        name: _believed(host, demand.module, name)
        for name in demand.options if host.live(demand.module, name)[0] is None
    }
    return {
        name: value for name, value in believed.items()
        if not demand.persists[name] or not same(value, demand.options[name], kind=demand.types[name])
    }


def _in_use(host: Host, module: str) -> str:
    users = host.users[module]
    reasons = []
    if users.devices:
        reasons.append(f"its driver has {', '.join(users.devices)}")
    if users.holders:
        reasons.append(f"{', '.join(users.holders)} need{'s' if len(users.holders) == 1 else ''} it")
    if users.unread:
        reasons.append(f"{', '.join(users.unread)} cannot be read, so it may be in use")
    elif users.references is None:
        reasons.append("this kernel cannot unload modules")
    elif users.references > len(users.holders):
        reasons.append("something holds it open")
    return "; ".join(reasons) or "modules that need it stay"


__all__ = ("CHANGED", "ModulePlan", "ModulesPlan", "PENDING", "Problem", "UNCHANGED", "make_plan", "problems")
