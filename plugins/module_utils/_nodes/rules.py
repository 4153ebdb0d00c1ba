# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The rules file that gives VFIO nodes their owner, group, mode and links at every bind, and the record in it. Pure.

The node of a group is of no PCI device: its event has a number that another boot gives to another group. So the rule asks whether the
group has this member, /sys/kernel/iommu_groups/NUMBER/devices/ADDRESS, and whether what has the address now is in the slot, and
of the kind, for which the rule was written. Where bus numbers have moved since, no rule fits, and the node stays root's until the next run.
The node of a device (VFIO_DEVICE_CDEV) has the device as its parent, and is found by the slots, whatever the bus numbers.

The file comes after udev's own 50-udev-default.rules, of which /dev/vfio/vfio has its mode. (Sources: drivers/vfio/group.c
vfio_group_alloc(), vfio_devnode(); drivers/vfio/vfio_main.c __vfio_register_dev(); systemd src/udev/udev-rules.c, of TEST: "%k" is put in,
and the path may be absolute.)
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple

from ansible_collections.vfio.host.plugins.module_utils._devices.lines import NODES, check_head, checked, joined, read_records
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import ADDRESS, IDENTITY
from ansible_collections.vfio.host.plugins.module_utils._devices.place import beside
from ansible_collections.vfio.host.plugins.module_utils._nodes.spec import Wish
from ansible_collections.vfio.host.plugins.module_utils._nodes.spec import parse as parse_wishes

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device

NAME = "70-vfio-host-nodes.rules"
LINKS = "vfio/by-policy"

_FUNCTION = re.compile(r"([0-9a-f?]{4,8}):([0-9a-f?]{2}):([01][0-9a-f]\.[0-7])\Z")
_ROOT = re.compile(r"pci([0-9a-f?]{4,8}):([0-9a-f]{2})\Z")
_UNFIT = re.compile(r"[^A-Za-z0-9.:-]+")
_HEAD = (
    "# Access to VFIO nodes, by the Ansible collection vfio.host. The next run undoes changes made by hand.",
    "# Remove this file to leave the nodes to root from the next boot on.",
)


@dataclass(frozen=True)
class Entry:
    """What the file says of one policy, or of /dev/iommu: the Wish, and the addresses that its rules were written for."""

    wish: Wish
    addresses: Tuple[str, ...] = ()


def link(policy: str, device: Device, *, kind: str) -> str:
    """The link to a node of a device, below /dev: 'vfio/by-policy/guests/0000:00-06.0-00.0/group'. ``kind``: group or cdev.

    It has the device's path, which stays where addresses move, and no address.
    """
    return f"{LINKS}/{policy}/{_UNFIT.sub('-', _name(device))}/{kind}"


def _name(device: Device) -> str:
    if device.pin:
        return "-".join(f"{key}-{value}" for key, value in device.pin.items())
    return device.path or device.address


def render(entries: Dict[Optional[str], Entry], devices: Mapping[str, Device]) -> Optional[str]:
    """The text of the file; None where it would say nothing. ``devices``: address -> Device."""
    if not entries:
        return None
    lines = list(_HEAD)
    for policy in sorted(entries, key=lambda one: (one is None, one or "")):
        entry = entries[policy]
        lines += ["", _comment(entry)]
        if policy is None:
            lines.append(f'ACTION=="add|change", SUBSYSTEM=="misc", KERNEL=="iommu", {_access(entry.wish)}')
        for address in entry.addresses:
            lines += _device_rules(entry.wish, devices[address], devices)
    return joined(lines, whose="nodes", remedy="declare fewer devices in one policy")


def _comment(entry: Entry) -> str:
    wish = entry.wish
    kept = {
        "policy": wish.policy, "owner": wish.owner, "group": wish.group, "mode": f"{wish.mode:04o}", "symlink": wish.symlink,
        "addresses": list(entry.addresses),
    }
    return f"# nodes {json.dumps(kept, sort_keys=True)}"


def _access(wish: Wish) -> str:
    return f'OWNER="{wish.owner}", GROUP="{wish.group}", MODE="{wish.mode:04o}"'


