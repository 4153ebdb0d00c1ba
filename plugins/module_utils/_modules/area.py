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
from ansible_collections.vfio.host.plugins.module_utils._kconfig.spec import parse_wanted
from ansible_collections.vfio.host.plugins.module_utils._kconfig.state import Config
from ansible_collections.vfio.host.plugins.module_utils._kconfig.verdict import CMDLINE, Kernel, arguments_of, asks, judge
from ansible_collections.vfio.host.plugins.module_utils._kernel.control import ModuleControl
from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import ABSENT as ABSENT_MODULE
from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import Modules, read_configuration
from ansible_collections.vfio.host.plugins.module_utils._modules import hidden_options, records, report
from ansible_collections.vfio.host.plugins.module_utils._modules import plan as planning
from ansible_collections.vfio.host.plugins.module_utils._modules.conflicts import is_met_visibly
from ansible_collections.vfio.host.plugins.module_utils._modules.spec import ABSENT, CLEAR, DISABLED, ENABLED, UNLOADED, parse_wishes
from ansible_collections.vfio.host.plugins.module_utils._modules.state import Host

if TYPE_CHECKING:
    from typing import Callable, Dict, List, Tuple

    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
    from ansible_collections.vfio.host.plugins.module_utils._kconfig.verdict import Verdict
    from ansible_collections.vfio.host.plugins.module_utils._kernel.control import Users
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
    """The host as it is, as far as a request is about it: ``host`` for the modules; ``wishes``: of the declared modules; ``verdicts``:
    of the symbols, if the plan meets their wishes; ``needed``: the Needs, where a module is to leave the kernel.
    """

    host: Host
    wishes: list[Wish]
    verdicts: list[Verdict]
    needed: Needs


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
        """Path -> new text (None: it is removed) of each file that will change."""
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

    ``needed``: called with ``fs``, where a module is to leave the kernel, gives State.needed.
    """

    def __init__(self, fs: Sysfs, files: Files, needed: Callable[[Sysfs], Needs]) -> None:
        self._fs = fs
        self._files = files
        self._needed = needed
        self._control = ModuleControl(fs)

    def read(self, request: Request) -> State:
        """The host as it is now, as far as a request is about it. Raises InputError."""
        host = self._scan()
        wishes, wanted = _parse(request, _declared(host, request))
        verdicts = self._judged(host, wanted)
        concerned = wishes + [wish for one in verdicts for wish in one.wishes]
        leaving = [wish.module for wish in concerned if wish.state in (UNLOADED, DISABLED) and host.modules.is_loaded(wish.module)]
        host = replace(host, users=self._users([wish.module for wish in concerned], leaving, host.modules))
        return State(self._with_options(host, concerned), wishes, verdicts, self._needed(self._fs) if leaving else {})

    def _judged(self, host: Host, wanted: dict[str, tuple[str, ...]]) -> list[Verdict]:
        """The verdicts on the symbols ``wanted``; without any, the kernel's configuration is not read."""
        if not wanted:
            return []
        kernel = Kernel(Config(self._fs, host.modules), host.modules, self._fs.read(f"{self._fs.proc}/cmdline") or "")
        asked = {module for symbol, values in wanted.items() for module in asks(symbol, values, kernel=kernel)}
        kernel = replace(kernel, parameters={module: self._control.parameters(module, known=host.modules) for module in asked})
        return [judge(symbol, values, kernel=kernel) for symbol, values in wanted.items()]

    def _users(self, named: list[str], leaving: list[str], modules: Modules) -> dict[str, Users]:
        """The Users of the loaded modules ``named``, and of all that depend on one of ``leaving``."""
        found = {name: self._control.users(name) for name in named if modules.is_loaded(name)}
        new = set(leaving)
        while new:
            found.update({name: self._control.users(name) for name in new - set(found)})
            new = {holder for name in new for holder in found[name].holders} - set(found)
        return found

    def _with_options(self, host: Host, wishes: list[Wish]) -> Host:
        """The host with the options that wishes name. modinfo runs only for a module of which one is not to be seen as it shall be."""
        shown: dict[tuple[str, str], tuple[str, bool]] = {}
        for module, option in {(wish.module, option) for wish in wishes for option in wish.options}:
            value, is_writable = self._control.live(module, option)
            if value is not None:
                shown[module, option] = value, is_writable
        host = replace(host, shown=shown)
        hidden = {wish.module for wish in wishes if not is_met_visibly(host, wish) and host.modules.kind(wish.module) != ABSENT_MODULE}
        return replace(host, parameters={module: self._control.parameters(module, known=host.modules) for module in hidden})

    def _scan(self) -> Host:
        """The host, whatever is asked of it."""
        require_root(self._fs)
        modules = Modules(self._fs)
        paths = self._files.modprobe_conf, self._files.modules_load_conf
        texts = {path: self._files.read(path) for path in paths}
        kept = self._files.read(self._files.module_options)
        hidden_options.check(kept, self._files.module_options)
        remembered = hidden_options.parse(kept)
        return Host(
            modules=modules, release=self._fs.kernel, foreign=read_configuration(self._fs, paths), texts=texts,
            records=records.parse_records(texts[paths[0]], texts[paths[1]], modprobe_path=paths[0], load_path=paths[1]),
            modprobe_path=paths[0], load_path=paths[1],
            remembered={
                module: options for module, (instance, options) in remembered.items()
                if instance == self._control.instance(module)
            },
        )

    def plan(self, state: State, request: Request) -> KernelPlan:
        """The plan for the request that the state was read for; nothing is touched. Raises PlanError."""
        wishes = state.wishes
        problems = planning.problems(state.host, wishes, now=request.now)
        verdicts = [_met(state, one, request, wishes if request.enforce else [], problems) for one in state.verdicts]
        unmet = _sentences([one for one in verdicts if not one.met]) if request.enforce else []
        if request.enforce:
            wishes = wishes + [wish for one in verdicts if one.met for wish in one.wishes]
        guarded = _guarded(state, wishes, request.force)
        if unmet or guarded:
            raise PlanError(*(unmet + guarded + [one.text for one in problems]))
        left = _left(state, request, wishes)
        if request.undeclared == RELEASE:
            wishes = parse_wishes([{"name": name, "state": ABSENT} for name in left]) + wishes
        modules = planning.make_plan(state.host, wishes, now=request.now)
        args = {key: value for one in verdicts for key, value in one.args.items()}
        return KernelPlan(
            modules, verdicts, request, cmdline_args=dict(args, **modules.cmdline_args),
            undeclared=_reports(left, state) if request.undeclared == REPORT else [],
        )

    def apply(self, made: KernelPlan, journal: Journal) -> KernelPlan:
        """Carry the plan out and return it. Raises ApplyError."""
        from ansible_collections.vfio.host.plugins.module_utils._modules.apply import Applier
        Applier(self._files, self._control).apply(made.modules, journal)
        return made


