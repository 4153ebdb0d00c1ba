# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""One device opened as a client of VFIO opens it, step by step. Which file is opened, and by whom, is the caller's: pure logic over
an edge with the four calls of _host.client.Client.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple, TypeVar, Union

from ansible_collections.vfio.host.plugins.module_utils._prove import abi

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.client import Client

_T = TypeVar("_T")
# The steps, as messages name them.
CONTAINER, NODE, STATUS, JOIN = "opening the container", "opening its group's node", "VFIO_GROUP_GET_STATUS", "VFIO_GROUP_SET_CONTAINER"
BACK_END, ATTACH, ENABLE = "VFIO_CHECK_EXTENSION", "VFIO_SET_IOMMU", "VFIO_IOMMU_ENABLE"
DEVICE = "VFIO_GROUP_GET_DEVICE_FD"
IOMMUFD, SPACE, CDEV = "opening /dev/iommu", "IOMMU_IOAS_ALLOC", "opening its character device"
BIND, ATTACH_PT = "VFIO_DEVICE_BIND_IOMMUFD", "VFIO_DEVICE_ATTACH_IOMMUFD_PT"
INFO, REGION, INTERRUPT = "VFIO_DEVICE_GET_INFO", "VFIO_DEVICE_GET_REGION_INFO", "VFIO_DEVICE_GET_IRQ_INFO"
CONFIGURATION, RESET, CLOSE = "reading its configuration space", "VFIO_DEVICE_RESET", "closing it"

# These touch the function alone, and the kernel takes the first of a device's methods (source: drivers/pci/pci.c
# __pci_reset_function_locked()). All others, and those that are not known, may reach further.
_OWN_RESETS = ("flr", "af_flr", "pm")
_DEAD = b"\xff" * 4


class Refused(Exception):
    """A step that was not granted: its name, the errno, and None where the answer itself says no; ``at`` is what it was about."""

    def __init__(self, step: str, number: Optional[int], at: str = "") -> None:
        super().__init__(step, number, at)
        self.step, self.number, self.at = step, number, at


@dataclass
class Opened:
    """What a client was told: the back end; regions and interrupts as abi.parse_*_info() gives them; ``reset``: what became of it."""

    back_end: Optional[str] = None
    regions: List[Dict[str, Any]] = field(default_factory=list)
    interrupts: List[Dict[str, Any]] = field(default_factory=list)
    can_reset: Optional[bool] = None
    reset: str = ""


def why_no_reset(methods: List[str], can_reset: bool) -> Optional[str]:
    """Why a device is not reset on purpose; None where nothing but itself is reset. ``methods``: the kernel's, in its order."""
    if not can_reset:
        return "not reset: VFIO knows no way to do it"
    if not methods:
        return "not reset: the kernel does not say by which method, so it may reach further"
    if methods[0] not in _OWN_RESETS:
        return f"not reset: the kernel would do it by {methods[0]}, which may reach further than the device"
    return None


