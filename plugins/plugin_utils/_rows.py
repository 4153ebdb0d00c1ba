# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From a result of the module passthrough to one row for each thing that changes, or waits for a reboot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ansible_collections.vfio.host.plugins.module_utils._memlock.spec import template_of
from ansible_collections.vfio.host.plugins.module_utils._sriov.attributes import shown_values
from ansible_collections.vfio.host.plugins.plugin_utils._text import counted, name_of, short

if TYPE_CHECKING:
    from collections.abc import Sequence

TAKE, GIVE, CHANGE, SAME = "+", "-", "~", "="
# What rows are counted as in the sum.
DEVICES, SETTINGS, FILES = "devices", "settings", "files"
NONE = "(none)"

_IMAGE = "image"  # the kind of a row
_MOST_VFS = 8  # whose attributes are told
_BASE = ("vfio_pci", "vfio-pci")
# What the modules call a device of which pci.ids names not even the vendor.
_NAMELESS = "device"


@dataclass(frozen=True)
class Row:
    """One thing: ``kind``, a policy's name or a word; ``old`` and ``new``, its states, of which files have none; ``later``: only
    after a reboot; ``restart``: services that run otherwise until somebody restarts them.
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
    restart: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str | tuple[str, str]]:
        """What the row is of, over several results of one run."""
        return self.group, self.subject if self.group == DEVICES else (self.kind, self.subject)

    @property
    def is_change(self) -> bool:
        """Whether anything happens, or waits for a reboot."""
        return self.sign != SAME

    @property
    def is_declared(self) -> bool:
        """Whether somebody has asked for it: images are looked at whatever is declared."""
        return (self.group, self.kind) != (SETTINGS, _IMAGE)

    @property
    def is_told(self) -> bool:
        """Whether there is anything to say of it: no restart is a change of a run's, and one that is due is told until it was done."""
        return self.is_change or bool(self.restart)


def rows(result: dict[str, Any]) -> list[Row]:
    """The rows of a result: devices by policy and address, then VFs, modules, Kconfig options, kernel arguments, nodes, limits, images and files."""
    made = _devices(result) + _vfs(result) + _modules(result) + _symbols(result) + _arguments(result) + _nodes(result) + _limits(result) + _images(result)
    return made + _files(result, {row.subject for row in made})


def merged(earlier: list[Row], last: list[Row]) -> list[Row]:
    """The rows of a run that called the module twice: what was at first, and what is now."""
    now = {row.key: row for row in last}
    both = []
    for row in earlier:
        end = now.pop(row.key, None)
        if row.restart:
            # What ran then may have been restarted since, by a reboot if by nothing else.
            row = replace(row, restart=end.restart if end else (), notes=end.notes if end else ())
        if end is None:
            both.append(replace(row, later=False))
        elif not row.is_change:
            both.append(end)
        else:
            both.append(replace(row, new=end.new if end.is_change else row.new, later=end.later))
    return both + list(now.values())


def _devices(result: dict[str, Any]) -> list[Row]:
    before, device_rows = result.get("vfs_before") or {}, []
    numbers = {
        address: (pf, number) for pf in result.get("sriov") or () for number, address in enumerate(pf["vfs"])
    }
    for device in sorted(result.get("devices") or (), key=lambda device: (device["policy"], device["address"])):
        pf, number = numbers.get(device["address"], (None, 0))
        is_new = pf is not None and device["address"] not in before.get(pf["address"], ())
        name = f"VF {number} of {short(pf['address'])}" if pf else _named(device["identity"])
        old = "(new)" if is_new else device["driver_before"] or NONE
        notes = _why(device)
        if _moves(device):
            notes += (f"of policy {device['policy_before']} before",)
        device_rows.append(Row(
            _sign(device), DEVICES, device["policy"], device["address"], name, old, _wanted(device), device["status"] == "pending", notes,
        ))
    return device_rows


def _named(identity: dict[str, Any]) -> str:
    """Ids as match takes them, and the name."""
    ids = f"[{identity['vendor']}:{identity['device']}]"
    name = identity["name"].replace(ids, "").strip()
    return f"{ids} {name_of(identity, vendor_name=None, device_name=None if name == _NAMELESS else name)}"


