# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From what is asked and the boot loader's state to a plan, or every reason why not. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import LOADERS_OWN, normalize, parse, parse_wishes
from ansible_collections.vfio.host.plugins.module_utils._cmdline.goal import Goal
from ansible_collections.vfio.host.plugins.module_utils._cmdline.iommu_arguments import TURNED_ON
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.boot import Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._cmdline.records import Record, parse_record, refuse_newer
from ansible_collections.vfio.host.plugins.module_utils._core.diff import piece
from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import MOVES, RELEASE, REPORT, remedy
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

if TYPE_CHECKING:
    from typing import Any, Collection, Iterable, Mapping

    from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import Line, Wish
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.registry import AnyBackend
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.records import Edited

MET, PENDING = "met", "pending"

# COMMAND_LINE_SIZE, with the byte that ends the text (source: linux arch/x86/include/asm/setup.h, asm/setup.h below
# arch/arm64/include/uapi and arch/powerpc/include/uapi, the default in arch/s390/Kconfig).
_SIZES = {"x86_64": 2048, "aarch64": 2048, "ppc64le": 2048, "s390x": 4096}


@dataclass(frozen=True)
class Request:
    """What a task asks for: ``arguments``, name -> value, null or list, to be there or, not ``present``, to go.

    ``drop``: what goes in the same run, in the same form; of an argument that ``arguments`` names nothing is dropped.
    ``arguments`` None, not ``present``: all that this area has set and dropped is taken back. ``why``: begins the message where
    there is no boot loader to ask: what asks for arguments. ``undeclared``: what is done about arguments that this area
    has set and that are not named, of CHOICES; None: nothing. ``meant``: what is declared elsewhere rests on these, name -> values that
    are right, or None for all; "off" is never given back to one of them.
    """

    arguments: Mapping[str, object] | None
    present: bool = True
    drop: Mapping[str, object] = field(default_factory=dict)
    why: str = ""
    undeclared: str | None = None
    meant: Mapping[str, Collection[str | None] | None] = field(default_factory=dict)

    @property
    def is_back(self) -> bool:
        """Whether everything that this area has done is to be taken back."""
        return self.arguments is None

    @property
    def wishes(self) -> list[Wish]:
        """The wishes for ``arguments``. Raises InputError with every problem."""
        return [] if self.arguments is None else parse_wishes(self.arguments, self.present)


@dataclass(frozen=True)
class State:
    """The host: what the running kernel was given, whether there is something of ours to take back, and the architecture.

    The rest comes with a plan that needs it. ``backend``, ``boot``: of the boot loader, and its state; ``record``, ``kept``: path and text
    of the file that keeps what was set, None: it is absent. ``refused``: why there is no boot loader to ask, sentences. ``read_only``: of the
    files that a change or a tool may write, those that cannot be. ``is_elsewhere``: the running kernel lacks the word that this loader gives.
    """

    running: Line
    has_ours: bool
    machine: str
    backend: AnyBackend | None = None
    boot: Boot[Any] = Boot((), None)
    record: str = ""
    kept: str | None = None
    refused: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    is_elsewhere: bool = False


