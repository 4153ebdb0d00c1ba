# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The input of the filter, whatever its shape, as devices that are known to be on a VFIO driver."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.vfio.host.plugins.plugin_utils._handover.model import ADDRESS, BASE_DRIVER, Device, Problem

DRIVER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
# What a member of an IOMMU group may have while user space has the group: these do no DMA.
# (source: .driver_managed_dma of drivers/pci/pcie/portdrv.c and drivers/pci/pci-stub.c)
WITHOUT_DMA = ("pcieport", "pci-stub")
SHORT = re.compile(r"[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")
SHAPES = {
    "vendor": r"[0-9a-f]{4}",
    "device": r"[0-9a-f]{4}",
    "subsystem_vendor": r"[0-9a-f]{4}",
    "subsystem_device": r"[0-9a-f]{4}",
    "class": r"[0-9a-f]{6}",
    "iommu_group": r"[0-9]{1,10}",
}
LEAVE_OUT = ": leave it out by policy=NAME, the policy of what is to be handed over, or only_vfio=true"
WHAT_COMES_IN = (
    "the input must be the result of passthrough or driver_override, its 'devices', the facts 'vfio_host', "
    "or devices of these facts"
)


def normal(address: Any) -> str | None:
    """The address in the form of the facts; None for what is none."""
    text = address.strip().lower() if isinstance(address, str) else ""
    text = f"0000:{text}" if SHORT.fullmatch(text) else text
    return text if ADDRESS.fullmatch(text) else None


def entries(data: Any) -> list[dict[str, Any]]:
    """Rows of a result, or devices of facts, as a list. Raises Problem for any other input.

    ``data`` consists of the JSON types. A mapping with the key ``devices`` stands for what that key has, what a loop has registered for what
    its tasks returned, and what pci_facts returned for its facts.
    """
    if isinstance(data, Mapping) and isinstance(data.get("results"), list):
        return [entry for result in data["results"] for entry in entries(result)]
    for key in ("ansible_facts", "vfio_host"):
        data = data[key] if isinstance(data, Mapping) and isinstance(data.get(key), Mapping) else data
    _refuse_without(data)
    if isinstance(data, Mapping) and "devices" in data:
        data = data["devices"]
    if isinstance(data, Mapping):
        data = list(data.values()) if all(normal(key) for key in data) else [data]
    if not isinstance(data, list):
        raise Problem(f"{WHAT_COMES_IN}; it is {type(data).__name__}")
    problems = []
    for number, item in enumerate(data, start=1):
        if not isinstance(item, dict) or normal(item.get("address")) is None:
            problems.append(f"item {number} of {len(data)} has no PCI address; {WHAT_COMES_IN}")
    if problems:
        raise Problem(*problems)
    return [{**item, "address": normal(item["address"])} for item in data]


def _refuse_without(data: Any) -> None:
    """Raise Problem for the result of a task that has failed, or was skipped, and so has no devices."""
    if isinstance(data, Mapping) and "devices" not in data:
        if data.get("failed"):
            raise Problem(f"the input is of a task that failed, so there is nothing to hand over: {data.get('msg') or 'it does not say why'}")
        if data.get("skipped"):
            raise Problem("the input is of a task that was skipped, so there is nothing to hand over: guard this one with the same 'when'")


def is_row(entry: Mapping[str, Any]) -> bool:
    """Whether an entry is a row of a result: these have the ids in ``identity``, and facts have them beside the address."""
    return isinstance(entry.get("identity"), Mapping)


def set_by_run(data: Any) -> dict[str, dict[str, Any]]:
    """VF -> the attributes that a run has set by its PF, where the input is a whole result."""
    found: dict[str, dict[str, Any]] = {}
    if not isinstance(data, Mapping):
        return found
    for result in data["results"] if isinstance(data.get("results"), list) else ():
        found.update(set_by_run(result))
    for one in data["sriov"] if isinstance(data.get("sriov"), list) else ():
        if not isinstance(one, Mapping) or one.get("status") in ("pending", "released"):
            continue
        vfs, attributes = (one[name] if isinstance(one.get(name), list) else [] for name in ("vfs", "attributes"))
        addresses = {index: normal(address) for index, address in enumerate(vfs)}
        for values in attributes:
            address = addresses.get(values["vf"]) if isinstance(values, Mapping) and isinstance(values.get("vf"), int) else None
            if address is not None:
                found[address] = dict(values)
    return found


def facts_by_address(facts: Any) -> dict[str, dict[str, Any]]:
    """The devices of facts by address. Raises Problem where rows of a result came instead."""
    try:
        devices = entries(facts)
    except Problem as error:
        raise Problem(*(f"option 'facts': {sentence}" for sentence in error.sentences)) from None
    if any(is_row(device) for device in devices):
        raise Problem("option 'facts': these are rows of a result; give the facts 'vfio_host'")
    return {device["address"]: device for device in devices}


