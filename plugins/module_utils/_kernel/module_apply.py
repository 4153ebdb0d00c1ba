# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Carries a plan for kernel modules out, reads each module back, and puts all of it back where one step fails."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError
from ansible_collections.vfio.host.plugins.module_utils._host.undo import all_or_nothing, tried
from ansible_collections.vfio.host.plugins.module_utils._kernel import kmod, module_memory
from ansible_collections.vfio.host.plugins.module_utils._kernel.module_value import same


class Applier:
    """Applies one plan through ``files`` and the kernel's ``modules``, and can undo what it did."""

    def __init__(self, files, modules):
        self._files = files
        self._modules = modules
        self._done = []  # (what to call, its arguments), to be called from the last on

    def apply(self, plan):
        """Do all of it, or put everything back and raise ApplyError with what failed and what could not be put back."""
        with all_or_nothing("changing kernel modules and their options", self._put_back):
            self._write(plan)
            self._change(plan)
            self._prove(plan)
            self._remember(plan)

    def undo(self):
        """Put an applied plan back. Raises ApplyError with what could not be."""
        problems = self._put_back()
        if problems:
            raise ApplyError(*problems)

    def _write(self, plan):
        for path, text in plan.files.items():
            self._done.append((self._files.put, (path, plan.host.texts.get(path))))
            self._files.put(path, text)

    def _change(self, plan):
        by_name = {one.demand.module: one for one in plan.modules}
        order = self._modules.loaded_order(by_name)
        for name in reversed(order):
            one = by_name[name]
            if one.unload:
                back = tuple((option, value) for option, value in sorted(one.before.items()) if value is not None)
                self._done.append((self._load_again, (name, back)))
                self._modules.unload(name)
        for name in order:
            for option, value, old in by_name[name].sets:
                self._done.append((self._set_again, (name, option, old)))
                self._modules.set_live(name, option, value)
        for name in order:
            if by_name[name].load is not None:
                was = {one for one in [name] + self._modules.dependencies(name) if self._modules.is_loaded(one)}
                self._done.append((self._unload_again, (name, was)))
                self._modules.load(name, by_name[name].load)

    def _load_again(self, name, options):
        if not self._modules.is_loaded(name):
            self._modules.load(name, options)

    def _set_again(self, name, option, value):
        if self._modules.live(name, option)[0] != value:
            self._modules.set_live(name, option, value)

    def _unload_again(self, name, was):
        """Unload a module, and what came in with it."""
        for one in [name] + self._modules.dependencies(name):
            if one in was or not self._modules.is_loaded(one):
                continue
            users = self._modules.users(one)
            if one == name or not (users.references or users.holders or users.devices or users.unread):
                self._modules.unload(one)

    def _prove(self, plan):
        problems = []
        for one in plan.modules:
            name = one.demand.module
            if not one.changes:
                continue
            if one.demand.kind != kmod.BUILTIN and self._modules.is_loaded(name) != one.loaded:
                found = "not" if one.loaded else "still"
                problems.append(f"module {name} is {found} loaded, after all steps succeeded")
                continue
            written = {option for option, dummy, dummy in one.sets}
            for option, value in one.demand.options.items():
                live = self._modules.live(name, option)[0]
                if live is None or not (one.load is not None or option in written):
                    continue
                if not same(live, value, one.demand.types[option]):
                    problems.append(f"module {name}: option {option} reads back {live!r}, not {value!r}")
        if problems:
            raise ApplyError(*problems)

    def _remember(self, plan):
        path = self._files.module_options
        before = self._files.read(path)
        remembered = module_memory.parse(before)
        for one in plan.modules:
            name = one.demand.module
            hidden = {
                option: value for option, value in one.hidden.items() if self._modules.live(name, option)[0] is None
            }
            instance = self._modules.instance(name) if one.loaded and hidden else None
            if instance is not None:
                old = remembered.get(name, (None, {}))
                remembered[name] = (instance, dict(old[1] if old[0] == instance else {}, **hidden))
            elif one.demand.options or not one.loaded:
                remembered.pop(name, None)
        text = module_memory.render(remembered)
        if text != before:
            self._done.append((self._files.put, (path, before)))
            self._files.put(path, text)

    def _put_back(self):
        problems = []
        for call, arguments in reversed(self._done):
            problems += [f"not put back: {message}" for message in tried(call, *arguments)]
        self._done = []
        return problems


__all__ = ("Applier",)
