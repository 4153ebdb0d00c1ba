# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What boot loaders' back ends have in common: what they read, what they would change, how a change is carried out.

A back end is a class with a ``name``, ``looked_for`` (a phrase), ``found()`` (evidence, or None), ``read()`` (a Boot),
``plan(boot, goal)`` (a Change) and ``back(boot, record)``. The last two are pure: they take from the Boot whatever they need, the
programs that will run too, and touch neither files nor programs. Everything else is here.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, NamedTuple

from ansible_collections.vfio.host.plugins.module_utils._boot.textlines import lines
from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import exact, is_collected, normalize, parse
from ansible_collections.vfio.host.plugins.module_utils._cmdline.goal import Goal
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.boot import Boot, Change, More
from ansible_collections.vfio.host.plugins.module_utils._core.endings import ENDINGS, told
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError, last_words

if TYPE_CHECKING:
    from typing import Collection, Iterable, Mapping, Sequence

    from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import Line, Wish, Word
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.records import Record
    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    from ansible_collections.vfio.host.plugins.module_utils._core.resources import Commands, File
    from ansible_collections.vfio.host.plugins.module_utils._host.bootpaths import BootPaths
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_BLANKS = re.compile(r"[ \t\n\v\f\r]{2}|[\t\n\v\f\r]")


class Edges(NamedTuple):
    """The edges of the host through which a boot loader is read and written: the kernel's files and programs, configuration, paths."""

    fs: Sysfs
    files: Files
    paths: BootPaths


class Backend(Generic[More]):
    """The common part. ``fs`` runs programs, ``files`` writes, ``paths`` knows where things are."""

    name = ""
    looked_for = ""
    # The name of an argument that the loader gives to each kernel that it starts; empty: it gives none.
    word = ""
    # Characters that the tool or the loader would not carry to the kernel as they are:
    # (characters, whether inside quotes too, who would not).
    forbidden: tuple[tuple[str, bool, str], ...] = ()
    # Whether commands edit the entries, which then are no file's that is written here.
    edits_entries = False

    def __init__(self, fs: Sysfs, files: Files, paths: BootPaths) -> None:
        self._fs = fs
        self._files = files
        self._paths = paths
        self.record = paths.cmdline_record
        # Warnings of what only a run of the tool can tell.
        self.noticed: list[str] = []

    def found(self) -> str | None:
        """Evidence that this is the boot loader, a path or a name; None where it is not."""
        raise NotImplementedError

    def read(self) -> Boot[More]:
        """The boot loader's state now. Raises PlanError."""
        raise NotImplementedError

    def plan(self, boot: Boot[More], goal: Goal) -> Change:
        """What has to be done to ``boot`` for a goal, with every problem. Pure."""
        raise NotImplementedError

    @property
    def removable(self) -> frozenset[str]:
        """The names of lines whose files are removed where we made them and nothing is left to say in them."""
        return frozenset()

    def program(self, name: str) -> str:
        """The path of a program that is needed. Raises PlanError where it is not installed."""
        path: str | None = self._paths.program(name)
        if path is None:
            raise PlanError(f"{self.name}: the program {name} is not installed, and nothing else does its work: install it")
        return path

    def said(self, *argv: str) -> tuple[str, str]:
        """(standard output, standard error) of a program. Raises ApplyError with its own words."""
        status, out, err = self._fs.run(list(argv))
        if status:
            raise ApplyError(f"{os.path.basename(argv[0])} failed with status {status}: {last_words(out, err)}")
        return out, err

    def run(self, *argv: str) -> str:
        """A program's output. Raises ApplyError with its own words."""
        return self.said(*argv)[0]

    def read_asked(self, *argv: str) -> tuple[str, str]:
        """(standard output, standard error) of a program that only reads. Raises PlanError."""
        try:
            return self.said(*argv)
        except ApplyError as error:
            raise PlanError(*error.messages) from error

    def unfit(self, wishes: Iterable[Wish]) -> list[str]:
        """A sentence for each value that this boot loader cannot carry to the kernel as it is."""
        problems = []
        for wish in wishes:
            for text in wish.texts:
                for characters, in_quotes, who in self.forbidden:
                    refused = sorted(set(characters) & set(text if in_quotes else _outside_quotes(text)))
                    if refused:
                        problems.append(
                            f"arguments: {text}: {who} would change or run {' '.join(refused)}; it cannot be carried"
                        )
        return problems

    def back(self, boot: Boot[More], record: Record) -> tuple[Goal, list[str]]:
        """(the Goal that restores what ``record`` keeps, the names of arguments that somebody else has changed since, which stay). Pure."""
        undone = {name: record.undone(name, line) for name, line in boot.lines}
        own = {name: [exact(arg, parse(text or "")) for arg in record.of(name).names] for name, (text, dummy) in undone.items()}
        texts = {name: text for name, (text, dummy) in undone.items() if text is not None}
        left = dict.fromkeys(arg for dummy, foreigners in undone.values() for arg in foreigners)
        return Goal(next(iter(own.values()), []), own, texts, frozenset(undone).difference(texts)), list(left)

    def prove(self, before: Boot[More], goal: Goal) -> Boot[More]:
        """The Boot, read again. Raises ApplyError where a wish is not met or a foreign argument is not as it was."""
        after = self.read()
        problems = [
            f"{self.name}: {name} does not boot as wished with {wish.name}: it has {line!r}"
            for name, line, wish in goal.unmet(after.entries)
        ]
        problems += self.foreign_lost(before, after, names=[wish.name for wish in goal.all])
        if problems:
            raise ApplyError(*problems)
        return after

    def foreign_lost(self, before: Boot[More], after: Boot[More], *, names: Collection[str]) -> list[str]:
        """A sentence for each entry of which arguments changed that are not among ``names``. Back ends whose tools make entries anew override it."""
        now, problems = dict(after.entries), []
        for name, line in before.entries:
            if name in now and foreign(line, names) != foreign(now[name], names):
                problems.append(
                    f"{self.name}: {name} changed in arguments that nobody named: {line!r} became {now[name]!r}"
                )
        return problems

    def apply(self, boot: Boot[More], change: Change, *, goal: Goal, journal: Journal) -> Boot[More]:
        """Write the files, run the commands, and return the Boot as read afterwards. Raises ApplyError; ``journal`` knows what was before."""
        journal.after_restore(lambda problems: self._as_before(boot, problems))
        self._remember(boot, change, journal)
        self._put(change.files)
        for command in change.commands:
            self.run(*command)
        self._put(change.files)
        after = self.prove(boot, goal)
        self._put(change.late)
        return after

    def _remember(self, boot: Boot[More], change: Change, journal: Journal) -> None:
        """Have the journal remember the files, and how the tool derives from them what it keeps."""
        from ansible_collections.vfio.host.plugins.module_utils._core.resources import File
        paths = [*boot.files, *change.files, *change.late]
        resources: list[File | Commands] = [*self.derived(boot, change)]
        if self.record in paths:
            # As on the way there, the record knows of both until the end.
            resources.append(File.now(self._files, self.record, is_last=True, meanwhile=change.files.get(self.record)))
        journal.remember(*resources, files=[path for path in paths if path != self.record])

    def made(self) -> list[str]:
        """The paths of files that the tool makes anew, beside those of the Boot."""
        return []

    def derived(self, boot: Boot[More], change: Change) -> Sequence[File | Commands]:
        """The resources of what the tool keeps, which commands derive again from the files."""
        from ansible_collections.vfio.host.plugins.module_utils._core.resources import Commands
        commands = change.commands if change.undo is None else change.undo
        return [Commands([list(words) for words in commands])] if commands else []

    def _as_before(self, boot: Boot[More], problems: list[str]) -> list[str]:
        """After restoring: what boots now, whatever the tools have said; sentences."""
        try:
            is_as_before = self.read().entries == boot.entries
        except ENDINGS as error:
            return told(error, f"{self.name}: reading what boots")
        if is_as_before:
            return [f"{self.name}: the command line was put back as it was"] if problems else []
        wanted = "; ".join(f"{name}: {line}" for name, line in boot.entries)
        return [f"{self.name}: the command line is not as it was, which is {wanted}"]

    def _put(self, files: Mapping[str, str | None]) -> None:
        """Write files, path -> text, None to remove one. Raises ApplyError."""
        for path, text in files.items():
            if self._files.read(path) != text:
                if text is None:
                    self._files.put(path, None)
                else:
                    self._files.rewrite(path, text)
            if path == self.record and text is None:
                self._files.drop_directory(os.path.dirname(path))


