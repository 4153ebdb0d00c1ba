# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The area of the kernel command line: read, plan, apply, undo."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Optional

from ansible_collections.vfio.host.plugins.module_utils._boot.bootloader import Backend, Boot, Change, edited
from ansible_collections.vfio.host.plugins.module_utils._boot.bootloaders import find
from ansible_collections.vfio.host.plugins.module_utils._boot.cmdline import Line, normalize, parse, parse_wishes
from ansible_collections.vfio.host.plugins.module_utils._host.area import require_root
from ansible_collections.vfio.host.plugins.module_utils._host.bootpaths import BootPaths
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

MET, PENDING = "met", "pending"


@dataclass(frozen=True)
class Request:
    """What a task asks for: ``args``, name -> value, null or list, to be there or, not ``present``, to go.

    ``drop``: what goes in the same run, in the same form; of an argument that ``args`` names nothing is dropped.
    """

    args: dict
    present: bool = True
    drop: dict = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """The host: its boot loader, what that has configured, and what the running kernel was given."""

    backend: Backend
    boot: Boot
    running: Line


@dataclass(frozen=True)
class CmdlinePlan:
    """What will be done. ``after``: the entries as they will be; ``proved``: as they were read after it was done."""

    state: State
    wishes: list
    dropped: list
    change: Change
    after: tuple
    proved: Optional[tuple] = None

    @property
    def changed(self):
        """Whether applying it changes anything."""
        return bool(self.change.files or self.change.commands)

    @property
    def diff(self):
        """The files; where none is written, the entries."""
        boot = self.state.boot
        if self.change.files:
            pairs = [(path, boot.files.get(path) or "", text or "") for path, text in self.change.files.items()]
        elif self.change.commands:
            pairs = [
                (name, line + "\n", new + "\n")
                for (name, line), (dummy, new) in zip(boot.entries, self.after)
                if line != new
            ]
        else:
            pairs = []
        return [
            {"before_header": name, "after_header": name, "before": before, "after": after}
            for name, before, after in pairs
        ]

    @property
    def reboot_reasons(self):
        """A sentence for each argument that the running kernel does not have as wished."""
        return [
            f"the running kernel was not started with {' '.join(wish.texts)}"
            if wish.present
            else f"the running kernel was started with {self._gone(wish)}, which is no longer configured"
            for wish in self._pending()
        ]

    def _gone(self, wish):
        return " ".join(word.text for word in wish.unwanted(self.state.running)) if wish in self.dropped else wish.name

    @property
    def warnings(self):
        """What the tools will bring along that no task asked for."""
        boot = self.state.boot
        if not self.change.commands or not boot.source:
            return self.change.warnings
        there = [word.text for word in parse(boot.entries[0][1]).words]
        late = [word.text for word in parse(boot.source).words if word.text not in there]
        names = {normalize(wish.name) for wish in self.wishes}
        late = [text for text in late if parse(text).words[0].name not in names]
        return self.change.warnings + (
            [
                f"the boot loader's files also set {' '.join(late)}, which the entry that boots does not have yet: "
                "it will"
            ]
            if late
            else []
        )

    def _pending(self):
        return [wish for wish in self.wishes if not wish.is_met(self.state.running)]

    def result(self):
        """The task's own results."""
        line = parse((self.proved or self.after)[0][1])
        waiting = self._pending()
        return {
            "backend": self.state.backend.name,
            "args": {
                wish.name: {
                    "wanted": list(wish.values) if wish.present else [],
                    "configured": line.values(wish.name),
                    "running": self.state.running.values(wish.name),
                    "status": PENDING if wish in waiting else MET,
                }
                for wish in self.wishes
            },
        }


class CmdlineArea:
    """The kernel command line of one host, through ``fs`` (kernel files, programs) and ``files`` (configuration)."""

    def __init__(self, fs, files, paths=None):
        self._fs = fs
        self._files = files
        self._paths = paths or BootPaths(files.root)

    def read(self):
        """The host as it is now. Raises InputError, PlanError."""
        require_root(self._fs)
        backend = find(self._fs, self._files, self._paths)
        return State(backend, backend.read(), parse(self._fs.read(f"{self._fs.proc}/cmdline") or ""))

    def plan(self, state, request):
        """The plan for a request; nothing is touched. Raises InputError, PlanError with every problem."""
        wishes = parse_wishes(request.args, request.present)
        dropped = _dropped(state, request)
        wishes += dropped
        change = state.backend.plan(state.boot, wishes)
        if change.problems:
            raise PlanError(*change.problems)
        return CmdlinePlan(state, wishes, dropped, change, edited(state.boot.entries, wishes))

    def apply(self, plan):
        """The plan as carried out, what boots next read again. Raises ApplyError, with all put back that could be."""
        boot = plan.state.backend.apply(plan.state.boot, plan.change, plan.wishes)
        return replace(plan, proved=boot.entries)

    def undo(self, plan):
        """Put an applied plan back. Raises ApplyError."""
        plan.state.backend.undo(plan.state.boot, plan.change)


def _dropped(state, request):
    """The wishes of what a request drops, as far as any of it is configured or runs."""
    named = {normalize(str(name)) for name in request.args}
    drop = {name: value for name, value in request.drop.items() if normalize(str(name)) not in named}
    lines = [parse(line) for dummy, line in state.boot.entries] + [parse(state.boot.source or ""), state.running]
    return [wish for wish in parse_wishes(drop, False) if not all(wish.is_met(line) for line in lines)]


__all__ = ("CmdlineArea", "CmdlinePlan", "Request", "State")
