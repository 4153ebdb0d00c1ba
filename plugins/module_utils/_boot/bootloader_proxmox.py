# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""proxmox-boot-tool, which copies kernels to each EFI system partition: for systemd-boot, for GRUB, or for both."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._boot.bootloader import Backend, Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._boot.bootloader_grub import Grub
from ansible_collections.vfio.host.plugins.module_utils._boot.cmdline import edit
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError


class _GrubOfProxmox(Grub):
    """GRUB's drop-in; grub.cfg is on partitions that are not mounted, so what grub-mkconfig takes stands for it."""

    def commands(self):
        return [[self._paths.program("proxmox-boot-tool"), "refresh"]]

    def entries(self):
        return ()

    def read(self):
        boot = super().read()
        return Boot((("GRUB's settings", boot.source),), boot.files, boot.source, boot.more)


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
        entries, files, more = (), {}, {}
        if "configured with: uefi" in status or "uefi (" in status:
            path = self._paths.kernel_cmdline
            text = self._files.read(path)
            if text is None:
                raise PlanError(
                    f"{path} is absent: proxmox-boot-tool needs it for systemd-boot; write the root= argument into it"
                )
            entries, files = ((path, text),), {path: text}
        if "grub (" in status:
            boot = self._grub.read()
            entries, files, more = entries + boot.entries, dict(files, **boot.files), {"grub": boot}
        if not entries:
            raise PlanError(
                "proxmox-boot-tool status names neither uefi nor grub for any partition: look at its output"
            )
        return Boot(entries=entries, files=files, more=more)

    def plan(self, boot, wishes):
        """The sources edited, then one refresh of every partition."""
        files, problems = {}, self.unfit(wishes)
        path = self._paths.kernel_cmdline
        if path in boot.files:
            text = edit(boot.files[path], wishes)
            files.update({path: text} if text != boot.files[path] else {})
        if "grub" in boot.more:
            change = self._grub.plan(boot.more["grub"], wishes)
            files.update(change.files)
            problems += change.problems
        return Change(files=files, commands=self._grub.commands() if files else [], problems=problems)

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
