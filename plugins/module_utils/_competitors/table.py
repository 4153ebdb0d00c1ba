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
from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Competition
from ansible_collections.vfio.host.plugins.module_utils._competitors.udev import claims as udev
from ansible_collections.vfio.host.plugins.module_utils._host import foreignpaths
from ansible_collections.vfio.host.plugins.module_utils._host.foreign import Foreign
from ansible_collections.vfio.host.plugins.module_utils._host.words import words

if TYPE_CHECKING:
    from typing import Callable, Iterable, Protocol

    from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Claim, Text
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

    class Directive(Protocol):
        """A line of modprobe.d."""

        @property
        def verb(self) -> str:
            """Its first word."""

        @property
        def module(self) -> str:
            """The module that it is about."""

        @property
        def rest(self) -> str:
            """What follows."""

        @property
        def where(self) -> str:
            """File and line."""

_SOURCE = re.compile(r"^\s*(source|source-directory)[ \t]+(\S.*)", re.MULTILINE)


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
    unread = list(texts.values())
    while unread:
        # Each word is a pattern (source: interfaces(5), source; wordexp(3)).
        named = [(verb, word.strip("\"'")) for verb, rest in _SOURCE.findall(unread.pop()) for word in words(rest)]
        for verb, pattern in named:
            pattern = pattern if pattern.startswith("/") else f"/etc/network/{pattern}"
            for path in foreign.paths([pattern + "/*" if verb == "source-directory" else pattern]):
                if path not in texts:
                    texts[path] = foreign.text(path)
                    unread.append(texts[path])
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
            # These run for an interface, a guest or a runlevel, or by a service.
            found += [replace(one, is_sure=False) for one in shell.claims(text, path, script=foreign.script)]
    for path in foreign.paths(foreignpaths.CRONTABS):
        lines = [line if line.lstrip().startswith("@reboot") else "" for line in foreign.text(path).split("\n")]
        found += shell.claims("\n".join(lines), path, script=foreign.script)
    return found


def _units(foreign: Foreign) -> list[Claim]:
    """The Claims of services that the administrator has put in place or enabled, and of drop-ins there for any service; of a template for
    each of its instances that something wants.
    """
    names = {name for place in foreignpaths.UNITS for name in foreign.names(place)}
    wanted = {
        one for name in names if name.endswith((".wants", ".requires", ".upholds"))
        for place in foreignpaths.UNITS for one in foreign.names(f"{place}/{name}")
    }
    services = {name for name in names if name.endswith(".service")}
    services |= {name[:-2] for name in names if name.endswith(".service.d")}
    services |= {one for one in wanted if one.endswith(".service") and _template(one) not in foreignpaths.TOLD_ELSEWHERE}
    found: list[Claim] = []
    for name in sorted(services):
        template = _template(name)
        own = [one for one in (name, template) if one in names][:1]
        files = foreign.paths([f"{place}/{one}" for one in own for place in foreignpaths.UNITS], is_merged=True)
        if own and not files:
            continue  # masked
        if not own and name in wanted:
            for one in dict.fromkeys((name, template)):
                files = files or foreign.paths([f"{place}/{one}" for place in foreignpaths.PACKAGED_UNITS], is_merged=True)
        of_dropins = [f"{place}/{one}.d/*.conf" for one in dict.fromkeys((name, template)) for place in foreignpaths.UNITS]
        parts = [(foreign.text(path), path) for path in files + foreign.paths(of_dropins, is_merged=True)]
        if name == template and "@" in name and any(_template(one) == name for one in services - {name}):
            continue  # its instances tell more
        instance = name.partition("@")[2][:-len(".service")] if "@" in name else ""
        found += units.claims(parts, is_enabled=name in wanted, script=foreign.script, instance=instance)
    return found


def _template(name: str) -> str:
    """The name of the template that a service is an instance of; its own where it is of none."""
    return re.sub(r"@.*(?=\.service)", "@", name)


def _modules_load(foreign: Foreign) -> list[Claim]:
    """The Claims of what is loaded by name at boot. systemd reads no /etc/modules but by a link to it."""
    texts = _texts(foreign, foreignpaths.MODULES_LOAD)
    if "system" not in foreign.names(foreignpaths.SYSTEMD):
        texts.append((foreign.text(foreign.root + foreignpaths.ETC_MODULES), foreign.root + foreignpaths.ETC_MODULES))
    # Ours has modules that are declared.
    ours = foreign.root + foreignpaths.OUR_MODULES_LOAD
    return [one for text, path in texts if path != ours for one in early.modules_load_claims(text, path)]


