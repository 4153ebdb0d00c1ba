# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Why a client is refused at a step: the usual cause of an errno there, and the remedy. Pure.

The kernel has one errno for several causes. What the host shows decides between them (a Surroundings); where it shows none of
them, all are named.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import List, Optional

from ansible_collections.vfio.host.plugins.module_utils._prove import conversation as steps

_OPENS = (steps.CONTAINER, steps.NODE, steps.CDEV, steps.IOMMUFD)
_OWNS = (steps.STATUS, steps.JOIN, steps.BIND)  # where the group's DMA is claimed for user space
_ATTACHES = (steps.JOIN, steps.ATTACH, steps.BIND, steps.ATTACH_PT)  # where the group's IOMMU domain changes
_LOOKS = (steps.INFO, steps.REGION, steps.INTERRUPT, steps.CONFIGURATION)


@dataclass(frozen=True)
class Surroundings:
    """What the host shows of a device that explains a refusal. ``blocking``: members of its group with a host's driver, one text
    each; ``direct``: the regions that firmware maps to the group one to one, "" for none; ``unsafe``: a sentence where interrupts
    are not remapped and that is not allowed; ``pf``: the address of its PF where that is on VFIO, too; ``back_end``: the module
    that the platform's IOMMU back end is in; ``is_root``: whether the client was root.
    """

    group: Optional[str]
    driver: str
    back_end: str
    blocking: List[str] = field(default_factory=list)
    direct: str = ""
    unsafe: Optional[str] = None
    pf: Optional[str] = None
    is_root: bool = True


def cause(step: str, number: Optional[int], *, around: Surroundings) -> str:
    """A sentence about why ``step`` was refused with errno ``number``, None where the answer itself said no."""
    for told in (_of_opening, _of_group, _of_domain, _of_device, _of_kernel):
        found = told(step, number, around)
        if found:
            return found
    return "the kernel log (dmesg) may say more"


def _of_opening(step: str, number: Optional[int], around: Surroundings) -> Optional[str]:
    """Of a node that cannot be opened."""
    if step not in _OPENS:
        return None
    if number in (errno.EACCES, errno.EPERM):
        return (
            "its owner or mode is for others, or a security module (SELinux, AppArmor) or a device cgroup forbids it; root may open any "
            "node, so with root rights it is one of the latter: see the audit log"
            if around.is_root else "who opens it has no right to: give the node an owner or a group that the client is in"
        )
    if number == errno.ENOENT:
        return {
            steps.CONTAINER: "module vfio is not loaded, or this kernel has no containers (CONFIG_VFIO_CONTAINER), or /dev is not the kernel's own",
            steps.IOMMUFD: "module iommufd is not loaded, or this kernel has none (CONFIG_IOMMUFD)",
        }.get(step, "the kernel has the device, and nobody has made its node: /dev is not the kernel's own (devtmpfs), or was tidied; run udevadm trigger")
    if number == errno.ESTALE:
        return "another device's node is there: somebody made it by hand, or /dev is older than this boot; remove it, and run udevadm trigger"
    if number in (errno.ENODEV, errno.ENXIO):
        return f"driver {around.driver} has let go of it, or is doing so: run again"
    return None


def _of_group(step: str, number: Optional[int], around: Surroundings) -> Optional[str]:
    """Of a group that is not to be had as a whole (source: drivers/iommu/iommu.c iommu_group_claim_dma_owner(), and
    iommu_group_dma_owner_claimed() behind VFIO_GROUP_FLAGS_VIABLE; drivers/iommu/iommufd/device.c iommufd_device_bind()).
    """
    if step not in _OWNS or number not in (None, errno.EPERM, errno.EBUSY):
        return None
    if around.blocking:
        return (
            f"IOMMU group {around.group} is not viable, since drivers of the host have members of it: {', '.join(around.blocking)}; declare "
            "these, too, or say iommu_group: extend, or unbind them"
        )
    if step == steps.BIND and number == errno.EPERM and around.unsafe:
        return around.unsafe
    if number == errno.EBUSY:
        return f"somebody else has IOMMU group {around.group}, or has opened the device the other way, by group or by character device"
    return (
        f"IOMMU group {around.group} is not viable: something of the host's uses a member of it, though no member shows a driver that would; "
        f"see /sys/kernel/iommu_groups/{around.group}/devices and the kernel log"
    )


