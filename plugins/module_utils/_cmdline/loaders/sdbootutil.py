# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""sdbootutil of openSUSE, which makes the options of all entries anew from /etc/kernel/cmdline and predicts what a TPM measures.

So no entry is edited here. What an entry alone has would be lost, and is refused before anything is touched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._boot.textlines import lines
from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.base import against, commented, foreign, lost, made_of, made_otherwise, torn
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.boot import Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.entries import EntryFiles
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

if TYPE_CHECKING:
    from typing import Collection

    from ansible_collections.vfio.host.plugins.module_utils._cmdline.goal import Goal
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.records import Record

# The tool puts these in itself, or takes them out (source: sedrootflags() in sdbootutil).
_TOOLS_OWN = ("root", "rootflags", "initrd", "BOOT_IMAGE", "systemd.machine_id")
# It puts the whole line into a command of sed, s|...|...| (source: update_entry_conf() in sdbootutil).
_SED = "|&\\"
# What it edits wherever it stands, in another argument too, such as a value that quotes it.
_EDITED = re.compile(r"[ \t]{2}|\t|\b(?:root|initrd|BOOT_IMAGE|systemd.machine_id)=|\brootflags=subvol=")


@dataclass(frozen=True)
class SdbootutilState:
    """``program``: its path; ``others``: path -> line of the drop-in files that are added to /etc/kernel/cmdline."""

    program: str
    others: dict[str, str]


class Sdbootutil(EntryFiles[SdbootutilState]):
    """sdbootutil."""

    name = "sdbootutil"
    looked_for = "sdbootutil with entries in loader/entries"
    forbidden = ((_SED, True, "sdbootutil, a shell script around sed,"),)
    edits_entries = True

    def found(self) -> str | None:
        """Evidence, or None."""
        entries = self.all_entries() if self._paths.program("sdbootutil") else []
        return entries[0].path if entries else None

    def read(self) -> Boot[SdbootutilState]:
        """The line of /etc/kernel/cmdline, and the entries that the tool makes of it: of this system and snapshot."""
        system, path = self.system(), self._paths.kernel_cmdline
        text = self._files.read(path) or ""
        if not text.strip():
            raise PlanError(
                f"{path} is absent or empty, and sdbootutil then takes what the running kernel was started with, for all entries: "
                "write the arguments there that the entries have, then run again"
            )
        ours = [entry for entry in self.all_entries() if entry.fields.get("linux") and entry.other_root(system.line) is None]
        if not ours:
            raise self.none_is_ours(lambda entry: entry.other_root(system.line) or "starts no Linux kernel")
        entries = tuple((entry.path, entry.options) for entry in self.booted_first(ours))
        files = {path: text, **{entry.path: entry.text for entry in ours}}
        others = self._dropins()
        return Boot(
            entries=entries, files=files, source=" ".join((_joined(text), *others.values())), lines=((path, text),),
            more=SdbootutilState(self.program("sdbootutil"), others),
        )

    def _dropins(self) -> dict[str, str]:
        """Path -> line of the drop-in files; one of /etc takes the place of its namesake (source: create_boot_options() in sdbootutil)."""
        etc, usr = self._paths.cmdline_dropins
        # A shell's wildcard, which fits nothing hidden; of a directory the shell reads nothing.
        shown = {place: [name for name in self._files.names(place) if not name.startswith(".")] for place in (etc, usr)}
        paths = [f"{usr}/{name}" for name in shown[usr] if name not in shown[etc]] + [f"{etc}/{name}" for name in shown[etc]]
        paths = [path for path in paths if self._paths.is_file(path)]
        return {path: _joined(self._files.read(path) or "") for path in paths}

    def back(self, boot: Boot[SdbootutilState], record: Record) -> tuple[Goal, list[str]]:
        """As ever; what drop-in files say stays in the entries."""
        goal, left = super().back(boot, record)
        path = self._paths.kernel_cmdline
        return made_of(goal, path, line=boot.text(path), others=boot.more.others), left

    def plan(self, boot: Boot[SdbootutilState], goal: Goal) -> Change:
        """/etc/kernel/cmdline, then the tool for all entries."""
        path = self._paths.kernel_cmdline
        before = boot.text(path)
        text, problems = goal.edit(path, before), self.unfit(goal.all)
        files: dict[str, str | None] = {path: text} if text != before else {}
        commands = []
        if files or goal.again or goal.unmet(boot.entries):
            commands = [[boot.more.program, "update-all-entries"]]
            problems += commented(path, before) + self._lost(boot, [wish.name for wish in goal.all])
            problems += against(goal.wishes, boot.more.others)
            problems += torn(" ".join(new for wish in goal.all for new in wish.texts if wish.present), "sdbootutil")
        return Change(files=files, commands=commands, problems=problems)

    def _lost(self, boot: Boot[SdbootutilState], names: list[str]) -> list[str]:
        """Problems of arguments that nobody named, and that the tool would change in an entry."""
        own = [*names, *_TOOLS_OWN]
        gone = [(name, lost(line, boot.source, names=own)) for name, line in boot.entries]
        problems = [
            f"{name} has {' '.join(words)}, and {self._paths.kernel_cmdline} has not, so that sdbootutil would drop it: write it "
            "there, then run again"
            for name, words in gone
            if words
        ]
        wanted = foreign(boot.source, own)
        changed = [text for text in wanted if set(text) & set(_SED) or _EDITED.search(text)]
        if any(word.name in ("initrd", "BOOT_IMAGE") for word in parse(boot.source).words):
            problems.append(
                f"{self._paths.kernel_cmdline} has an initrd= or BOOT_IMAGE=, and sdbootutil drops whatever stands before that: "
                "remove it, then run again"
            )
        return problems + [
            f"{self._paths.kernel_cmdline} has {text}, which sdbootutil, a shell script around sed, would change: write it with "
            "single blanks, and without | & \\ and what it sets itself (root=), or remove it, then run again" for text in changed
        ]

    def losses(self) -> list[str]:
        """Sentences of what the tool would not write into the entries as it is, whatever it makes them anew for."""
        try:
            return self._lost(self.read(), [])
        except PlanError as error:
            return list(error.messages)

    def foreign_lost(self, before: Boot[SdbootutilState], after: Boot[SdbootutilState], *, names: Collection[str]) -> list[str]:
        """The entries are made anew of files, which may say more than they had."""
        return made_otherwise(self.name, after, names=[*names, *_TOOLS_OWN])


def _joined(text: str) -> str:
    """The line that a file stands for."""
    return " ".join(line.strip() for line in lines(text) if not line.startswith("#"))


__all__ = ("Sdbootutil",)
