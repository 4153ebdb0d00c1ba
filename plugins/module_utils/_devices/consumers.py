# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Programs that get devices, and which drivers of VFIO they can open. Pure.

One that knows VFIO by the name vfio-pci alone does not see a device on a variant, refuses it, or binds it to vfio-pci itself.
"""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from typing import Dict, List, NamedTuple, Optional

from ansible_collections.vfio.host.plugins.module_utils._host.numbers import shown
from ansible_collections.vfio.host.plugins.module_utils._kernel.alias import BASE_DRIVER, BASE_MODULE, Choice


class Consumer(NamedTuple):
    """``title``: what its users call it; ``takes_variants``: whether it opens devices on drivers other than vfio-pci; ``is_firm``: nobody can
    tell it otherwise.
    """

    title: str
    takes_variants: bool
    is_firm: bool = True


# By the names that the filter handover has for them, whose files cite the sources.
CONSUMERS: Dict[str, Consumer] = {
    "libvirt": Consumer("libvirt", True),
    "qemu": Consumer("QEMU", True),
    "kubevirt": Consumer("KubeVirt", False),
    "sriov_device_plugin": Consumer("the SR-IOV network device plugin", False),
    "nova": Consumer("Nova", True),
    "proxmox": Consumer("Proxmox VE", False, is_firm=False),
    "incus": Consumer("Incus", False),
    "cloud_hypervisor": Consumer("Cloud Hypervisor", True),
    "dpdk": Consumer("DPDK", False),
    "vpp": Consumer("VPP", False),
    "spdk": Consumer("SPDK", False),
}


def parse_consumer(value: object, where: str, *, drivers: Dict[str, object], problems: List[str]) -> Optional[str]:
    """The name of an entry's consumer; None for none. Adds a sentence to ``problems`` for what is none, and for each of ``drivers`` (option ->
    the driver that it names) that it cannot open.
    """
    if value is None:
        return None
    name = value.strip().lower().replace("-", "_") if isinstance(value, str) else ""
    if name not in CONSUMERS:
        near = get_close_matches(name, CONSUMERS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        problems.append(f"{where}: consumer {shown(value)} is none of {', '.join(CONSUMERS)}{hint}")
        return None
    if needs_base(name) and CONSUMERS[name].is_firm:
        problems += [
            f"{where}: {option} {driver!r}: {CONSUMERS[name].title} ({_said(name)}) opens devices of {BASE_DRIVER} alone: say {BASE_DRIVER}, or leave "
            f"{option} out" for option, driver in drivers.items() if driver not in (None, "auto", "native", BASE_DRIVER)
        ]
    if drivers.get("driver") == "native":
        problems.append(f"{where}: {_said(name)} means nothing with driver 'native': a device that keeps its own driver is not opened by VFIO")
    return name


def needs_base(name: Optional[str]) -> bool:
    """Whether a device for this consumer has to be on vfio-pci."""
    return name is not None and not CONSUMERS[name].takes_variants


def openable(choice: Choice, name: Optional[str]) -> Choice:
    """The choice of the kernel's alias table, or the base driver where the consumer cannot open that."""
    if name is None or not needs_base(name) or choice.module == BASE_MODULE:
        return choice
    return replace(
        choice.noted(f"{CONSUMERS[name].title} ({_said(name)}) opens devices of {BASE_DRIVER} alone, so it is that and not {choice.module}"),
        module=BASE_MODULE, driver=BASE_DRIVER, alias=None, ties=[], is_usual=True,
    )


def _said(name: str) -> str:
    return f"consumer: {name}"


__all__ = ("CONSUMERS", "Consumer", "needs_base", "openable", "parse_consumer")
