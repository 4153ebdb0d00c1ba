# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The area of the kernel command line: read, plan, apply."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Optional

from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import Line, normalize, parse, parse_wishes
from ansible_collections.vfio.host.plugins.module_utils._cmdline.goal import Goal
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.base import Backend, Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.grubsettings import has_block
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.registry import find
from ansible_collections.vfio.host.plugins.module_utils._cmdline.records import parse_record, refuse_newer
from ansible_collections.vfio.host.plugins.module_utils._core.area import require_root
from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import MOVES, RELEASE, REPORT, remedy
from ansible_collections.vfio.host.plugins.module_utils._host.bootpaths import BootPaths
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

MET, PENDING = "met", "pending"

# COMMAND_LINE_SIZE, with the byte that ends the text (source: linux arch/x86/include/asm/setup.h, asm/setup.h below
# arch/arm64/include/uapi and arch/powerpc/include/uapi, the default in arch/s390/Kconfig).
_SIZES = {"x86_64": 2048, "aarch64": 2048, "ppc64le": 2048, "s390x": 4096}


@dataclass(frozen=True)
class Request:
    """What a task asks for: ``args``, name -> value, null or list, to be there or, not ``present``, to go.

    ``drop``: what goes in the same run, in the same form; of an argument that ``args`` names nothing is dropped.
    ``args`` None, not ``present``: all that this area has set and dropped is taken back. ``why``: begins the message where
    there is no boot loader to ask, for somebody who has named no argument. ``undeclared``: what is done about arguments that this area
    has set and that are not named, of CHOICES; None: nothing. ``meant``: what is declared elsewhere rests on these, name -> values that
    are right, or None for all; "off" is never given back to one of them.
    """

    args: Optional[dict]
    present: bool = True
    drop: dict = field(default_factory=dict)
    why: str = ""
    undeclared: Optional[str] = None
    meant: dict = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """The host: what the running kernel was given, and whether there is something of ours to take back.

    ``backend`` and ``boot`` come with a plan that needs them.
    """

    running: Line
    has_ours: bool
    backend: Optional[Backend] = None
    boot: Boot = Boot(())


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
    after: tuple
    dropped: tuple = ()
    is_back: bool = False
    proved: Optional[tuple] = None
    noticed: tuple = ()
    returned: tuple = ()
    undeclared: tuple = ()
    unread: tuple = ()

    @property
    def changed(self):
        """Whether applying it changes anything."""
        return bool(self.change.files or self.change.commands or self.change.late)

    @property
    def diff(self):
        """The files, and the entries where they are none of these."""
        boot, written = self.state.boot, {**self.change.files, **self.change.late}
        pairs = [(path, boot.files.get(path) or "", text or "") for path, text in written.items()]
        backend = self.state.backend
        if self.change.commands and (backend.edits_entries or not set(written) - {backend.record}):
            pairs += [
                (name, line + "\n", new + "\n")
                for (name, line), (dummy, new) in zip(boot.entries, self.after)
                if line != new
            ]
        return [
            {"before_header": name, "after_header": name, "before": before, "after": after}
            for name, before, after in pairs
            if before != after
        ]

    @property
    def reboot_reasons(self):
        """A sentence for each argument that the running kernel does not have as wished."""
        return [self._reason(wish) for wish in self._pending()]

    def _reason(self, wish):
        gone = [word.text for word in wish.unwanted(self.state.running)]
        is_back = self.is_back or wish in self.returned
        if wish.present and not (is_back and gone):
            return f"the running kernel was not started with {' '.join(wish.texts)}"
        what = " ".join(gone) if is_back or wish in self.dropped else wish.name
        return f"the running kernel was started with {what}, which is no longer configured"

    @property
    def warnings(self):
        """What the tools will bring along that no task asked for."""
        boot, said = self.state.boot, list(self.change.warnings) + [one["reason"] for one in self.undeclared] + list(self.unread)
        said += [one for one in self.noticed if one not in said]
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

    def _pending(self):
        return [wish for wish in self.goal.all if not wish.is_met(self.state.running)]

    def result(self):
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


