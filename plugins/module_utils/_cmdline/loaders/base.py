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

from ansible_collections.vfio.host.plugins.module_utils._boot.textlines import lines
from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import exact, is_collected, normalize, parse
from ansible_collections.vfio.host.plugins.module_utils._cmdline.goal import Goal
from ansible_collections.vfio.host.plugins.module_utils._core.endings import ENDINGS, told
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError, last_words


@dataclass(frozen=True)
class Boot:
    """A boot loader's state. ``entries``: (name, command line) of what this system boots, the default one first.

    ``files``: path -> text of the files that a change may write or a tool rewrites. ``source``: the line that the tool
    makes the next entries from, where there is one. ``lines``: (name, line) of what is edited in place. ``new``: the
    names of those whose file is absent: it is made, and goes on the way back. ``raw``: name of a line -> how its file writes
    it, where that is more than the line, such as its quotes. ``more``: what only its own back end reads.
    """

    entries: tuple
    files: dict = field(default_factory=dict)
    source: Optional[str] = None
    lines: tuple = ()
    new: tuple = ()
    raw: dict = field(default_factory=dict)
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

    def apply(self, boot, change, goal, journal):
        """Write, run, and give the Boot as read again. Raises ApplyError."""
        journal.after_restore(lambda problems: self._as_before(boot, problems))
        self._remember(boot, change, journal)
        self._put(change.files)
        for command in change.commands:
            self.run(*command)
        self._put(change.files)
        after = self.prove(boot, goal)
        self._put(change.late)
        return after

    def _remember(self, boot, change, journal):
        """Have the journal know the files, and how the tool derives again what it keeps."""
        from ansible_collections.vfio.host.plugins.module_utils._core.resources import File
        paths = [*boot.files, *change.files, *change.late]
        resources = self.derived(boot, change)
        if self.record in paths:
            # As on the way there, the record knows of both until the end.
            resources.append(File.now(self._files, self.record, is_last=True, meanwhile=change.files.get(self.record)))
        journal.remember(*resources, files=[path for path in paths if path != self.record])

    def derived(self, dummy_boot, change):
        """The resources of what the tool keeps, which commands derive again from the files."""
        from ansible_collections.vfio.host.plugins.module_utils._core.resources import Commands
        commands = change.commands if change.undo is None else change.undo
        return [Commands([list(words) for words in commands])] if commands else []

    def _as_before(self, boot, problems):
        """After restoring: what boots now, whatever the tools have said; sentences."""
        try:
            is_as_before = self.read().entries == boot.entries
        except ENDINGS as error:
            return told(error, f"{self.name}: reading what boots")
        if is_as_before:
            return [f"{self.name}: the command line was put back as it was"] if problems else []
        wanted = "; ".join(f"{name}: {line}" for name, line in boot.entries)
        return [f"{self.name}: the command line is not as it was, which is {wanted}"]

    def _put(self, files):
        for path, text in files.items():
            if self._files.read(path) != text:
                self._files.put(path, text)
            if path == self.record and text is None:
                self._files.drop_directory(os.path.dirname(path))


def commented(path, text):
    """Problems of a file whose comments would be arguments to some readers of it."""
    return [
        f"{path} holds a comment ({line!r}): remove it, then run again"
        for line in lines(text)
        if line.lstrip().startswith("#")
    ]


def foreign(line, names):
    """The words of a line that have none of these names, as written."""
    known = {normalize(name) for name in names}
    return [word.text for word in parse(line).words if word.is_inits or word.name not in known]


def lost(line, source, names):
    """The foreign words of a line that a tool would drop which makes it anew of ``source``.

    Another value there is what somebody wants of the next boot; an argument that is not there at all nobody has decided.
    """
    made = parse(source)
    return [
        word.text
        for word in parse(line).words
        if (word.is_inits or word.name not in {normalize(name) for name in names})
        and _is_gone(word, made)
    ]


def _is_gone(word, made):
    if word.is_inits:
        return word.text not in [one.text for one in made.words if one.is_inits]
    return not made.named(word.name) or (is_collected(word.name) and word.value not in made.values(word.name))


def made_otherwise(name, after, names):
    """Problems of entries that a tool has made of ``source``, and that have other foreign arguments than that."""
    wanted = foreign(after.source, names)
    return [
        f"{name}: {entry} was made with other arguments than its source has: {line!r} of {after.source!r}"
        for entry, line in after.entries
        if foreign(line, names) != wanted
    ]


def _outside_quotes(text):
    return "".join(text.split('"')[::2])


__all__ = ("Backend", "Boot", "Change", "commented", "foreign", "lost", "made_otherwise")
