# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What happens to one device: the steps, and how it ends. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
from ansible_collections.vfio.host.plugins.module_utils._kernel.alias import Choice

# What is done to a device. OVERRIDE "" clears; BIND names a driver; PROBE lets the kernel pick; with a value, a VF
# that the kernel keeps from drivers gets the driver of this name, or of the module of this name.
OVERRIDE, UNBIND, LOAD, LOAD_NATIVE, BIND, PROBE = "override", "unbind", "load", "load_native", "bind", "probe"

UNCHANGED, BOUND, RELEASED, PENDING, FAILED = "unchanged", "bound", "released", "pending", "failed"


@dataclass(frozen=True)
class Step:
    """One action on one device; ``value`` is the driver, module or modalias that the action needs."""

    action: str
    value: str | None


def called(device: Device, via: str | None = None) -> str:
    """What a message calls a device, and what brings it in where ``via``, the address of another, does."""
    group = f", in the IOMMU group {device.iommu_group} of {via}" if via else ""
    return f"{device.address} ({device.name}{group})"


@dataclass(frozen=True)
class DevicePlan:
    """What happens to one device: ``driver`` and ``override`` are how it ends.

    ``rebinds``: it changes its driver, now or at the next boot; ``must_bind``: some native driver must have it in the end;
    ``fallback``: the driver that its entry declares for the case that ``driver`` refuses it; ``gives_back``: no policy declares it
    any more, and where no native driver takes it, that keeps no other device; ``warning``: a sentence about how it ends, or None;
    ``via``: the address of the device whose IOMMU group brings it in, where no entry names it.
    """

    device: Device
    policy: str
    status: str
    driver: str | None
    override: str | None
    choice: Choice
    steps: list[Step] = field(default_factory=list)
    rebinds: bool = False
    must_bind: bool = False
    fallback: str | None = None
    gives_back: bool = False
    warning: str | None = None
    via: str | None = None

    @property
    def name(self) -> str:
        """What a message calls the device, and what brings it in where no entry names it."""
        return called(self.device, self.via)


__all__ = (
    "BIND", "BOUND", "DevicePlan", "FAILED", "LOAD", "LOAD_NATIVE", "OVERRIDE", "PENDING", "PROBE", "RELEASED", "Step", "UNBIND", "UNCHANGED",
    "called",
)