def _moves(device: dict[str, Any]) -> bool:
    """Whether a device changes its owner. A result of an older version does not say so."""
    return device.get("policy_before") not in (None, device["policy"])


def _sign(device: dict[str, Any]) -> str:
    if device["status"] == "unchanged":
        return CHANGE if _moves(device) else SAME
    if device["choice"]["source"] == "native":
        return GIVE if device["driver_before"] else CHANGE
    return CHANGE if device["driver_before"] in (_BASE[1], _wanted(device)) else TAKE


def _wanted(device: dict[str, Any]) -> str:
    """The driver in the end. Of a module that is not loaded nobody knows its driver's name."""
    if device["status"] != "pending":
        return device["driver"] or _of_module(device) or NONE
    return device["choice"]["driver"] or _of_module(device) or "native driver"


def _of_module(device: dict[str, Any]) -> str | None:
    return f"that of {device['choice']['module']}" if device["choice"]["module"] and not device["choice"]["driver"] else None


def _why(device: dict[str, Any]) -> tuple[str, ...]:
    """Why a device gets this driver, where that is not the default: the base driver by auto, the one that is named, none."""
    choice = device["choice"]
    notes = choice.get("notes") or []  # a result of an older version has none
    if choice.get("is_usual"):
        return tuple(notes)
    end = "".join(f"; {note}" for note in notes)
    head = choice["reason"][:-len(end)] if end and choice["reason"].endswith(end) else choice["reason"]
    return (head, *notes)


def _vfs(result: dict[str, Any]) -> list[Row]:
    before, card_rows = result.get("vfs_before") or {}, []
    for card in result.get("sriov") or ():
        had, has = before.get(card["address"], []), card["vfs"]
        notes = []
        if card["status"] != "unchanged":
            come = [short(vf) for vf in has if vf not in had]
            go = [short(vf) for vf in had if vf not in has]
            notes += [f"new: {' '.join(come)}"] if come else []
            notes += [f"gone: {' '.join(go)}"] if go else []
            notes += _attributes(card.get("attributes") or [])  # a result of an older version has none
        if card["autoprobe"] and not card["autoprobe_before"] and card["status"] != "released":
            notes.append("VFs that no policy declares get their native drivers")
        card_rows.append(Row(
            SAME if card["status"] == "unchanged" else CHANGE, SETTINGS, "VFs", card["address"], name_of({}, vendor_name=None, device_name=card["name"]),
            str(card["numvfs_before"]), str(card["numvfs"]), card["status"] == "pending", tuple(notes),
        ))
    return card_rows


def _attributes(attributes: list[dict[str, Any]]) -> list[str]:
    """What VFs get, a line for each of the first ones."""
    told = [f"VF {one['vf']}: {shown_values(one)}" for one in attributes[:_MOST_VFS]]
    more = len(attributes) - len(told)
    return told + ([f"and {counted(more, 'VF')} more, which --diff lists"] if more else [])


def _modules(result: dict[str, Any]) -> list[Row]:
    # Of a driver that a device has by now the module is loaded, whatever was planned for it alone.
    in_use = {
        device["choice"]["module"] for device in result.get("devices") or ()
        if device["driver"] and device["driver"] == device["choice"]["driver"]
    }
    module_rows = []
    for module in result.get("modules") or ():
        state = "loaded" if module["name"] in in_use and module["state"] == "unloaded" else module["state"]
        wanted = (result.get("options_wanted") or {}).get(module["name"]) or module["options"]
        pairs = [
            (f"{name} {_shown(module['options_before'].get(name))}", f"{_shown(value)}")
            for name, value in sorted(wanted.items()) if module["options_before"].get(name) != value
        ]
        if state != module["state_before"]:
            pairs.insert(0, (module["state_before"], state))
        if module["status"] == "unchanged" and state == module["state_before"]:
            pairs = []
        elif not pairs and module["status"] == "pending":
            pairs = [(module["state"], "see below")]
        options = " ".join(f"{name}={value}" for name, value in sorted(module["options"].items()))
        text = f"{state} {options}".strip()
        if not pairs:
            module_rows.append(Row(SAME, SETTINGS, "module", module["name"], new=text))
        for old, new in pairs:
            module_rows.append(Row(
                CHANGE, SETTINGS, "module", module["name"] + ("" if old == module["state_before"] else f" {old.split(' ')[0]}"),
                old=old.split(" ")[-1], new=new, later=module["status"] == "pending" and old != module["state_before"],
            ))
    return module_rows


