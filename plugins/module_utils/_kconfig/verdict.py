# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Whether a declared Kconfig symbol is met, by what, and what would meet it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._kconfig import state as kconfig
from ansible_collections.vfio.host.plugins.module_utils._kconfig import table
from ansible_collections.vfio.host.plugins.module_utils._kernel import kmod
from ansible_collections.vfio.host.plugins.module_utils._kernel.modprobe import split_options
from ansible_collections.vfio.host.plugins.module_utils._kernel.parameters import same
from ansible_collections.vfio.host.plugins.module_utils._modules import records, spec

if TYPE_CHECKING:
    from typing import Iterable, Mapping

    from ansible_collections.vfio.host.plugins.module_utils._kernel.parameters import Parameter

CONFIG, MODULE, OPTION, CMDLINE = "config", "module", "option", "cmdline"


@dataclass(frozen=True)
class Verdict:
    """One symbol. ``value`` and ``source``: as of kconfig.Value. ``by``: CONFIG, MODULE, OPTION or CMDLINE; None where it is unmet.

    ``wishes``: module states and options that it needs. ``args``: name -> value of kernel arguments that would meet it.
    """

    symbol: str
    wanted: tuple[str, ...]
    value: str
    source: str | None
    met: bool
    by: str | None = None
    reason: str = ""
    wishes: tuple[spec.Wish, ...] = ()
    args: dict[str, str] = field(default_factory=dict)

    def facts(self) -> dict[str, object]:
        """The verdict as a task returns it, ready for JSON."""
        return {
            "wanted": list(self.wanted), "value": self.value, "source": self.source, "met": self.met,
            "by": self.by if self.met else None, "reason": self.reason,
        }


@dataclass(frozen=True)
class Kernel:
    """What verdicts are made of. ``command_line``: of the running kernel; ``parameters``: of the modules that asks() names, None where
    nothing tells them.
    """

    config: kconfig.Config
    modules: kmod.Modules
    command_line: str
    parameters: Mapping[str, Mapping[str, Parameter] | None] = field(default_factory=dict)


def asks(symbol: str, wanted: tuple[str, ...], *, kernel: Kernel) -> set[str]:
    """The modules whose parameters judge() asks for."""
    found = set()
    for name in table.BECAME.get(symbol) or (symbol,):
        row, value = table.row(name), kernel.config.value(name)
        if row.off and _is_by_option(row, value, wanted, kernel.config) and kernel.modules.kind(row.off[0]) != kmod.ABSENT:
            found.add(row.off[0])
    return found


def _is_by_option(row: table.Row, value: kconfig.Value, wanted: tuple[str, ...], config: kconfig.Config) -> bool:
    """Whether a module's option decides, and neither the configuration, the command line nor a whole module."""
    if row.yes or row.no or value.value in wanted or value.is_below or (row.module and not config.elsewhere(row)):
        return False
    return row.off is not None and "n" in wanted


def judge(symbol: str, wanted: tuple[str, ...], *, kernel: Kernel) -> Verdict:
    """The Verdict of a symbol on the assumption that each of its wishes will be met."""
    names = table.BECAME.get(symbol)
    if names is None:
        return _judge_one(symbol, wanted, kernel)
    parts = [_judge_one(name, wanted, kernel) for name in names]
    values = {one.value for one in parts}
    return Verdict(
        symbol, wanted, values.pop() if len(values) == 1 else ", ".join(f"{one.symbol}={one.value}" for one in parts),
        parts[0].source, all(one.met for one in parts),
        next((one.by for one in parts if one.by not in (None, CONFIG)), parts[0].by),
        f"it became {' and '.join(names)}: " + "; ".join(f"{one.symbol}={one.value}: {one.reason}" for one in parts),
        tuple(wish for one in parts for wish in one.wishes),
        {key: arg for one in parts for key, arg in one.args.items()},
    )


