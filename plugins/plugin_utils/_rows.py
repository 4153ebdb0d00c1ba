# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From a result of the module passthrough to one row for each thing that changes, or waits for a reboot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ansible_collections.vfio.host.plugins.plugin_utils._text import name_of, short

if TYPE_CHECKING:
    from collections.abc import Sequence

TAKE, GIVE, CHANGE, SAME = "+", "-", "~", "="
# What rows are counted as in the sum.
DEVICES, SETTINGS, FILES = "devices", "settings", "files"
NONE = "(none)"

_BASE = ("vfio_pci", "vfio-pci")
# What the modules call a device of which pci.ids names not even the vendor.
_NAMELESS = "device"
_KERNEL_PICKS = "no override: the kernel picks the driver"


@dataclass(frozen=True)
class Row:
    """One thing: ``kind``, a policy's name or a word; ``old`` and ``new``, its states, of which files have none; ``later``: only
    after a reboot.
    """

    sign: str
    group: str
    kind: str
    subject: str
    name: str = ""
    old: str = ""
    new: str = ""
    later: bool = False
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str | tuple[str, str]]:
        """What the row is of, over several results of one run."""
        return self.group, self.subject if self.group == DEVICES else (self.kind, self.subject)

    @property
    def is_change(self) -> bool:
        """Whether anything happens, or waits."""
        return self.sign != SAME


def rows(result: dict[str, Any]) -> list[Row]:
    """The rows of a result: devices by policy and address, then VFs, modules, kernel arguments, nodes, limits, images and files."""
    found = _devices(result) + _vfs(result) + _modules(result) + _arguments(result) + _nodes(result) + _limits(result) + _images(result)
    return found + _files(result, {row.subject for row in found})


def merged(earlier: list[Row], last: list[Row]) -> list[Row]:
    """The rows of a run that called the module twice: what was at first, and what is now."""
    now = {row.key: row for row in last}
    found = []
    for row in earlier:
        end = now.pop(row.key, None)
        if end is None:
            found.append(replace(row, later=False))
        elif not row.is_change:
            found.append(end)
        else:
            found.append(replace(row, new=end.new if end.is_change else row.new, later=end.later))
    return found + list(now.values())


def _devices(result: dict[str, Any]) -> list[Row]:
    before, found = result.get("vfs_before") or {}, []
    numbers = {
        address: (pf, number) for pf in result.get("sriov") or () for number, address in enumerate(pf["vfs"])
    }
    for one in sorted(result.get("devices") or (), key=lambda one: (one["policy"], one["address"])):
        pf, number = numbers.get(one["address"], (None, 0))
        is_new = pf is not None and one["address"] not in before.get(pf["address"], ())
        name = f"VF {number} of {short(pf['address'])}" if pf else _named(one["identity"])
        old = "(new)" if is_new else one["driver_before"] or NONE
        found.append(Row(
            _sign(one), DEVICES, one["policy"], one["address"], name, old, _wanted(one), one["status"] == "pending", _why(one),
        ))
    return found


def _named(identity: dict[str, Any]) -> str:
    """Ids as match takes them, and the name."""
    ids = f"[{identity['vendor']}:{identity['device']}]"
    name = identity["name"].replace(ids, "").strip()
    return f"{ids} {name_of(identity, vendor_name=None, device_name=None if name == _NAMELESS else name)}"


def _sign(one: dict[str, Any]) -> str:
    if one["status"] == "unchanged":
        return SAME
    if one["choice"]["source"] == "native":
        return GIVE if one["driver_before"] else CHANGE
    return CHANGE if one["driver_before"] in (_BASE[1], _wanted(one)) else TAKE


def _wanted(one: dict[str, Any]) -> str:
    """The driver in the end. Of a module that is not loaded nobody knows its driver's name."""
    if one["status"] != "pending":
        return one["driver"] or _of_module(one) or NONE
    return one["choice"]["driver"] or _of_module(one) or "native driver"


def _of_module(one: dict[str, Any]) -> str | None:
    return f"that of {one['choice']['module']}" if one["choice"]["module"] and not one["choice"]["driver"] else None


def _why(one: dict[str, Any]) -> tuple[str, ...]:
    """Why a device gets this driver, where that is not the default: the base driver by auto, the one that is named, none."""
    choice = one["choice"]
    head, *notes = choice["reason"].split("; ")
    is_default = {
        "auto": choice["module"] == _BASE[0],
        "pinned": choice["alias"] is not None or "although" not in head,
        "native": head == _KERNEL_PICKS or head.startswith("the task gives policy "),
    }.get(choice["source"], False)
    return tuple(notes if is_default else [head, *notes])


