# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What all consumers get, and how each describes itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

ADDRESS = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([01][0-9a-f])\.([0-7])")
BASE_DRIVER = "vfio-pci"
CARDS, FUNCTIONS = "cards", "functions"
DISPLAY, NETWORK, NVME, ACCELERATOR = "03", "02", "0108", "12"


class Problem(Exception):
    """Why devices cannot be handed over, with the remedy; ``sentences`` has one for each thing that is wrong."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("; ".join(sentences))
        self.sentences = sentences


@dataclass(frozen=True)
class Device:
    """One PCI function that a VFIO driver has, as far as results and facts tell. What is None is not known.

    ``address``: dddd:bb:dd.f in lower case. ``ids``: four hex digits each, in lower case. ``pci_class``: six.
    ``iommu_group``: its number as a text; "" for none. ``is_vf``, ``has_vfs``: whether it is a virtual function, and whether it
    has the SR-IOV capability. ``needs_token``: its PF is on a VFIO driver, so the kernel asks who opens it for a VF token.
    ``kept``: the address and the VLAN that its PF keeps for it, in words, where somebody has set them there. ``pf_has_interface``:
    whether its PF has one by which they can be set.
    """

    address: str
    driver: str
    vendor: str | None = None
    device: str | None = None
    subsystem_vendor: str | None = None
    subsystem_device: str | None = None
    pci_class: str | None = None
    iommu_group: str | None = None
    is_vf: bool | None = None
    has_vfs: bool | None = None
    mac: str | None = None
    needs_token: bool = False
    kept: tuple[str, ...] = ()
    pf_has_interface: bool | None = None

    @property
    def parts(self) -> tuple[str, str, str, str]:
        """Domain, bus, slot and function, as the address has them."""
        match = ADDRESS.fullmatch(self.address)
        if match is None:
            raise ValueError(f"{self.address!r} is no PCI address")
        return (match[1], match[2], match[3], match[4])

    @property
    def slot(self) -> str:
        """The address without its function."""
        return self.address.rpartition(".")[0]

    @property
    def function(self) -> int:
        """The last part of the address."""
        return int(self.parts[3])

    @property
    def order(self) -> tuple[int, ...]:
        """The address as numbers, to sort by."""
        return tuple(int(part, 16) for part in self.parts)

    @property
    def is_variant(self) -> bool:
        """Whether a driver other than vfio-pci itself has it."""
        return self.driver != BASE_DRIVER

    @property
    def is_wide(self) -> bool:
        """Whether the number of its PCI domain has more than 16 bits, as those behind an Intel VMD."""
        return int(self.parts[0], 16) > 0xFFFF

    def is_of(self, pci_class: str) -> bool:
        """Whether its class begins with ``pci_class``."""
        return (self.pci_class or "").startswith(pci_class)

    def ids(self) -> tuple[str, str]:
        """Vendor and device id. Raises Problem where they are not known."""
        if self.vendor is None or self.device is None:
            raise Problem(f"{self.address}: its vendor and device ids are not known; give facts that have the device")
        return self.vendor, self.device


@dataclass(frozen=True)
class Wanted:
    """The devices to hand over, sorted by address, with the options of the filter by name; one that is not given is absent.

    ``units``: the devices by what a guest gets as one card, such as a GPU with its audio function. ``siblings``: slot -> all
    functions that the facts show there; empty without facts. ``warnings`` gains what the user has to know.
    """

    devices: tuple[Device, ...]
    units: tuple[tuple[Device, ...], ...]
    options: dict[str, Any]
    siblings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Consumer:
    """One reader of what we write.

    ``title``: what its users call it. ``write``: makes its text or mapping. ``options``: what it reads of the filter's options,
    ``needed``: those that it cannot do without. ``variants``: it takes devices on a driver other than vfio-pci.
    ``wide``: it takes PCI domains of more than 16 bits. ``groupless``: it can open devices without an IOMMU group.
    ``pools``: what it gives to several guests, one each, CARDS or FUNCTIONS of them; "" where one guest gets all.
    ``token``: it can pass a VF token on.
    """

    title: str
    write: Callable[[Wanted], Any]
    options: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()
    variants: bool = False
    wide: bool = True
    groupless: bool = False
    pools: str = ""
    token: bool = False


__all__ = (
    "ACCELERATOR", "ADDRESS", "BASE_DRIVER", "CARDS", "Consumer", "DISPLAY", "Device", "FUNCTIONS", "NETWORK", "NVME", "Problem", "Wanted",
)
