# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The area of locked memory: read, plan, apply."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Dict, List, Optional

from ansible_collections.vfio.host.plugins.module_utils._core.area import require_root
from ansible_collections.vfio.host.plugins.module_utils._core.resources import Reread
from ansible_collections.vfio.host.plugins.module_utils._host.accounts import GROUP, USER, Accounts
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, last_words
from ansible_collections.vfio.host.plugins.module_utils._host.foreign import Foreign
from ansible_collections.vfio.host.plugins.module_utils._host.words import number as whole_number
from ansible_collections.vfio.host.plugins.module_utils._memlock import records, rivals
from ansible_collections.vfio.host.plugins.module_utils._memlock.plan import Plan, Request, Running, State, make_plan
from ansible_collections.vfio.host.plugins.module_utils._memlock.spec import Limit, template_of

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_RELOAD = ["systemctl", "daemon-reload"]
_LOCKED = re.compile(r"^Max locked memory +(\d+|unlimited) +(\d+|unlimited) +bytes", re.MULTILINE)


class MemlockArea:
    """Limits of locked memory on one host, through ``fs`` (the kernel's files) and ``files`` (configuration)."""

    def __init__(self, fs: Sysfs, files: Files) -> None:
        self._fs = fs
        self._files = files

    def read(self, request: Request) -> State:
        """What files of ours say, and of what the wishes name what others say, and what runs."""
        state = self._ours()
        foreign, accounts, wishes = Foreign(self._fs.root), Accounts(self._fs), request.wishes
        absent: List[str] = []
        found: Dict[str, List[str]] = {}
        for unit, limit in wishes.units.items():
            if limit is None:
                continue
            if not rivals.is_unit(foreign, unit):
                absent.append(f"memlock.units.{unit}: there is no such service on this host: install it first, or correct the name")
            found[f"memlock.units.{unit}"] = rivals.later_dropins(foreign, unit, limit=limit)
        for user, limit in wishes.users.items():
            if limit is None:
                continue
            kind, word = (GROUP, "group") if user.startswith("@") else (USER, "user")
            account = accounts.find(kind, user.lstrip("@"))
            if account is None:
                absent.append(f"memlock.users.{user}: there is no {word} {user.lstrip('@')} on this host: make it first, or correct the name")
            elif kind == USER and account.name != user:
                # (source: Linux-PAM modules/pam_limits/pam_limits.c pam_sm_open_session(), which takes pw_name)
                absent.append(f"memlock.users.{user}: this host calls that user {account.name}, and its limits are looked up by that name: say that")
            found[f"memlock.users.{user}"] = rivals.overruling_lines(
                foreign, self._files.limits, user=user, number=account.number if account else None, limit=limit,
            )
        notes = list(foreign.notes)
        running = {} if not state.has_systemd else self._running(sorted({*wishes.units, *state.units}), notes)
        for unit in [one for one in running if one not in wishes.units and one not in state.units]:
            limit = wishes.units.get(template_of(unit) or "")
            where = rivals.later_dropins(foreign, unit, limit=limit) if limit else []
            if where:
                del running[unit]
                notes.append(f"{unit} has another limit than {template_of(unit)}: {'; '.join(where)}")
        return replace(state, rivals=found, absent=tuple(absent), running=running, notes=tuple(notes))

    def _ours(self) -> State:
        """What files of ours say."""
        require_root(self._fs)
        files = self._files
        texts = {path: files.read(path) for path in records.written(files)}
        units: Dict[str, Limit] = {}
        for path, text in texts.items():
            if path != files.limits:
                units[path.split("/")[-2][:-len(".d")]] = records.parse_dropin(text or "", path)
        users = records.parse_limits(texts.get(files.limits), files.limits)
        return State(
            units, users, {}, texts, {}, (), files.units, files.volatile_units, files.limits, self._fs.exists(self._fs.systemd),
        )

    def plan(self, state: State, request: Request) -> Plan:
        """The plan for the request that the state was read for; nothing is touched. Raises InputError, PlanError."""
        return make_plan(state, request)

    def _running(self, units: List[str], notes: List[str]) -> Dict[str, Running]:
        """Of each service that runs, its main process and that one's limits; a template has none, and all its instances have. ``notes``
        gains what systemd does not tell.
        """
        found: Dict[str, Running] = {}
        for unit in units:
            # A pattern gives all units that systemd has in memory (source: systemd src/systemctl/systemctl-show.c verb_show()).
            asked = unit.replace("@.", "@*.")
            status, out, err = self._fs.run(["systemctl", "show", "--property=Id", "--property=MainPID", "--", asked])
            processes = _main_processes(out)
            if status or processes is None or (asked == unit and len(processes) != 1):
                notes.append(f"whether {unit} has to be restarted is not known: systemctl show says: {last_words(out, err)}")
                continue
            for name, pid in processes.items():
                limits = self._limits(pid) if pid else None
                if limits is not None:
                    # A service may go by another name than systemd's own for it.
                    found[unit if asked == unit else name] = limits
        return {name: found[name] for name in sorted(found)}

    def _limits(self, pid: int) -> Optional[Running]:
        data = self._fs.read_file(f"{self._fs.proc}/{pid}/limits")
        words = _LOCKED.search((data or b"").decode("ascii", "replace"))
        return None if words is None else Running(pid, *(None if one == "unlimited" else int(one) for one in words.groups()))

    def apply(self, plan: Plan, journal: Journal) -> Plan:
        """Carry the plan out and return it as carried out. Raises ApplyError."""
        journal.remember(*([Reread(list(_RELOAD))] if plan.tells_systemd else []), files=plan.files)
        for path, text in plan.files.items():
            self._files.put(path, text)
            if text is None and path != self._files.limits:
                self._files.drop_directory(path.rsplit("/", 1)[0])
        if plan.tells_systemd:
            status, out, err = self._fs.run(list(_RELOAD))
            if status:
                raise ApplyError(f"systemd does not read its units again: systemctl daemon-reload says: {last_words(out, err)}")
        return plan


def _main_processes(text: str) -> Optional[Dict[str, int]]:
    """Name of a unit -> the number of its main process, 0 for none, of all that systemctl show tells of; None where it tells something else."""
    found: Dict[str, int] = {}
    for part in text.split("\n\n"):
        if not part.strip():
            continue
        told = dict(line.split("=", 1) for line in part.strip().split("\n") if "=" in line)
        pid = whole_number(told.get("MainPID", ""))
        if pid is None or "Id" not in told:
            return None
        found[told["Id"]] = pid
    return found


__all__ = ("MemlockArea",)