def _vfs(result: dict[str, Any]) -> list[Row]:
    before, found = result.get("vfs_before") or {}, []
    for one in result.get("sriov") or ():
        had, has = before.get(one["address"], []), one["vfs"]
        notes = []
        if one["status"] != "unchanged":
            come = [short(vf) for vf in has if vf not in had]
            go = [short(vf) for vf in had if vf not in has]
            notes += [f"new: {' '.join(come)}"] if come else []
            notes += [f"gone: {' '.join(go)}"] if go else []
        if one["autoprobe"] and not one["autoprobe_before"] and one["status"] != "released":
            notes.append("VFs that no policy declares get their native drivers")
        found.append(Row(
            SAME if one["status"] == "unchanged" else CHANGE, SETTINGS, "VFs", one["address"], name_of({}, vendor_name=None, device_name=one["name"]),
            str(one["numvfs_before"]), str(one["numvfs"]), one["status"] == "pending", tuple(notes),
        ))
    return found


def _modules(result: dict[str, Any]) -> list[Row]:
    # Of a driver that a device has by now the module is loaded, whatever was planned for it alone.
    in_use = {one["choice"]["module"] for one in result.get("devices") or () if one["driver"] and one["driver"] == one["choice"]["driver"]}
    found = []
    for one in result.get("modules") or ():
        state = "loaded" if one["name"] in in_use and one["state"] == "unloaded" else one["state"]
        wanted = (result.get("options_wanted") or {}).get(one["name"]) or one["options"]
        pairs = [
            (f"{name} {_shown(one['options_before'].get(name))}", f"{_shown(value)}")
            for name, value in sorted(wanted.items()) if one["options_before"].get(name) != value
        ]
        if state != one["state_before"]:
            pairs.insert(0, (one["state_before"], state))
        if one["status"] == "unchanged" and state == one["state_before"]:
            pairs = []
        elif not pairs and one["status"] == "pending":
            pairs = [(one["state"], "see below")]
        options = " ".join(f"{name}={value}" for name, value in sorted(one["options"].items()))
        text = f"{state} {options}".strip()
        if not pairs:
            found.append(Row(SAME, SETTINGS, "module", one["name"], new=text))
        for old, new in pairs:
            found.append(Row(
                CHANGE, SETTINGS, "module", one["name"] + ("" if old == one["state_before"] else f" {old.split(' ')[0]}"),
                old=old.split(" ")[-1], new=new, later=one["status"] == "pending" and old != one["state_before"],
            ))
    return found


def _shown(value: object) -> str:
    return "(unknown)" if value is None else str(value) or '""'


def _arguments(result: dict[str, Any]) -> list[Row]:
    found = []
    for name, one in ((result.get("kernel_cmdline") or {}).get("args") or {}).items():
        old, new = _values(one["running"]), _values(one["wanted"])
        if one["status"] != "pending":
            found.append(Row(SAME, SETTINGS, "argument", name, new=new))
            continue
        sign = TAKE if old == NONE else GIVE if new == NONE else CHANGE
        found.append(Row(sign, SETTINGS, "argument", name, old=old, new=new, later=True))
    return found


def _values(values: Sequence[str | None]) -> str:
    """The values of an argument, of which a bare one has none."""
    return " ".join(value or "(bare)" for value in values) or NONE


def _nodes(result: dict[str, Any]) -> list[Row]:
    """A row for each node; the devices of one IOMMU group have one."""
    by_node: dict[str, Row] = {}
    for one in result.get("nodes") or ():
        subject = one["node"] or one["cdev"] or (short(one["address"]) if one["address"] else "/dev/iommu")
        sign = {"unchanged": SAME, "released": GIVE}.get(one["status"], CHANGE)
        new = f"{one['owner']}:{one['group']} {one['mode']}"
        row = Row(sign, SETTINGS, "node", subject, old=one["before"] or NONE, new=new, later=one["status"] == "pending")
        if subject not in by_node or not by_node[subject].is_change:
            by_node[subject] = row
    return list(by_node.values())


def _limits(result: dict[str, Any]) -> list[Row]:
    return [
        Row(
            SAME if one["status"] == "unchanged" else GIVE if one["status"] == "released" else CHANGE, SETTINGS, "limit", one["name"],
            old=one["limit_before"] or NONE, new=one["limit"] or NONE, notes=("it has to be restarted",) if one["restart"] else (),
        ) for one in result.get("memlock") or ()
    ]


def _images(result: dict[str, Any]) -> list[Row]:
    images = (result.get("initramfs") or {}).get("images") or ()
    return [
        Row(
            CHANGE if one["status"] == "rebuilt" else SAME, SETTINGS, "image", one["path"],
            notes=(one["reason"],) if one["reason"] and one["status"] == "rebuilt" else (),
        ) for one in images if one["path"]
    ]


def _files(result: dict[str, Any], shown: set[str]) -> list[Row]:
    """Files of configuration; an image that is a row already is none."""
    diff = [one for one in result.get("diff") or () if str(one.get("after_header", "")).startswith("/")]
    return [
        Row(TAKE if not one["before"] else GIVE if not one["after"] else CHANGE, FILES, "file", str(one["after_header"]))
        for one in diff if one["after_header"] not in shown
    ]


__all__ = ("CHANGE", "DEVICES", "FILES", "GIVE", "NONE", "Row", "SAME", "SETTINGS", "TAKE", "merged", "rows")
