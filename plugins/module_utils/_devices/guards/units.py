# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The mount and swap units of systemd that a boot starts, or that are mounted at their first use."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Iterator, NamedTuple

from ansible_collections.vfio.host.plugins.module_utils._devices.mounts import devices_in, parse_unit

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_PULLING = (".wants", ".requires", ".upholds")
# What pulls a unit in by its name, or a mount by a path below its point.
_BY_NAME = re.compile(r"^\s*(?:Wants|Requires|Requisite|BindsTo|Upholds)\s*=(.*)$", re.MULTILINE)
_BY_PATH = re.compile(r"^\s*(?:Requires|Wants)MountsFor\s*=(.*)$", re.MULTILINE)
_WHERE = re.compile(r"^\s*Where\s*=\s*(\S+)", re.MULTILINE)


class Unit(NamedTuple):
    """A unit: its name, and its text with that of its drop-ins behind it."""

    name: str
    text: str


def units(fs: Sysfs) -> tuple[list[Unit], list[str]]:
    """(the Units that are started, the paths that were looked at for them).

    Those of /etc and /run, what generators make, of partitions by their type, too, and packages' (source: systemd.unit(5),
    systemd.generator(7), systemd-gpt-auto-generator(8)). One that another unit asks for counts, whether that is started or not.
    """
    places = fs.units + fs.packaged_units
    names = {place: fs.names(place) for place in places}
    wanted = {
        one for place, own in names.items() for directory in own if directory.endswith(_PULLING) for one in fs.names(f"{place}/{directory}")
    }
    stems = {one.rpartition(".")[0] for one in wanted if one.endswith(".automount")}
    found: list[Unit] = []
    rest: list[Unit] = []
    known: set[str] = set()
    paths = list(places)
    for place in places:
        for name in names[place]:
            if not name.endswith((".mount", ".swap")):
                continue
            is_started = name in wanted or name.rpartition(".")[0] in stems
            if place in fs.units or name not in known:
                parts = [f"{place}/{name}"] + _drop_ins(fs, names, name)
                paths += parts if is_started else []
                (found if is_started else rest).append(Unit(name, "\n".join(fs.text(path) for path in parts)))
            known.add(name)
    rest = [unit for unit in rest if any(devices_in(what) for what, dummy in parse_unit(unit.text))]
    return found + (_asked_for(rest, list(_others(fs, names))) if rest else []), paths


def _others(fs: Sysfs, names: dict[str, list[str]]) -> Iterator[str]:
    """The texts of all units, and of all drop-ins."""
    for place, own in names.items():
        for name in own:
            if name.endswith(".d"):
                yield from (fs.text(f"{place}/{name}/{one}") for one in fs.names(f"{place}/{name}") if one.endswith(".conf"))
            elif not name.endswith(_PULLING):
                yield fs.text(f"{place}/{name}")


def _asked_for(some: list[Unit], texts: list[str]) -> list[Unit]:
    """Those of ``some`` that a text pulls in."""
    asked = {word for text in texts for line in _BY_NAME.findall(text) for word in line.split()}
    points = {word.rstrip("/") + "/" for text in texts for line in _BY_PATH.findall(text) for word in line.split()}
    found = []
    for unit in some:
        where = _WHERE.search(unit.text)
        top = where.group(1).rstrip("/") + "/" if where else None
        if unit.name in asked or (top is not None and any(one.startswith(top) for one in points)):
            found.append(unit)
    return found


def _drop_ins(fs: Sysfs, names: dict[str, list[str]], unit: str) -> list[str]:
    """The paths of a unit's drop-ins, in the order in which they are read; of those with one name the first place's."""
    found: dict[str, str] = {}
    for place, own in names.items():
        if f"{unit}.d" in own:
            for name in fs.names(f"{place}/{unit}.d"):
                if name.endswith(".conf"):
                    found.setdefault(name, f"{place}/{unit}.d/{name}")
    return [found[name] for name in sorted(found)]


__all__ = ("Unit", "units")
