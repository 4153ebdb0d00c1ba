# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Boot Loader Specification entries through grubby: GRUB 2 of Fedora and its kin, and zipl with them."""

from __future__ import annotations

import re

from ansible_collections.vfio.host.plugins.module_utils._boot.bootloader import Backend, Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._boot.cmdline import parse
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

# grubby prints values without escaping the quotes in them: the last one on the line is its own.
_FIELD = re.compile(r'(index|kernel|args|id)="?(.*?)"?\s*\Z')


class Grubby(Backend):
    """grubby."""

    name = "grubby"
    looked_for = "grubby with entries below /boot/loader/entries"
    forbidden = (("$`\\'*?[]^&|;(){}<>!\"", True, "grubby, a shell script around sed,"),)

    def found(self):
        """Evidence, or None."""
        entries = self._entry_paths()
        return entries[0] if entries and self._paths.program("grubby") else None

    def _entry_paths(self):
        directory = f"{self._paths.boot}/loader/entries"
        return [f"{directory}/{name}" for name in self._files.names(directory) if name.endswith(".conf")]

    def _zipl(self):
        program = self._paths.program("zipl")
        return [[program]] if program and self._files.read(self._paths.zipl_conf) is not None else []

    def read(self):
        """Every entry as grubby prints it, and the files that it rewrites."""
        grubby = self._paths.program("grubby")
        entries = parse_info(self.read_asked(grubby, "--info=ALL"))
        if not entries:
            raise PlanError("grubby --info=ALL names no kernel: look at /boot/loader/entries")
        default = self.read_asked(grubby, "--default-index").strip()
        entries.sort(key=lambda one: one[0] != default)
        written = self._entry_paths() + [self._paths.grub_defaults, self._paths.kernel_cmdline, self._paths.grub2_env]
        lines = tuple((name, line) for dummy, name, line in entries)
        # One call sets all entries alike, so the one that boots stands for them.
        return Boot(entries=lines, files={path: self._files.read(path) for path in written}, lines=lines[:1])

    def plan(self, boot, goal):
        """One grubby call that names every value to be there and every value to go."""
        problems = self.unfit(goal.all)
        if not goal.unmet(boot.entries):
            return Change(problems=problems)
        add, remove = [], []
        for wish in goal.all:
            before, after = [], []
            for name, line in boot.entries:
                before += parse(line).texts(wish.name)
                after += parse(goal.edit(name, line)).texts(wish.name)
            # grubby takes out what has the name before it adds, so what stays is added again.
            add += _once(after)
            remove += [text for text in _once(before) if text not in after]
        words = [self._paths.program("grubby"), "--update-kernel=ALL"]
        words += [f"--remove-args={' '.join(remove)}"] if remove else []
        words += [f"--args={' '.join(add)}"] if add else []
        problems += [
            f"args: grubby cannot carry {text}, which has white space or quotes: change that argument by hand"
            for text in add + remove
            if set(text) & set(' "')
        ]
        return Change(commands=[words] + self._zipl(), undo=self._zipl(), problems=problems)


def parse_info(text):
    """(index, kernel, arguments) of each entry that starts a kernel, from grubby --info=ALL."""
    found, entry = [], {}
    for line in text.splitlines():
        match = _FIELD.match(line)
        if not match:
            continue
        key, value = match.groups()
        if key == "index":
            entry = {"index": value}
        entry[key] = value
        if key == "args" and "kernel" in entry:
            found.append((entry["index"], entry["kernel"], value))
    return found


def _once(texts):
    return list(dict.fromkeys(texts))


__all__ = ("Grubby", "parse_info")