class CmdlineArea:
    """The kernel command line of one host, through ``fs`` (kernel files, programs) and ``files`` (configuration)."""

    def __init__(self, fs, files, paths=None):
        self._fs = fs
        self._files = files
        self._paths = paths or BootPaths(files.root)

    def read(self):
        """The host as it is now; for the boot loader it is too early, since a request may need none."""
        require_root(self._fs)
        ours = (self._paths.cmdline_record, self._paths.grub_dropin)
        has_ours = any(self._files.read(path) is not None for path in ours)
        return State(
            parse(self._fs.read(f"{self._fs.proc}/cmdline") or ""),
            has_ours or has_block(self._files.read(self._paths.grub_defaults)),
        )

    def plan(self, state, request):
        """The plan for a request; nothing is touched. Raises InputError, PlanError with every problem."""
        is_back = request.args is None
        wishes = [] if is_back else parse_wishes(request.args, request.present)
        if is_back and not state.has_ours:
            return CmdlinePlan(state, Goal([]), Change(), (), is_back=True)
        try:
            backend = find(self._fs, self._files, self._paths)
        except PlanError as error:
            if request.undeclared == REPORT and not (wishes or request.drop):
                unread = (f"whether kernel arguments are left that nobody declares cannot be told: {message}" for message in error.messages)
                return CmdlinePlan(state, Goal([]), Change(), (), unread=tuple(unread))
            raise PlanError(*(request.why + message for message in error.messages)) from error
        boot = backend.read()
        text = self._files.read(backend.record)
        refuse_newer(text, backend.record)
        # Where nothing is edited in place, a record is another boot loader's.
        record = parse_record(text if boot.lines else None, backend.record)
        if boot.lines:
            boot = replace(boot, files={**boot.files, backend.record: text})
        state = replace(state, backend=backend, boot=boot)
        dropped = () if is_back else _dropped(state, request)
        goal, warnings = Goal(wishes + list(dropped)), []
        if is_back:
            goal, left = backend.back(boot, record)
            warnings += [f"{name} was changed by somebody since this collection set it: it stays as it is" for name in left]
            if text is not None and not boot.lines:
                warnings.append(
                    f"{backend.record} tells of another boot loader than {backend.name}, which is not asked"
                )
        goal = replace(goal, again=not record.finished)
        left = self._left(backend, boot, record, goal, request)
        returned = ()
        if request.undeclared == RELEASE and left:
            goal, returned = _with_returned(goal, left)
        forgotten = [] if request.present or is_back else wishes
        if not is_back:
            gone = record.unneeded(_edited(boot, goal), forgotten)
            goal = replace(goal, texts={**goal.texts, **dict.fromkeys(gone)})
        change = backend.plan(boot, goal)
        problems = change.problems or _too_long(self._fs.machine, boot.entries, goal)
        if problems:
            raise PlanError(*problems)
        change = _recorded(state, goal, record, forgotten, change)
        change = replace(change, warnings=warnings + change.warnings)
        return CmdlinePlan(
            state, goal, change, goal.edited(boot.entries), dropped, is_back, returned=returned,
            undeclared=_reports(left, boot) if request.undeclared == REPORT and left else (),
        )

    def _left(self, backend, boot, record, goal, request):
        """The Goal for the arguments to be as before us that this area has set or dropped, and that nobody declares now; None for none."""
        if not request.present or request.undeclared not in MOVES:
            return None
        named = {normalize(wish.name) for wish in goal.all}
        meant = {normalize(name): values for name, values in request.meant.items()}
        now = parse("".join(line for dummy, line in boot.entries[:1]))
        before = backend.back(boot, record)[0]

        def of(wishes):
            others = [wish for wish in wishes if normalize(wish.name) not in named]
            return [
                _without_off(wish) if normalize(wish.name) in meant else wish
                for wish in others if not _is_meant(wish.name, now, meant)
            ]

        found = Goal(of(before.wishes), {name: of(wishes) for name, wishes in before.own.items()})
        return found if found.all else None

    def apply(self, plan, journal):
        """The plan as carried out, what boots next read again. Raises ApplyError."""
        backend = plan.state.backend
        boot = backend.apply(plan.state.boot, plan.change, plan.goal, journal)
        return replace(plan, proved=boot.entries, noticed=tuple(backend.noticed))


