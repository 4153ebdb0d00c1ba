# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What a write to an attribute of the kernel decides, by the attribute's path and the value. Pure.

Whoever writes: a shell, sysfs.conf, tmpfiles.d, udev. (source: linux Documentation/ABI/testing/sysfs-bus-pci)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import (
    AUTOPROBE,
    BIND,
    NEW_ID,
    NUMBER,
    OVERRIDE,
    REMOVE,
    UNBIND,
    Claim,
    by_interface,
    by_pf_interface,
    fits_pattern,
)

if TYPE_CHECKING:
    from typing import Callable

    from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Fits, Target

# A device's attribute, by its path below the device -> what a write to it decides.
OF_DEVICE = {
    "driver_override": OVERRIDE, "sriov_numvfs": NUMBER, "sriov_drivers_autoprobe": AUTOPROBE, "driver/unbind": UNBIND,
    "remove": REMOVE,
}
_ATTRIBUTE = "|".join(OF_DEVICE)
_PATHS = [
    (re.compile(rf"/sys/bus/pci/devices/([^/]+)/virtfn[^/]+/({_ATTRIBUTE})\Z"), "vf of address"),
    (re.compile(rf"/sys/class/net/([^/]+)/device/virtfn[^/]+/({_ATTRIBUTE})\Z"), "vf of interface"),
    (re.compile(rf"/sys/bus/pci/devices/([^/]+)/({_ATTRIBUTE})\Z"), "address"),
    (re.compile(rf"/sys/class/net/([^/]+)/device/({_ATTRIBUTE})\Z"), "interface"),
    (re.compile(rf"/sys/devices/.*/net/([^/]+)/device/({_ATTRIBUTE})\Z"), "interface"),
    (re.compile(rf"/sys/devices/(?:.*/)?([^/]+)/({_ATTRIBUTE})\Z"), "address"),
]
_OF_DRIVER = re.compile(r"/sys/(?:bus/pci/drivers/|module/[^/]+/drivers/pci:)([^/]+)/(bind|unbind|new_id)\Z")
_ADDRESS = re.compile(r"(?<![0-9a-f:.])(?:([0-9a-f]{4,8})[:_])?([0-9a-f]{2})[:_]([01][0-9a-f])[._]([0-7])(?![0-9a-f])", re.I)
_PAIR = re.compile(r"(?<![0-9a-fx:])(?:0x)?([0-9a-f]{4})[: ](?:0x)?([0-9a-f]{4})(?![0-9a-f:.])", re.I)
_VARIABLE = re.compile(r"[$`*?\[]")


def addresses_in(text: str) -> set[str]:
    """The PCI addresses that a text names, also as 02:00.0 and as libvirt's pci_0000_02_00_0."""
    return {
        f"{(domain or '0000').lower()}:{bus.lower()}:{slot.lower()}.{function}"
        for domain, bus, slot, function in _ADDRESS.findall(text)
    }


def ids_in(text: str) -> set[tuple[str, str]]:
    """The pairs (vendor, device) that a text names, as 8086:10d3 or as new_id takes them."""
    return {(vendor.lower(), device.lower()) for vendor, device in _PAIR.findall(text)}


def is_address(target: Target, text: str) -> bool | None:
    """Whether a part of a path, which may be a glob or hold a variable, is a target's address."""
    return fits_pattern(text.lower(), [target.address])


def write(path: str, value: str | None, *, where: str, says: str, values: str | None = None) -> Claim | None:
    """The Claim of a write of ``value``, None where it is not known, to the attribute at ``path``; None where it decides nothing.

    ``where``, ``says``: of the Claim. ``values``: where the value holds a variable, the text that may tell what is in it.
    """
    path = re.sub(r"/+", "/", path)
    for shape, kind in _PATHS:
        parts = shape.match(path)
        if parts:
            place, attribute = parts.groups()
            fits = _PLACES[kind](place)
            verb = OF_DEVICE[attribute]
            return Claim(where, verb, None if verb in (UNBIND, REMOVE) else _known(value), says, fits)
    parts = _OF_DRIVER.match(path)
    if not parts:
        return None
    driver, attribute = parts.groups()
    text = value if value is not None and not _VARIABLE.search(value) else values
    fits = _by_ids(text) if attribute == "new_id" else _by_address(text)
    verb = {"bind": BIND, "unbind": UNBIND, "new_id": NEW_ID}[attribute]
    return Claim(where, verb, _known(driver), says, fits)


def _known(value: str | None) -> str | None:
    return None if value is None or "$" in value or "`" in value or "%" in value else value.strip()


def _at_address(text: str) -> Fits:
    return lambda target: is_address(target, text)


def _at_interface(text: str) -> Fits:
    return lambda target: by_interface(target, [text])


def _at_vf_of_address(text: str) -> Fits:
    """Which VF virtfnN is only the host knows."""
    return lambda target: (fits_pattern(text.lower(), [target.physfn]) is not False and None) if target.physfn else False


def _at_vf_of_interface(text: str) -> Fits:
    return lambda target: by_pf_interface(target, [text]) is not False and None


_PLACES: dict[str, Callable[[str], Fits]] = {
    "address": _at_address, "interface": _at_interface, "vf of address": _at_vf_of_address,
    "vf of interface": _at_vf_of_interface,
}


def _by_address(text: str | None) -> Fits:
    named = None if text is None else addresses_in(text)
    return lambda target: None if not named else target.address in named


def _by_ids(text: str | None) -> Fits:
    named = None if text is None else ids_in(text)
    return lambda target: None if not named else (target.ids["vendor"], target.ids["device"]) in named


__all__ = ("OF_DEVICE", "addresses_in", "ids_in", "is_address", "write")
