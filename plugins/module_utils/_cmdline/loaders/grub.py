# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""GRUB with grub-mkconfig: lines of ours in a drop-in where it reads these, else at the end of /etc/default/grub.

Nobody else's line is ever changed. What others set against a wish, ours leave out, and the task says where it is set.
Without them that holds again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._boot.textlines import lines
from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import Wish, edit, exact, normalize, parse
from ansible_collections.vfio.host.plugins.module_utils._cmdline.goal import Goal
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders import grubcfg
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.base import Backend
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.base import against as told_against
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.boot import Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.grubsettings import ASK, Block, DropIn, parse_answers, without
from ansible_collections.vfio.host.plugins.module_utils._core.endings import ENDINGS, told
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError

if TYPE_CHECKING:
    from typing import Collection, Iterable

    from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import Line
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.grubsettings import Settings
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.records import Record
    from ansible_collections.vfio.host.plugins.module_utils._core.resources import File

    # What is read for GRUB's settings: a path, and what the shell is to read for it, the path again or a text that begins with a line end.
    Source = tuple[str, str]

_READS_DROPINS = re.compile(r"^[^#\n]*default/grub\.d", re.MULTILINE)
# Source: util/grub.d/20_linux_xen.in of GRUB.
_XENS = "/20_linux_xen"
_XENS_OWN = re.compile(r"""[ \t]*(?:export[ \t]+)?GRUB_CMDLINE_LINUX_XEN_REPLACE=(?!(?:""|'')?[ \t]*(?:#|\Z))""")
_BLS = re.compile(r"^\s*blscfg\b", re.MULTILINE)


@dataclass(frozen=True)
class GrubState:
    """``mine``: where our lines are; ``others``: what others set; ``settings``: (path, line number, line) of their files, to name a
    conflict; ``update``: what makes the configuration effective; ``fixed``: why that does not reach the entry that boots, a sentence;
    ``filled``: where -> what GRUB puts in the place of variables of that entry.
    """

    mine: DropIn | Block
    others: Settings
    settings: tuple[tuple[str, int, str], ...]
    update: list[list[str]]
    fixed: str | None = None
    filled: dict[str, str] = field(default_factory=dict)