def commented(path: str, text: str) -> list[str]:
    """A sentence for each comment of a file that would be an argument to some readers of it."""
    return [
        f"{path} holds a comment ({line!r}): remove it, then run again"
        for line in lines(text)
        if line.lstrip().startswith("#")
    ]


def foreign(line: str, names: Iterable[str]) -> list[str]:
    """The words of a line that have none of these names, as written."""
    known = {normalize(name) for name in names}
    return [word.text for word in parse(line).words if word.is_inits or word.name not in known]


def lost(line: str, source: str, *, names: Collection[str]) -> list[str]:
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


def _is_gone(word: Word, made: Line) -> bool:
    """Whether a line that is made anew, ``made``, lacks a word."""
    if word.is_inits:
        return word.text not in [other.text for other in made.words if other.is_inits]
    return not made.named(word.name) or (is_collected(word.name) and word.value not in made.values(word.name))


def made_otherwise(name: str, after: Boot[More], *, names: Collection[str]) -> list[str]:
    """A sentence for each entry that a tool has made of ``after.source`` and that has other arguments, but for ``names``; ``name``: the back end's."""
    wanted = foreign(after.source, names)
    return [
        f"{name}: {entry} was made with other arguments than its source has: {line!r} of {after.source!r}"
        for entry, line in after.entries
        if foreign(line, names) != wanted
    ]


def against(wishes: Iterable[Wish], others: Mapping[str, str], *, who: str = "the tool") -> list[str]:
    """A sentence for each word that a drop-in file sets against a wish; ``others``: path -> its line, which ``who`` adds."""
    return [
        f"{word.text} is set in {path}, which {who} adds to what is set here: remove it there, then run again"
        for path, line in others.items() for wish in wishes for word in wish.unwanted(parse(line))
    ]


def made_of(goal: Goal, name: str, *, line: str, others: Mapping[str, str]) -> Goal:
    """The Goal that restores what was before, for entries that a tool makes of the ``line`` called ``name`` and of the ``others``, path -> line, which stay."""
    wishes = goal.of(name)
    then = parse(" ".join((goal.edit(name, line), *others.values())))
    return replace(goal, wishes=[exact(wish.name, then) for wish in wishes], own={**goal.own, name: wishes})


def torn(line: str, who: str) -> list[str]:
    """A sentence for each word of a line in which ``who`` would make one blank of all white space."""
    return [
        f"{word.text} has white space that is not one blank, of which {who} would make one: write it with single blanks, or leave it out, then run again"
        for word in parse(line).words if _BLANKS.search(word.text)
    ]


def _outside_quotes(text: str) -> str:
    return "".join(text.split('"')[::2])


__all__ = ("Backend", "Edges", "against", "commented", "foreign", "lost", "made_of", "made_otherwise", "torn")
