# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The competitors that are known, one row each: where their files are, and what reads them.

Nothing here runs a program, and nothing here ends a run: what cannot be read or understood becomes a sentence. What few hosts have
files of is imported by its row, since all that is imported is compiled on each host, in each run.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._competitors import (
    attributes,
    early,
    networkd,
    networks,
    shell,
    units,
)
from ansible_collections.vfio.host.plugins.module_utils._competitors.udev import claims as udev
from ansible_collections.vfio.host.plugins.module_utils._host import foreignpaths
from ansible_collections.vfio.host.plugins.module_utils._host.foreign import Foreign

if TYPE_CHECKING:
    from typing import Callable

    from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Claim, Script, Text
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_SOURCE = re.compile(r"^\s*(source|source-directory)\s+(\S+)", re.MULTILINE)


def _texts(foreign: Foreign, kind: str) -> list[Text]:
    """The Texts of the files of a kind, without backups and masked files."""
    paths = foreign.paths(foreignpaths.PATTERNS[kind], is_merged=kind in foreignpaths.MERGED)
    return [(foreign.text(path), path) for path in paths if not path.endswith(foreignpaths.BACKUPS)]


def _each(kind: str, parse: Callable[[Foreign, str, str], list[Claim]]) -> Callable[[Foreign], list[Claim]]:
    """A row whose files are read one by one: parse(foreign, text, path) gives Claims."""
    return lambda foreign: [one for text, path in _texts(foreign, kind) if text for one in parse(foreign, text, path)]


def _udev(foreign: Foreign, text: str, path: str) -> list[Claim]:
    name = os.path.basename(path)
    if udev.OURS.match(name):
        return []
    return udev.claims(text, path, name=name, script=foreign.script, note=foreign.note)


def _with_dropins(foreign: Foreign, kind: str) -> list[list[Text]]:
    """Each file with its drop-ins behind it (source: systemd.unit(5): of files with the same name, that of the first directory counts)."""
    found: list[list[Text]] = []
    for text, path in _texts(foreign, kind):
        name = os.path.basename(path)
        patterns = [f"{place}/{name}.d/*.conf" for place in foreignpaths.NETWORK_PLACES]
        dropins = [(foreign.text(one), one) for one in foreign.paths(patterns, is_merged=True)]
        found.append([(text, path)] + dropins)
    return found


def _netplan(foreign: Foreign) -> list[Claim]:
    texts = _texts(foreign, foreignpaths.NETPLAN)
    if not texts:
        return []
    from ansible_collections.vfio.host.plugins.module_utils._competitors import netplan

    return netplan.netplan_claims(texts, note=foreign.note)


def _nmstate(foreign: Foreign, text: str, path: str) -> list[Claim]:
    from ansible_collections.vfio.host.plugins.module_utils._competitors import netplan

    return netplan.nmstate_claims(text, path, note=foreign.note)


def _ifupdown(foreign: Foreign) -> list[Claim]:
    """The Claims of /etc/network/interfaces and of the files that it sources, whose names may be globs."""
    texts = {path: text for text, path in _texts(foreign, foreignpaths.IFUPDOWN)}
    for text in list(texts.values()):
        for verb, pattern in _SOURCE.findall(text):
            pattern = pattern if pattern.startswith("/") else f"/etc/network/{pattern}"
            for path in foreign.paths([pattern + "/*" if verb == "source-directory" else pattern]):
                texts.setdefault(path, foreign.text(path))
    return [one for path, text in texts.items() for one in networks.ifupdown_claims(text, path, script=foreign.script)]


def _scripts(foreign: Foreign) -> list[Claim]:
    """The Claims of scripts that the system runs at boot, and of @reboot lines of crontabs."""
    found: list[Claim] = []
    for text, path in _texts(foreign, foreignpaths.SCRIPT):
        # Hooks of mkinitcpio are sourced.
        if not (foreign.is_executable(path) or "/initcpio/" in path):
            continue
        if path.endswith(("/rc.local", ".start")):
            found += shell.claims(text, path, script=foreign.script)
        elif shell.speaks_of_devices(text):
            # These run for an interface, a guest or a runlevel.
            found += [replace(one, is_sure=False) for one in shell.claims(text, path, script=foreign.script)]
    for path in foreign.paths(foreignpaths.CRONTABS):
        lines = [line if line.lstrip().startswith("@reboot") else "" for line in foreign.text(path).split("\n")]
        found += shell.claims("\n".join(lines), path, script=foreign.script)
    return found


