# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What a host has, from its facts: what is free, taken, needed by the host, and what could not be had."""

from __future__ import annotations

from typing import Any, Iterable

from ansible_collections.vfio.host.plugins.plugin_utils._text import (
    BAD,
    CHANGE,
    GOOD,
    HEAD,
    Line,
    cut,
    fill,
    name_of,
    short,
)

FREE, TAKEN, NEEDED, REFUSED, CHIPSET = "free", "taken", "needed", "refused", "chipset"
BASE_DRIVER = "vfio-pci"

_DRIVER_WIDTH, _INDENT = 16, 4


def state_of(device: dict[str, Any], facts: dict[str, Any]) -> str:
    """Which of the survey's sections a device belongs to. What the host needs is never free, whatever it is."""
    if _is_taken(device, facts):
        return TAKEN
    if is_chipset(device):
        return CHIPSET
    if device["guards"]:
        return NEEDED
    return REFUSED if why_not(device, facts) else FREE


def _is_taken(device: dict[str, Any], facts: dict[str, Any]) -> bool:
    """Whether a policy has it, an override, or a VFIO driver by other means."""
    drivers = (BASE_DRIVER, device["vfio"]["driver"] or BASE_DRIVER)
    return bool(device["address"] in facts["owners"] or device["driver_override"] or device["driver"] in drivers)


def why_not(device: dict[str, Any], facts: dict[str, Any]) -> str:
    """Why VFIO cannot have a device that the host does not need; "" where it can."""
    if not device["vfio"]["bindable"]:
        return (device["vfio"]["reason"] or "").replace(f"{device['address']} ", "")
    # A member without a driver keeps no group from user space (source: drivers/pci/pci-driver.c pci_dma_configure(),
    # drivers/iommu/iommu.c iommu_device_use_default_domain()).
    others = [facts["devices"][other] for other in partners(device, facts)]
    if any(other["guards"] or (is_chipset(other) and other["driver"]) for other in others if not _is_taken(other, facts)):
        return "in an IOMMU group with what the host keeps"
    return ""


def is_chipset(device: dict[str, Any]) -> bool:
    """Whether nobody would give the device to a guest: bridges, system peripherals (class 08), the SMBus (0c05)."""
    return device["header_type"] in (1, 2) or device["class"][:2] in ("06", "08") or device["class"][:4] == "0c05"


def needs(device: dict[str, Any]) -> list[str]:
    """Why the host needs a device, without the address of the device itself; what one interface carries, together. Facts of an older
    version have no more than the reason.
    """
    carried: dict[str, list[str]] = {}
    others: list[str] = []
    for guard in device["guards"]:
        brief, carries = guard.get("brief", guard["reason"]), guard.get("carries")
        if guard.get("interface") is not None and carries is not None:
            what = carried.setdefault(guard["interface"], [])
            what += [] if carries in what else [carries]
        elif brief not in others:
            others.append(brief)
    return [f"{name} carries {' and '.join(what)}" for name, what in carried.items()] + others


def lines(facts: dict[str, Any], *, host: str, width: int, verbose: bool = False) -> list[Line]:
    """The survey of one host as Lines of at most ``width`` columns. ``verbose``: the chipset is listed, too."""
    facts = numbered(facts)
    sections: dict[str, list[dict[str, Any]]] = {}
    for address in sorted(facts["devices"]):
        device = facts["devices"][address]
        sections.setdefault(state_of(device, facts), []).append(device)
    iommu = "on" if facts["iommu"]["enabled"] else "off"
    said = fill([f"{host}  {facts['platform']}", f"kernel {facts['kernel']}", f"IOMMU {iommu}"], width, indent=_INDENT)
    screen = [Line(text, HEAD) for text in said]
    screen += [
        Line(text) for text in fill(
            ["[vendor:device] as match takes them", "addresses in domain 0000 where none is said"], width, indent=_INDENT
        )
    ]
    screen += _section("FREE", sections.get(FREE, []), facts, width, GOOD)
    screen += _section("TAKEN", sections.get(TAKEN, []), facts, width, CHANGE)
    screen += _section("NEEDED BY THE HOST", sections.get(NEEDED, []), facts, width, BAD)
    refused: dict[str, list[dict[str, Any]]] = {}
    for device in sections.get(REFUSED, []):
        refused.setdefault(why_not(device, facts), []).append(device)
    for reason, devices in refused.items():
        screen += _section(f"NOT TO BE HAD NOW: {reason}", devices, facts, width, BAD)
    chipset = sections.get(CHIPSET, [])
    if verbose:
        screen += _section("CHIPSET", chipset, facts, width, HEAD)
    screen.append(Line(""))
    total = [
        f"{len(sections[state])} {words}" for state, words in (
            (FREE, "free"), (TAKEN, "taken"), (NEEDED, "needed by the host"), (REFUSED, "not to be had"),
        ) if sections.get(state)
    ]
    if chipset:
        total.append(f"{len(chipset)} of the chipset" + ("" if verbose else ", which -v lists"))
    return screen + [Line(text, HEAD) for text in fill(total or ["no PCI device"], width, indent=_INDENT)]


