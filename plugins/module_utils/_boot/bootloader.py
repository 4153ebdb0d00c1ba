# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What boot loaders' back ends have in common: what they read, what they would change, how a change is carried out.

A back end is a class with a ``name``, ``looked_for`` (a phrase), ``found()`` (evidence, or None), ``read()`` (a Boot)
and ``plan(boot, goal)`` (a Change; pure). Everything else is here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Optional

from ansible_collections.vfio.host.plugins.module_utils._boot.cmdline import exact, normalize, parse
from ansible_collections.vfio.host.plugins.module_utils._boot.cmdline_goal import Goal
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError, last_words
from ansible_collections.vfio.host.plugins.module_utils._host.undo import ENDINGS, all_or_nothing, told, tried


@dataclass(frozen=True)
class Boot:
    """A boot loader's state. ``entries``: (name, command line) of what this system boots, the default one first.

    ``files``: path -> text of the files that a change may write or a tool rewrites. ``source``: the line that the tool
    makes the next entries from, where there is one. ``lines``: (name, line) of what is edited in place. ``new``: the
    names of those whose file is absent: it is made, and goes on the way back. ``more``: what only its own back end reads.
    """

    entries: tuple
    files: dict = field(default_factory=dict)
    source: Optional[str] = None
    lines: tuple = ()
    new: tuple = ()
    more: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """What would be done. ``files``: path -> text or None; ``commands``: run after these, and where one of them has
    written such a file, it is written again; ``undo``: run to go back.

    ``undo`` None: ``commands`` again, since they derive everything from the files. ``late``: files that say what there is
    to take back; they are written when all else is done and proved.
    """

    files: dict = field(default_factory=dict)
    commands: list = field(default_factory=list)
    late: dict = field(default_factory=dict)
    undo: Optional[list] = None
    problems: list = field(default_factory=list)
    warnings: list = field(default_factory=list)


class Backend:
    """The common part. ``fs`` runs programs, ``files`` writes, ``paths`` knows where things are."""

    name: Optional[str] = None
    looked_for: Optional[str] = None
    # Characters that the tool or the loader would not carry to the kernel as they are:
    # (characters, whether inside quotes too, who would not).
    forbidden: tuple = ()
    # Whether commands edit the entries, which then are no file's that is written here.
    edits_entries = False

    def __init__(self, fs, files, paths):
        self._fs = fs
        self._files = files
        self._paths = paths
        self.record = paths.cmdline_record
        # Warnings of what only a run of the tool can tell.
        self.noticed = []

    def said(self, *argv):
        """(standard output, standard error) of a program. Raises ApplyError with its own words."""
        status, out, err = self._fs.run(list(argv))
        if status:
            raise ApplyError(f"{os.path.basename(argv[0])} failed with status {status}: {last_words(out, err)}")
        return out, err

    def run(self, *argv):
        """A program's output. Raises ApplyError with its own words."""
        return self.said(*argv)[0]

    def read_asked(self, *argv):
        """(standard output, standard error) of a program that only reads. Raises PlanError."""
        try:
            return self.said(*argv)
        except ApplyError as error:
            raise PlanError(*error.messages) from error

    def unfit(self, wishes):
        """Problems of values that this boot loader cannot carry."""
        problems = []
        for wish in wishes:
            for text in wish.texts:
                for characters, in_quotes, who in self.forbidden:
                    found = sorted(set(characters) & set(text if in_quotes else _outside_quotes(text)))
                    if found:
                        problems.append(
                            f"args: {text}: {who} would change or run {' '.join(found)}; it cannot be carried"
                        )
        return problems

    def back(self, boot, record):
        """(the Goal of being without what was set here, the arguments that somebody else changed since)."""
        texts, own, left = {}, {}, []
        for name, line in boot.lines:
            texts[name], foreigners = record.undone(name, line)
            own[name] = [exact(arg, parse(texts[name] or "")) for arg in record.of(name).names]
            left += [arg for arg in foreigners if arg not in left]
        return Goal(next(iter(own.values()), []), own, texts), left

    def prove(self, before, goal):
        """The Boot, read again. Raises ApplyError where a wish is not met or a foreign argument is not as it was."""
        after = self.read()
        problems = [
            f"{self.name}: {name} does not boot as wished with {wish.name}: it has {line!r}"
            for name, line, wish in goal.unmet(after.entries)
        ]
        problems += self.foreign_lost(before, after, [wish.name for wish in goal.all])
        if problems:
            raise ApplyError(*problems)
        return after

    def foreign_lost(self, before, after, names):
        """Problems where other arguments of an entry changed. Back ends whose tools make entries anew override this."""
        now, problems = dict(after.entries), []
        for name, line in before.entries:
            if name in now and foreign(line, names) != foreign(now[name], names):
                problems.append(
                    f"{self.name}: {name} changed in arguments that nobody named: {line!r} became {now[name]!r}"
                )
        return problems

    def apply(self, boot, change, goal):
        """Write, run, and give the Boot as read again. Raises ApplyError with everything put back that could be."""
        with all_or_nothing(
            f"{self.name}: changing the command line", lambda: self._go_back(boot, change), self._back(),
        ):
            self._put(change.files)
            for command in change.commands:
                self.run(*command)
            self._put(change.files)
            after = self.prove(boot, goal)
            self._put(change.late)
        return after

    def _back(self):
        return f"{self.name}: the command line was put back as it was"

    def undo(self, boot, change):
        """Put an applied change back. Raises ApplyError."""
        problems = self._put_back(boot, change)
        if problems:
            raise ApplyError(*problems)

    def _go_back(self, boot, change):
        """Put everything back, and say what was not, and how that went: by what boots now, whatever the tools say."""
        problems = self._put_back(boot, change)
        try:
            is_as_before = self.read().entries == boot.entries
        except ENDINGS as error:
            problems += told(error, f"{self.name}: reading what boots")
            is_as_before = False
        if is_as_before:
            return problems + [self._back()] if problems else []
        wanted = "; ".join(f"{name}: {line}" for name, line in boot.entries)
        return problems + [f"{self.name}: the command line is not as it was, which is {wanted}"]

    def _put(self, files):
        for path, text in files.items():
            if self._files.read(path) != text:
                self._files.put(path, text)
            if path == self.record and text is None:
                self._files.drop_directory(os.path.dirname(path))

    def _put_back(self, boot, change):
        # As on the way there, the record knows of both until the end.
        first = {path: text for path, text in change.files.items() if path == self.record}
        last = {path: text for path, text in boot.files.items() if path == self.record}
        rest = [{path: text} for path, text in boot.files.items() if path != self.record]
        problems = self._try_put([first] + rest)
        for command in change.commands if change.undo is None else change.undo:
            problems += [f"putting back: {message}" for message in tried(self.run, *command)]
        return problems + self._try_put([last])

    def _try_put(self, groups):
        return [f"not put back: {message}" for files in groups for message in tried(self._put, files)]


def commented(path, text):
    """Problems of a file whose comments would be arguments to some readers of it."""
    return [
        f"{path} holds a comment ({line!r}): remove it, then run again"
        for line in text.splitlines()
        if line.lstrip().startswith("#")
    ]


def foreign(line, names):
    """The words of a line that have none of these names, as written."""
    known = {normalize(name) for name in names}
    return [word.text for word in parse(line).words if word.is_inits or word.name not in known]


def _outside_quotes(text):
    return "".join(text.split('"')[::2])


__all__ = ("Backend", "Boot", "Change", "commented", "foreign")