def _device_rules(wish: Wish, device: Device, devices: Mapping[str, Device]) -> List[str]:
    links = {
        kind: f', SYMLINK+="{link(wish.policy or "", device, kind=kind)}"' if wish.symlink else "" for kind in ("group", "cdev")
    }
    ids = ", ".join(f'ATTR{{{{}}{key}}}=="0x{device.ids[key]}"' for key in IDENTITY)
    group = [
        'ACTION=="add|change", SUBSYSTEM=="vfio", KERNEL=="[0-9]*"', f'TEST=="/sys/kernel/iommu_groups/%k/devices/{device.address}"',
        *_place(device, devices), ids.replace("{}", f"[pci/{device.address}]"), _access(wish) + links["group"],
    ]
    cdev = [
        'ACTION=="add|change", SUBSYSTEM=="vfio-dev"', *_parent(device), ids.replace("{}", "device/"), _access(wish) + links["cdev"],
    ]
    return [", ".join(group), ", ".join(cdev)]


def _place(device: Device, devices: Mapping[str, Device]) -> List[str]:
    """Matches by which the function at the device's address is the one of the plan, beside its ids."""
    if device.pin:
        return _pinned(device.pin, f"[pci/{device.address}]")
    # What has no pattern is known by its address alone, as in the policy's own rules.
    place = place_now(device, devices)
    return [] if place is None else [f'TEST=="/sys{place}"']


def _parent(device: Device) -> List[str]:
    """Matches by which the parent of a device's node is the one of the plan, beside its ids."""
    if device.pin:
        return _pinned(device.pin, "device/")
    if device.devpath is None:
        return [f'DEVPATH=="*/{device.address}/vfio-dev/*"']
    own = device.devpath if device.vf is None else beside(device.devpath, device.address)
    return [f'DEVPATH=="{own}/vfio-dev/*"']


def _pinned(pin: Dict[str, str], prefix: str) -> List[str]:
    """Of s390. With unique UIDs the address holds the UID; a function id keeps off what has the address of another one by now."""
    ((key, value),) = pin.items()
    unique = [f'ATTR{{{prefix}uid_is_unique}}=="1"'] if key == "uid" else []
    return unique + [f'ATTR{{{prefix}{key}}}=="{value}"']


def place_now(device: Device, devices: Mapping[str, Device]) -> Optional[str]:
    """Where a function is in this boot: its DEVPATH with bus numbers, '/devices/pci0000:00/0000:00:06.0/0000:02:00.0'; None where it has
    no pattern of one. ``devices``: address -> Device.

    A VF that is to come hangs from where its PF does. What fits no function stays as the pattern has it, which no path of sysfs is.
    """
    if device.devpath is None:
        return None
    pf = devices.get(device.physfn or "") if device.vf is not None else None
    owner, parts = pf or device, []
    way = [*owner.above, owner.address]
    for part in device.devpath.split("/"):
        root = _ROOT.match(part)
        if way and _FUNCTION.match(part):
            parts.append(way.pop(0))
        else:
            parts.append(f"pci{way[0].split(':')[0]}:{root.group(2)}" if root and way else part)
    now = "/".join(parts)
    return now if device.vf is None else beside(now, device.address)


def parse(text: Optional[str], path: str) -> Dict[Optional[str], Entry]:
    """The entries of the file's text. Raises PlanError naming ``path`` and the line that no run of ours wrote."""
    effect = "which leaves the nodes to root"
    found = read_records(text or "", path, kinds=(NODES,), make=lambda dummy, kept: _entry(kept), effect=effect)
    check_head(text, path, effect=effect)
    return {entry.wish.policy: entry for entry in found}


def _entry(kept: Dict[str, Any]) -> Entry:
    policy = kept["policy"]
    value = {key: kept[key] for key in ("owner", "group", "mode")}
    problems: List[str] = []
    named = {policy: dict(value, symlink=kept["symlink"])} if policy is not None else None
    wish = parse_wishes(named, None if named else value, problems=problems).get(policy)
    if wish is None or problems:
        raise ValueError("; ".join(problems) or "it says nothing")
    return Entry(wish, tuple(checked(ADDRESS, one) for one in kept["addresses"]))


__all__ = ("Entry", "LINKS", "NAME", "link", "parse", "place_now", "render")
