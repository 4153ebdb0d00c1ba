# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""systemd-boot with entries by kernel-install: /etc/kernel/cmdline, and the options of each installed kernel's entry.

kernel-install itself is not asked: it writes kernel, image and entry anew in place, and a host whose power goes in
between boots no more (seen with systemd 257). An entry that is replaced in one step is the old one or the new one.
"""

from __future__ import annotations

import re

from ansible_collections.vfio.host.plugins.module_utils._boot.bootloader import Backend, Boot, Change, commented
from ansible_collections.vfio.host.plugins.module_utils._boot.cmdline import parse
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

# What kernel-install leaves out where it takes the running command line (source: 90-loaderentry.install).
_NOT_SEEDED = ("BOOT_IMAGE", "initrd")
_OPTIONS = re.compile(r"(?P<key>[ \t]*options)(?P<space>[ \t]+|\Z)")


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
        entries, files = [], {}
        machine = (self._files.read(self._paths.machine_id) or "").strip()
        for path in self._entry_paths():
            text = self._files.read(path) or ""
            fields = parse_entry(text)
            version, owner = fields.get("version"), fields.get("machine-id", machine)
            if version and fields.get("linux") and owner == machine and self._is_installed(version):
                entries.append((path, fields.get("options", "")))
                files[path] = text
        if not entries:
            raise PlanError(
                "systemd-boot has no entry of an installed kernel of this system in loader/entries (it may boot "
                "unified kernel images, which carry their command line inside and are not supported): see bootctl list"
            )
        path = self._paths.kernel_cmdline
        text = self._files.read(path)
        source = self._seed() if text is None else text
        return Boot(
            entries=tuple(entries), files={path: text, **files}, source=source, lines=((path, source), *entries)
        )

    def _entry_paths(self):
        return [
            f"{place}/loader/entries/{name}"
            for place in self._paths.boots
            for name in self._files.names(f"{place}/loader/entries")
            if name.endswith(".conf")
        ]

    def _is_installed(self, version):
        places = (f"{self._paths.modules}/{version}/vmlinuz", f"{self._paths.boot}/vmlinuz-{version}")
        return any(self._fs.exists(path) for path in places)

    def _seed(self):
        """What kernel-install uses where /etc/kernel/cmdline is absent."""
        vendor = self._files.read(self._paths.vendor_cmdline)
        if vendor is not None:
            return vendor
        running = parse(self._fs.read(f"{self._fs.proc}/cmdline") or "")
        return " ".join(word.text for word in running.words if word.name not in _NOT_SEEDED) + "\n"

    def plan(self, boot, goal):
        """/etc/kernel/cmdline, from which kernel-install makes the entries to come, and those that are there."""
        path = self._paths.kernel_cmdline
        texts = {path: goal.edit(path, boot.source)} if goal.edit(path, boot.source) != boot.source else {}
        problems = self.unfit(goal.all) + (commented("/etc/kernel/cmdline", boot.source) if texts else [])
        for name, line in boot.entries:
            new = goal.edit(name, line)
            if new != line:
                texts[name] = with_options(boot.files[name], new)
        return Change(files=texts, problems=problems)


def parse_entry(text):
    """The fields of a Boot Loader Specification entry; options given more than once are joined."""
    fields = {}
    for line in text.splitlines():
        key, dummy, value = line.strip().replace("\t", " ", 1).partition(" ")
        if key and not key.startswith("#"):
            value = value.strip()
            fields[key] = f"{fields[key]} {value}" if key == "options" and key in fields else value
    return fields


def with_options(text, options):
    """The text of an entry with other options, all in the place of the first."""
    lines, found = [], False
    for line in text.split("\n"):
        match = _OPTIONS.match(line)
        if match and not found:
            lines.append(match.group("key") + (match.group("space") or " ") + options)
        elif not match:
            lines.append(line)
        found = found or bool(match)
    return "\n".join(lines) if found else text.rstrip("\n") + f"\noptions    {options}\n"


__all__ = ("KernelInstall", "parse_entry", "with_options")