def arguments_of(symbol: str) -> set[str]:
    """The names of kernel arguments that decide a symbol."""
    rows = [table.row(name) for name in table.BECAME.get(symbol) or (symbol,)]
    return {switch.key for row in rows for switch in (*row.yes, *row.no)}


def _judge_one(symbol: str, wanted: tuple[str, ...], kernel: Kernel) -> Verdict:
    config, modules = kernel.config, kernel.modules
    row, value = table.row(symbol), config.value(symbol)
    where = f"{symbol}: {'/'.join(wanted)}"
    base = Verdict(symbol, wanted, value.value, value.source, False, reason=_said(value))
    if row.yes or row.no:
        return _by_command_line(base, config, kernel.command_line, row)
    if value.value in wanted:
        state = spec.ENABLED if "y" in wanted else spec.CLEAR
        return replace(base, met=True, by=CONFIG, wishes=_as_built(row, where, value.value, modules, state))
    if value.is_below:
        return base
    if row.module and not config.elsewhere(row):
        return _by_module(base, modules, row.module, where)
    if row.off and _is_by_option(row, value, wanted, config):
        return _by_option(base, kernel, row.off, where)
    if config.elsewhere(row) or row.gone:
        return base
    return replace(base, reason=_hopeless(base))


def _hopeless(base: Verdict) -> str:
    if base.value == kconfig.UNKNOWN:
        return f"{base.reason}: provide it, for example as /boot/config-RELEASE"
    return f"{base.reason}; only a kernel with {_spelled(base.symbol, base.wanted)} would meet it"


def _said(value: kconfig.Value) -> str:
    text = f"it is {value.value} in {value.source}" if value.source else f"it is {kconfig.UNKNOWN}"
    return f"{text}: {value.note}" if value.note else text


def _spelled(symbol: str, wanted: tuple[str, ...]) -> str:
    return " or ".join(
        f"'# CONFIG_{symbol} is not set'" if value == "n" else f"CONFIG_{symbol}={value}" for value in wanted
    )


def _patch(module: str, where: str, state: str | None, options: dict[str, str] | None = None, implied: Iterable[str] = ()) -> spec.Wish:
    return spec.Wish(
        records.KERNEL_CONFIG, module, where, state, options or {}, implied=frozenset(implied), patch=True
    )


def _as_built(row: table.Row, where: str, value: str, modules: kmod.Modules, state: str) -> tuple[spec.Wish, ...]:
    """The wishes for a symbol that the configuration meets: they take back what earlier tasks set against it."""
    wishes = []
    if row.module and value == "m" and modules.kind(row.module) == kmod.LOADABLE:
        wishes.append(_patch(row.module, where, state))
    for module, name, option_value in ([row.on] if row.on else []):
        if value != "n" and modules.kind(module) != kmod.ABSENT:
            wishes.append(_patch(module, where, None, {name: option_value}, (name,)))
    if row.off and not row.on and value != "n" and modules.kind(row.off[0]) != kmod.ABSENT:
        wishes.append(_patch(row.off[0], where, None, implied=(row.off[1],)))
    return tuple(wishes)


def _by_module(base: Verdict, modules: kmod.Modules, module: str, where: str) -> Verdict:
    symbol, wanted, state = base.symbol, base.wanted, modules.kind(module)
    if base.value in ("m", kconfig.UNKNOWN) and state == kmod.LOADABLE:
        for value, wanted_state, how in (
            ("y", spec.LOADED, "is loaded at boot"), ("n", spec.DISABLED, "is disabled"),
        ):
            if value in wanted:
                return replace(
                    base, met=True, by=MODULE, reason=f"{base.reason}; module {module} {how}",
                    wishes=(_patch(module, where, wanted_state),),
                )
    if base.value in ("m", kconfig.UNKNOWN) and "n" in wanted and state == kmod.ABSENT:
        return replace(
            base, met=True, by=MODULE,
            reason=f"{base.reason}; this host has no module {module}, neither built in nor as a file",
        )
    if base.value == "m" and "y" in wanted:
        return replace(
            base,
            reason=f"{base.reason}; the file of module {module} is not installed: install the package that has it",
        )
    if base.value == "y" and "n" in wanted:
        return replace(
            base, reason=f"{base.reason}; module {module} is built in and cannot be disabled: "
            f"only a kernel with {_spelled(symbol, wanted)} would meet it",
        )
    return replace(base, reason=_hopeless(base))