def undeclared(facts: dict[str, Any], declared: Iterable[str], *, width: int) -> list[Line]:
    """What is said of policies on the host that are not among the ``declared`` names, as Lines; nothing where there are none."""
    names = sorted(set(facts.get("policies") or ()) - set(declared))
    if not names:
        return []
    told = [
        f"on the host, and not in passthrough_devices: {', '.join(names)}", "declare them (an empty list gives a policy back)",
        "or say passthrough_undeclared: release",
    ]
    return [Line("")] + [Line(text, CHANGE) for text in fill(told, width, indent=_INDENT)]


def _section(title: str, devices: list[dict[str, Any]], facts: dict[str, Any], width: int, style: str) -> list[Line]:
    """A title and its devices as Lines; nothing where there are none."""
    if not devices:
        return []
    section = [Line("")] + [Line(text, style) for text in fill([title], width, indent=_INDENT)]
    addresses = max(len(short(device["address"])) for device in devices)
    drivers = min(max(len(device["driver"] or "-") for device in devices), _DRIVER_WIDTH)
    groups = max(len(device["iommu_group"] or "") for device in devices) + 1
    for device in devices:
        group = f"g{device['iommu_group']}" if device["iommu_group"] is not None else "-"
        head = (
            f"  {short(device['address']):{addresses}} [{device['vendor']}:{device['device']}] "
            f"{cut(device['driver'] or '-', drivers):{drivers}} {group:{groups}} "
        )
        rows = fill(fragments(device, facts), width, indent=2 + addresses + 1, first=len(head))
        section += [Line((head + rows[0]).rstrip())] + [Line(row) for row in rows[1:]]
    return section


def fragments(device: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """What is told of a device beside address, ids, driver and group, the most telling first. ``facts``: as numbered() gives them."""
    told = [name_of(device, vendor_name=device["vendor_name"], device_name=device["device_name"])]
    told += ports(device) + needs(device) + owner_of(device, facts) + serial(device, facts) + traits(device, facts)
    others = partners(device, facts)
    if others:
        told.append(f"group with {' '.join(short(other) for other in others)}")
    return told + variant(device) + users(device)


def ports(device: dict[str, Any]) -> list[str]:
    """Its interfaces and disks."""
    return [f"{card['name']} mac {card['mac']}" for card in device["net"]] + list(device["block"])


def owner_of(device: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """Who has a device for VFIO, and what it was before."""
    owner = facts["owners"].get(device["address"])
    if owner:
        was = owner.get("was") or {}
        told = [f"policy {owner['policy']}"] + ([f"was {was['driver']}"] if was.get("driver") else [])
        return told + ([] if device["net"] else [f"was {card['name']} mac {card['mac']}" for card in was.get("net") or ()])
    if device["driver_override"]:
        return [f"override {device['driver_override']} of no policy"]
    return ["taken by id, without an override"] if state_of(device, facts) == TAKEN else []


def serial(device: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """Its serial number, that of before where VFIO hides it."""
    was = (facts["owners"].get(device["address"]) or {}).get("was") or {}
    number = device["serial"] or was.get("serial")
    return [f"serial {number}"] if number else []


def traits(device: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """Where it is, and what it is a part of."""
    zpci = device["zpci"]
    told: list[str] = []
    if zpci:
        told.append(f"uid {zpci['uid']}" if zpci["uid_is_unique"] else f"function_id {zpci['function_id']}")
    told += [f"path {device['path']}"] if device["path"] else []
    if device["physfn"]:
        told.append(f"VF {facts['vf_numbers'][device['address']]} of {short(device['physfn'])}")
    if device["sriov"]:
        told.append(f"{device['sriov']['num']} of {device['sriov']['total']} VFs")
    if (device["numa_node"] or 0) > 0:
        told.append(f"NUMA node {device['numa_node']}")
    return told


def variant(device: dict[str, Any]) -> list[str]:
    """The VFIO driver that it would have, where that is not the base driver."""
    driver = device["vfio"]["driver"] or device["vfio"]["module"]
    return [f"VFIO driver {driver}"] if device["vfio"]["bindable"] and driver not in (None, BASE_DRIVER, device["driver"]) else []


def users(device: dict[str, Any]) -> list[str]:
    """The processes that have it open through VFIO."""
    return [f"in use by process {holder['pid']} ({holder['command']})" for holder in device["holders"] or ()]


def partners(device: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """The other endpoints of a device's IOMMU group: they go to user space together."""
    members = facts["iommu"]["groups"].get(device["iommu_group"], ())
    return sorted(
        member for member in members
        if member != device["address"] and member in facts["devices"] and facts["devices"][member]["header_type"] not in (1, 2)
    )


def numbered(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts with ``vf_numbers``, address -> the VF's number.

    VFs of one PF have rising addresses (source: drivers/pci/iov.c pci_iov_virtfn_devfn()).
    """
    cards: dict[str | None, list[str]] = {}
    for address in sorted(facts["devices"]):
        cards.setdefault(facts["devices"][address]["physfn"], []).append(address)
    return dict(facts, vf_numbers={
        address: number for card, addresses in cards.items() if card for number, address in enumerate(addresses)
    })


__all__ = (
    "CHIPSET", "FREE", "NEEDED", "REFUSED", "TAKEN", "fragments", "is_chipset", "lines", "needs", "numbered", "owner_of", "partners", "ports",
    "serial", "state_of", "traits", "undeclared", "users", "variant", "why_not",
)
