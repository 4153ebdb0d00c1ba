# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The record of one device that a policy took: its value, and the line of the rules file that keeps it. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._devices import vf_rules
from ansible_collections.vfio.host.plugins.module_utils._devices.lines import DEVICE, MAX_LINE, NAME, RELEASE, checked, fits, size
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import ADDRESS, IDENTITY
from ansible_collections.vfio.host.plugins.module_utils._devices.place import DEVPATH
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.versions import words

if TYPE_CHECKING:
    from typing import Any

    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import Was
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device

HEX_ID = re.compile(r"[0-9a-f]{4,6}\Z")
_ZPCI = re.compile(r"0x[0-9a-f]{1,8}\Z")
_WORD = re.compile(r"[ -~]{1,128}\Z")


@dataclass(frozen=True)
class Refusal:
    """A driver that refused a device on one kernel, and the ``fallback`` that was declared for that."""

    module: str
    driver: str
    kernel: str
    errno: str
    fallback: str


def _nothing() -> Was:
    return {}


@dataclass(frozen=True)
class Record:
    """One device of a policy: pinned by ``devpath`` and ``ids`` together, a VF by that of its PF and its index ``vf``; on s390
    by ``pin``, {"uid": ...} or {"function_id": ...} as the kernel prints it; a record of an earlier version by its address.
    ``address`` is where the function is now, ``written`` the one in the file where that is another.

    ``was`` holds what VFIO hides: driver, net and serial as they were before. ``released`` marks a device that the
    policy gave up and that still waits for it. ``refused``: why it has its entry's fallback, a Refusal. ``match``: the text
    of the entry that took it, or its digest. ``physfn``: of a VF, the function that it belongs to. ``driver``: None in a plan
    that does not know the name yet, and in no file.
    """

    address: str
    ids: dict[str, str]
    driver: str | None
    module: str
    was: Was = field(default_factory=_nothing)
    released: bool = False
    refused: Refusal | None = None
    match: str | None = None
    physfn: str | None = None
    pin: dict[str, str] | None = None
    devpath: str | None = None
    vf: int | None = None
    written: str | None = None

    @property
    def place(self) -> str:
        """What the rule knows the device by, beside its ids."""
        if self.pin:
            return _text(self.pin)
        if self.devpath is None:
            return self.address
        return self.devpath if self.vf is None else f"{self.devpath} {vf_rules.link(self.vf)}"

    @property
    def known_by(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """All that the rule knows the device by."""
        return self.place, tuple(sorted(self.ids.items()))

    def was_taken_by(self, text: str) -> bool:
        """Whether an entry of this match took it."""
        return self.match in (text, _digest(text))

    @property
    def serial(self) -> str | None:
        """The serial number that it was recorded with, or None."""
        return self.was.get("serial")

    def catches(self, device: Device | None) -> bool:
        """Whether the record's rule takes a device: udev compares the place, or what pins it, and ids."""
        if device is None or device.ids != self.ids:
            return False
        if self.pin is None:
            if self.devpath is None or device.devpath is None:
                return device.address == self.address
            return (device.devpath, device.vf) == (self.devpath, self.vf)
        return self.pin == device.pin or (device.zpci is not None and self.pin == {"function_id": device.zpci["function_id"]})

    def located(self, devices: dict[str, Device]) -> Record:
        """The record with the address that its function has now, where it is pinned by another name than that."""
        if (self.pin or self.devpath) is None or self.catches(devices.get(self.address)):
            return self
        found = [device.address for device in devices.values() if self.catches(device)]
        return replace(self, address=found[0], written=None if self.pin else self.address) if len(found) == 1 else self

    def is_of(self, device: Device | None) -> bool:
        """Whether a device is the one that was recorded. A serial number that VFIO hides contradicts nothing."""
        return device is not None and self.catches(device) and (None in (device.serial, self.serial) or device.serial == self.serial)


def _digest(text: str) -> str:
    """What stands for a match whose text is too long for its line."""
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def comment(policy: str, record: Record) -> str:
    """The record in one line. The whole text of a match is kept where it fits, since a person can read it."""
    line = _record_line(record)
    if not fits(line) and record.match is not None:
        line = _record_line(replace(record, match=_digest(record.match)))
    if not fits(line):
        raise PlanError(
            f"policy {policy}: the record of {record.address} would be a line of {size(line)} bytes, and udev reads {MAX_LINE} at "
            f"most: it keeps the names of the device's {len(record.was['net'])} network interfaces; remove interfaces, such as "
            "representors of VFs, and run again"
        )
    return line


def _record_line(record: Record) -> str:
    kept: dict[str, Any] = {"ids": record.ids, "driver": record.driver, "module": record.module, "was": record.was, "match": record.match}
    if record.pin:
        kept["zpci"] = record.pin
    else:
        kept["address"] = record.address
    if record.refused is not None:
        kept["refused"] = {key: value for key, value in vars(record.refused).items() if key != "fallback"}
    if record.physfn:
        kept["physfn"] = record.physfn
    if record.devpath:
        kept["devpath"] = record.devpath
    if record.vf is not None:
        kept["vf"] = record.vf
    return f"# {RELEASE if record.released else DEVICE} {json.dumps(kept, sort_keys=True)}"


def read_record(kept: dict[str, Any], released: bool) -> Record:
    """The record that such a line keeps. Raises KeyError, TypeError, ValueError or AttributeError for what no run of ours wrote."""
    ids = {key: checked(HEX_ID, kept["ids"][key]) for key in IDENTITY}
    pin = _pin(kept["zpci"]) if "zpci" in kept else None
    return Record(
        # What is pinned by another name has an address once it is found: see located().
        address=_text(pin) if pin else checked(ADDRESS, kept["address"]),
        ids=ids,
        driver=checked(NAME, kept["driver"]),
        module=checked(NAME, kept["module"]),
        was={
            "driver": None if kept["was"]["driver"] is None else checked(NAME, kept["was"]["driver"]),
            "net": [{"name": words(one["name"]), "mac": None if one["mac"] is None else words(one["mac"])} for one in kept["was"]["net"]],
            "serial": None if kept["was"]["serial"] is None else words(kept["was"]["serial"]),
            **({"nvme": words(kept["was"]["nvme"])} if "nvme" in kept["was"] else {}),
        },
        released=released,
        refused=_refusal(kept["refused"], kept["driver"]) if "refused" in kept else None,
        match=None if kept.get("match") is None else words(kept["match"]),
        physfn=None if kept.get("physfn") is None else checked(ADDRESS, kept["physfn"]),
        pin=pin,
        devpath=None if kept.get("devpath") is None else checked(DEVPATH, kept["devpath"]),
        vf=_index(kept),
    )


def _index(kept: dict[str, Any]) -> int | None:
    index = kept.get("vf")
    if index is None:
        return None
    if isinstance(index, bool) or not isinstance(index, int) or index < 0 or not kept.get("physfn") or not kept.get("devpath"):
        raise ValueError(f"{index!r} is no VF of a PF")
    return index


def _text(pin: dict[str, str]) -> str:
    return " ".join(f"{key} {value}" for key, value in pin.items())


def _pin(kept: dict[str, Any]) -> dict[str, str]:
    ((key, value),) = kept.items()
    if key not in ("uid", "function_id"):
        raise ValueError(f"{key!r} names no function")
    return {key: checked(_ZPCI, value)}


def _refusal(kept: dict[str, Any], fallback: str) -> Refusal:
    return Refusal(
        module=checked(NAME, kept["module"]), driver=checked(NAME, kept["driver"]),
        kernel=checked(_WORD, kept["kernel"]), errno=checked(_WORD, kept["errno"]), fallback=fallback,
    )


__all__ = ("HEX_ID", "Record", "Refusal", "comment", "read_record")
