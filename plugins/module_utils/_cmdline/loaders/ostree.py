# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""rpm-ostree: the arguments of the next deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import normalize, parse
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.base import Backend, foreign
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.boot import Boot, Change

if TYPE_CHECKING:
    from typing import Iterable, Sequence

    from ansible_collections.vfio.host.plugins.module_utils._cmdline.goal import Goal
    from ansible_collections.vfio.host.plugins.module_utils._core.resources import Commands

_ENTRY = "the default deployment"


class RpmOstree(Backend[str]):
    """rpm-ostree kargs. ``more`` is the program's path."""

    name = "rpm-ostree"
    looked_for = "rpm-ostree on a host that ostree booted (/run/ostree-booted)"
    edits_entries = True

    def found(self) -> str | None:
        """Evidence, or None."""
        if self._paths.program("rpm-ostree") and self._fs.exists(self._paths.ostree_booted):
            return self._paths.ostree_booted
        return None

    def read(self) -> Boot[str]:
        """The default deployment's arguments: the one that boots next."""
        lines = ((_ENTRY, self._now()),)
        return Boot(entries=lines, lines=lines, more=self.program("rpm-ostree"))

    def _now(self) -> str:
        """The line of the deployment that boots next. Raises PlanError."""
        return self.read_asked(self.program("rpm-ostree"), "kargs")[0].strip("\n")

    def plan(self, boot: Boot[str], goal: Goal) -> Change:
        """One call, so that one new deployment comes of it, or none."""
        before = dict(boot.entries)[_ENTRY]
        after, names = goal.edit(_ENTRY, before), [wish.name for wish in goal.all]
        problems = self.unfit(goal.all) + _unfit_line(before, after, names)
        return Change(commands=_asked(boot.more, before, after, names), problems=problems)

    def derived(self, boot: Boot[str], change: Change) -> list[Commands]:
        """One call, which is made only where the arguments are not as they were."""
        from ansible_collections.vfio.host.plugins.module_utils._core.resources import Commands
        resources = []
        for program, verb, after, *names in change.commands:
            before = dict(boot.entries)[_ENTRY]
            resources.append(Commands([[program, verb, *_words(*difference(after, before, names=names))]], [program, verb], before))
        return resources

    def said(self, *argv: str) -> tuple[str, str]:
        """As ever; a change is named from what is there when it runs, since a call that failed may have done nothing."""
        if argv[1:] == ("kargs",):
            return super().said(*argv)
        program, verb, wanted, *names = argv
        delete, append = difference(self._now(), wanted, names=names)
        if not delete and not append:
            return "", ""
        return super().said(program, verb, *_words(delete, append))


def _asked(program: str, now: str, wanted: str, names: list[str]) -> list[list[str]]:
    """The line to come to, and the arguments that may change for it. What run() makes of it is no matter of the plan."""
    return [[program, "kargs", wanted, *names]] if _texts(now, names) != _texts(wanted, names) else []


def _words(delete: Iterable[str], append: Iterable[str]) -> list[str]:
    """The options of rpm-ostree kargs."""
    return [f"--delete={text}" for text in delete] + [f"--append={text}" for text in append]


def difference(now: str, wanted: str, *, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """(the words to delete, the words to append) from one line to another; no others have one of these names.

    rpm-ostree deletes first, of equal words the first one for each time that it is named, and appends at the end.
    """
    delete: list[str] = []
    append: list[str] = []
    for name in names:
        old, new = parse(now).texts(name), parse(wanted).texts(name)
        gone, added = _less(old, new), _less(new, old)
        if patched(old, delete=gone, append=added) != new:
            gone, added = old, new
        delete += gone
        append += added
    return delete, append


def patched(words: Iterable[str], *, delete: Iterable[str], append: Iterable[str]) -> list[str]:
    """What rpm-ostree makes of a line's words (source: kernel_arg_apply_patching(), ostree_kernel_args_delete())."""
    left = list(words)
    for text in delete:
        left.remove(text)
    return left + list(append)


def _less(words: Sequence[str], others: Sequence[str]) -> list[str]:
    """The words of one line less those of another, each as often as it is there."""
    left = list(words)
    for text in others:
        if text in left:
            left.remove(text)
    return left


def _texts(line: str, names: Iterable[str]) -> list[list[str]]:
    """The words of each of these arguments on a line."""
    return [parse(line).texts(name) for name in names]


def _unfit_line(before: str, after: str, names: Sequence[str]) -> list[str]:
    """Problems of a line on which what is appended would not be the kernel's."""
    words = [word.text for word in parse(before).words]
    delete, append = difference(before, after, names=names)
    made = " ".join(patched(words, delete=delete, append=append))
    if _texts(made, names) == _texts(after, names) and foreign(made, names) == foreign(before, names):
        return []
    named = {normalize(name) for name in names}
    held = [word.text for word in parse(before).words if word.name in named or word.text == "--"]
    return [
        f"{_ENTRY} has {' '.join(held)}: rpm-ostree appends behind a bare --, and what follows that is init's: remove it "
        "with 'rpm-ostree kargs --editor', then run again"
    ]


__all__ = ("RpmOstree", "difference", "patched")
