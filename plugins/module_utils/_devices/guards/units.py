# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The mount and swap units of systemd that a boot starts, or that are mounted at their first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_PULLING = (".wants", ".requires", ".upholds")


class Unit(NamedTuple):
    """A unit: its name, and its text with that of its drop-ins behind it."""

    name: str
    text: str


def units(fs: Sysfs) -> tuple[list[Unit], list[str]]:
    """(the Units that are started, the paths that were looked at for them).

    Those of /etc and /run, what generators make, of partitions by their type, too, and packages' (source: systemd.unit(5),
    systemd.generator(7), systemd-gpt-auto-generator(8)).
    """
    places = fs.units + fs.packaged_units
    names = {place: fs.names(place) for place in places}
    wanted = {
        one for place, own in names.items() for directory in own if directory.endswith(_PULLING) for one in fs.names(f"{place}/{directory}")
    }
    stems = {one.rpartition(".")[0] for one in wanted if one.endswith(".automount")}
    found, known, paths = [], set(), list(places)
    for place in places:
        for name in names[place]:
            if not name.endswith((".mount", ".swap")) or (name not in wanted and name.rpartition(".")[0] not in stems):
                continue
            if place in fs.units or name not in known:
                parts = [f"{place}/{name}"] + _drop_ins(fs, names, name)
                paths += parts
                found.append(Unit(name, "\n".join((fs.read_file(path) or b"").decode("utf-8", "surrogateescape") for path in parts)))
            known.add(name)
    return found, paths


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
