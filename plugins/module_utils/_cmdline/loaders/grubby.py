# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Boot Loader Specification entries through grubby: GRUB 2 of Fedora and its kin, and zipl with them.

grubby edits the entries. /etc/kernel/cmdline and /etc/default/grub, from which later entries are made, are edited here:
of the first grubby keeps one line, or makes it from its last entry, of the second it overwrites lines of other variables.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.base import Backend, against, commented, foreign
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.blsentries import Entry as BlsEntry
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.boot import Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.grubbytext import (
    Entry,
    edited,
    is_assigned,
    parse_entry,
    parse_info,
    value_of,
)
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.grubcfg import filled_in, parse_environment
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.goal import Goal
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.records import Record

# Where a version has it, it has to be the last word: its parser drops the one that follows.
_ENTRIES_ONLY = "--no-etc-grub-update"
# Whatever else it names, grubby edits no file beside the entries (source: update_bls_fragment() in grubby-bls).
_ALL = "--update-kernel=ALL"


@dataclass(frozen=True)
class GrubbyState:
    """``program``: grubby's path; ``zipl``: the command that follows it, if any; ``ours``: the entries that it edits; ``foreign``: those
    that stay as they are; ``seed``: what /etc/kernel/cmdline is made from, None where it is there; ``has_entries_only``: grubby can
    leave /etc/default/grub alone; ``others``: where -> what GRUB puts in the place of variables.
    """

    program: str
    zipl: list[list[str]]
    ours: list[Entry]
    foreign: list[Entry]
    seed: str | None
    has_entries_only: bool
    others: dict[str, str]


