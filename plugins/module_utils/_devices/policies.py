# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Which policy has a device, and what the device was before it was taken: for who looks at a host and plans nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, Set

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.files import Files

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import Owner
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device

# How the names of all rules files of policies begin; the parsers are loaded where there is one.
_PREFIX = "60-vfio-host-"


def owners(files: Files, devices: dict[str, Device]) -> tuple[dict[str, Owner], list[str], list[str]]:
    """(address -> {policy, was} of the ``devices`` (address -> Device) that rules files of policies take, the names of all policies
    that have such a file, warnings).

    ``was``: {driver, net, serial} of before, None where a rule took a device that nobody had seen. A file that cannot be read, or that
    no run of ours wrote, is a warning.
    """
    found: Dict[str, Owner] = {}
    policies: Set[str] = set()
    warnings: List[str] = []
    for directory in (files.volatile_rules, files.boot_rules):
        try:
            names = [name for name in files.names(directory) if name.startswith(_PREFIX)]
        except PlanError as error:
            warnings += error.messages
            continue
        for name in names:
            try:
                _read(files, f"{directory}/{name}", name, devices, found, policies)
            except PlanError as error:
                warnings += error.messages
    return found, sorted(policies), warnings


def _read(files: Files, path: str, name: str, devices: dict[str, Device], found: Dict[str, Owner], policies: Set[str]) -> None:
    """Add the policy of one rules file, and the owners that it names. Raises PlanError."""
    from ansible_collections.vfio.host.plugins.module_utils._devices import hotplug_rules, rules
    from ansible_collections.vfio.host.plugins.module_utils._devices.lines import check_head

    policy = rules.policy_of(name)
    if policy is None:
        return
    policies.add(policy)
    text = files.read(path)
    if text is None:
        return
    records = rules.parse(text, path)
    check_head(text, path)
    for record in records:
        record = record.located(devices)
        if not record.released and record.is_of(devices.get(record.address)):
            found[record.address] = {"policy": policy, "was": {**record.was}}
    for rule in hotplug_rules.parse(text, path):
        for address, device in devices.items():
            if address not in found and device.driver_override is not None and rule.catches(device):
                found[address] = {"policy": policy, "was": None}


__all__ = ("owners",)