def _too_long(machine, entries, goal):
    """A sentence for each line that would grow longer than the kernel reads."""
    size = _SIZES.get(machine)
    pairs = [(name, line, goal.edit(name, line)) for name, line in entries if size]
    return [
        f"{name}: the kernel command line would have {_bytes(new)} bytes, and a kernel for {machine} reads {size - 1} and passes over "
        "the rest without a word; remove arguments that it does not need, or set fewer"
        for name, line, new in pairs if _bytes(new) > max(size - 1, _bytes(line))
    ]


def _is_meant(name, now, meant):
    """Whether an argument is on the line as what is declared elsewhere needs it."""
    if normalize(name) not in meant:
        return False
    values = meant[normalize(name)]
    return values is None or set(now.values(name)) <= set(values)


def _without_off(wish):
    kept = [index for index, value in enumerate(wish.values) if value != "off"]
    return replace(wish, values=tuple(wish.values[i] for i in kept), texts=tuple(wish.texts[i] for i in kept))


def _with_returned(goal, left):
    """(the Goal with what nobody declares as it was before us, the wishes for that)."""
    own = {name: goal.wishes + wishes for name, wishes in left.own.items()}
    return replace(goal, wishes=goal.wishes + left.wishes, own=own), tuple(left.all)


def _reports(left, boot):
    """A mapping for each argument that nobody declares any more. Its words now are shown; there are none where it was dropped."""
    lines = [parse(line) for dummy, line in boot.entries]
    return tuple(
        {"kind": "argument", "name": wish.name, "reason": (
            f"kernel argument {' '.join(lines[0].texts(wish.name)) if lines and lines[0].texts(wish.name) else wish.name} was changed on the "
            f"command line and nobody declares it: {remedy('passthrough_kernel_cmdline')}"
        )}
        for wish in left.all
    )


def _bytes(line):
    return len(line.encode("utf-8", "surrogateescape"))


def _dropped(state, request):
    """The wishes of what a request drops, as far as any of it is configured or runs."""
    named = {normalize(str(name)) for name in request.args}
    drop = {name: value for name, value in request.drop.items() if normalize(str(name)) not in named}
    lines = [parse(line) for dummy, line in state.boot.entries] + [parse(state.boot.source or ""), state.running]
    return tuple(wish for wish in parse_wishes(drop, False) if not all(wish.is_met(line) for line in lines))


def _edited(boot, goal):
    """(name, line now, line then) of what is edited in place. A file that is absent has no line now, or is not made."""
    lines = [(name, line, goal.edit(name, line)) for name, line in boot.lines]
    made = [(name, None, then) for name, line, then in lines if name in boot.new and line != then]
    return [one for one in lines if one[0] not in boot.new] + made


def _recorded(state, goal, record, forgotten, change):
    """A change with what the record has to say of it, before and after."""
    path, lines = state.backend.record, _edited(state.boot, goal)
    known = {normalize(name) for kept in record.lines.values() for name in kept.names}
    is_touched = any(line != new for dummy, line, new in lines) or {normalize(one.name) for one in forgotten} & known
    if record.finished and not is_touched:
        return change
    during, after = (one.render() for one in record.follow(lines, forgotten, state.boot.raw))
    now = state.boot.files[path]
    files = {}
    if change.files or change.commands:
        files = {path: during} if during not in (None, now) else {}
        now = files.get(path, now)
    late = {path: after} if after != now else {}
    return replace(change, files={**files, **change.files}, late={**change.late, **late})


__all__ = ("CmdlineArea", "CmdlinePlan", "Request", "State")