class Grubby(Backend[GrubbyState]):
    """grubby."""

    name = "grubby"
    word = "BOOT_IMAGE"
    looked_for = "grubby with entries below /boot/loader/entries"
    forbidden = (("$`\\'*?[]^&|;(){}<>!\"", True, "grubby, a shell script around sed,"),)
    edits_entries = True

    def found(self) -> str | None:
        """Evidence, or None."""
        entries = self._entry_paths()
        return entries[0] if entries and self._paths.program("grubby") else None

    @property
    def removable(self) -> frozenset[str]:
        """Without it, grubby and kernel-install make later entries from what there is."""
        return frozenset((self._paths.kernel_cmdline,))

    def _entry_paths(self) -> list[str]:
        """The paths of all entries."""
        directory = f"{self._paths.boot}/loader/entries"
        return [f"{directory}/{name}" for name in self._files.names(directory) if name.endswith(".conf")]

    def _zipl(self) -> list[list[str]]:
        """The command that has zipl write what the entries say, on s390; none elsewhere."""
        program = self._paths.program("zipl")
        return [[program]] if program and self._files.read(self._paths.zipl_conf) is not None else []

    def read(self) -> Boot[GrubbyState]:
        """Every entry that grubby can edit, and the files that it or a new kernel's entry takes arguments from."""
        written = self._entry_paths() + [self._paths.grub_defaults, self._paths.kernel_cmdline, self._paths.grub2_env]
        files = {path: self._files.read(path) for path in written}
        found = [self._left_alone(entry) for entry in self._entries(files)]
        lines_of = [(entry, entry.line) for entry in found if entry.line is not None]
        ours = [entry for entry, dummy in lines_of]
        if not ours:
            raise PlanError("grubby --info=ALL names no kernel with options: look at /boot/loader/entries")
        kernels = [entry.kernel for entry in ours]
        entries = tuple(
            (entry.kernel if kernels.count(entry.kernel) == 1 else entry.path or entry.kernel, line) for entry, line in lines_of
        )
        lines, new, seed = self._sources(files, ours[0])
        # One call sets all entries alike, so the one that boots stands for them.
        return Boot(
            entries=entries,
            files=files,
            lines=entries[:1] + lines,
            new=new,
            more=GrubbyState(
                program=self.program("grubby"),
                zipl=self._zipl(),
                ours=ours,
                foreign=[entry for entry in found if entry.line is None],
                seed=seed,
                has_entries_only=self._has_entries_only(files),
                others=self._filled_in(files, [line for dummy, line in lines_of]),
            ),
        )

    def _entries(self, files: dict[str, str | None]) -> list[Entry]:
        """The Entries, the one that boots by default first."""
        grubby = self.program("grubby")
        infos = parse_info(self.read_asked(grubby, "--info=ALL")[0])
        default = self.read_asked(grubby, "--default-index")[0].strip()
        infos.sort(key=lambda info: info["index"] != default)
        kernelopts = parse_environment(files[self._paths.grub2_env] or "").get("kernelopts")
        paths = [f"{self._paths.boot}/loader/entries/{info['id']}.conf" if "id" in info else None for info in infos]
        return [
            parse_entry(info, files.get(path or ""), path=path, kernelopts=kernelopts) for info, path in zip(infos, paths)
        ]

    def _filled_in(self, files: dict[str, str | None], lines_of: list[str]) -> dict[str, str]:
        """What stands for variables of these lines."""
        cfg, env = self._paths.grub2_cfg, self._paths.grub2_env
        return filled_in(lines_of, cfg=(cfg, self._files.read(cfg) or ""), env=(env, files[env] or ""))

    def _left_alone(self, entry: Entry) -> Entry:
        """An entry, without a line where it is for rescue or starts another system: its file is as before in the end.

        Arguments that entries share cannot be told apart.
        """
        if entry.path is None or entry.text is None or entry.line is None or entry.is_shared:
            return entry
        running = parse(self._fs.read(f"{self._fs.proc}/cmdline") or "")
        bls = BlsEntry(entry.path, self._paths.boot, entry.text, unquotes=False)
        alone = bls.is_rescue or bls.other_root(running) is not None
        return replace(entry, line=None, is_left=True) if alone else entry

    def _sources(self, files: dict[str, str | None], default: Entry) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...], str | None]:
        """(the lines of the files beside the entries, the names of those whose file is absent, what one is made from)."""
        lines: list[tuple[str, str]] = []
        new: list[str] = []
        seed = None
        path = self._paths.kernel_cmdline
        text = files[path]
        if text is not None:
            # Without a word there is nothing to put arguments to: a kernel needs its root= too.
            lines += [(path, text)] if text.strip() else []
        elif default.text is not None:
            # What a loader replaces is no kernel's argument.
            words = [word.text for word in parse(default.line or "").words if not word.text.startswith("$")]
            seed = " ".join(words) + "\n"
            # Entries that share their arguments are not made from this file.
            lines, new = ([], []) if default.is_shared else ([(path, seed)], [path])
        path = self._paths.grub_defaults
        text = files[path] or ""
        span = value_of(text)
        lines += [(path, text[slice(*span)])] if span else []
        return tuple(lines), tuple(new), seed

    def _has_entries_only(self, files: dict[str, str | None]) -> bool:
        """Whether this version can leave /etc/default/grub alone, and there is one."""
        if files[self._paths.grub_defaults] is None:
            return False
        return any(_ENTRIES_ONLY in said for said in self.read_asked(self.program("grubby"), "--help"))

    def back(self, boot: Boot[GrubbyState], record: Record) -> tuple[Goal, list[str]]:
        """As ever, but the files have no wishes of their own: what is wished of the entries is."""
        goal, left = super().back(boot, record)
        entries, lines = dict(boot.entries), dict(boot.lines)
        own = {name: wishes for name, wishes in goal.own.items() if name in entries}
        texts = {**goal.texts, **{name: lines[name] for name in boot.new}}
        return replace(goal, own=own, texts=texts, gone=goal.gone.difference(boot.new)), left

    def plan(self, boot: Boot[GrubbyState], goal: Goal) -> Change:
        """grubby calls that name every value to be there and every value to go, and the files beside the entries."""
        unmet, problems = goal.unmet(boot.entries), self.unfit(goal.all)
        warnings: list[str] = []
        if not goal.texts:
            problems += against(goal.wishes, boot.more.others, who="GRUB")
        calls: list[list[str]] = []
        if unmet:
            add, remove = _asked(boot, goal)
            words = [f"--remove-args={' '.join(remove)}"] if remove else []
            words += [f"--args={' '.join(add)}"] if add else []
            calls = self._calls(boot, words)
            problems += [
                f"arguments: grubby cannot carry {text}, which has white space or quotes: change that argument by hand"
                for text in add + remove
                if set(text) & set(' "')
            ]
            problems += _damaged(boot, goal, remove, add)
            warnings = self._left_out(boot)
        files, late = self._beside(boot, goal, bool(calls) and _ALL in calls[0])
        path = self._paths.kernel_cmdline
        if files.get(path) not in (None, boot.files[path]):
            problems += commented(path, boot.files[path] or "")
        zipl = boot.more.zipl if unmet or goal.again else []
        commands = calls + zipl
        return Change(files=files, commands=commands, late=late, undo=zipl, problems=problems, warnings=warnings)

    def _calls(self, boot: Boot[GrubbyState], words: list[str]) -> list[list[str]]:
        """One call for all entries; one for each of ours where others are to stay as they are, and none shares arguments."""
        state = boot.more
        if state.foreign and not any(entry.is_shared for entry in state.ours):
            return [[state.program, f"--update-kernel={entry.index}", *words] for entry in state.ours]
        return [[state.program, _ALL, *words, *([_ENTRIES_ONLY] if state.has_entries_only else [])]]

    def _beside(self, boot: Boot[GrubbyState], goal: Goal, is_called: bool) -> tuple[dict[str, str | None], dict[str, str | None]]:
        """(path -> text of the files beside the entries that change, or that grubby would change; those to go)."""
        lines, defaults, cmdline = dict(boot.lines), self._paths.grub_defaults, self._paths.kernel_cmdline
        late: dict[str, str | None] = {}
        texts: dict[str, str | None] = {defaults: boot.files[defaults]}
        texts.update({entry.path: entry.text for entry in boot.more.foreign if entry.path is not None and entry.text is not None})
        text = boot.files[defaults] or ""
        span = value_of(text)
        if span is not None:
            texts[defaults] = text[: span[0]] + goal.edit(defaults, lines[defaults]) + text[span[1] :]
        then = boot.files[cmdline]
        if cmdline in lines:
            then = None if cmdline in goal.gone else goal.edit(cmdline, lines[cmdline])
        if then is None or (cmdline in boot.new and then == lines[cmdline]):
            late = {cmdline: None} if is_called or boot.files[cmdline] is not None else {}
            # Where grubby finds none, it makes one of the rescue entry: it finds a right one, which goes in the end.
            if is_called and boot.files[cmdline] is None and boot.more.seed:
                texts[cmdline] = boot.more.seed
        else:
            texts[cmdline] = then
        return {path: text for path, text in texts.items() if is_called or text != boot.files[path]}, late

    def _left_out(self, boot: Boot[GrubbyState]) -> list[str]:
        """What a change does not reach."""
        warnings = [
            f"{entry.path or 'entry ' + entry.index} starts no Linux kernel, or has no line of options: grubby cannot "
            "give it arguments, and it is left out"
            for entry in boot.more.foreign
            if not entry.is_left
        ]
        path = self._paths.grub_defaults
        if path not in dict(boot.lines) and is_assigned(boot.files[path]):
            warnings.append(
                f"{path} does not set GRUB_CMDLINE_LINUX once, to one quoted value on one line: it stays as it is, and "
                "what grub2-mkconfig makes of it will lack what was set here; change it by hand"
            )
        return warnings

    def prove(self, before: Boot[GrubbyState], goal: Goal) -> Boot[GrubbyState]:
        """As ever, and so for the files beside the entries."""
        after = super().prove(before, goal)
        # A file that goes in the end is still there.
        looked_at = set(dict(before.lines)) - set(dict(after.entries)) - set(after.new)
        problems = [
            f"grubby: {name} is not as wished: it has {line!r}"
            for name, line in after.lines
            if name in looked_at and name not in goal.gone
            and (line != goal.texts[name] if name in goal.texts else goal.unmet([(name, line)]))
        ]
        if problems:
            raise ApplyError(*problems)
        return after


