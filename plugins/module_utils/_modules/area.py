# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The area of kernel modules and kernel configuration: one area, since both write the same two files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._core.area import require_root
from ansible_collections.vfio.host.plugins.module_utils._core.force import how_to_force
from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import MOVES, RELEASE, REPORT, remedy
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError, PlanError
from ansible_collections.vfio.host.plugins.module_utils._kconfig.state import Config, parse_wanted
from ansible_collections.vfio.host.plugins.module_utils._kconfig.verdict import CMDLINE, arguments_of, judge
from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import Modules
from ansible_collections.vfio.host.plugins.module_utils._modules import hidden_options, records, report
from ansible_collections.vfio.host.plugins.module_utils._modules import plan as planning
from ansible_collections.vfio.host.plugins.module_utils._modules.spec import ABSENT, CLEAR, DISABLED, ENABLED, UNLOADED, parse_wishes
from ansible_collections.vfio.host.plugins.module_utils._modules.state import Host

if TYPE_CHECKING:
    from typing import Callable, Dict, List, Tuple

    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
    from ansible_collections.vfio.host.plugins.module_utils._kconfig.verdict import Verdict
    from ansible_collections.vfio.host.plugins.module_utils._modules.spec import Wish

    # Module -> (guard, device, reason) of each device that the host needs and that the module's driver has.
    Needs = Dict[str, List[Tuple[str, str, str]]]


@dataclass(frozen=True)
class Request:
    """What a task asks for. ``modules``: the user's list. ``config``: the user's symbols to values. None: the task has no such option.

    ``present`` False: nothing of ours is to be left about ``modules``, of which the names count; None: about any module.
    ``carries_args``: somebody puts ``cmdline_args`` of the plan on the kernel command line, so that what waits for them
    is not unmet. ``config_key``: the result's key for the symbols; ``force``: what the host needs modules for and gives up.
    ``undeclared``: what is done about modules of ours that nothing of what is asked for names, of CHOICES, where a whole host is
    declared; None: nothing.
    """

    modules: list[object] | None = None
    config: dict[object, object] | None = None
    present: bool = True
    enforce: bool = True
    now: bool = True
    carries_args: bool = False
    force: tuple[str, ...] = ()
    config_key: str = "options"
    undeclared: str | None = None

    @property
    def owners(self) -> set[str]:
        """The owners of records that the task declares all modules of."""
        asked = {records.KERNEL_MODULE: self.modules, records.KERNEL_CONFIG: self.config}
        return {owner for owner, declared in asked.items() if declared is not None}


@dataclass(frozen=True)
class State:
    """The host as it is: ``host`` for the modules, ``config`` for the symbols; ``needed``: gives
    the Needs.
    """

    host: Host
    config: Config
    command_line: str
    needed: Callable[[], Needs]