def _shown(value: object) -> str:
    return "(unknown)" if value is None else str(value) or '""'


def _symbols(result: dict[str, Any]) -> list[Row]:
    """A row for each symbol: what is not met is an error, and what comes to meet one is a module, or waits as an argument."""
    return [
        Row(SAME, SETTINGS, "config", symbol, new=_shown(one.get("value"))) for symbol, one in (result.get("kernel_config") or {}).items()
    ]


def _arguments(result: dict[str, Any]) -> list[Row]:
    argument_rows = []
    for name, argument in ((result.get("kernel_cmdline") or {}).get("args") or {}).items():
        old, new = _values(argument["running"]), _values(argument["wanted"])
        if argument["status"] != "pending":
            argument_rows.append(Row(SAME, SETTINGS, "argument", name, new=new))
            continue
        sign = TAKE if old == NONE else GIVE if new == NONE else CHANGE
        argument_rows.append(Row(sign, SETTINGS, "argument", name, old=old, new=new, later=True))
    return argument_rows


def _values(values: Sequence[str | None]) -> str:
    """The values of an argument, of which a bare one has none."""
    return " ".join(value or "(bare)" for value in values) or NONE


def _nodes(result: dict[str, Any]) -> list[Row]:
    """A row for each node; the devices of one IOMMU group have one."""
    by_node: dict[str, Row] = {}
    for node in result.get("nodes") or ():
        subject = node["node"] or node["cdev"] or (short(node["address"]) if node["address"] else "/dev/iommu")
        sign = {"unchanged": SAME, "released": GIVE}.get(node["status"], CHANGE)
        new = f"{node['owner']}:{node['group']} {node['mode']}"
        row = Row(sign, SETTINGS, "node", subject, old=node["before"] or NONE, new=new, later=node["status"] == "pending")
        if subject not in by_node or not by_node[subject].is_change:
            by_node[subject] = row
    return list(by_node.values())


def _limits(result: dict[str, Any]) -> list[Row]:
    limits = result.get("memlock") or ()
    restart: dict[str, list[str]] = {}
    names = {str(limit["name"]) for limit in limits}
    for service in map(str, result.get("restart") or ()):
        # Of a template, what has to be restarted are its instances.
        restart.setdefault(service if service in names else template_of(service) or service, []).append(service)
    return [
        Row(
            SAME if limit["status"] == "unchanged" else GIVE if limit["status"] == "released" else CHANGE, SETTINGS, "limit", limit["name"],
            old=limit["limit_before"] or NONE, new=limit["limit"] or NONE, restart=tuple(restart.get(limit["name"], ())),
            notes=(f"{restart[limit['name']][0]} runs with {limit['running']} until it is restarted",) if limit["name"] in restart else (),
        ) for limit in limits
    ]


def _images(result: dict[str, Any]) -> list[Row]:
    images = (result.get("initramfs") or {}).get("images") or ()
    return [
        Row(
            CHANGE if image["status"] == "rebuilt" else SAME, SETTINGS, _IMAGE, image["path"],
            notes=(image["reason"],) if image["reason"] and image["status"] == "rebuilt" else (),
        ) for image in images if image["path"]
    ]


def _files(result: dict[str, Any], shown: set[str]) -> list[Row]:
    """Files of configuration; an image that is a row already is none."""
    diff = [piece for piece in result.get("diff") or () if str(piece.get("after_header", "")).startswith("/")]
    return [
        Row(TAKE if not piece["before"] else GIVE if not piece["after"] else CHANGE, FILES, "file", str(piece["after_header"]))
        for piece in diff if piece["after_header"] not in shown
    ]


__all__ = ("CHANGE", "DEVICES", "FILES", "GIVE", "NONE", "Row", "SAME", "SETTINGS", "TAKE", "merged", "rows")
