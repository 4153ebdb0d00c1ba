# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Carries out a plan for kernel modules, and reads each module back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._core.resources import Loaded, Option, Unloaded
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError
from ansible_collections.vfio.host.plugins.module_utils._kernel import kmod
from ansible_collections.vfio.host.plugins.module_utils._kernel.parameters import same
from ansible_collections.vfio.host.plugins.module_utils._modules import hidden_options

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._kernel.control import ModuleControl
    from ansible_collections.vfio.host.plugins.module_utils._modules.plan import ModulesPlan


class Applier:
    """Applies one plan through ``files`` and the kernel's ``modules``."""

    def __init__(self, files: Files, modules: ModuleControl) -> None:
        self._files = files
        self._modules = modules

    def apply(self, plan: ModulesPlan, journal: Journal) -> None:
        """Do all of it. Raises ApplyError."""
        journal.remember(files=[*plan.files, self._files.module_options])
        for path, text in plan.files.items():
            self._files.put(path, text)
        self._change(plan, journal)
        self._prove(plan)
        self._remember(plan)

    def _change(self, plan: ModulesPlan, journal: Journal) -> None:
        by_name = {one.demand.module: one for one in plan.modules}
        order = plan.host.modules.loaded_order(by_name)
        unloaded = [name for name in reversed(order) if by_name[name].unload]
        loaded = [name for name in order if by_name[name].load is not None]
        journal.remember(
            *(
                Loaded(
                    name, self._modules.instance(name),
                    [(option, value) for option, value in sorted(by_name[name].before.items()) if value is not None], self._modules.shown(name),
                ) for name in unloaded
            ),
            *(
                Option(path, old) for name in order for option, dummy, old in by_name[name].sets
                for path in [self._modules.parameter_path(name, option)] if path is not None and old is not None
            ),
            *(
                Unloaded(one, one == name)
                for name in loaded for one in plan.host.modules.dependencies(name) + [name] if not self._modules.is_loaded(one)
            ),
        )
        for name in unloaded:
            self._modules.unload(name)
        for name in order:
            for option, value, dummy in by_name[name].sets:
                self._modules.set_live(name, option, value=value)
        for name in loaded:
            self._modules.load(name, by_name[name].load or ())

    def _prove(self, plan: ModulesPlan) -> None:
        problems = []
        for one in plan.modules:
            name = one.demand.module
            if not one.changes:
                continue
            if one.demand.kind != kmod.BUILTIN and self._modules.is_loaded(name) != one.loaded:
                state = "not" if one.loaded else "still"
                problems.append(f"module {name} is {state} loaded, after all steps succeeded")
                continue
            written = {option for option, *dummy in one.sets}
            for option, wanted in one.demand.options.items():
                live = self._modules.live(name, option)[0]
                if live is None or not (one.load is not None or option in written):
                    continue
                if not same(live, wanted, kind=one.demand.types[option]):
                    problems.append(f"module {name}: option {option} reads back {live!r}, not {wanted!r}")
        if problems:
            raise ApplyError(*problems)

    def _remember(self, plan: ModulesPlan) -> None:
        path = self._files.module_options
        before = self._files.read(path)
        remembered = hidden_options.parse(before)
        for one in plan.modules:
            name = one.demand.module
            hidden = {
                option: value for option, value in one.hidden.items() if self._modules.live(name, option)[0] is None
            }
            instance = self._modules.instance(name) if one.loaded and hidden else None
            if instance is not None:
                old_instance, old = remembered.get(name, (None, {}))
                remembered[name] = (instance, dict(old if old_instance == instance else {}, **hidden))
            elif one.demand.options or not one.loaded:
                remembered.pop(name, None)
        text = hidden_options.render(remembered)
        if text != before:
            self._files.put(path, text)


__all__ = ("Applier",)