@dataclass(frozen=True)
class KernelPlan:
    """One plan for modules and symbols."""

    modules: planning.ModulesPlan
    verdicts: list[Verdict]
    request: Request
    cmdline_args: dict[str, str] = field(default_factory=dict)
    undeclared: list[dict[str, str]] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether applying it changes anything."""
        return self.modules.changed

    def changed_files(self) -> dict[str, str | None]:
        """Path -> text or None in the end, for each file that ends otherwise than it is."""
        return self.modules.files

    @property
    def diff(self) -> list[dict[str, str]]:
        """Modules and files, before and after, as Ansible shows them."""
        return report.diff(self.modules)

    @property
    def reboot_reasons(self) -> list[str]:
        """One sentence for each thing that waits for the next boot."""
        waiting = [
            f"{one.symbol} is met by the kernel argument {key}={value} from the next boot on"
            for one in self.verdicts if one.met for key, value in one.args.items()
        ]
        return self.modules.reboot_reasons + waiting

    @property
    def warnings(self) -> list[str]:
        """Sentences about what nobody declares, and about arguments for built-in modules that nothing in this run writes."""
        reported = [one["reason"] for one in self.undeclared]
        if self.request.carries_args:
            return reported
        return reported + [
            f"{name}={value}: the module is built into the kernel, so the option has to be on the kernel command line "
            "for the next boots (vfio.host.kernel_cmdline)"
            for name, value in self.modules.cmdline_args.items()
        ]

    @property
    def arguments_meant(self) -> set[str]:
        """The names of all kernel arguments that a declared module option or symbol may need."""
        arguments = {f"{one.demand.module}.{option}" for one in self.modules.modules for option in one.demand.options}
        return arguments.union(*(arguments_of(one.symbol) for one in self.verdicts))

    def result(self) -> dict[str, object]:
        """The area's own part of a task's result."""
        result: dict[str, object] = {"cmdline_args": self.cmdline_args, "modules": report.modules(self.modules)}
        if self.request.config is not None:
            result[self.request.config_key] = {one.symbol: one.facts() for one in self.verdicts}
        return result


class KernelArea:
    """Modules and configuration of one host's kernel, through ``fs`` (the kernel's files) and ``files``.

    ``needed``: called with ``fs``, where a module is to leave the kernel, gives what State.needed gives.
    """

    def __init__(self, fs: Sysfs, files: Files, needed: Callable[[Sysfs], Needs]) -> None:
        self._fs = fs
        self._files = files
        self._needed = needed

    def read(self) -> State:
        """The host as it is now."""
        require_root(self._fs)
        modules = Modules(self._fs)
        paths = self._files.modprobe_conf, self._files.modules_load_conf
        texts = {path: self._files.read(path) for path in paths}
        kept = self._files.read(self._files.module_options)
        hidden_options.check(kept, self._files.module_options)
        remembered = hidden_options.parse(kept)
        host = Host(
            modules=modules, release=self._fs.kernel, foreign=modules.configuration(paths), texts=texts,
            records=records.parse_records(texts[paths[0]], texts[paths[1]], modprobe_path=paths[0], load_path=paths[1]),
            modprobe_path=paths[0], load_path=paths[1],
            remembered={
                module: options for module, (instance, options) in remembered.items()
                if instance == modules.instance(module)
            },
        )
        return State(
            host, Config(self._fs, modules), self._fs.read(f"{self._fs.proc}/cmdline") or "", lambda: self._needed(self._fs)
        )

    def plan(self, state: State, request: Request) -> KernelPlan:
        """The plan for a Request; nothing is touched. Raises InputError, PlanError."""
        wishes, wanted = _parse(request, _declared(state, request))
        problems = _problems(state, wishes, request)
        verdicts = [
            self._settled(
                state, judge(
                    symbol, values, config=state.config, modules=state.host.modules, command_line=state.command_line,
                ), request,
                wishes if request.enforce else [], problems,
            )
            for symbol, values in wanted.items()
        ]
        unmet = _sentences([one for one in verdicts if not one.met]) if request.enforce else []
        if request.enforce:
            wishes = wishes + [wish for one in verdicts if one.met for wish in one.wishes]
        guarded = _guarded(state, wishes, request.force)
        if unmet or guarded:
            raise PlanError(*(unmet + guarded + problems))
        left = _left(state, request, wishes)
        if request.undeclared == RELEASE:
            wishes = parse_wishes([{"name": name, "state": ABSENT} for name in left]) + wishes
        modules = planning.make_plan(state.host, wishes, now=request.now)
        args = {key: value for one in verdicts for key, value in one.args.items()}
        return KernelPlan(
            modules, verdicts, request, cmdline_args=dict(args, **modules.cmdline_args),
            undeclared=_reports(left, state) if request.undeclared == REPORT else [],
        )

    def _settled(self, state: State, verdict: Verdict, request: Request, others: list[Wish], problems: list[str]) -> Verdict:
        """The verdict after a look at its wishes: whether the plan can meet them, or without ``enforce`` whether the host meets them now.

        ``others``: wishes of the same call; ``problems``: what is wrong with these by themselves.
        """
        if verdict.args and request.carries_args and request.enforce:
            return replace(verdict, met=True, by=CMDLINE)
        try:
            made = planning.make_plan(state.host, others + _asked(verdict, request.enforce), now=request.now)
        except PlanError as error:
            own = [message for message in error.messages if message not in problems]
            return replace(verdict, met=False, reason=f"{verdict.reason}, but: {'; '.join(own)}") if own else verdict
        if verdict.met and not request.enforce and (made.changed or made.reboot_reasons):
            return replace(verdict, met=False, reason=f"{verdict.reason}: not so now, enforce: true would make it so")
        mine = {wish.module for wish in verdict.wishes}
        reasons = [reason for one in made.modules if one.demand.module in mine for reason in one.reasons]
        return replace(verdict, reason="; ".join([verdict.reason] + reasons))

    def apply(self, made: KernelPlan, journal: Journal) -> KernelPlan:
        """Carry the plan out and return it. Raises ApplyError."""
        from ansible_collections.vfio.host.plugins.module_utils._modules.apply import Applier
        Applier(self._files, Modules(self._fs)).apply(made.modules, journal)
        return made


def _guarded(state: State, wishes: list[Wish], force: tuple[str, ...]) -> list[str]:
    """A sentence for each module that must stay although it is to be unloaded or disabled: its driver has a device that the host needs."""
    modules = state.host.modules
    leaving = [wish for wish in wishes if wish.state in (UNLOADED, DISABLED) and modules.is_loaded(wish.module)]
    needed = state.needed() if leaving else {}
    messages = []
    for wish in leaving:
        reasons: dict[tuple[str, str, str], list[str]] = {}
        for module in _with_users(modules, wish.module):
            for kind, device, reason in needed.get(module, ()):
                if kind not in wish.force and kind not in force:
                    reasons.setdefault((kind, module, device), []).append(reason)
        for (kind, module, device), some in reasons.items():
            who = "its" if module == wish.module else f"module {module} needs it, whose"
            messages.append(
                f"module {wish.module} is needed by this host: {who} driver has {device}: {' and '.join(some)}; to give it up all the same, "
                f"{how_to_force(kind, wish.where, variable='passthrough_modules')}"
            )
    return messages


def _with_users(modules: Modules, module: str) -> list[str]:
    """The sorted names of a module and of all loaded modules that depend on it."""
    users: set[str] = set()
    new = {module}
    while new:
        users |= new
        new = {holder for name in new for holder in modules.users(name).holders} - users
    return sorted(users)


def _sentences(unmet: list[Verdict]) -> list[str]:
    """The reasons of unmet verdicts: one sentence for all verdicts with the same reason."""
    by_reason: dict[str, list[str]] = {}
    for one in unmet:
        by_reason.setdefault(one.reason, []).append(f"{one.symbol}: wanted {' or '.join(one.wanted)}")
    return [f"{', '.join(symbols)}: {reason}" for reason, symbols in by_reason.items()]


def _left(state: State, request: Request, wishes: list[Wish]) -> list[str]:
    """The names of modules that have records, only of owners that the task declares, and that no wish names."""
    if not request.present or request.undeclared not in MOVES:
        return []
    owners: dict[str, set[str]] = {}
    for record in state.host.records:
        owners.setdefault(record.module, set()).add(record.owner)
    named = {wish.module for wish in wishes}
    return sorted(module for module, some in owners.items() if module not in named and some <= request.owners)


def _reports(left: list[str], state: State) -> list[dict[str, str]]:
    """A mapping for each module that nobody declares any more."""
    return [
        {"kind": "module", "name": module, "reason": (
            f"module {module} has lines in {state.host.modprobe_path} or {state.host.load_path} and nobody declares it: "
            + remedy("passthrough_modules or passthrough_kernel_config")
        )}
        for module in left
    ]


def _asked(verdict: Verdict, enforce: bool) -> list[Wish]:
    """The wishes of a verdict. Without ``enforce``, a line of ours that is no longer needed does not make a symbol unmet."""
    return [
        replace(one, state=ENABLED) if one.state == CLEAR and not enforce else one for one in verdict.wishes
    ]


def _problems(state: State, wishes: list[Wish], request: Request) -> list[str]:
    """The problems of the declared modules alone, without those of symbols."""
    try:
        planning.make_plan(state.host, wishes, now=request.now)
    except PlanError as error:
        return error.messages
    return []


def _declared(state: State, request: Request) -> object:
    """The user's list of modules. To take back: an entry with state absent for each module in it, or in our files."""
    if request.present:
        return request.modules or []
    if request.modules is None:
        return [{"name": name, "state": ABSENT} for name in sorted({one.module for one in state.host.records})]
    return [{"name": one.get("name"), "state": ABSENT} if isinstance(one, dict) else one for one in request.modules]


def _parse(request: Request, declared: object) -> tuple[list[Wish], dict[str, tuple[str, ...]]]:
    problems: list[str] = []
    wishes: list[Wish] = []
    wanted: dict[str, tuple[str, ...]] = {}
    try:
        wishes = parse_wishes(declared)
    except InputError as error:
        problems += error.messages
    try:
        wanted = parse_wanted(request.config or {})
    except InputError as error:
        problems += error.messages
    absent = [one for one in wishes if one.state != ABSENT and not (one.at_boot or request.now)]
    problems += [f"{one.where}: now and at_boot are both false, so there is nothing to do" for one in absent]
    if problems:
        raise InputError(*problems)
    return wishes, wanted


__all__ = ("KernelArea", "KernelPlan", "Request", "State")