class Grub(Backend[GrubState]):
    """GRUB with update-grub, grub-mkconfig or grub2-mkconfig."""

    name = "grub"
    word = "BOOT_IMAGE"
    looked_for = (
        "GRUB (grub-mkconfig and /boot/grub/grub.cfg, or grub2-mkconfig and /boot/grub2/grub.cfg, without blscfg)"
    )
    forbidden = (
        ("$`\\'", True, "GRUB's own language"),
        (";&|<>{}", False, "GRUB's own language"),
    )

    def found(self) -> str | None:
        """Evidence, or None. Where GRUB takes its entries from files of their own, they are not grub-mkconfig's."""
        text = self._files.read(self._cfg) if self._paths.program(self._mkconfig) else None
        return None if not text or _BLS.search(text) else self._cfg

    @property
    def _is_grub2(self) -> bool:
        """Whether GRUB has the names that it has on Fedora and openSUSE."""
        return not self._paths.program("grub-mkconfig") or self._files.read(self._paths.grub_cfg) is None

    @property
    def _cfg(self) -> str:
        """The path of the grub.cfg that the tool writes."""
        return self._paths.grub2_cfg if self._is_grub2 else self._paths.grub_cfg

    @property
    def _mkconfig(self) -> str:
        """The name of the tool that writes grub.cfg."""
        return "grub2-mkconfig" if self._is_grub2 else "grub-mkconfig"

    def _has_dropins(self) -> bool:
        """Whether the tool reads /etc/default/grub.d: Debian's does. Raises PlanError where it is not installed."""
        return bool(_READS_DROPINS.search(self._files.read(self.program(self._mkconfig)) or ""))

    def commands(self) -> list[list[str]]:
        """What makes the configuration effective."""
        update = self._paths.program("update-grub") if self._has_dropins() and not self._is_grub2 else None
        return [[update or self.program(self._mkconfig)]]

    def made(self) -> list[str]:
        """grub.cfg."""
        return [self._cfg]

    @property
    def _made(self) -> str:
        """The path that the tool is given in place of grub.cfg's."""
        return self._cfg + ".vfio-host"

    def derived(self, boot: Boot[GrubState], change: Change) -> list[File]:
        """grub.cfg itself: put back as it was, and in one step, which its tool does not do. What the tool makes beside it goes."""
        from ansible_collections.vfio.host.plugins.module_utils._core.resources import File
        return [File.now(self._files, self._cfg)] + [File(path, None) for path in (self._made, self._made + ".new")]

    def run(self, *argv: str) -> str:
        """A program's output. What it makes takes grub.cfg's place in one step."""
        if list(argv) not in self.commands():
            return super().run(*argv)
        # Its last step empties grub.cfg and fills it again, unsynced: a host whose power goes in between boots no more.
        try:
            # One that is left would pass for what an update-grub has made that takes no -o.
            self._files.put(self._made, None)
            out = super().run(*argv, "-o", self._made)
            self._files.swap(self._made, self._cfg)
        except ENDINGS as error:
            raise ApplyError(*told(error, f"running {argv[0].rpartition('/')[2]}")) from error
        return out

    def _default_entry(self, cfg: str) -> grubcfg.Entry | None:
        """The entry of a grub.cfg that will boot; None where that does not say."""
        env = self._files.read(self._paths.grub2_env if cfg == self._paths.grub2_cfg else self._paths.grub_env)
        text, custom = self._files.read(cfg) or "", f"{cfg.rpartition('/')[0]}/custom.cfg"
        # Read last, where it is there: it may have entries, and say which of all is the default (source: 41_custom of GRUB).
        text += "\n" + grubcfg.begin(custom) + (self._files.read(custom) or "") if "/custom.cfg" in text else ""
        return grubcfg.default_entry(text, grubcfg.parse_environment(env or ""))

    def loaded_images(self) -> list[str]:
        """The images that the entry loads which will boot, as it names them, whoever wrote it; none where it starts another system, or
        GRUB has not started the running kernel: it gives that the word BOOT_IMAGE (source: grub-core/loader/i386/linux.c).
        """
        running = parse(self._fs.read(f"{self._fs.proc}/cmdline") or "")
        if not running.named("BOOT_IMAGE"):
            return []
        cfgs = [cfg for cfg in (self._paths.grub_cfg, self._paths.grub2_cfg) if not _BLS.search(self._files.read(cfg) or "")]
        found = [self._default_entry(cfg) for cfg in cfgs]
        ours = [entry for entry in found if entry is not None and parse(entry.line or "").values("root")[-1:] == running.values("root")[-1:]]
        return [name for entry in ours for name in entry.initrds]

    def entries(self) -> tuple[tuple[str, str], ...]:
        """The entry that will boot, from grub.cfg."""
        entry = self._default_entry(self._cfg)
        if entry is None or entry.line is None:
            raise PlanError(
                f"{self._cfg} does not say which entry boots by default, or that entry starts no kernel: see "
                f"GRUB_DEFAULT in {self._paths.grub_defaults}, then run {self.commands()[0][0]}"
            )
        return ((f"{self._cfg}, entry {entry.title!r}", entry.line),)

    def _fixed(self, settings: Iterable[tuple[str, int, str]]) -> str | None:
        """Why what is set does not reach the entry that will boot: none of GRUB's own files has written it, or it is Xen's, whose kernel has
        a variable of its own in ``settings``. None where it does, or nothing says who has.
        """
        entry = self._default_entry(self._cfg)
        if entry is None or not entry.part:
            return None
        own = [f"{path}:{number}" for path, number, line in settings if _XENS_OWN.match(line)]
        if own and entry.part.endswith(_XENS):
            return (
                f"{self._cfg} boots the entry {entry.title!r} by default, and {own[-1]} sets GRUB_CMDLINE_LINUX_XEN_REPLACE, which takes the place of "
                "GRUB_CMDLINE_LINUX for Xen's kernel: set the arguments there, then run again"
            )
        path = entry.part if entry.part.startswith(self._paths.root + "/") else self._paths.root + entry.part
        text = self._files.read(path)
        if text is None or "GRUB_CMDLINE_LINUX" in text:
            return None
        return (
            f"{self._cfg} boots the entry {entry.title!r} by default, which {path} writes, and that does not take GRUB_CMDLINE_LINUX: set the "
            "arguments there, or have another entry be the default, then run again"
        )

    def read(self) -> Boot[GrubState]:
        """The settings of others, ours, and what will boot."""
        self._refuse_elsewhere()
        mine = self._mine()
        early, late = self._sources(mine)
        try:
            out = self.read_asked("sh", "-c", ASK, "sh", *(what for dummy, what in early), "--", *(what for dummy, what in late))[0]
        except PlanError as error:
            files = " or ".join(path for path, dummy in early + late)
            raise PlanError(*(
                f"a shell cannot read {files}, so that GRUB's tool would fail as well: {message}; mend the line, then run again"
                for message in error.messages
            )) from error
        settings = parse_answers(out, [path for path, dummy in late])
        if settings is None:
            raise PlanError(
                f"{self._paths.grub_defaults} and the files in {self._paths.grub_dropins} end the shell that reads them"
            )
        lines_of = self._settings(mine, early + late)
        entries = self.entries()
        return Boot(
            entries=entries,
            files={mine.path: mine.text},
            source=settings.with_ours(mine.left_out, mine.ours),
            more=GrubState(mine, settings, lines_of, self.commands(), self._fixed(lines_of), self._filled([line for dummy, line in entries])),
        )

    def _filled(self, lines_of: list[str]) -> dict[str, str]:
        """What stands for variables of these lines."""
        env = self._paths.grub2_env if self._is_grub2 else self._paths.grub_env
        return grubcfg.filled_in(lines_of, cfg=(self._cfg, self._files.read(self._cfg) or ""), env=(env, self._files.read(env) or ""))

    def _refuse_elsewhere(self) -> None:
        """Raises PlanError where the grub.cfg that boots may be the one on the EFI system partition (RHEL 7)."""
        if not self._is_grub2:
            return
        for place in self._paths.boots:
            for name in self._files.names(f"{place}/EFI"):
                path = f"{place}/EFI/{name}/grub.cfg"
                if "menuentry" in (self._files.read(path) or ""):
                    raise PlanError(
                        f"{path} has menu entries of its own, and nothing says whether it boots this host, or {self._cfg}: "
                        "make it one that only reads the other (configfile), or remove it where it is another system's"
                    )

    def _mine(self) -> DropIn | Block:
        """Where our lines are: a drop-in of our own where they are read, else the end of everybody's file."""
        tool, defaults = self.commands()[0][0].rpartition("/")[2], self._paths.grub_defaults
        if self._has_dropins():
            return DropIn(self._paths.grub_dropin, tool, self._files.read(self._paths.grub_dropin))
        text = self._files.read(defaults)
        if text is None:
            raise PlanError(f"{defaults} is absent, and {tool} reads no file in {self._paths.grub_dropins}: create it, if empty")
        if "\0" in text:
            raise PlanError(f"{defaults} holds a NUL byte, which a shell leaves out and this collection cannot hand to one: remove it, then run again")
        if text.endswith("\\\n"):
            raise PlanError(f"{defaults} ends in the middle of a line (\\): end that line, then run again")
        return Block(defaults, tool, text)

    def _sources(self, mine: DropIn | Block) -> tuple[list[Source], list[Source]]:
        """(path, what the shell is to read) of what is read before ours, and of what is read after that."""
        defaults = self._paths.grub_defaults
        if isinstance(mine, Block):
            return [(defaults, "\n" + mine.before)], [(defaults, "\n" + mine.after)] if mine.after.strip() else []
        names = [name for name in self._files.names(self._paths.grub_dropins) if name.endswith(".cfg")]
        paths = [f"{self._paths.grub_dropins}/{name}" for name in names if not name.startswith(".")]
        early = [defaults] + sorted(path for path in paths if path < mine.path)
        return [(path, path) for path in early], [(path, path) for path in sorted(paths) if path > mine.path]

    def _settings(self, mine: DropIn | Block, sources: Iterable[Source]) -> tuple[tuple[str, int, str], ...]:
        """(path, line number, line) of the others' files, to name a conflict."""
        texts = {}
        for path, source in sources:
            texts[path] = mine.before + mine.after if isinstance(mine, Block) and path == mine.path else self._files.read(source)
        return tuple(
            (path, number, line)
            for path, text in texts.items()
            for number, line in enumerate(lines(text or ""), 1)
            if not line.lstrip().startswith("#")
        )

    def back(self, boot: Boot[GrubState], record: Record) -> tuple[Goal, list[str]]:
        """Our lines are the record: what they add and leave out is to be as the others have it."""
        mine = boot.more.mine
        words = parse(" ".join((mine.ours, *mine.left_out))).words
        others = parse(boot.more.others.all)
        return Goal([exact(name, others) for name in dict.fromkeys(word.written for word in words)]), []

    def plan(self, boot: Boot[GrubState], goal: Goal) -> Change:
        """Our lines as they have to be, and GRUB's tool where they or the entry differ."""
        mine, others = boot.more.mine, parse(boot.more.others.all)
        ours, left_out = mine.ours, list(mine.left_out)
        problems: list[str] = []
        warnings: list[str] = []
        for wish in goal.wishes:
            against = [word.text for word in wish.unwanted(others)]
            lacking = _missing(wish, others, against) if wish.present else wish
            problems += self.unfit([lacking])
            ours = edit(ours, [lacking])
            if wish.present or not parse(ours).named(wish.name):
                # What was left out for the sake of an argument that is gone holds again.
                left_out = [text for text in left_out if parse(text).words[0].name != normalize(wish.name)]
            warnings += [
                f"{text}, set at {_place(boot, text)}, is left out by {mine.path}"
                for text in against
                if text not in mine.left_out
            ]
            left_out += [text for text in dict.fromkeys(against) if text not in left_out]
        # A wish without values takes ours back, and no more.
        warnings += told_against([wish for wish in goal.wishes if wish.texts or not wish.present], boot.more.filled, who="GRUB")
        left_out.sort(key=lambda text: mine.left_out.index(text) if text in mine.left_out else len(mine.left_out))
        problems += _not_left_out(boot, left_out) + _lost(boot, ours)
        if ours.strip() and any(word.text == "--" for word in parse(boot.more.others.linux).words):
            problems.append(
                f"GRUB_CMDLINE_LINUX holds a bare -- ({_place(boot, '--')}), and all that follows is init's: remove "
                "it there"
            )
        return self._change(boot, goal, mine.made(tuple(left_out), ours), problems, warnings)

    def _change(self, boot: Boot[GrubState], goal: Goal, text: str | None, problems: list[str], warnings: list[str]) -> Change:
        """The Change that makes ``text`` the text of the file with our lines; None removes it."""
        mine = boot.more.mine
        before = boot.files[mine.path]
        # What is left of ours goes when grub.cfg is without it: until then it says that there is something to take back.
        is_last = text == mine.made((), "") != before
        late: dict[str, str | None] = {mine.path: text} if is_last else {}
        text = mine.made((), "", is_kept=True) if is_last else text
        files: dict[str, str | None] = {} if text == before else {mine.path: text}
        unmet = goal.unmet(boot.entries)
        commands = boot.more.update if files or late or unmet else []
        problems = problems + [boot.more.fixed] if unmet and boot.more.fixed else problems
        return Change(files=files, commands=commands, late=late, problems=problems, warnings=warnings)

    def foreign_lost(self, before: Boot[GrubState], after: Boot[GrubState], *, names: Collection[str]) -> list[str]:
        """update-grub makes entries from the others' files as they are now: what these say is theirs."""
        return []