@dataclass(frozen=True)
class CmdlinePlan:
    """What will be done. ``after``: the entries as they will be; ``proved``: as they were read after it was done.

    ``dropped``: the wishes that came from ``drop``; ``returned``: those to be as before us, of what nobody declares. ``is_back``: the
    goal is what was before us. ``noticed``: warnings that only came up then. ``undeclared``: a mapping for each argument that nobody
    declares; ``unread``: why that cannot be told.
    """

    state: State
    goal: Goal
    change: Change
    after: tuple[tuple[str, str], ...] = ()
    dropped: tuple[Wish, ...] = ()
    is_back: bool = False
    proved: tuple[tuple[str, str], ...] | None = None
    noticed: tuple[str, ...] = ()
    returned: tuple[Wish, ...] = ()
    undeclared: tuple[dict[str, str], ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether applying it changes anything."""
        return bool(self.change.files or self.change.commands or self.change.late)

    def changed_files(self) -> dict[str, str | None]:
        """Path -> new text (None: it is removed) of each file that will change."""
        return {**self.change.files, **self.change.late}

    @property
    def diff(self) -> list[dict[str, str]]:
        """The files, and the entries where they are none of these."""
        boot, backend, written = self.state.boot, self.state.backend, {**self.change.files, **self.change.late}
        pairs = [(path, boot.files.get(path) or "", text or "") for path, text in written.items()]
        if backend and self.change.commands and (backend.edits_entries or not set(written) - {self.state.record}):
            pairs += [
                (name, line + "\n", new + "\n")
                for (name, line), (dummy, new) in zip(boot.entries, self.after)
                if line != new
            ]
        return [piece(name, before=before, after=after) for name, before, after in pairs if before != after]

    @property
    def reboot_reasons(self) -> list[str]:
        """A sentence for each argument that the running kernel does not have as wished."""
        return [self._reason(wish) for wish in self._pending()]

    def _reason(self, wish: Wish) -> str:
        """Why a wish that the running kernel does not meet needs a reboot."""
        gone = [word.text for word in wish.unwanted(self.state.running)]
        is_back = self.is_back or wish in self.returned
        if wish.present and not (is_back and gone):
            return f"the running kernel was not started with {' '.join(wish.texts)}"
        what = " ".join(gone) if is_back or wish in self.dropped else wish.name
        return f"the running kernel was started with {what}, which is no longer configured"

    @property
    def warnings(self) -> list[str]:
        """What the tools will bring along that no task asked for."""
        said = [*self.change.warnings, *(argument["reason"] for argument in self.undeclared), *self.unread]
        said += [warning for warning in self.noticed if warning not in said]
        backend = self.state.backend
        if self.state.is_elsewhere and backend is not None and self._pending():
            said.append(
                f"the running kernel has no {backend.word}=, which GRUB gives to each kernel that it starts: where something else boots this host "
                "(the firmware by an entry of its own, a hypervisor with a kernel of its own), what is set here has no effect: set it there"
            )
        boot = self.state.boot
        if not self.change.commands or not boot.source:
            return said
        there = [word.text for word in parse(boot.entries[0][1]).words]
        late = [word.text for word in parse(boot.source).words if word.text not in there]
        names = {normalize(wish.name) for wish in self.goal.all}
        late = [text for text in late if parse(text).words[0].name not in names]
        return said + (
            [
                f"the boot loader's files also set {' '.join(late)}, which the entry that boots does not have yet: "
                "it will"
            ]
            if late
            else []
        )

    def _pending(self) -> list[Wish]:
        """The wishes that the running kernel does not meet."""
        return [wish for wish in self.goal.all if not wish.is_met(self.state.running)]

    def result(self) -> dict[str, object]:
        """The task's own results."""
        line = parse("".join(line for dummy, line in (self.proved or self.after)[:1]))
        waiting = self._pending()
        return {
            "backend": self.state.backend.name if self.state.backend else None,
            "args": {
                wish.name: {
                    "wanted": list(wish.values) if wish.present and not (self.is_back or wish in self.returned) else [],
                    "configured": line.values(wish.name),
                    "running": self.state.running.values(wish.name),
                    "status": PENDING if wish in waiting else MET,
                }
                for wish in self.goal.all
            },
        }


def make_plan(state: State, request: Request) -> CmdlinePlan:
    """The plan for a request, of a state with its boot loader, or with why there is none to ask. Raises InputError, PlanError with every problem."""
    wishes, backend, is_back = request.wishes, state.backend, request.is_back
    if backend is None:
        if request.undeclared == REPORT and not (wishes or request.drop):
            unread = (f"whether kernel arguments are left that nobody declares cannot be told: {message}" for message in state.refused)
            return CmdlinePlan(state, Goal([]), Change(), unread=tuple(unread))
        raise PlanError(*(request.why + message for message in state.refused))
    boot, text = state.boot, state.kept
    refuse_newer(text, state.record)
    # Where nothing is edited in place, a record is another boot loader's.
    record = parse_record(text if boot.lines else None, state.record).adopted(backend.removable)
    if boot.lines:
        boot = replace(boot, files={**boot.files, state.record: text})
    state = replace(state, boot=boot)
    dropped = () if is_back else _dropped(state, request)
    goal, warnings = Goal(wishes + list(dropped)), []
    before_us, left_as_is = backend.back(boot, record)
    if is_back:
        goal = before_us
        warnings += [f"{name} was changed by somebody since this collection set it: it stays as it is" for name in left_as_is]
        if text is not None and not boot.lines:
            warnings.append(f"{state.record} tells of another boot loader than {backend.name}, which is not asked")
    goal = replace(goal, again=not record.finished)
    left = _left(before_us, boot, goal, request)
    returned: tuple[Wish, ...] = ()
    if request.undeclared == RELEASE and left is not None:
        goal, returned = _with_returned(goal, left)
    forgotten = [] if request.present or is_back else wishes
    if not is_back:
        goal = replace(goal, gone=goal.gone.union(record.unneeded(_edited(boot, goal), forgotten)))
    change = backend.plan(boot, goal)
    problems = change.problems or _too_long(state, boot.entries, goal)
    if problems:
        raise PlanError(*problems)
    change = _recorded(state, goal, record, forgotten, change)
    locked = [path for path in state.read_only if change.commands or path in change.files or path in change.late]
    if locked:
        raise PlanError(*(f"{path} has to change, and its file system is read-only: mount it rw, then run again" for path in locked))
    change = replace(change, warnings=warnings + change.warnings)
    return CmdlinePlan(
        state, goal, change, goal.edited(boot.entries), dropped, is_back, returned=returned,
        undeclared=_reports(left, boot) if request.undeclared == REPORT and left is not None else (),
    )


def _left(before: Goal, boot: Boot[Any], goal: Goal, request: Request) -> Goal | None:
    """The Goal for the arguments that this area has set or dropped, and that nobody declares now, to be as ``before`` us; None for none."""
    if not request.present or request.undeclared not in MOVES:
        return None
    named = {normalize(wish.name) for wish in goal.all}
    meant = {normalize(name): values for name, values in request.meant.items()}
    now = parse("".join(line for dummy, line in boot.entries[:1]))

    def of(wishes: Iterable[Wish]) -> list[Wish]:
        others = [wish for wish in wishes if normalize(wish.name) not in named and not _is_kept_out(wish.name, now)]
        return [
            _without_off(wish) if normalize(wish.name) in meant else wish
            for wish in others if not _is_meant(wish.name, now, meant)
        ]

    left = Goal(of(before.wishes), {name: of(wishes) for name, wishes in before.own.items()})
    return left if left.all else None


def _too_long(state: State, entries: Iterable[tuple[str, str]], goal: Goal) -> list[str]:
    """A sentence for each line that would grow longer than the kernel reads, with what the loader adds to it."""
    size = _SIZES.get(state.machine)
    if size is None:
        return []
    added = sum(_bytes(word.text) + 1 for word in state.running.words if word.name in LOADERS_OWN)
    pairs = [(name, _bytes(line) + added, _bytes(goal.edit(name, line)) + added) for name, line in entries]
    return [
        f"{name}: the kernel command line would have {after} bytes, and a kernel for {state.machine} reads {size - 1} and passes over "
        "the rest without a word; remove arguments that it does not need, or set fewer"
        for name, before, after in pairs if after > max(size - 1, before)
    ]


def _is_meant(name: str, now: Line, meant: Mapping[str, Collection[str | None] | None]) -> bool:
    """Whether an argument is on the line as what is declared elsewhere needs it."""
    if normalize(name) not in meant:
        return False
    values = meant[normalize(name)]
    return values is None or set(now.values(name)) <= set(values)


def _is_kept_out(name: str, now: Line) -> bool:
    """Whether an argument of others is left out since a task has said that it be absent. Nothing declares that; with a boot loader whose
    lines are edited in place it is not even kept. What goes where the IOMMU is turned on is another thing: devices declare it.
    """
    return not now.named(name) and normalize(name) not in TURNED_ON


def _without_off(wish: Wish) -> Wish:
    """A wish without the value off."""
    kept = [index for index, value in enumerate(wish.values) if value != "off"]
    return replace(wish, values=tuple(wish.values[i] for i in kept), texts=tuple(wish.texts[i] for i in kept))


def _with_returned(goal: Goal, left: Goal) -> tuple[Goal, tuple[Wish, ...]]:
    """(the Goal with what nobody declares as it was before us, the wishes for that)."""
    own = {name: goal.wishes + wishes for name, wishes in left.own.items()}
    return replace(goal, wishes=goal.wishes + left.wishes, own=own), tuple(left.all)


def _reports(left: Goal, boot: Boot[Any]) -> tuple[dict[str, str], ...]:
    """A mapping for each argument that nobody declares any more. Its words now are shown; there are none where it was dropped."""
    lines = [parse(line) for dummy, line in boot.entries]
    return tuple(
        {"kind": "argument", "name": wish.name, "reason": (
            f"kernel argument {' '.join(lines[0].texts(wish.name)) if lines and lines[0].texts(wish.name) else wish.name} was changed on the "
            f"command line and nobody declares it: {remedy('passthrough_kernel_cmdline')}"
        )}
        for wish in left.all
    )


def _bytes(line: str) -> int:
    """The length of a line in bytes, as the kernel counts it."""
    return len(line.encode("utf-8", "surrogateescape"))


def _dropped(state: State, request: Request) -> tuple[Wish, ...]:
    """The wishes of what a request drops, as far as any of it is configured or runs."""
    named = {normalize(str(name)) for name in request.arguments or ()}
    drop = {name: value for name, value in request.drop.items() if normalize(str(name)) not in named}
    lines = [parse(line) for dummy, line in state.boot.entries] + [parse(state.boot.source), state.running]
    return tuple(wish for wish in parse_wishes(drop, False) if not all(wish.is_met(line) for line in lines))


def _edited(boot: Boot[Any], goal: Goal) -> list[Edited]:
    """(name, line now, line then) of what is edited in place. A file that is absent has no line now, or is not made."""
    edited: list[Edited] = []
    made: list[Edited] = []
    for name, line in boot.lines:
        then = None if name in goal.gone else goal.edit(name, line)
        if name not in boot.new:
            edited.append((name, line, then))
        elif line != then:
            made.append((name, None, then))
    return edited + made


def _recorded(state: State, goal: Goal, record: Record, forgotten: list[Wish], change: Change) -> Change:
    """A change with what the record has to say of it, before and after."""
    boot, path, lines = state.boot, state.record, _edited(state.boot, goal)
    known = {normalize(name) for kept in record.lines.values() for name in kept.names}
    is_touched = any(line != new for dummy, line, new in lines) or {normalize(wish.name) for wish in forgotten} & known
    if record.finished and not is_touched:
        return change
    during, after = (written.render() for written in record.follow(lines, forgotten, raws=boot.raw))
    now = boot.files[path]
    files: dict[str, str | None] = {}
    if change.files or change.commands:
        files = {path: during} if during not in (None, now) else {}
        now = files.get(path, now)
    late = {path: after} if after != now else {}
    return replace(change, files={**files, **change.files}, late={**change.late, **late})


__all__ = ("CmdlinePlan", "Request", "State", "make_plan")
