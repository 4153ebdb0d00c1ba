# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From wishes to one demand for each module, and every conflict with this host and its own configuration. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, Optional, Tuple

from ansible_collections.vfio.host.plugins.module_utils._host.words import nearest
from ansible_collections.vfio.host.plugins.module_utils._kernel import kmod, modprobe
from ansible_collections.vfio.host.plugins.module_utils._kernel.parameters import fitting, same
from ansible_collections.vfio.host.plugins.module_utils._modules.records import Record
from ansible_collections.vfio.host.plugins.module_utils._modules.spec import ABSENT, CLEAR, DISABLED, ENABLED, LOADED, UNLOADED

if TYPE_CHECKING:
    from typing import Iterator

    from ansible_collections.vfio.host.plugins.module_utils._modules.spec import Wish
    from ansible_collections.vfio.host.plugins.module_utils._modules.state import Host


class Problem(NamedTuple):
    """Why wishes cannot be met. ``key``: one of the kinds below and what it is about, by which problems are compared; ``text``: a sentence."""

    key: Tuple[Optional[str], ...]
    text: str


ABSENT_MODULE, BUILT_IN, BEFORE, NO_OPTION, VALUE, STATES, TWICE = "absent", "builtin", "before", "no option", "value", "states", "twice"
FOREIGN, BLACKLIST, INSTALL, OWNER, LOADS, NEEDS, SOFTDEP = "foreign", "blacklist", "install", "owner", "loads", "needs", "softdep"


@dataclass(frozen=True)
class Demand:
    """What all wishes together want of one module. ``state`` None: as it is.

    ``persists``: option -> whether it is for boots, too. ``types``: option -> the parameter's type, '' where it is not known.
    ``elsewhere``: options that another file or the command line sets to the wanted value, -> where.
    """

    module: str
    kind: str
    state: str | None
    options: dict[str, str]
    at_boot: bool
    persists: dict[str, bool]
    types: dict[str, str] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)
    cmdline_args: dict[str, str] = field(default_factory=dict)


def merge(host: Host, wishes: list[Wish]) -> tuple[list[Demand], list[Record], list[Problem]]:
    """(the Demand for each module, our records as they have to be, all problems)."""
    problems: list[Problem] = []
    known: list[Wish] = []
    for wish in wishes:
        impossible = list(_impossible(host, wish))
        problems += impossible
        if wish.state != ABSENT and host.modules.kind(wish.module) == kmod.ABSENT:
            continue
        fitted = _fitted(host, wish, problems)
        if not impossible:
            known.append(fitted)
    by_module: dict[str, list[Wish]] = {}
    for wish in known:
        by_module.setdefault(wish.module, []).append(wish)
    records = {(one.owner, one.module): one for one in host.records}
    for wish in known:
        _renew(records, wish, host.modules.kind(wish.module) == kmod.BUILTIN)
    demands = []
    for module, mine in by_module.items():
        if any(wish.state != ABSENT for wish in mine):
            demands.append(_demand(host, module, mine, problems))
    for one in demands:
        problems += _contradicted(host, one, by_module[one.module], records)
    problems += list(_needed(host, demands, records))
    for one in demands:
        _drop_second_truths(host, one, records)
    problems += list(_softdep_problems(host, known, records))
    return demands, [one for dummy, one in sorted(records.items()) if not one.is_empty], problems


