# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What the report shows of one host, from its facts: the survey's findings, a short row a device. Made where the facts are."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.vfio.host.plugins.plugin_utils import _survey
from ansible_collections.vfio.host.plugins.plugin_utils._text import kind_of, name_of

# What a device's state is called on the page.
STATES = {
    _survey.FREE: "free", _survey.TAKEN: "taken", _survey.NEEDED: "needed by the host", _survey.REFUSED: "not to be had",
    _survey.CHIPSET: "chipset",
}


def record(facts: dict[str, Any]) -> str:
    """JSON: ``platform``, ``kernel``, ``iommu``, ``remapping``, and a mapping for each of ``devices``. ``facts``: as pci_facts returns them
    with ``owners``.

    Text, since what Ansible keeps of a mapping of a host costs the controller many times as much.
    """
    facts = _survey.numbered(facts)
    iommu = facts["iommu"]
    return json.dumps({
        "platform": facts["platform"], "kernel": facts["kernel"], "iommu": bool(iommu["enabled"]),
        "remapping": iommu.get("interrupt_remapping"),
        "devices": [_device(facts["devices"][address], facts) for address in sorted(facts["devices"])],
    }, separators=(",", ":"))


def _device(device: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """``why`` says why its state is what it is, ``own`` what no other device has, ``more`` what else is known."""
    state = _survey.state_of(device, facts)
    owner = facts["owners"].get(device["address"]) or {}
    why = list(_survey.needs(device))
    if state == _survey.REFUSED:
        why.append(_survey.why_not(device, facts))
    if state == _survey.TAKEN:
        why += _survey.owner_of(device, facts)[1 if owner else 0:]
    return {
        "address": device["address"], "ids": f"{device['vendor']}:{device['device']}", "kind": kind_of(device),
        "name": name_of(device, vendor_name=device["vendor_name"], device_name=device["device_name"]), "driver": device["driver"],
        "group": device["iommu_group"], "state": STATES[state], "policy": owner.get("policy"), "why": why + _survey.users(device),
        "own": _survey.ports(device) + _survey.serial(device, facts),
        "more": _survey.traits(device, facts) + _survey.variant(device),
    }


__all__ = ("STATES", "record")