def _met(state: State, verdict: Verdict, request: Request, others: list[Wish], problems: list[planning.Problem]) -> Verdict:
    """The verdict after a look at its wishes: whether the plan can meet them, or without ``enforce`` whether the host meets them now.

    ``others``: wishes of the same call; ``problems``: what is wrong with these by themselves.
    """
    if verdict.args and request.carries_args and request.enforce:
        return replace(verdict, met=True, by=CMDLINE)
    wishes = others + _asked(verdict, request.enforce)
    all_problems = planning.problems(state.host, wishes, now=request.now)
    if all_problems:
        known = {one.key for one in problems}
        own = [one.text for one in all_problems if one.key not in known]
        return replace(verdict, met=False, reason=f"{verdict.reason}, but: {'; '.join(own)}") if own else verdict
    made = planning.make_plan(state.host, wishes, now=request.now)
    if verdict.met and not request.enforce and (made.changed or made.reboot_reasons):
        return replace(verdict, met=False, reason=f"{verdict.reason}: not so now, enforce: true would make it so")
    mine = {wish.module for wish in verdict.wishes}
    reasons = [reason for one in made.modules if one.demand.module in mine for reason in one.reasons]
    return replace(verdict, reason="; ".join([verdict.reason] + reasons))


def _guarded(state: State, wishes: list[Wish], force: tuple[str, ...]) -> list[str]:
    """A sentence for each module that must stay although it is to be unloaded or disabled: its driver has a device that the host needs."""
    host = state.host
    leaving = [wish for wish in wishes if wish.state in (UNLOADED, DISABLED) and host.modules.is_loaded(wish.module)]
    messages = []
    for wish in leaving:
        reasons: dict[tuple[str, str, str], list[str]] = {}
        for module in _with_users(host, wish.module):
            for kind, device, reason in state.needed.get(module, ()):
                if kind not in wish.force and kind not in force:
                    reasons.setdefault((kind, module, device), []).append(reason)
        for (kind, module, device), some in reasons.items():
            who = "its" if module == wish.module else f"module {module} needs it, whose"
            messages.append(
                f"module {wish.module} is needed by this host: {who} driver has {device}: {' and '.join(some)}; to give it up all the same, "
                f"{how_to_force(kind, wish.where, variable='passthrough_modules')}"
            )
    return messages


def _with_users(host: Host, module: str) -> list[str]:
    """The sorted names of a module and of all loaded modules that depend on it."""
    users: set[str] = set()
    new = {module}
    while new:
        users |= new
        new = {holder for name in new for holder in host.users[name].holders} - users
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


def _declared(host: Host, request: Request) -> object:
    """The user's list of modules. To take back: an entry with state absent for each module in it, or in our files."""
    if request.present:
        return request.modules or []
    if request.modules is None:
        return [{"name": name, "state": ABSENT} for name in sorted({one.module for one in host.records})]
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
        wanted = parse_wanted(request.config or {}, request.config_key)
    except InputError as error:
        problems += error.messages
    absent = [one for one in wishes if one.state != ABSENT and not (one.at_boot or request.now)]
    problems += [f"{one.where}: now and at_boot are both false, so there is nothing to do" for one in absent]
    if problems:
        raise InputError(*problems)
    return wishes, wanted


__all__ = ("KernelArea", "KernelPlan", "Request", "State")