def _missing(wish: Wish, others: Line, against: list[str]) -> Wish:
    """The wish less what others set already: said once is enough. Without values, it only takes ours away."""
    there = [word.value for word in others.named(wish.name) if word.text not in against]
    kept = [index for index, value in enumerate(wish.values) if value not in there]
    return Wish(wish.name, tuple(wish.values[i] for i in kept), tuple(wish.texts[i] for i in kept), wish.many)


def _not_left_out(boot: Boot[GrubState], texts: list[str]) -> list[str]:
    """Problems where leaving words out would not do, or would hurt another argument that quotes them."""
    problems: list[str] = []
    others = boot.more.others
    for line in (others.linux, others.default):
        wanted = [word.text for word in parse(line).words if word.text not in texts or word.is_inits]
        if [word.text for word in parse(without(line, texts)).words] != wanted:
            problems += [
                f"{text} is set at {_place(boot, text)} in a way that cannot be left out: remove it there, then run "
                "again"
                for text in texts
                if text in line
            ]
    late = [word.text for line in others.late for word in parse(line).words]
    problems += [
        f"{text} is set at {_place(boot, text)}, which GRUB's tool reads after {boot.more.mine.path}, so it cannot be "
        "left out: remove it there, then run again"
        for text in texts
        if text in late
    ]
    return problems


def _lost(boot: Boot[GrubState], ours: str) -> list[str]:
    """A problem where a file that is read after ours sets the variable anew."""
    anew = boot.more.others.anew
    if not anew or not ours.strip():
        return []
    return [
        f"{anew} sets GRUB_CMDLINE_LINUX anew where GRUB's tool has read {boot.more.mine.path} already, so what is set here "
        "would be lost: have its value begin with $GRUB_CMDLINE_LINUX, or move that line to where it is read before"
    ]


def _place(boot: Boot[GrubState], text: str) -> str:
    """'/etc/default/grub:6' for what is set there."""
    for path, number, line in boot.more.settings:
        if "GRUB_CMDLINE" in line and text in line:
            return f"{path}:{number}"
    return " or ".join(sorted({setting[0] for setting in boot.more.settings})) or "GRUB's defaults"


__all__ = ("Grub",)
