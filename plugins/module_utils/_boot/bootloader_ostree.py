# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""rpm-ostree: the arguments of the next deployment."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._boot.bootloader import Backend, Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._boot.cmdline import parse

_ENTRY = "the default deployment"


class RpmOstree(Backend):
    """rpm-ostree kargs."""

    name = "rpm-ostree"
    looked_for = "rpm-ostree on a host that ostree booted (/run/ostree-booted)"
    edits_entries = True

    def found(self):
        """Evidence, or None."""
        if self._paths.program("rpm-ostree") and self._fs.exists(self._paths.ostree_booted):
            return self._paths.ostree_booted
        return None

    def read(self):
        """The default deployment's arguments: the one that boots next."""
        out = self.read_asked(self._paths.program("rpm-ostree"), "kargs")[0]
        lines = ((_ENTRY, out.strip("\n")),)
        return Boot(entries=lines, lines=lines)

    def plan(self, boot, goal):
        """One call, so that one new deployment comes of it, or none."""
        before = dict(boot.entries)[_ENTRY]
        after, names = goal.edit(_ENTRY, before), [wish.name for wish in goal.all]
        return Change(
            commands=self._kargs(before, after, names),
            undo=self._kargs(after, before, names),
            problems=self.unfit(goal.all),
        )

    def _kargs(self, now, wanted, names):
        """From one line to another. What changed is deleted and appended, all occurrences of its name in order."""
        if now == wanted:
            return []
        words = [self._paths.program("rpm-ostree"), "kargs"]
        for name in names:
            old, new = parse(now).texts(name), parse(wanted).texts(name)
            added = [text for text in new if text not in old]
            if new[: len(old)] == old:
                added = new[len(old) :]
            else:
                words += [f"--delete-if-present={text}" for text in dict.fromkeys(old) if text not in new]
            # A call that is repeated or goes back from what was not done must not say twice what is said once.
            words += [f"--append{'' if new.count(text) > 1 else '-if-missing'}={text}" for text in added]
        return [words] if len(words) > 2 else []


__all__ = ("RpmOstree",)
