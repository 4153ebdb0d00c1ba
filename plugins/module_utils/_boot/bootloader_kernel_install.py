# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""systemd-boot with entries by kernel-install: /etc/kernel/cmdline, and each installed kernel added again."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._boot.bootloader import Backend, Boot, Change, foreign
from ansible_collections.vfio.host.plugins.module_utils._boot.cmdline import parse
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

# What kernel-install leaves out where it takes the running command line (source: 90-loaderentry.install).
_NOT_SEEDED = ("BOOT_IMAGE", "initrd")


class KernelInstall(Backend):
    """systemd-boot."""

    name = "kernel-install"
    looked_for = "systemd-boot with kernel-install (EFI/systemd and loader/entries on the boot or EFI system partition)"

    def found(self):
        """Evidence, or None."""
        if not self._paths.program("kernel-install"):
            return None
        loaders = [
            f"{place}/EFI/systemd/{name}"
            for place in self._paths.boots
            for name in self._files.names(f"{place}/EFI/systemd")
            if name.startswith("systemd-boot")
        ]
        return loaders[0] if loaders else None

    def read(self):
        """The line of /etc/kernel/cmdline, and every entry of an installed kernel of this system."""
        entries, images = [], {}
        machine = (self._files.read(self._paths.machine_id) or "").strip()
        for path in self._entry_paths():
            fields = parse_entry(self._files.read(path) or "")
            version, owner = fields.get("version"), fields.get("machine-id", machine)
            image = self._image(version) if version and fields.get("linux") and owner == machine else None
            if image:
                entries.append((path, fields.get("options", "")))
                images[version] = image
        if not entries:
            raise PlanError(
                "systemd-boot has no entry of an installed kernel of this system in loader/entries (it may boot "
                "unified kernel images, which carry their command line inside and are not supported): see bootctl list"
            )
        path = self._paths.kernel_cmdline
        text = self._files.read(path)
        source = self._seed() if text is None else text
        return Boot(
            entries=tuple(entries), files={path: text}, source=source, lines=((path, source),), more={"images": images}
        )

    def _entry_paths(self):
        return [
            f"{place}/loader/entries/{name}"
            for place in self._paths.boots
            for name in self._files.names(f"{place}/loader/entries")
            if name.endswith(".conf")
        ]

    def _image(self, version):
        """The kernel of a version; None where it is not installed."""
        places = (f"{self._paths.modules}/{version}/vmlinuz", f"{self._paths.boot}/vmlinuz-{version}")
        return next((path for path in places if self._fs.exists(path)), None)

    def _seed(self):
        """What kernel-install uses where /etc/kernel/cmdline is absent."""
        vendor = self._files.read(self._paths.vendor_cmdline)
        if vendor is not None:
            return vendor
        running = parse(self._fs.read(f"{self._fs.proc}/cmdline") or "")
        return " ".join(word.text for word in running.words if word.name not in _NOT_SEEDED) + "\n"

    def plan(self, boot, goal):
        """/etc/kernel/cmdline edited in place; kernel-install for every kernel where it or an entry differs."""
        path = self._paths.kernel_cmdline
        text = goal.edit(path, boot.source)
        files = {path: text} if text != boot.source else {}
        program = self._paths.program("kernel-install")
        commands = [[program, "add", version, image] for version, image in sorted(boot.more["images"].items())]
        wanted = files or goal.unmet(boot.entries)
        return Change(
            files=files, commands=commands if wanted else [], problems=self.unfit(goal.all) + _comment(boot, files)
        )

    def foreign_lost(self, before, after, names):
        """kernel-install makes entries from its source alone; each has to hold that, in order."""
        problems = []
        for name, line in after.entries:
            words = iter(foreign(line, names))
            if not all(word in words for word in foreign(after.source, names)):
                problems.append(
                    f"{self.name}: {name} has {line!r}, which lacks arguments of {self._paths.kernel_cmdline}"
                )
        return problems


def _comment(boot, files):
    lines = [line for line in boot.source.splitlines() if line.lstrip().startswith("#")]
    return [f"/etc/kernel/cmdline holds a comment ({line!r}): remove it, then run again" for line in lines if files]


def parse_entry(text):
    """The fields of a Boot Loader Specification entry; options given more than once are joined."""
    fields = {}
    for line in text.splitlines():
        key, dummy, value = line.strip().replace("\t", " ", 1).partition(" ")
        if key and not key.startswith("#"):
            value = value.strip()
            fields[key] = f"{fields[key]} {value}" if key == "options" and key in fields else value
    return fields


__all__ = ("KernelInstall", "parse_entry")