def _tuned(foreign: Foreign, text: str, path: str) -> list[Claim]:
    active = words(foreign.text(foreign.root + foreignpaths.ACTIVE_PROFILE))
    is_active = path.split("/")[-2] in active
    found = attributes.tuned_claims(text, path, is_active=is_active)
    for where, name in attributes.tuned_scripts(text, path):
        script = name[len(foreign.root):] if foreign.root and name.startswith(foreign.root + "/") else name
        claims = shell.claims(f"{script} start", where, first=0, script=foreign.script)
        found += claims if is_active else [replace(one, is_sure=False) for one in claims]
    return found


def _vf_list(text: str, path: str) -> list[Claim]:
    from ansible_collections.vfio.host.plugins.module_utils._competitors import netplan

    return netplan.vf_list_claims(text, path)


def _operator(text: str, path: str) -> list[Claim]:
    from ansible_collections.vfio.host.plugins.module_utils._competitors import netplan

    return netplan.operator_claims(text, path)


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
    _each(foreignpaths.VF_LISTS, lambda dummy, text, path: _vf_list(text, path)),
    _each(foreignpaths.OPERATOR, lambda dummy, text, path: _operator(text, path)),
    _each(foreignpaths.KEYFILE, lambda dummy, text, path: networks.keyfile_claims(text, path)),
    _each(foreignpaths.NM_CONF, lambda dummy, text, path: networks.device_claims(text, path)),
    _each(foreignpaths.IFCFG, lambda foreign, text, path: networks.ifcfg_claims(text, path, script=foreign.script)),
    _ifupdown,
    _each(foreignpaths.SYSFS_CONF, lambda dummy, text, path: attributes.sysfs_conf_claims(text, path)),
    _each(foreignpaths.SYSCTL, lambda dummy, text, path: attributes.sysctl_claims(text, path)),
    _each(foreignpaths.TMPFILES, lambda dummy, text, path: attributes.tmpfiles_claims(text, path)),
    _each(foreignpaths.TUNED, _tuned),
    _scripts,
    _units,
    _each(foreignpaths.DPDK, lambda dummy, text, path: attributes.dpdk_claims(text, path)),
    _each(foreignpaths.LIBVIRT, _libvirt),
    _each(foreignpaths.NOVA, _nova),
    _proxmox,
    _each(foreignpaths.DRACUT, lambda dummy, text, path: early.dracut_claims(text, path)),
    _each(foreignpaths.INITRAMFS_TOOLS, lambda dummy, text, path: early.initramfs_tools_claims(text, path)),
    _modules_load,
    _each(foreignpaths.OPENRC, lambda dummy, text, path: early.openrc_claims(text, path)),
    _each(foreignpaths.MKINITCPIO, lambda dummy, text, path: early.mkinitcpio_claims(text, path)),
)


def competition(fs: Sysfs, directives: Iterable[Directive] = (), *, addresses: Iterable[str] = ()) -> Competition:
    """The Competition on a host. ``directives``: the lines of modprobe.d; ``addresses``: of the functions of which it is asked."""
    foreign = Foreign(fs.root)
    above = {}
    for address in addresses:
        target = fs.target(f"{fs.pci_devices}/{address}") or ""
        above[address] = tuple(reversed(target.partition("devices/")[2].split("/")[:-1]))
    claims = tuple(claim for row in ROWS for claim in row(foreign))
    installs = tuple(claim for one in directives if one.verb == "install" for claim in _install(foreign, one))
    overrides = tuple(
        one for text, path in _texts(foreign, foreignpaths.DRIVERCTL)
        for one in attributes.driverctl_claims(text, path, name=os.path.basename(path))
    )
    return Competition(claims, installs, overrides, above, tuple(foreign.notes))


def _install(foreign: Foreign, line: Directive) -> list[Claim]:
    """The Claims of what an "install" line runs, where that, or a script that it names, speaks of devices."""
    scripts = "\n".join(map(foreign.script, re.findall(r"/[\w./@+-]+", line.rest)))
    if not shell.speaks_of_devices(line.rest + scripts):
        return []
    return shell.claims(line.rest, line.where, first=0, script=foreign.script, says=f"'install {line.module} {line.rest.strip()}'")


__all__ = ("ROWS", "competition")
