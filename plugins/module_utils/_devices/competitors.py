# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What else on a host decides over a device: ids= of vfio-pci, driverctl, VFIO modules with ordinary aliases. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._kernel.alias import BASE_DRIVER, BASE_MODULE, Alias, matching

if TYPE_CHECKING:
    from typing import Iterable, Mapping, Tuple

    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._devices.state import Survey
    from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import Modules

    # vendor, device, subvendor, subdevice, class, mask of the class.
    Numbers = Tuple[int, ...]

_NUMBER = re.compile(r"\s*(?:0[xX])?([0-9A-Fa-f]+)")
_ANY = 0xFFFFFFFF
_NO_IDS = (0, 0, _ANY, _ANY, 0, 0)
_IDS = ("vendor", "device", "subsystem_vendor", "subsystem_device")


def parse_ids(value: str) -> list[tuple[str, Numbers]]:
    """[(text, six numbers)] of what vfio-pci understands of its parameter ``ids``.

    vendor:device[:subvendor[:subdevice[:class[:class_mask]]]], with commas between; what has no two numbers is passed over
    (source: linux drivers/vfio/pci/vfio_pci.c, vfio_pci_fill_ids; lib/vsprintf.c, vsscanf).
    """
    found = []
    for text in value.split(","):
        numbers: list[int] = []
        rest = text
        while len(numbers) < len(_NO_IDS):
            number = _NUMBER.match(rest)
            if number is None:
                break
            numbers.append(int(number.group(1), 16) & _ANY)
            rest = rest[number.end():]
            if not rest.startswith(":"):
                break
            rest = rest[1:]
        if len(numbers) > 1:
            found.append((text.strip(), tuple(numbers) + _NO_IDS[len(numbers):]))
    return found


def names(numbers: Numbers, ids: Mapping[str, str]) -> bool:
    """Whether the six numbers of an id name a function with these ids (source: linux pci_match_one_device)."""
    kind, mask = numbers[4:]
    return all(one in (_ANY, int(ids[key], 16)) for one, key in zip(numbers, _IDS)) and not (
        (kind ^ int(ids["class"], 16)) & mask
    )


def configured_ids(modules: Modules) -> list[tuple[str, Numbers, str]]:
    """[(text, six numbers, where)] of the ``ids`` that the next load of vfio-pci gets: the last setting counts."""
    settings = [one for one in modules.settings(BASE_MODULE) if one.name == "ids" and one.value]
    return [(text, numbers, settings[-1].where) for text, numbers in parse_ids(settings[-1].value or "")] if settings else []


def taken_by_id(survey: Survey, addresses: Iterable[str]) -> list[str]:
    """What is to be said of those of ``addresses`` that are on a VFIO driver without an override."""
    devices = [survey.devices[address] for address in addresses]
    taken = [device for device in devices if device.driver_override is None and survey.is_vfio(device.driver)]
    ids = configured_ids(survey.modules) if taken else []
    found: dict[tuple[str | None, str], list[str]] = {}
    for device in taken:
        found.setdefault((device.driver, _why(survey, device, ids)), []).append(f"{device.address} ({device.name})")
    return [
        f"on {driver} without an override, {why}: {', '.join(names_)}" for (driver, why), names_ in found.items()
    ]


def _why(survey: Survey, device: Device, ids: list[tuple[str, Numbers, str]]) -> str:
    for alias in _competing(survey, device):
        if device.driver in survey.modules.drivers(alias.module):
            return f"which the ordinary alias {alias.pattern} of module {alias.module} gives it"
    for text, numbers, where in ids:
        if device.driver == BASE_DRIVER and names(numbers, device.ids):
            return f"taken by id: ids= has {text} ({where})"
    return "taken by id: by new_id, or by ids= that no file has (any more); the kernel does not show which"


def _competing(survey: Survey, device: Device) -> list[Alias]:
    return [alias for dummy, alias in matching(survey.modules.competing(), device.modalias)]


def warnings(survey: Survey, *, saved: dict[str, tuple[str, str]], declared: list[tuple[Device, str]]) -> list[str]:
    """What else decides over declared devices, one sentence a finding.

    ``saved``: address -> (driver, file) of driverctl; ``declared``: (device, policy) pairs, with those that are given back.
    """
    taken = taken_by_id(survey, [device.address for device, dummy in declared])
    return taken + _by_ids(survey, declared) + _by_alias(survey, declared) + [
        f"{saved[device.address][1]}: driverctl gives {device.address} ({device.name}) of policy {policy} to "
        f"{saved[device.address][0]} at every boot and hot-plug, after udev's rules; remove this file"
        for device, policy in declared if device.address in saved
    ]


def _by_ids(survey: Survey, declared: list[tuple[Device, str]]) -> list[str]:
    found = []
    for text, numbers, where in configured_ids(survey.modules) if declared else ():
        named = [
            f"{device.address} ({device.name}) of policy {policy}" for device, policy in declared
            if names(numbers, device.ids) and (device.driver_override or not survey.is_vfio(device.driver))
        ]
        if named:
            found.append(
                f"{where}: ids= of vfio-pci has {text}, which names {', '.join(named)}: the module takes every such device "
                "that has no override; remove it there"
            )
    return found


def _by_alias(survey: Survey, declared: list[tuple[Device, str]]) -> list[str]:
    modules = survey.modules
    found: dict[Alias, list[str]] = {}
    for device, policy in declared if modules.competing() else ():
        for alias in _competing(survey, device):
            if alias.module not in modules.disabled() or modules.drivers(alias.module):
                found.setdefault(alias, []).append(f"{device.address} ({device.name}) of policy {policy}")
    return [
        f"module {alias.module} serves VFIO and declares {', '.join(devices)} by the ordinary alias {alias.pattern}, too: where "
        "it is loaded first it takes such a device without an override; blacklist it, or have it fixed"
        for alias, devices in found.items()
    ]


__all__ = ("configured_ids", "names", "parse_ids", "taken_by_id", "warnings")
