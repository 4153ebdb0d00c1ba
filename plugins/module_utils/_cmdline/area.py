# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The area of the kernel command line: read, plan, apply."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse
from ansible_collections.vfio.host.plugins.module_utils._cmdline.goal import Goal
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.base import Edges
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.boot import Change
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.grubsettings import has_block
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.registry import find
from ansible_collections.vfio.host.plugins.module_utils._cmdline.plan import CmdlinePlan, Request, State, make_plan
from ansible_collections.vfio.host.plugins.module_utils._core.area import require_root
from ansible_collections.vfio.host.plugins.module_utils._host.bootpaths import BootPaths
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.registry import AnyBackend
    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs


class CmdlineArea:
    """The kernel command line of one host, through ``fs`` (kernel files, programs) and ``files`` (configuration)."""

    def __init__(self, fs: Sysfs, files: Files, paths: BootPaths | None = None) -> None:
        self._fs = fs
        self._files = files
        self._paths = paths or BootPaths(files.root)

    def read(self, request: Request) -> State:
        """The host as it is now, with its boot loader where the request needs one. Raises InputError, PlanError."""
        state = self.scan()
        if request.is_back and not state.has_ours:
            return state
        # What is wrong with the request is told before the boot loader's tools are asked.
        dummy = request.wishes
        return self.look(state)

    def scan(self) -> State:
        """The host as it is now, without the boot loader."""
        require_root(self._fs)
        ours = (self._paths.cmdline_record, self._paths.grub_dropin)
        has_ours = any(self._files.read(path) is not None for path in ours)
        return State(
            parse(self._fs.read(f"{self._fs.proc}/cmdline") or ""),
            has_ours or has_block(self._files.read(self._paths.grub_defaults)),
            self._fs.machine,
        )

    def plan(self, state: State, request: Request) -> CmdlinePlan:
        """The plan for the request that the state was read for; nothing is touched. Raises InputError, PlanError with every problem."""
        if request.is_back and not state.has_ours:
            return CmdlinePlan(state, Goal([]), Change(), is_back=True)
        return make_plan(state, request)

    def look(self, state: State) -> State:
        """The state with its boot loader as it is now, or with the reasons why there is none to ask. Raises PlanError."""
        try:
            backend = find(Edges(self._fs, self._files, self._paths))
        except PlanError as error:
            return replace(state, refused=tuple(error.messages))
        boot = backend.read()
        paths = [*boot.files, backend.record, *backend.made()]
        return replace(
            state, backend=backend, boot=boot, is_elsewhere=self._is_elsewhere(backend, state), record=backend.record, kept=self._files.read(backend.record),
            read_only=tuple(path for path in dict.fromkeys(paths) if self._files.is_read_only(path)),
        )

    def _is_elsewhere(self, backend: AnyBackend, state: State) -> bool:
        """Whether the running kernel lacks the word that its loader gives to each: Xen's has it for Xen, and on POWER Petitboot reads GRUB's menu."""
        is_plain = self._fs.machine in ("x86_64", "aarch64") and not self._fs.exists(f"{self._fs.proc}/xen")
        return bool(backend.word) and is_plain and not state.running.named(backend.word)

    def apply(self, plan: CmdlinePlan, journal: Journal) -> CmdlinePlan:
        """The plan as carried out, what boots next read again. Raises ApplyError."""
        backend = plan.state.backend
        if backend is None:
            return plan
        boot = backend.apply(plan.state.boot, plan.change, goal=plan.goal, journal=journal)
        return replace(plan, proved=boot.entries, noticed=tuple(backend.noticed))


__all__ = ("CmdlineArea", "CmdlinePlan", "Request", "State")