def _asked(boot: Boot[GrubbyState], goal: Goal) -> tuple[list[str], list[str]]:
    """(the words to be there, the words to go) of one call for all entries."""
    add: list[str] = []
    remove: list[str] = []
    for wish in goal.all:
        before = [parse(line).texts(wish.name) for dummy, line in boot.entries]
        after = [parse(goal.edit(name, line)).texts(wish.name) for name, line in boot.entries]
        # grubby takes out what has the name before it adds, so what stays is added again, as often as it is there (source: update_args() in grubby-bls).
        stays = _counted(after)
        add += stays
        # It takes one occurrence for each time that a value is named.
        remove += [text for text in _counted(before) if text not in stays]
    return add, remove


def _damaged(boot: Boot[GrubbyState], goal: Goal, remove: list[str], add: list[str]) -> list[str]:
    """Problems of entries in which grubby would change arguments that nobody named."""
    names, problems = [wish.name for wish in goal.all], []
    for entry in boot.more.ours:
        place = entry.path or entry.kernel
        if entry.lines > 1:
            problems.append(
                f"{place} has {entry.lines} lines of options, each of which grubby would replace by all: make one of them"
            )
            continue
        if not entry.is_set:
            problems.append(
                f"{place} takes its arguments from kernelopts, which grub2-editenv list does not name, so grubby has "
                "nothing to edit: set it to what the running kernel has, then run again"
            )
        problems += [
            f"{place} has {word.text} beside $kernelopts, where grubby leaves it: remove it there, then run again"
            for wish in goal.all
            for word in wish.unwanted(parse(entry.beside or ""))
        ]
        line = entry.line or ""
        if add and any(word.text == "--" for word in parse(line).words):
            problems.append(f"{place} has a bare --, behind which grubby adds arguments, and what follows that is init's: remove it, then run again")
            continue
        left = foreign(edited(line, remove=remove, add=add), names)
        torn = [
            text for text in foreign(line, names) if text not in left or (entry.text is not None and set("&\\") & set(text))
        ]
        problems += [
            f"{place}: grubby, a shell script around sed, would change the argument {text}, which nobody named: write it "
            "with single blanks, and without & and \\, or remove it, then run again"
            for text in torn
        ]
    return problems


def _counted(lines: list[list[str]]) -> list[str]:
    """The words of lines in order, each as often as the line has it that has it most often."""
    words = dict.fromkeys(word for words in lines for word in words)
    return [word for word in words for dummy in range(max(words.count(word) for words in lines))]


__all__ = ("Grubby",)
