# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The numbers of VFIO's and iommufd's ioctls on an architecture, and their structures. Pure.

Sources: include/uapi/linux/vfio.h and include/uapi/linux/iommufd.h of the Linux kernel. Structures are in the machine's byte order,
and their fields stand where they stand without padding.
"""

from __future__ import annotations

import struct
from typing import Any, Dict, List, NamedTuple, Tuple

# _IO(';', n) is the type in bits 8 to 15, n below, and above them a direction and a size of nothing. "Nothing" is 0 (source:
# include/uapi/asm-generic/ioctl.h), but 1 << 29 where the architecture has its own asm/ioctl.h: there the direction has three
# bits, from 29 on, and _IOC_NONE is 1 (source: arch/{powerpc,mips,sparc,alpha}/include/uapi/asm/ioctl.h).
_TYPE = ord(";") << 8
_OWN_NONE = 1 << 29
_WITH_OWN = ("ppc", "powerpc", "mips", "sparc", "alpha")

_BASE = 100  # VFIO_BASE
(
    CHECK_EXTENSION, SET_IOMMU, GROUP_GET_STATUS, GROUP_SET_CONTAINER, GROUP_GET_DEVICE_FD, DEVICE_GET_INFO, DEVICE_GET_REGION_INFO,
    DEVICE_GET_IRQ_INFO, DEVICE_RESET, IOMMU_ENABLE, IOMMU_DISABLE, DEVICE_BIND_IOMMUFD, DEVICE_ATTACH_IOMMUFD_PT,
) = (_BASE + number for number in (1, 2, 3, 4, 6, 7, 8, 9, 11, 15, 16, 18, 19))
IOMMU_IOAS_ALLOC = 0x81

# IOMMU back ends of a container, the best first. On POWER the first of the two is for what has windows of its own.
TYPE1V2, SPAPR_V1, SPAPR_V2, NOIOMMU = "type1v2", "spapr_tce", "spapr_tce_v2", "noiommu"
BACK_ENDS = {SPAPR_V2: 7, SPAPR_V1: 2, TYPE1V2: 3, NOIOMMU: 8}

VIABLE = 1 << 0  # VFIO_GROUP_FLAGS_VIABLE
CAN_RESET, IS_PCI = 1 << 0, 1 << 1  # VFIO_DEVICE_FLAGS_RESET, _PCI
CONFIG = 7  # VFIO_PCI_CONFIG_REGION_INDEX
# Regions and interrupts of a PCI function by index (VFIO_PCI_*_REGION_INDEX, VFIO_PCI_*_IRQ_INDEX); a driver may add more.
REGIONS = ("bar0", "bar1", "bar2", "bar3", "bar4", "bar5", "rom", "config", "vga")
INTERRUPTS = ("intx", "msi", "msix", "error", "request")
# Those that not every function has, where the kernel answers EINVAL (source: drivers/vfio/pci/vfio_pci_core.c
# vfio_pci_ioctl_get_region_info() without a VGA, vfio_pci_ioctl_get_irq_info() of what is not PCI Express).
OPTIONAL = ("vga", "error")

_GROUP_STATUS = struct.Struct("=2I")  # argsz, flags
_DEVICE_INFO = struct.Struct("=6I")  # argsz, flags, num_regions, num_irqs, cap_offset, pad
_REGION_INFO = struct.Struct("=4I2Q")  # argsz, flags, index, cap_offset, size, offset
_IRQ_INFO = struct.Struct("=4I")  # argsz, flags, index, count
_BIND = struct.Struct("=2IiI")  # argsz, flags, iommufd, out_devid
_ATTACH = struct.Struct("=3I")  # argsz, flags, pt_id
_IOAS_ALLOC = struct.Struct("=3I")  # size, flags, out_ioas_id
_FD = struct.Struct("=i")

_REGION_FLAGS = ("read", "write", "mmap")
_INTERRUPT_FLAGS = ("eventfd", "maskable", "automasked", "noresize")


def number_of(machine: str, call: int) -> int:
    """The request of _IO(';', ``call``) on a machine, as uname names it."""
    return (_OWN_NONE if machine.startswith(_WITH_OWN) else 0) | _TYPE | call


class DeviceInfo(NamedTuple):
    """Of VFIO_DEVICE_GET_INFO: the flags, and the highest index of regions and of interrupts, plus 1."""

    flags: int
    regions: int
    interrupts: int


def group_status() -> bytes:
    """The argument of VFIO_GROUP_GET_STATUS."""
    return _GROUP_STATUS.pack(_GROUP_STATUS.size, 0)


def is_viable(answer: bytes) -> bool:
    """Whether no member of the group is with a driver of the host's."""
    return bool(_GROUP_STATUS.unpack(answer)[1] & VIABLE)


