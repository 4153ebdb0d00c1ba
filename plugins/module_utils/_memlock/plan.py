# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From declared limits to a plan: every file, and what has to be restarted. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ansible_collections.vfio.host.plugins.module_utils._core.diff import of_files
from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import RELEASE, REPORT, remedy
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError, PlanError
from ansible_collections.vfio.host.plugins.module_utils._memlock.records import dropin, dropin_path, limits
from ansible_collections.vfio.host.plugins.module_utils._memlock.spec import Limit, Wishes, template_of

UNCHANGED, CHANGED, RELEASED = "unchanged", "changed", "released"


class Running(NamedTuple):
    """The main process of a service: its number, and its limits, soft and hard; None: as many bytes as there are."""

    pid: int
    soft: Optional[int]
    hard: Optional[int]

    @property
    def words(self) -> str:
        """The soft limit, which is the one that counts."""
        return Limit(self.soft).text


@dataclass(frozen=True)
class State:
    """What is on the host. ``units`` and ``users``: the limits in files of ours; ``running``: unit -> its main process, of those that
    have one, and of all instances of templates; ``texts``: path -> text of our files; ``rivals``: key (as in messages) -> where others
    set it otherwise; ``absent``: sentences about units and users that are not there; ``has_systemd``: it runs.
    """

    units: Mapping[str, Limit]
    users: Mapping[str, Limit]
    running: Mapping[str, Running]
    texts: Mapping[str, Optional[str]]
    rivals: Mapping[str, List[str]]
    absent: Tuple[str, ...]
    directory: str
    other_directory: str
    limits_path: str
    has_systemd: bool
    notes: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """What a task asks for. ``problems``: what is wrong with the wishes; ``gives_all``: everything of this area goes."""

    wishes: Wishes
    problems: List[str] = field(default_factory=list)
    now: bool = True
    at_boot: bool = True
    undeclared: Optional[str] = None
    gives_all: bool = False


@dataclass(frozen=True)
class Row:
    """One service or user, and how it ends. ``limit``: None where ours is taken away; ``running``: of a template, its first instance that
    has to be restarted; ``restart``: what has to be restarted, the service, or instances of the template.
    """

    kind: str
    name: str
    limit: Optional[Limit]
    before: Optional[Limit]
    running: Optional[Running]
    restart: Tuple[str, ...] = ()

    @property
    def status(self) -> str:
        if self.limit == self.before:
            return UNCHANGED
        return RELEASED if self.limit is None else CHANGED

    def facts(self) -> Dict[str, Any]:
        """As a task returns it."""
        return {
            "kind": self.kind, "name": self.name, "limit_before": None if self.before is None else self.before.text,
            "limit": None if self.limit is None else self.limit.text, "pid": self.running.pid if self.running else None,
            "running": self.running.words if self.running else None, "restart": bool(self.restart), "status": self.status,
        }


@dataclass(frozen=True)
class Plan:
    """The whole of a run. ``files``: path -> text or None, of those that change."""

    state: State
    request: Request
    rows: List[Row]
    files: Dict[str, Optional[str]]
    warnings: List[str]
    undeclared: List[Dict[str, str]] = field(default_factory=list)
    # What waits is a restart of services, and no reboot.
    reboot_reasons: Tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether applying it changes anything."""
        return bool(self.files)

    def changed_files(self) -> Dict[str, Optional[str]]:
        """Path -> new text (None: it is removed) of each file that will change."""
        return self.files

    @property
    def tells_systemd(self) -> bool:
        """Whether systemd has to read its units again."""
        return self.state.has_systemd and self.request.now and any(path != self.state.limits_path for path in self.files)

    @property
    def diff(self) -> List[Dict[str, str]]:
        """Each file, before and after."""
        return of_files(self.state.texts, self.files)

    def result(self) -> Dict[str, Any]:
        """The area's own part of a task's result."""
        return {
            "memlock": [one.facts() for one in self.rows], "restart": [name for one in self.rows for name in one.restart],
        }


def make_plan(state: State, request: Request) -> Plan:
    """The Plan for a Request. Raises InputError, PlanError with every reason at once."""
    if not (request.now or request.at_boot):
        raise InputError("now and at_boot are both false, so there is nothing to do; say which of them you mean")
    wishes = request.wishes
    problems = list(request.problems) + list(state.absent)
    if not request.at_boot and any(limit is not None for limit in wishes.users.values()):
        problems.append("memlock.users: limits of users are read at every login, from a file that boots do not remove: say at_boot: true")
    problems += [
        f"{key}: {'; '.join(where)}: take it out, or declare the same" for key, where in state.rivals.items() if where
    ]
    if problems:
        raise PlanError(*problems)
    keeps = not request.gives_all and request.undeclared != RELEASE
    rows, undeclared = [], []
    ends: Dict[str, Dict[str, Limit]] = {}
    for kind, before, wanted in (("unit", state.units, wishes.units), ("user", state.users, wishes.users)):
        after = {name: limit for name, limit in before.items() if keeps and name not in wanted}
        if request.undeclared == REPORT:
            undeclared += [_left(kind, name, limit) for name, limit in sorted(after.items())]
        after.update({name: limit for name, limit in wanted.items() if limit is not None})
        told = sorted(set(wanted) | (set(before) - set(after)))
        rows += [_row(state, kind, name, after.get(name), before.get(name), after) for name in told]
        ends[kind] = after
    files = _files(state, request, ends)
    return Plan(state, request, rows, files, list(state.notes) + [one["reason"] for one in undeclared], undeclared)


def _row(state: State, kind: str, name: str, limit: Optional[Limit], before: Optional[Limit], own: Mapping[str, Limit]) -> Row:
    if kind == "user":
        return Row(kind, name, limit, before, None)
    # An instance that is declared has a limit of its own.
    runs = {one: running for one, running in state.running.items() if one == name or (template_of(one) == name and one not in own)}
    restart = tuple(one for one, running in runs.items() if _has_to_restart(running, limit, before))
    return Row(kind, name, limit, before, runs.get(restart[0] if restart else name), restart)


def _has_to_restart(running: Running, limit: Optional[Limit], before: Optional[Limit]) -> bool:
    if limit is None:
        # What it would have without ours only a restart tells; until then it has what was declared.
        return before is not None and running.soft == before.size
    return (running.soft, running.hard) != (limit.size, limit.size)


def _left(kind: str, name: str, limit: Limit) -> Dict[str, str]:
    return {"kind": "memlock", "name": name, "reason": (
        f"{kind} {name} may lock {limit.words} of memory by this collection, and nobody declares that: "
        + remedy("passthrough_memlock")
    )}


def _files(state: State, request: Request, ends: Dict[str, Dict[str, Limit]]) -> Dict[str, Optional[str]]:
    directory, other = state.directory, state.other_directory
    if not request.at_boot:
        directory, other = other, directory
    found: Dict[str, Optional[str]] = dict.fromkeys(state.texts)
    for unit, limit in ends["unit"].items():
        # One that the task does not name stays where it is.
        place = other if unit not in request.wishes.units and state.texts.get(dropin_path(directory, unit)) is None else directory
        found[dropin_path(place, unit)] = dropin(limit)
    found[state.limits_path] = limits(ends["user"])
    return {path: found[path] for path in sorted(found) if found[path] != state.texts.get(path)}


__all__ = ("CHANGED", "Plan", "RELEASED", "Request", "Row", "Running", "State", "UNCHANGED", "make_plan")