def _impossible(host: Host, wish: Wish) -> Iterator[Problem]:
    """Why a wish cannot be met on this kernel, whatever is configured."""
    if wish.state == ABSENT:
        return
    state = host.modules.kind(wish.module)
    if state == kmod.ABSENT:
        yield Problem((ABSENT_MODULE, wish.where, wish.module), f"{wish.where}: kernel {host.release} has no module {wish.module}{_like(host, wish.module)}")
        return
    if state == kmod.BUILTIN and wish.state in (UNLOADED, DISABLED):
        yield Problem(
            (BUILT_IN, wish.where, wish.module),
            f"{wish.where}: it is built into kernel {host.release} and cannot be {wish.state}: "
            "only another kernel is without it"
        )
    for native in wish.before:
        known = host.modules.kind(native)
        if known == kmod.ABSENT:
            yield Problem((BEFORE, wish.where, native), f"{wish.where}: before: kernel {host.release} has no module {native}{_like(host, native)}")
        elif known == kmod.BUILTIN:
            yield Problem(
                (BEFORE, wish.where, native),
                f"{wish.where}: before: {native} is built into kernel {host.release} and has its devices before any "
                "module loads; a driver_override takes them from it"
            )


def _like(host: Host, name: str) -> str:
    if not host.modules.has_table:
        return kmod.NO_TABLE
    close = nearest(name, host.modules.all_names(), most=5, cutoff=0.5)
    return f"; there are: {', '.join(close)}" if close else ""


def _fitted(host: Host, wish: Wish, problems: list[Problem]) -> Wish:
    """The wish with values in the form that the parameters' types take. ``problems`` gains one for each value that has no such form."""
    if not wish.options or is_met_visibly(host, wish):
        return wish
    known = host.parameters[wish.module]
    if known is None:
        return wish
    options: dict[str, str | None] = {**wish.options}
    for name, value in wish.options.items():
        if name not in known:
            problems.append(Problem(
                (NO_OPTION, wish.where, name),
                f"{wish.where}: module {wish.module} has no option {name}; it has: {', '.join(sorted(known)) or 'none'}",
            ))
            continue
        options[name] = fitting(value, known[name].type)
        if options[name] is None:
            problems.append(Problem((VALUE, wish.where, name), f"{wish.where}: option {name} takes a value of type {known[name].type}, not {value!r}"))
    return replace(wish, options={name: value for name, value in options.items() if value is not None})


def is_met_visibly(host: Host, wish: Wish) -> bool:
    """Whether all options have their values in sysfs and in our records. Then modinfo need not run."""
    mine = {name: value for one in host.records if one.module == wish.module for name, value in one.options}
    return all(
        mine.get(name) == value
        and same(host.live(wish.module, name)[0], value, kind=kind_of(host, wish.module, name=name))
        for name, value in wish.options.items()
    )


def kind_of(host: Host, module: str, *, name: str) -> str:
    """A parameter's type by its value in sysfs: 'bool' for Y or N, else '' (source: linux kernel/params.c, param_get_bool)."""
    return "bool" if host.live(module, name)[0] in ("Y", "N") else ""


def _renew(records: dict[tuple[str, str], Record], wish: Wish, builtin: bool) -> None:
    """Update the records with what a wish wants at boot. A built-in module has no records, since modprobe never loads it."""
    if wish.state == ABSENT:
        for key in [key for key in records if key[1] == wish.module]:
            del records[key]
        return
    key = (wish.owner, wish.module)
    old = records.get(key, Record(*key))
    options = dict(old.options) if wish.patch else {}
    if wish.at_boot and not builtin:
        options.update(wish.options)
    for name in wish.implied:
        options.pop(name, None)
    load, disabled = wish.state == LOADED, wish.state == DISABLED
    if wish.state in (None, ENABLED):
        load, disabled = old.load, old.disabled and wish.state is None
    keeps = wish.at_boot and not builtin
    records[key] = Record(
        *key, options=tuple(sorted(options.items())), load=load and keeps, disabled=disabled and keeps,
        before=wish.before if keeps else (),
    )


