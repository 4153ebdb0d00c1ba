# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""proxmox-boot-tool, which copies kernels to each EFI system partition: for systemd-boot, for GRUB, or for both."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.vfio.host.plugins.module_utils._boot.bootloader import Backend, Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._boot.bootloader_grub import Grub
from ansible_collections.vfio.host.plugins.module_utils._boot.cmdline_goal import Goal
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError

_SETTINGS = "GRUB's settings"


class _GrubOfProxmox(Grub):
    """GRUB's drop-in; grub.cfg is on partitions that are not mounted, so what grub-mkconfig takes stands for it."""

    def commands(self):
        return [[self._paths.program("proxmox-boot-tool"), "refresh"]]

    def entries(self):
        return ()

    def read(self):
        boot = super().read()
        return replace(boot, entries=((_SETTINGS, boot.source),))


class Proxmox(Backend):
    """proxmox-boot-tool."""

    name = "proxmox-boot-tool"
    looked_for = "proxmox-boot-tool (/etc/kernel/proxmox-boot-uuids)"

    def __init__(self, fs, files, paths):
        super().__init__(fs, files, paths)
        self._grub = _GrubOfProxmox(fs, files, paths)

    def found(self):
        """Evidence, or None."""
        if self._paths.program("proxmox-boot-tool") and self._uuids():
            return self._paths.proxmox_esps
        return None

    def _uuids(self):
        return (self._files.read(self._paths.proxmox_esps) or "").split()

    def read(self):
        """The sources of the loaders that `proxmox-boot-tool status` names; the partitions are not mounted."""
        status = self.read_asked(self._paths.program("proxmox-boot-tool"), "status")
        lines, entries, files, more = (), (), {}, {}
        if "configured with: uefi" in status or "uefi (" in status:
            path = self._paths.kernel_cmdline
            text = self._files.read(path)
            if text is None:
                raise PlanError(
                    f"{path} is absent: proxmox-boot-tool needs it for systemd-boot; write the root= argument into it"
                )
            lines = entries = ((path, text),)
            files = {path: text}
        if "grub (" in status:
            boot = self._grub.read()
            entries, files, more = entries + boot.entries, dict(files, **boot.files), {"grub": boot}
        if not entries:
            raise PlanError(
                "proxmox-boot-tool status names neither uefi nor grub for any partition: look at its output"
            )
        return Boot(entries=entries, files=files, lines=lines, more=more)

    def back(self, boot, record):
        """Both loaders' own ways back."""
        goal, left = super().back(boot, record)
        if "grub" in boot.more:
            wishes = self._grub.back(boot.more["grub"], record)[0].wishes
            goal = replace(goal, wishes=goal.wishes or wishes, own=dict(goal.own, **{_SETTINGS: wishes}))
        return goal, left

    def plan(self, boot, goal):
        """The sources edited, then one refresh of every partition."""
        files, late, problems = {}, {}, self.unfit(goal.all)
        path = self._paths.kernel_cmdline
        if path in boot.files:
            text = goal.edit(path, boot.files[path])
            files.update({path: text} if text != boot.files[path] else {})
        if "grub" in boot.more:
            change = self._grub.plan(boot.more["grub"], Goal(goal.of(_SETTINGS)))
            files.update(change.files)
            late, problems = change.late, problems + change.problems
        commands = self._grub.commands() if files or late or goal.again else []
        return Change(files=files, commands=commands, late=late, problems=problems)

    def run(self, *argv):
        """As ever; a refresh has to have reached one partition at least."""
        out = super().run(*argv)
        if argv[-1] == "refresh" and not any(
            uuid in line for uuid in self._uuids() for line in out.splitlines() if "configuring" in line.lower()
        ):
            raise ApplyError(
                f"proxmox-boot-tool refresh configured no partition of {self._paths.proxmox_esps}: {out.strip()}"
            )
        return out


__all__ = ("Proxmox",)
