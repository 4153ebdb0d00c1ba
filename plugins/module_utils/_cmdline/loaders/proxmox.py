# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""proxmox-boot-tool, which copies kernels to each EFI system partition: for systemd-boot, for GRUB, or for both."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._boot.textlines import lines
from ansible_collections.vfio.host.plugins.module_utils._cmdline.goal import Goal
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.base import Backend
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.boot import Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.grub import Grub, GrubState
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError, last_words
from ansible_collections.vfio.host.plugins.module_utils._host.words import words as words_of

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.records import Record
    from ansible_collections.vfio.host.plugins.module_utils._host.bootpaths import BootPaths
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_SETTINGS = "GRUB's settings"
_CONFIGURED = re.compile(r"^(\S+) is configured with:(.*)$", re.MULTILINE)


class _GrubOfProxmox(Grub):
    """GRUB's drop-in; grub.cfg is on partitions that are not mounted, so what grub-mkconfig takes stands for it."""

    def commands(self) -> list[list[str]]:
        """The one command that writes every partition."""
        return [[self.program("proxmox-boot-tool"), "refresh"]]

    def _has_dropins(self) -> bool:
        # It comes with Debian's GRUB.
        return True

    def entries(self) -> tuple[tuple[str, str], ...]:
        """None: grub.cfg is out of sight."""
        return ()

    def read(self) -> Boot[GrubState]:
        """GRUB's settings, with the line that grub-mkconfig makes of them for the one entry."""
        boot = super().read()
        return replace(boot, entries=((_SETTINGS, boot.source),), more=replace(boot.more, fixed=None))


@dataclass(frozen=True)
class ProxmoxState:
    """``refresh``: the command; ``status``: what the tool said; ``skipped``: the partitions that it leaves out; ``grub``: GRUB's part."""

    refresh: list[str]
    status: str
    skipped: list[str]
    grub: Boot[GrubState] | None


class Proxmox(Backend[ProxmoxState]):
    """proxmox-boot-tool."""

    name = "proxmox-boot-tool"
    looked_for = "proxmox-boot-tool (/etc/kernel/proxmox-boot-uuids)"

    def __init__(self, fs: Sysfs, files: Files, paths: BootPaths) -> None:
        super().__init__(fs, files, paths)
        self._grub = _GrubOfProxmox(fs, files, paths)
        # The partitions that were known to be left out before a refresh.
        self._known: list[str] = []

    def found(self) -> str | None:
        """Evidence, or None."""
        if self._paths.program("proxmox-boot-tool") and self._uuids():
            return self._paths.proxmox_esps
        return None

    def _uuids(self) -> list[str]:
        """The partitions that the tool manages."""
        return words_of(self._files.read(self._paths.proxmox_esps) or "")

    def read(self) -> Boot[ProxmoxState]:
        """The sources of the loaders that `proxmox-boot-tool status` names; the partitions are not mounted."""
        status = "\n".join(self.read_asked(self.program("proxmox-boot-tool"), "status"))
        # 'uefi', 'grub' or both, each with or without versions in brackets; nothing for an empty partition.
        loaders = {uuid: set(re.findall(r"[a-z]+", text)) & {"uefi", "grub"} for uuid, text in _CONFIGURED.findall(status)}
        kinds = {loader for names in loaders.values() for loader in names}
        lines: tuple[tuple[str, str], ...] = ()
        entries: tuple[tuple[str, str], ...] = ()
        files: dict[str, str | None] = {}
        grub = None
        self._known = [uuid for uuid in self._uuids() if not loaders.get(uuid)]
        if "uefi" in kinds:
            path = self._paths.kernel_cmdline
            text = self._files.read(path)
            if text is None:
                raise PlanError(
                    f"{path} is absent: proxmox-boot-tool needs it for systemd-boot; write the root= argument into it"
                )
            # The tool reads the first line, whatever follows, and ends where that has no root= (source: zz-proxmox-boot).
            lines = entries = ((path, "".join(text.partition("\n")[:2])),)
            if "root=" not in lines[0][1]:
                raise PlanError(
                    f"{path}: its first line, the only one that proxmox-boot-tool reads, has no root=: write all arguments on it, root= too"
                )
            files = {path: text}
        if "grub" in kinds:
            grub = self._grub.read()
            entries, files = entries + grub.entries, {**files, **grub.files}
        if not entries:
            raise PlanError(
                "proxmox-boot-tool status names neither uefi nor grub for any partition: look at its output"
            )
        return Boot(entries=entries, files=files, lines=lines, more=ProxmoxState(
            refresh=[self.program("proxmox-boot-tool"), "refresh"], status=status, skipped=self._known, grub=grub,
        ))

    def back(self, boot: Boot[ProxmoxState], record: Record) -> tuple[Goal, list[str]]:
        """Both loaders' own ways back."""
        goal, left = super().back(boot, record)
        if boot.more.grub is not None:
            wishes = self._grub.back(boot.more.grub, record)[0].wishes
            goal = replace(goal, wishes=goal.wishes or wishes, own={**goal.own, _SETTINGS: wishes})
        return goal, left

    def plan(self, boot: Boot[ProxmoxState], goal: Goal) -> Change:
        """The sources edited, then one refresh of every partition."""
        files: dict[str, str | None] = {}
        late: dict[str, str | None] = {}
        problems = self.unfit(goal.all)
        path = self._paths.kernel_cmdline
        if path in dict(boot.lines):
            line = dict(boot.lines)[path]
            text = goal.edit(path, line)
            files.update({path: text + boot.text(path)[len(line) :]} if text != line else {})
        if boot.more.grub is not None:
            change = self._grub.plan(boot.more.grub, Goal(goal.of(_SETTINGS)))
            files.update(change.files)
            late, problems = change.late, problems + change.problems
        commands = [boot.more.refresh] if files or late or goal.again else []
        warnings = [self._skipped(uuid, boot.more.status) for uuid in boot.more.skipped]
        return Change(files=files, commands=commands, late=late, problems=problems, warnings=warnings)

    def said(self, *argv: str) -> tuple[str, str]:
        """As ever; a refresh, which tells of each partition on standard error, has to have reached one at least."""
        out, err = super().said(*argv)
        if argv[-1] == "refresh":
            words = f"{out}\n{err}"
            reached = [uuid for uuid in self._uuids() if any("configuring" in line.lower() for line in _about(uuid, words))]
            if not reached:
                raise ApplyError(
                    f"proxmox-boot-tool refresh configured no partition of {self._paths.proxmox_esps}: {last_words(out, err)}"
                )
            self.noticed = [
                self._skipped(uuid, words)
                for uuid in self._uuids()
                if uuid not in self._known and (uuid not in reached or "failed" in " ".join(_about(uuid, words)))
            ]
        return out, err

    def _skipped(self, uuid: str, words: str) -> str:
        """The warning for a partition that the tool leaves out, with its own words."""
        reasons = [line for line in _about(uuid, words) if "configur" not in line.lower()]
        return (
            f"proxmox-boot-tool leaves out the partition {uuid} of {self._paths.proxmox_esps}, and a host that boots from it "
            f"starts as before: {' / '.join(reasons) or 'it says nothing of a loader there'}"
        )


def _about(uuid: str, words: str) -> list[str]:
    """The lines of the tool's output that name a partition."""
    return [line.strip() for line in lines(words) if uuid in line]


__all__ = ("Proxmox",)
