# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.
"""Nova: the section [pci] of nova.conf.

``managed`` is "no" in each device_spec, since Nova takes "yes" for granted and then has libvirt bind and unbind
(source: nova/pci/devspec.py and nova/conf/pci.py of 31.0.0).
"""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.vfio.host.plugins.plugin_utils._handover.model import CARDS, Consumer, Device, Problem, Wanted
from ansible_collections.vfio.host.plugins.plugin_utils._handover.options import name_for


def write(wanted: Wanted) -> str:
    """The section. With the option ``name`` it has aliases, which a flavor asks for by pci_passthrough:alias."""
    lines = ["[pci]"]
    for device in wanted.devices:
        vendor, product = device.ids()
        spec = {"vendor_id": vendor, "product_id": product, "address": device.address, "managed": "no"}
        lines.append(f"device_spec = {_value({**spec, **wanted.options.get('tags', {})})}")
    if "name" in wanted.options:
        lines += [f"alias = {_value(alias)}" for alias in _aliases(wanted)]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    # To oslo.config a $ begins another option's name, \$ and $$ are a $, and a \ may be half of one of JSON's
    # (source: oslo_config/cfg.py, ConfigOpts._substitute).
    return json.dumps(value).replace("$", r"\u0024")


def _aliases(wanted: Wanted) -> list[dict[str, str]]:
    """An alias for each kind of device; those of one name are alternatives, so further functions of a card have their own name."""
    name = name_for("Nova", wanted.options["name"], pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}", words="a name without '/'")
    kinds: dict[tuple[str, str, str], str] = {}
    problems = []
    for unit in wanted.units:
        for number, device in enumerate(unit):
            own = f"{name}-{number}" if number else name
            kind = _kind(device)
            if kind is None:
                problems.append(
                    f"{device.address}: an alias says whether it is a virtual function; give the facts, facts=ansible_facts.vfio_host"
                )
            elif kinds.setdefault((own, *device.ids()), kind) != kind or {
                other for (alias, *dummy), other in kinds.items() if alias == own
            } != {kind}:
                problems.append(
                    f"{device.address} is of {kind}, and an alias has one device type: hand devices of several types over one after "
                    "the other, under several names"
                )
    if problems:
        raise Problem(*problems)
    return [
        {"name": own, "vendor_id": vendor, "product_id": product, "device_type": kind}
        for (own, vendor, product), kind in kinds.items()
    ]


def _kind(device: Device) -> str | None:
    """(source: nova/virt/libvirt/host.py, _get_device_type: what libvirt reports)"""
    if device.is_vf:
        return "type-VF"
    if device.is_vf is None or device.has_vfs is None:
        return None
    return "type-PF" if device.has_vfs else "type-PCI"


CONSUMER = Consumer(
    "Nova", write, frozenset(("name", "tags")), variants=True,
    wide=False,  # (source: nova/pci/devspec.py, MAX_DOMAIN)
    pools=CARDS,
)

__all__ = ("CONSUMER",)