def file_number(handle: int) -> bytes:
    """The argument of VFIO_GROUP_SET_CONTAINER."""
    return _FD.pack(handle)


def device_name(address: str) -> bytes:
    """The argument of VFIO_GROUP_GET_DEVICE_FD, a text of C."""
    return address.encode("ascii") + b"\0"


def device_info() -> bytes:
    """The argument of VFIO_DEVICE_GET_INFO."""
    return _DEVICE_INFO.pack(_DEVICE_INFO.size, 0, 0, 0, 0, 0)


def parse_device_info(answer: bytes) -> DeviceInfo:
    """What it was answered with."""
    return DeviceInfo(*_DEVICE_INFO.unpack(answer)[1:4])


def region_info(index: int) -> bytes:
    """The argument of VFIO_DEVICE_GET_REGION_INFO."""
    return _REGION_INFO.pack(_REGION_INFO.size, 0, index, 0, 0, 0)


def parse_region_info(answer: bytes) -> Tuple[Dict[str, Any], int]:
    """({index, name, size in bytes, flags}, the offset in the device's file)."""
    dummy, flags, index, dummy, size, offset = _REGION_INFO.unpack(answer)
    return {"index": index, "name": _name(REGIONS, index), "size": size, "flags": _named(flags, _REGION_FLAGS)}, offset


def irq_info(index: int) -> bytes:
    """The argument of VFIO_DEVICE_GET_IRQ_INFO."""
    return _IRQ_INFO.pack(_IRQ_INFO.size, 0, index, 0)


def parse_irq_info(answer: bytes) -> Dict[str, Any]:
    """{index, name, count, flags}."""
    dummy, flags, index, count = _IRQ_INFO.unpack(answer)
    return {"index": index, "name": _name(INTERRUPTS, index), "count": count, "flags": _named(flags, _INTERRUPT_FLAGS)}


def bind(iommufd: int) -> bytes:
    """The argument of VFIO_DEVICE_BIND_IOMMUFD."""
    return _BIND.pack(_BIND.size, 0, iommufd, 0)


def ioas() -> bytes:
    """The argument of IOMMU_IOAS_ALLOC."""
    return _IOAS_ALLOC.pack(_IOAS_ALLOC.size, 0, 0)


def parse_ioas(answer: bytes) -> int:
    """The id of the new address space."""
    number: int = _IOAS_ALLOC.unpack(answer)[2]
    return number


def attach(address_space: int) -> bytes:
    """The argument of VFIO_DEVICE_ATTACH_IOMMUFD_PT."""
    return _ATTACH.pack(_ATTACH.size, 0, address_space)


def _name(names: Tuple[str, ...], index: int) -> str:
    return names[index] if index < len(names) else f"of the driver ({index})"


def _named(flags: int, names: Tuple[str, ...]) -> List[str]:
    return [name for bit, name in enumerate(names) if flags & 1 << bit]


__all__ = (
    "BACK_ENDS", "CAN_RESET", "CHECK_EXTENSION", "CONFIG", "DEVICE_ATTACH_IOMMUFD_PT", "DEVICE_BIND_IOMMUFD", "DEVICE_GET_INFO",
    "DEVICE_GET_IRQ_INFO", "DEVICE_GET_REGION_INFO", "DEVICE_RESET", "DeviceInfo", "GROUP_GET_DEVICE_FD", "GROUP_GET_STATUS",
    "GROUP_SET_CONTAINER", "INTERRUPTS", "IOMMU_DISABLE", "IOMMU_ENABLE", "IOMMU_IOAS_ALLOC", "IS_PCI", "NOIOMMU", "OPTIONAL",
    "REGIONS", "SET_IOMMU", "SPAPR_V1", "SPAPR_V2", "TYPE1V2", "attach", "bind", "device_info", "device_name", "file_number",
    "group_status", "ioas", "irq_info", "is_viable", "number_of", "parse_device_info", "parse_ioas", "parse_irq_info",
    "parse_region_info", "region_info",
)