def _of_domain(step: str, number: Optional[int], around: Surroundings) -> Optional[str]:
    """Of an IOMMU that does not take the group (source: drivers/vfio/vfio_iommu_type1.c vfio_iommu_type1_attach_group();
    drivers/iommu/intel/iommu.c intel_iommu_attach_device() before 6.6, and drivers/iommu/iommu.c __iommu_device_set_domain()
    since, which answer a region of type direct with EPERM and with EINVAL).
    """
    if step == steps.BACK_END:
        return f"no IOMMU back end is there: module {around.back_end} is not loaded, or this kernel has none; load it (state: loaded in modules)"
    if step == steps.ENABLE and number == errno.ENOMEM:
        return "the whole DMA window counts as locked memory of the client: raise its limit (memlock; LimitMEMLOCK= of a service)"
    if step not in _ATTACHES:
        return None
    if number in (errno.EPERM, errno.EINVAL) and around.direct:
        return (
            f"the firmware maps memory to the group one to one ({around.direct}, an RMRR or the like), and the kernel gives such a group to "
            "nobody ('ineligible for IOMMU domain attach due to platform RMRR requirement' or 'requested this device have a 1:1 IOMMU "
            "mapping' in its log); switch off in the firmware's setup what uses the region, or declare another device"
        )
    if number == errno.EPERM and around.unsafe:
        return around.unsafe
    if number == errno.EPERM:
        return (
            "usually a region that firmware maps one to one (RMRR), or interrupts that the IOMMU does not remap (allow_unsafe_interrupts), "
            "and the host shows neither; the kernel log says which"
        )
    if number == errno.EINVAL:
        return "the IOMMU keeps no cache coherency for it, or cannot map what the device can reach; the kernel log may say which"
    if number == errno.ENOMEM:
        return "the kernel has no memory for the IOMMU's tables, or the limit of locked memory (memlock) of the client is too low"
    return None


def _of_device(step: str, number: Optional[int], around: Surroundings) -> Optional[str]:
    """Of the device itself (source: drivers/vfio/group.c, drivers/vfio/pci/vfio_pci_core.c vfio_pci_core_enable(),
    vfio_pci_validate_vf_token()).
    """
    if step in (steps.DEVICE, steps.BIND) and number == errno.EACCES:
        return (
            f"its PF {around.pf or ''} is on VFIO itself, so a client needs the VF token that the PF's user sets (vf_token= in QEMU, "
            "--vfio-vf-token in DPDK), and this one has none"
        ).replace("  ", " ")
    if step in _LOOKS and number in (None, errno.EIO, errno.ENODEV):
        return "it does not answer: it is off the bus or without power; power-cycle the host, or remove the device and rescan the bus"
    if step == steps.RESET and number == errno.ENOTTY:
        return "the kernel knows no way to reset it any more"
    if step in (steps.DEVICE, steps.BIND, steps.RESET):
        return {
            errno.EAGAIN: "somebody is resetting it or has it locked: run again",
            errno.ENODEV: f"it does not answer, or driver {around.driver} is letting go of it; see the kernel log",
            errno.EIO: "it does not answer: power-cycle the host, or remove the device and rescan the bus",
            errno.ETIMEDOUT: "it does not come back from a reset: power-cycle the host",
        }.get(number or 0)
    return None


def _of_kernel(step: str, number: Optional[int], around: Surroundings) -> Optional[str]:
    """Of a kernel that does not know the call."""
    if number == errno.ENOTTY:
        return "this kernel, or this driver, does not have the call: it is older than the interface, or was built without it"
    if number == errno.ENOMEM:
        return "the kernel has no memory for it, or a limit of the client (memlock, or of a cgroup) is too low"
    if number in (errno.EMFILE, errno.ENFILE):
        return "too many files are open"
    return None


__all__ = ("Surroundings", "cause")