class Conversation:
    """A client and one device. ``edge``: of _host.client.Client; ``machine``: as uname names it.

    Raises Refused, and what the edge raises but OSError; ``step`` then says what was being done.
    """

    def __init__(self, edge: Client, machine: str) -> None:
        self._edge = edge
        self._machine = machine
        self._handles: List[int] = []
        self.step = ""
        self.found = Opened()

    def by_group(self, address: str, *, container: Tuple[str, Optional[str]], node: Tuple[str, Optional[str]]) -> int:
        """The device's handle, by container and group; each a (path, 'major:minor' or None)."""
        holder = self._open(CONTAINER, container)
        group = self._open(NODE, node)
        if not abi.is_viable(self._ioctl(STATUS, group, abi.GROUP_GET_STATUS, abi.group_status())[1]):
            raise Refused(STATUS, None)
        self._ioctl(JOIN, group, abi.GROUP_SET_CONTAINER, abi.file_number(holder))
        self._attach(holder)
        if self.found.back_end == abi.SPAPR_V1:
            # Before any mapping a client enables it, which counts the whole window as its locked memory (source:
            # drivers/vfio/vfio_iommu_spapr_tce.c tce_iommu_enable()).
            self._ioctl(ENABLE, holder, abi.IOMMU_ENABLE, 0)
            self._ioctl(ENABLE, holder, abi.IOMMU_DISABLE, 0)
        handle = self._ioctl(DEVICE, group, abi.GROUP_GET_DEVICE_FD, abi.device_name(address))[0]
        self._handles.append(handle)
        return handle

    def by_cdev(self, node: Tuple[str, Optional[str]], iommufd: Tuple[str, Optional[str]]) -> int:
        """The device's handle, by its character device and iommufd."""
        owner = self._open(IOMMUFD, iommufd)
        device = self._open(CDEV, node)
        self._ioctl(BIND, device, abi.DEVICE_BIND_IOMMUFD, abi.bind(owner))
        space = abi.parse_ioas(self._ioctl(SPACE, owner, abi.IOMMU_IOAS_ALLOC, abi.ioas())[1])
        self._ioctl(ATTACH_PT, device, abi.DEVICE_ATTACH_IOMMUFD_PT, abi.attach(space))
        self.found.back_end = "iommufd"
        return device

    def look(self, device: int, methods: List[str]) -> None:
        """Ask for all that a client asks for at its start, and reset the device where that is safe."""
        info = abi.parse_device_info(self._ioctl(INFO, device, abi.DEVICE_GET_INFO, abi.device_info())[1])
        self.found.can_reset = bool(info.flags & abi.CAN_RESET)
        offset = None
        for index in range(info.regions):
            answer = self._of_index(REGION, device, abi.DEVICE_GET_REGION_INFO, abi.region_info(index), (index, abi.REGIONS))
            if answer is not None:
                region, begin = abi.parse_region_info(answer)
                self.found.regions.append(region)
                offset = begin if index == abi.CONFIG and info.flags & abi.IS_PCI else offset
        for index in range(info.interrupts):
            answer = self._of_index(INTERRUPT, device, abi.DEVICE_GET_IRQ_INFO, abi.irq_info(index), (index, abi.INTERRUPTS))
            if answer is not None:
                self.found.interrupts.append(abi.parse_irq_info(answer))
        if offset is not None:
            self._read_ids(device, offset)
        refusal = why_no_reset(methods, self.found.can_reset)
        if refusal is None:
            self._ioctl(RESET, device, abi.DEVICE_RESET, 0)
        self.found.reset = refusal or f"reset by {methods[0]}"

    def close(self) -> None:
        """Close everything, the last first."""
        while self._handles:
            self._do(CLOSE, "", lambda: self._edge.close(self._handles.pop()))

    def _attach(self, container: int) -> None:
        offered = [
            name for name, value in abi.BACK_ENDS.items() if self._ioctl(BACK_END, container, abi.CHECK_EXTENSION, value)[0] > 0
        ]
        if not offered:
            raise Refused(BACK_END, None)
        for name in offered:
            try:
                self._ioctl(ATTACH, container, abi.SET_IOMMU, abi.BACK_ENDS[name], name)
                self.found.back_end = name
                return
            except Refused as refused:
                # Which of POWER's two a group wants it says by EPERM for the other one (source: tce_iommu_attach_group()).
                if refused.number != errno.EPERM or name == offered[-1]:
                    raise

    def _read_ids(self, device: int, offset: int) -> None:
        """The first bytes of a configuration space: all ones from a device that does not answer."""
        ids = self._do(CONFIGURATION, "", lambda: self._edge.read(device, length=len(_DEAD), offset=offset))
        if len(ids) < len(_DEAD) or ids == _DEAD:
            raise Refused(CONFIGURATION, None)

    def _of_index(self, step: str, device: int, call: int, argument: bytes, at: Tuple[int, Tuple[str, ...]]) -> Optional[bytes]:
        """The answer about one region or interrupt; None for one that the function does not have."""
        index, names = at
        name = names[index] if index < len(names) else str(index)
        try:
            return self._ioctl(step, device, call, argument, name)[1]
        except Refused as refused:
            if refused.number == errno.EINVAL and name in abi.OPTIONAL:
                return None
            raise

    def _open(self, step: str, node: Tuple[str, Optional[str]]) -> int:
        handle = self._do(step, node[0], lambda: self._edge.open(*node))
        self._handles.append(handle)
        return handle

    def _ioctl(self, step: str, handle: int, call: int, value: Union[int, bytes], at: str = "") -> Tuple[int, bytes]:
        return self._do(step, at, lambda: self._edge.ioctl(handle, abi.number_of(self._machine, call), value=value))

    def _do(self, step: str, at: str, call: Callable[[], _T]) -> _T:
        self.step = f"{step} ({at})" if at else step
        try:
            return call()
        except OSError as error:
            raise Refused(step, error.errno, at) from error


def facts(found: Opened) -> Dict[str, Any]:
    """What a client was told, as a result shows it."""
    return {
        "back_end": found.back_end, "regions": found.regions, "interrupts": found.interrupts, "can_reset": found.can_reset,
        "reset": found.reset or None,
    }


__all__ = (
    "ATTACH", "ATTACH_PT", "BACK_END", "BIND", "CDEV", "CLOSE", "CONFIGURATION", "CONTAINER", "Conversation", "DEVICE", "ENABLE", "INFO",
    "INTERRUPT", "IOMMUFD", "JOIN", "NODE", "Opened", "REGION", "RESET", "Refused", "SPACE", "STATUS", "facts", "why_no_reset",
)