def vfio_drivers(rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """The drivers that are known to serve VFIO: vfio-pci, and what the kernel's table of VFIO aliases has named for a device.

    A driver's name tells nothing. Of a row it is ``choice``, of the facts ``vfio``, that has the alias.
    """
    drivers = {BASE_DRIVER}
    for entry in rows:
        chosen = entry.get("choice" if is_row(entry) else "vfio")
        if isinstance(chosen, Mapping) and str(chosen.get("alias") or "").startswith("vfio_pci:"):
            drivers.add(str(chosen.get("driver")))
    return drivers


def vfio_module(row: Mapping[str, Any]) -> str | None:
    """The module that a run chose by the kernel's table of VFIO aliases; None for what is no row, or has none."""
    chosen = row.get("choice")
    if not isinstance(chosen, Mapping) or not str(chosen.get("alias") or "").startswith("vfio_pci:"):
        return None
    return str(chosen["module"]) if chosen.get("module") else None


class Reader:
    """Makes devices of entries, beside the facts of the host. Collects what is wrong in ``problems``."""

    def __init__(
        self, rows: list[dict[str, Any]], facts: dict[str, dict[str, Any]], attributes: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """``attributes``: those of VFs that the run has set."""
        self._facts = facts
        self._attributes = attributes or {}
        # What a row says of a driver is newer than facts, which may be of before the run.
        self._drivers = {address: row.get("driver") for address, row in facts.items()}
        self._drivers.update({row["address"]: row.get("driver") for row in rows if is_row(row)})
        self._vfio = vfio_drivers([*rows, *facts.values()])
        self.problems: list[str] = []

    def on_vfio(self, address: str) -> bool:
        """Whether a VFIO driver has the device."""
        driver = self._drivers.get(address)
        return isinstance(driver, str) and driver in self._vfio

    def device(self, entry: dict[str, Any]) -> Device | None:
        """The device of one entry; None, with a problem, where it cannot be handed over."""
        address = entry["address"]
        facts = self._facts.get(address, {} if is_row(entry) else entry)
        known = {**facts, **(entry["identity"] if is_row(entry) else {})}
        before = len(self.problems)
        self._is_on_vfio(entry)
        values = {name: self._text(address, known, name, shape) for name, shape in SHAPES.items()}
        if is_row(entry) and any(name in facts and facts[name] != known.get(name) for name in ("vendor", "device")):
            self.problems.append(f"{address}: the facts are of another device than the result; gather them again")
        if self.problems[before:]:
            return None
        group = values["iommu_group"]
        return Device(
            address=address,
            driver=entry["driver"],
            vendor=values["vendor"],
            device=values["device"],
            subsystem_vendor=values["subsystem_vendor"],
            subsystem_device=values["subsystem_device"],
            pci_class=values["class"],
            iommu_group="" if "iommu_group" in facts and group is None else group,
            is_vf=self._is_vf(facts),
            has_vfs=bool(facts["sriov"]) if "sriov" in facts else None,
            mac=self._mac(address, facts),
            needs_token=self.on_vfio(normal(facts.get("physfn")) or ""),
            kept=self._kept(address, facts),
            pf_has_interface=self._pf_has_interface(facts),
        )

    def _is_on_vfio(self, entry: Mapping[str, Any]) -> None:
        address, driver, status = entry["address"], entry.get("driver"), entry.get("status")
        if status == "released":
            self.problems.append(f"{address} was released by this run and is the host's{LEAVE_OUT}")
        elif is_row(entry) and isinstance(entry.get("choice"), Mapping) and entry["choice"].get("source") == "native":
            self.problems.append(f"{address} is declared for its native driver, so it is the host's{LEAVE_OUT}")
        elif status == "pending":
            self.problems.append(f"{address} waits for the next boot (status pending): reboot, run again, and hand it over then")
        elif driver is None and vfio_module(entry):
            self.problems.append(
                f"{address}: the name of its driver is known when the module {vfio_module(entry)} is loaded, which check mode does not do: hand it over "
                "in a run, by a task with 'when: not ansible_check_mode'"
            )
        elif driver is None:
            self.problems.append(f"{address} has no driver: declare it in a policy, converge, and hand it over then")
        elif not isinstance(driver, str) or not DRIVER.fullmatch(driver):
            self.problems.append(f"{address}: {driver!r} is no name of a driver")
        elif driver not in self._vfio:
            self.problems.append(
                f"{address} is on {driver}, which is not known to be a VFIO driver: declare the device in a policy and converge; where "
                "it is one all the same, hand over the result of the run that took the device, with facts=ansible_facts.vfio_host"
            )

    def _text(self, address: str, known: Mapping[str, Any], name: str, shape: str) -> str | None:
        value = known.get(name)
        if value is None:
            return None
        text = value.lower() if isinstance(value, str) else ""
        if not re.fullmatch(shape, text):
            self.problems.append(f"{address}: its '{name}' is {value!r}, which has not the form that the facts give it")
            return None
        return text

    @staticmethod
    def _is_vf(facts: Mapping[str, Any]) -> bool | None:
        return bool(facts["is_vf"]) if "is_vf" in facts else None

    def _mac(self, address: str, facts: Mapping[str, Any]) -> str | None:
        """The MAC address that its PF keeps for it, else where it has one interface that one's; which one of several is meant nobody can tell."""
        for values in (self._attributes.get(address), facts.get("vf_attributes")):
            kept = _set_mac(values)
            if kept is not None:
                return kept
        net = facts["net"] if isinstance(facts.get("net"), list) else []
        macs = {str(interface.get("mac")).lower() for interface in net if isinstance(interface, Mapping) and interface.get("mac")}
        if any(not MAC.fullmatch(mac) for mac in macs):
            return None  # an InfiniBand port's has 20 bytes
        # A VF that nobody gave an address may have zeros, which no interface of a guest can have.
        return macs.pop() if len(macs) == 1 and any(mac.strip("0:") for mac in macs) else None

    def _kept(self, address: str, facts: Mapping[str, Any]) -> tuple[str, ...]:
        """What the run has set, or by the facts the VLAN, which a user of the VF may not lose: it is what keeps it from other networks."""
        values = self._attributes.get(address)
        mac = _set_mac(values)
        vlan = (values if values is not None else facts["vf_attributes"] if isinstance(facts.get("vf_attributes"), Mapping) else {}).get("vlan")
        has_vlan = isinstance(vlan, int) and not isinstance(vlan, bool) and vlan > 0
        return (*([f"mac {mac}"] if mac is not None else []), *([f"vlan {vlan}"] if has_vlan else []))

    def _pf_has_interface(self, facts: Mapping[str, Any]) -> bool | None:
        pf = self._facts.get(normal(facts.get("physfn")) or "", {})
        return bool(pf["net"]) if isinstance(pf.get("net"), list) else None

    def blocked(self, devices: Iterable[Device]) -> list[str]:
        """A sentence for each member of the devices' IOMMU groups that keeps VFIO from opening them, by the facts."""
        groups = {device.iommu_group for device in devices if device.iommu_group}
        sentences = []
        for address, facts in sorted(self._facts.items()):
            driver, group = self._drivers.get(address), facts.get("iommu_group")
            if not isinstance(group, str) or group not in groups or driver is None:
                continue
            if not self.on_vfio(address) and driver not in WITHOUT_DMA and not facts.get("header_type"):
                sentences.append(
                    f"IOMMU group {group} also has {address}, on {driver}, so nothing of it can be opened: declare "
                    "that device too (iommu_group: extend), or gather the facts again where they are of before the run"
                )
        return sentences

    def siblings(self) -> dict[str, tuple[str, ...]]:
        """Slot -> the functions in it, by the facts."""
        functions: dict[str, tuple[str, ...]] = {}
        for address in sorted(self._facts):
            slot = address.rpartition(".")[0]
            functions[slot] = (*functions.get(slot, ()), address)
        return functions


def _set_mac(values: Any) -> str | None:
    """The MAC address among attributes of a VF; None where there is none, as zeros say, too."""
    mac = values.get("mac") if isinstance(values, Mapping) else None
    text = mac.lower() if isinstance(mac, str) else ""
    return text if MAC.fullmatch(text) and text.strip("0:") else None


def units(devices: Iterable[Device]) -> tuple[tuple[Device, ...], ...]:
    """The devices by cards: functions of one slot that go together, such as a GPU and its audio function.

    They do where they share an IOMMU group. Where groups are not known, they do unless their ids are the same: two ports of a
    network card, or two VFs, are two devices. VFs never go together.
    """
    cards: list[list[Device]] = []
    for device in devices:
        lead = next((unit[0] for unit in cards if _go_together(unit[0], device)), None)
        if lead is None:
            cards.append([device])
        else:
            next(unit for unit in cards if unit[0] is lead).append(device)
    return tuple(tuple(unit) for unit in cards)


def _go_together(lead: Device, device: Device) -> bool:
    if lead.slot != device.slot or lead.is_vf or device.is_vf:
        return False
    if lead.iommu_group and device.iommu_group:
        return lead.iommu_group == device.iommu_group
    return (lead.vendor, lead.device) != (device.vendor, device.device)


__all__ = ("MAC", "Reader", "entries", "facts_by_address", "is_row", "normal", "set_by_run", "units")