def _demand(host: Host, module: str, wishes: list[Wish], problems: list[Problem]) -> Demand:
    states = {wish.state: wish.where for wish in wishes if wish.state is not None and wish.state not in (CLEAR, ENABLED, ABSENT)}
    if len(states) > 1:
        problems.append(Problem(
            (STATES, module, *sorted(states)),
            f"module {module} cannot be {' and '.join(sorted(states))}: " + ", ".join(sorted(states.values())),
        ))
    types = _types(host, module, [pair for wish in wishes for pair in wish.options.items()])
    options: dict[str, str] = {}
    persists: dict[str, bool] = {}
    owners: dict[str, str] = {}
    for wish in wishes:
        for name, value in wish.options.items():
            if name in options and not same(options[name], value, kind=types[name]):
                problems.append(Problem(
                    (TWICE, wish.where, owners[name], name),
                    f"{wish.where}: option {name} cannot be {value!r} and {options[name]!r}, which {owners[name]} wants",
                ))
            options[name], owners[name] = value, wish.where
            persists[name] = wish.at_boot
    kind = host.modules.kind(module)
    demand = Demand(
        module, kind, next(iter(states), None), options, all(wish.at_boot for wish in wishes), persists, types
    )
    if kind == kmod.BUILTIN:
        return replace(demand, cmdline_args=_cmdline_args(host, demand))
    return demand


def _types(host: Host, module: str, options: list[tuple[str, str]]) -> dict[str, str]:
    """Option -> the parameter's type. modinfo runs only where a value in sysfs differs from the wanted one."""
    shown = {name: kind_of(host, module, name=name) for name, dummy in options}
    if all(same(host.live(module, name)[0], value, kind=shown[name]) for name, value in options):
        return shown
    known = host.parameters[module] or {}
    return {name: known[name].type if name in known else kind for name, kind in shown.items()}


def _cmdline_args(host: Host, demand: Demand) -> dict[str, str]:
    last = {one.name: one.value for one in host.foreign.settings(demand.module, builtin=True)}
    return {
        f"{demand.module}.{name}": value for name, value in demand.options.items()
        if demand.persists[name] and not (name in last and same(last[name], value, kind=demand.types[name]))
    }


def _settings(host: Host, demand: Demand, wishes: list[Wish], records: dict[tuple[str, str], Record]) -> list[modprobe.Setting]:
    """The Settings of the module by other owners, other files and the command line, in order. The last one wins."""
    foreign = host.foreign.settings(demand.module)
    owners = {wish.owner for wish in wishes}
    ours = [
        modprobe.Setting(name, value, f"{host.modprobe_path} (declared by {one.owner})")
        for one in records.values() if one.module == demand.module and one.owner not in owners
        for name, value in one.options
    ]
    return ours + foreign


def _contradicted(host: Host, demand: Demand, wishes: list[Wish], records: dict[tuple[str, str], Record]) -> Iterator[Problem]:
    """Problems of lines of others that contradict the demand. ``demand.elsewhere`` gains options that others set to the wanted value."""
    if demand.kind == kmod.BUILTIN:
        return
    module = demand.module
    settings = _settings(host, demand, wishes, records)
    for name, value in demand.options.items():
        mine = [one for one in settings if one.name == name]
        if not demand.persists[name] or not mine:
            continue
        if same(mine[-1].value, value, kind=demand.types[name]):
            demand.elsewhere[name] = mine[-1].where
            continue
        for one in mine:
            if not same(one.value, value, kind=demand.types[name]):
                yield Problem(
                    (FOREIGN, module, name, value, one.where),
                    f"module {module}: option {name}={value} is wanted, and {one.where} sets {name}={one.value}: "
                    "remove it there, or declare the same value"
                )
    yield from _loading_undone(host, demand, wishes, records)


