# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.


"""Functions whose interfaces are not to be seen here, and may be in another network namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Iterable, Iterator, List, Tuple

from ansible_collections.vfio.host.plugins.module_utils._devices.pci import ADDRESS, Device, addresses_in, has_bridge_class

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

# Network controllers, InfiniBand's, and wireless ones.
NETWORK_CARDS = ("02", "0c06", "0d")
_NET = "net"


def hidden_interfaces(fs: Sysfs, devices: Iterable[Device], *, is_vfio: Callable[[str], bool]) -> Iterator[Tuple[str, List[str]]]:
    """(text, addresses) of each function that a native driver serves and that is a network card without a visible interface, or has one
    that is elsewhere anywhere below it, such as of USB.
    """
    for device in devices:
        if not device.driver or is_vfio(device.driver) or has_bridge_class(device.ids):
            continue
        directory = fs.device_directory(device.address)
        is_card = device.ids["class"].startswith(NETWORK_CARDS) and not device.net
        if is_card or has_interface_elsewhere(fs, directory):
            yield f"{device.driver}, whose interface is not to be seen here,", addresses_in(directory)


def has_interface_elsewhere(fs: Sysfs, directory: str) -> bool:
    """Whether something below a function with a directory of sysfs has an interface in another network namespace than this /sys is of.

    Then a directory of interfaces is there and shows none: it is removed with its last one, and the kernel shows those of one
    namespace (source: drivers/base/core.c cleanup_glue_dir(); net/core/net-sysfs.c net_class). Of a card with several, it shows fewer than
    it counts. Functions below count by themselves. One that cannot be read may be such.
    """
    todo = [directory]
    while todo:
        path = todo.pop()
        names = fs.directories(path)
        if fs.refusal(path) is not None:
            return True
        for name in names:
            below = f"{path}/{name}"
            if name == _NET and _shows_fewer(fs, below):
                return True
            if name != _NET and not ADDRESS.match(name):
                todo.append(below)
    return False


def _shows_fewer(fs: Sysfs, directory: str) -> bool:
    """Whether a directory of interfaces shows none, or fewer than it has, or may."""
    shown, counted = fs.directories(directory), fs.count_directories(directory)
    return fs.refusal(directory) is not None or not fs.names(directory) or (counted or 0) > len(shown)


__all__ = ("NETWORK_CARDS", "has_interface_elsewhere", "hidden_interfaces")