def _by_option(base: Verdict, kernel: Kernel, off: tuple[str, str, str], where: str) -> Verdict:
    module, name, value = off
    if kernel.modules.kind(module) == kmod.ABSENT:
        return replace(
            base, met=True, by=MODULE,
            reason=f"{base.reason}; this kernel has no module {module}, which it is a part of",
        )
    known = kernel.parameters[module]
    if known is not None and name not in known:
        return replace(
            base, met=True, by=MODULE,
            reason=f"{base.reason}; module {module} has no option {name}, which it has only where this is y",
        )
    return replace(
        base, met=True, by=OPTION, reason=f"{base.reason}; {module}.{name} is {value}",
        wishes=(_patch(module, where, None, {name: value}),),
    )


def _by_command_line(base: Verdict, config: kconfig.Config, command_line: str, row: table.Row) -> Verdict:
    elsewhere = config.elsewhere(row)
    if elsewhere:
        met = "n" in base.wanted
        return replace(base, value="n", met=met, by=CONFIG if met else None, reason=elsewhere)
    said = _last_switch(command_line, row, config.architecture)
    offers = not row.built or base.value == "y"
    now = said[0] if said and (offers or said[0] == "n") else base.value
    if now in base.wanted:
        by, reason = (CMDLINE, f"{base.reason}; the command line has {said[1]}") if said else (CONFIG, base.reason)
        return replace(base, met=True, by=CONFIG if base.value == now else by, reason=reason)
    if said and base.value in base.wanted and not _switches(row, base.value):
        return replace(base, reason=f"{base.reason}; the command line has {said[1]}: remove it there")
    for value in base.wanted:
        switch = _proposed(_switches(row, value) if offers or value == "n" else (), config.architecture)
        if switch is not None:
            but = f"the command line has {said[1]}" if said else "the command line does not say otherwise"
            return replace(
                base, reason=f"{base.reason}; {but}: {switch} on the kernel command line would meet it",
                args={switch.key: switch.value},
            )
    return replace(base, reason=_hopeless(base))


def _switches(row: table.Row, value: str) -> tuple[table.Switch, ...]:
    return {"y": row.yes, "n": row.no}.get(value, ())


def _proposed(switches: Iterable[table.Switch], architecture: str | None) -> table.Switch | None:
    """The generic argument; on x86 iommu=, which is the usual spelling there. None without arguments."""
    in_order = [switch for switch in switches if not switch.only or architecture in switch.only]
    if architecture == table.X86:
        in_order = sorted(in_order, key=lambda switch: switch.key != "iommu")
    return in_order[0] if in_order else None


def _last_switch(command_line: str, row: table.Row, architecture: str | None) -> tuple[str, str] | None:
    """('y' or 'n', the argument) of the last argument that decides the symbol on an architecture, since later ones win; None where
    no argument does.
    """
    last = None
    for name, value in split_options(command_line):
        for word in (value or "").split(","):
            for answer, switches in (("y", row.yes), ("n", row.no)):
                known = [switch for switch in switches if switch.is_named(name) and (not switch.only or architecture in switch.only)]
                if any(same(word, switch.value, kind=_kind(switch)) for switch in known):
                    last = (answer, f"{name}={value}")
    return last


def _kind(switch: table.Switch) -> str:
    return "bool" if switch.value in ("0", "1") else ""


__all__ = ("CMDLINE", "CONFIG", "MODULE", "Kernel", "OPTION", "Verdict", "asks", "judge")
