# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What a function's configuration space says, and what the kernel says in its place while the function sleeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

from ansible_collections.vfio.host.plugins.module_utils._devices.pci import has_bridge_class

if TYPE_CHECKING:
    from typing import Callable

    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_EXTENDED_CONFIG = 0x100
_SERIAL_NUMBER_CAPABILITY = 0x0003
_MEANINGLESS_SERIALS = frozenset((b"\0" * 8, b"\xff" * 8))
_BRIDGE, _CARDBUS = 1, 2  # header types


class Config(NamedTuple):
    """What a function's configuration space says; each None where it cannot be read. ``is_dead``: all of it are ones."""

    revision: Optional[str] = None
    header_type: Optional[int] = None
    serial: Optional[str] = None
    is_dead: bool = False


def read_config(fs: Sysfs, directory: str) -> Config:
    """The Config of a function.

    Without root the kernel shows the first 64 bytes only. Offsets: PCI_REVISION_ID 8, PCI_HEADER_TYPE 14 and the
    capability chain from 0x100 on (source: include/uapi/linux/pci_regs.h). The vendor of a VF reads all ones, and no more.
    """
    with fs.opened(directory + "/config") as read_at:
        head = read_at(16, 0)
        if len(head) < 16:
            return Config()
        if head == b"\xff" * 16:
            return Config(is_dead=True)
        return Config(f"{head[8]:02x}", head[14] & 0x7F, _serial_number(read_at))


def sleeps(fs: Sysfs, directory: str, *, above: tuple[str, ...], asleep: set[str]) -> bool:
    """Whether a look at a function's configuration space would wake it: the kernel resumes one in D3cold for that, and no
    other (source: drivers/pci/pci.c, pci_config_pm_runtime_get). Kernels before 5.8 do not say in which state one is.
    """
    state = fs.read(directory + "/power_state")
    if state is None:
        return fs.read(directory + "/power/runtime_status") == "suspended" or not asleep.isdisjoint(above)
    return state == "D3cold" or not asleep.isdisjoint(above)


def header_type_of(fs: Sysfs, directory: str, *, ids: dict[str, str]) -> int | None:
    """The header type that the kernel found when it scanned the bus: it shows a bridge by attributes, and takes no function of
    another type than these (source: drivers/pci/pci-sysfs.c pci_bridge_attrs, drivers/pci/probe.c pci_setup_device()).
    """
    if fs.exists(directory + "/secondary_bus_number"):
        return _CARDBUS if ids["class"].startswith("0607") else _BRIDGE
    return None if has_bridge_class(ids) else 0


def _serial_number(read_at: Callable[[int, int], bytes]) -> str | None:
    """The Device Serial Number capability as lspci prints it, '52-54-00-ff-ff-12-34-56'; None where there is none."""
    offset = _EXTENDED_CONFIG
    for dummy in range(96):  # no more capabilities fit
        header = read_at(12, offset)
        if len(header) < 12:
            return None
        word = int.from_bytes(header[:4], "little")
        if word & 0xFFFF == _SERIAL_NUMBER_CAPABILITY:
            number = header[:3:-1]
            return None if number in _MEANINGLESS_SERIALS else number.hex("-")
        offset = (word >> 20) & 0xFFC
        if word in (0, 0xFFFFFFFF) or offset < _EXTENDED_CONFIG:
            return None
    return None


__all__ = ("Config", "header_type_of", "read_config", "sleeps")
