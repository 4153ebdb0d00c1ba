# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Programs that get devices, and which drivers of VFIO they can open. Pure.

One that knows VFIO by the name vfio-pci alone does not see a device on a variant, refuses it, or binds it to vfio-pci itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

from ansible_collections.vfio.host.plugins.module_utils._core.options import did_you_mean
from ansible_collections.vfio.host.plugins.module_utils._host.numbers import named, shown
from ansible_collections.vfio.host.plugins.module_utils._kernel.alias import BASE_DRIVER, BASE_MODULE, Choice

# The option that names the consumers of policies.
OF_POLICIES = "consumers"


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


def parse_consumer(value: object, where: str, *, problems: List[str]) -> Optional[str]:
    """The name of a consumer; None for none. Adds a sentence to ``problems`` for a value that is no consumer's name."""
    if value is None:
        return None
    name = value.strip().lower().replace("-", "_") if isinstance(value, str) else ""
    if name not in CONSUMERS:
        problems.append(f"{where} {shown(value)} is none of {', '.join(CONSUMERS)}{did_you_mean(name, CONSUMERS)}")
        return None
    return name


def parse_of_policies(
    consumers: Optional[Mapping[Any, object]], policies: Mapping[Any, object], *, key: str, problems: List[str],
) -> Dict[str, str]:
    """Policy -> the name of its consumer, for those that have one.

    ``policies``: what is declared, by policy. ``key``: the option in messages, "consumers" where it is a mapping of policies. Adds a
    sentence to ``problems`` for each policy that is not declared, and each value that is no consumer's name.
    """
    found: Dict[str, str] = {}
    for policy, value in (consumers or {}).items():
        where = f"{key}.{named(policy)}" if key == OF_POLICIES else key
        if policy not in policies:
            known = [named(name) for name in policies]
            there = f"; there are: {', '.join(known)}" if known else ""
            problems.append(f"{where}: no policy {shown(policy)} is declared{did_you_mean(str(policy), known) or there}")
        name = parse_consumer(value, f"{where}:", problems=problems)
        if name is not None:
            found[policy] = name
    return found


def unopenable(name: Optional[str], where: str, *, said: str, drivers: Mapping[str, object]) -> List[str]:
    """A sentence for each of ``drivers`` (option -> the driver that it names) that a consumer cannot open. ``said``: how it was declared."""
    if name is None:
        return []
    if drivers.get("driver") == "native":
        return [f"{where}: {said} means nothing with driver 'native': a device that keeps its own driver is not opened by VFIO"]
    if not needs_base(name) or not CONSUMERS[name].is_firm:
        return []
    return [
        f"{where}: {option} {shown(driver)}: {CONSUMERS[name].title} ({said}) opens devices of {BASE_DRIVER} alone: say {BASE_DRIVER}, or leave "
        f"{option} out" for option, driver in drivers.items() if driver not in (None, "auto", "native", BASE_DRIVER)
    ]


def needs_base(name: Optional[str]) -> bool:
    """Whether a device for this consumer has to be on vfio-pci."""
    return name is not None and not CONSUMERS[name].takes_variants


def openable(choice: Choice, name: Optional[str], *, said: str) -> Choice:
    """The choice of the kernel's alias table, or the base driver where the consumer cannot open that. ``said``: how it was declared."""
    if name is None or not needs_base(name) or choice.module == BASE_MODULE:
        return choice
    return replace(
        choice.noted(f"{CONSUMERS[name].title} ({said}) opens devices of {BASE_DRIVER} alone, so it is that and not {choice.module}"),
        module=BASE_MODULE, driver=BASE_DRIVER, alias=None, ties=[], is_usual=True,
    )


__all__ = ("CONSUMERS", "Consumer", "OF_POLICIES", "needs_base", "openable", "parse_consumer", "parse_of_policies", "unopenable")