def _units(foreign: Foreign) -> list[Claim]:
    """The Claims of services in /etc/systemd/system, and of drop-ins there for any service."""
    directory = foreignpaths.UNITS
    names = foreign.names(directory)
    wanted = {
        one for name in names if name.endswith((".wants", ".requires", ".upholds")) for one in foreign.names(f"{directory}/{name}")
    }
    services = {name for name in names if name.endswith(".service")}
    services |= {name[:-2] for name in names if name.endswith(".service.d")}
    found: list[Claim] = []
    for name in sorted(services):
        paths = foreign.paths([f"{directory}/{name}"], is_merged=True) + foreign.paths([f"{directory}/{name}.d/*.conf"])
        if name in names and not any(path.endswith(f"/{name}") for path in paths):
            continue  # masked
        template = re.sub(r"@.*(?=\.service)", "@", name)
        is_enabled = name in wanted or any(re.sub(r"@.*(?=\.service)", "@", one) == template for one in wanted if "@" in one)
        found += units.claims([(foreign.text(path), path) for path in paths], is_enabled=is_enabled, script=foreign.script)
    return found


def _libvirt(foreign: Foreign, text: str, path: str) -> list[Claim]:
    from ansible_collections.vfio.host.plugins.module_utils._competitors import guests

    return guests.libvirt_claims(text, path, note=foreign.note)


def _nova(foreign: Foreign, text: str, path: str) -> list[Claim]:
    from ansible_collections.vfio.host.plugins.module_utils._competitors import guests

    return guests.nova_claims(text, path, note=foreign.note)


def _proxmox(foreign: Foreign) -> list[Claim]:
    mapped, texts = _texts(foreign, foreignpaths.PROXMOX_MAPPING), _texts(foreign, foreignpaths.PROXMOX)
    if not texts:
        return []
    from ansible_collections.vfio.host.plugins.module_utils._competitors import guests

    mappings: dict[str, list[str]] = {}
    for text, dummy in mapped:
        mappings.update(guests.mapping_paths(text))
    return [one for text, path in texts for one in guests.proxmox_claims(text, path, mappings=mappings)]


ROWS: tuple[Callable[[Foreign], list[Claim]], ...] = (
    _each(foreignpaths.UDEV, _udev),
    lambda foreign: networkd.link_claims(_with_dropins(foreign, foreignpaths.LINK)),
    lambda foreign: networkd.network_claims(_with_dropins(foreign, foreignpaths.NETWORK)),
    _netplan,
    _each(foreignpaths.NMSTATE, _nmstate),
    _each(foreignpaths.KEYFILE, lambda dummy, text, path: networks.keyfile_claims(text, path)),
    _each(foreignpaths.IFCFG, lambda dummy, text, path: networks.ifcfg_claims(text, path)),
    _ifupdown,
    _each(foreignpaths.SYSFS_CONF, lambda dummy, text, path: attributes.sysfs_conf_claims(text, path)),
    _each(foreignpaths.TMPFILES, lambda dummy, text, path: attributes.tmpfiles_claims(text, path)),
    _scripts,
    _units,
    _each(foreignpaths.DPDK, lambda dummy, text, path: attributes.dpdk_claims(text, path)),
    _each(foreignpaths.LIBVIRT, _libvirt),
    _each(foreignpaths.NOVA, _nova),
    _proxmox,
    _each(foreignpaths.DRACUT, lambda dummy, text, path: early.dracut_claims(text, path)),
    _each(foreignpaths.INITRAMFS_TOOLS, lambda dummy, text, path: early.initramfs_tools_claims(text, path)),
    _each(foreignpaths.MKINITCPIO, lambda dummy, text, path: early.mkinitcpio_claims(text, path)),
)


class Competitors:
    """What other programs of a host decide at boot. Files are read when they are first asked for, and once."""

    def __init__(self, fs: Sysfs) -> None:
        self._fs = fs
        self._foreign = Foreign(fs.root)
        self._claims: list[Claim] | None = None

    @property
    def notes(self) -> list[str]:
        """What could not be checked, in sentences."""
        return self._foreign.notes

    @property
    def script(self) -> Script:
        """A function from the path of a program to its text, "" where it is no script."""
        return self._foreign.script

    def scripts(self, command: str) -> str:
        """The texts of the scripts that a command names."""
        return "\n".join(map(self.script, re.findall(r"/[\w./@+-]+", command)))

    def above(self, address: str) -> tuple[str, ...]:
        """The names of what is above a function in sysfs, the nearest first: functions, and the root bus last."""
        target = self._fs.target(f"{self._fs.pci_devices}/{address}") or ""
        return tuple(reversed(target.partition("devices/")[2].split("/")[:-1]))

    def claims(self) -> list[Claim]:
        """The Claims of all rows."""
        if self._claims is None:
            self._claims = [claim for row in ROWS for claim in row(self._foreign)]
        return self._claims

    def overrides(self) -> list[Claim]:
        """The Claims of driverctl. For devices of policies, _devices/competitors.py has messages of its own."""
        return [
            one for text, path in _texts(self._foreign, foreignpaths.DRIVERCTL)
            for one in attributes.driverctl_claims(text, path, name=os.path.basename(path))
        ]


__all__ = ("Competitors", "ROWS")