def _loading_undone(host: Host, demand: Demand, wishes: list[Wish], records: dict[tuple[str, str], Record]) -> Iterator[Problem]:
    module, owners = demand.module, {wish.owner for wish in wishes}
    others = [one for one in records.values() if one.module == module and one.owner not in owners]
    install = host.foreign.install(module)
    if demand.state == LOADED:
        for where in host.foreign.forbidden(module) + (host.foreign.blacklisted(module) if demand.at_boot else []):
            yield Problem((BLACKLIST, module, where), f"module {module} is to be loaded, and {where} blacklists it: remove it there, or say state: disabled")
        if install is not None:
            yield Problem(
                (INSTALL, module, LOADED, install.where),
                f"module {module} is to be loaded, and {install.where} runs {install.rest.strip()!r} instead: "
                "remove it there, or say state: disabled"
            )
        for one in others:
            if one.disabled:
                yield Problem((OWNER, module, LOADED, one.owner), f"module {module} is to be loaded, and {one.owner} has disabled it in {host.modprobe_path}")
    elif demand.state == DISABLED:
        if install is not None and not modprobe.does_nothing(install):
            yield Problem(
                (INSTALL, module, DISABLED, install.where),
                f"module {module} is to be disabled, and {install.where} runs {install.rest.strip()!r} to load it: "
                "remove it there"
            )
        for one in others:
            if one.load:
                yield Problem((OWNER, module, DISABLED, one.owner), f"module {module} is to be disabled, and {one.owner} loads it at boot in {host.load_path}")
    elif demand.state == UNLOADED and demand.at_boot and module in host.foreign.loads:
        yield Problem(
            (LOADS, module, host.foreign.loads[module]),
            f"module {module} is to be unloaded, and {host.foreign.loads[module]} loads it at every boot: "
            "remove it there, or say state: disabled"
        )


def _needed(host: Host, demands: list[Demand], records: dict[tuple[str, str], Record]) -> Iterator[Problem]:
    """Problems of modules that are to be loaded and depend on a module that is not to be loaded."""
    leaving = {one.module: f"is to be {one.state}" for one in demands if one.state in (UNLOADED, DISABLED)}
    barred = {one.module: f"is disabled in {host.modprobe_path}" for one in records.values() if one.disabled}
    for one in demands:
        if one.state != LOADED or one.kind == kmod.BUILTIN:
            continue
        for module in host.modules.dependencies(one.module):
            install = host.foreign.install(module)
            why = leaving.get(module) or barred.get(module)
            if why is None and install is not None and modprobe.does_nothing(install):
                why = f"is disabled in {install.where}"
            if why:
                yield Problem((NEEDS, one.module, module), f"module {one.module} is to be loaded, and needs module {module}, which {why}")


def _drop_second_truths(host: Host, demand: Demand, records: dict[tuple[str, str], Record]) -> None:
    """Remove from our records what another file already says, so that each setting is in one place."""
    for key, one in list(records.items()):
        if one.module != demand.module:
            continue
        options = tuple(pair for pair in one.options if pair[0] not in demand.elsewhere)
        installed = host.foreign.install(one.module)
        twice = installed is not None and modprobe.does_nothing(installed) and host.foreign.blacklisted(one.module)
        records[key] = replace(
            one, options=options, load=one.load and one.module not in host.foreign.sure, disabled=one.disabled and not twice
        )


def _softdep_problems(host: Host, wishes: list[Wish], records: dict[tuple[str, str], Record]) -> Iterator[Problem]:
    """modprobe reads only the first softdep line of a module (source: libkmod kmod_module_get_softdeps)."""
    for wish in wishes:
        for native in wish.before:
            first = host.foreign.softdep(native)
            if first is None:
                continue
            before, after = modprobe.soft_dependencies(first.rest)
            key = (wish.owner, wish.module)
            if wish.module in before:
                records[key] = replace(
                    records[key], before=tuple(one for one in records[key].before if one != native)
                )
                continue
            line = f"softdep {native} pre: {' '.join([wish.module] + before)}"
            if after:
                line += f" post: {' '.join(after)}"
            yield Problem(
                (SOFTDEP, wish.where, native),
                f"{wish.where}: before: {first.where} already has a soft dependency of {native}, and modprobe reads "
                f"only one: make it '{line}', in a file of /etc/modprobe.d whose name sorts before that one"
            )


__all__ = ("Demand", "Problem", "is_met_visibly", "kind_of", "merge")
