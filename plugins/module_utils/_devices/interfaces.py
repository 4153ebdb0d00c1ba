# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Which network interfaces a PCI function has, and the addresses that they keep whatever they are a part of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._devices.pci import last_address

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import Interface
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

# include/uapi/linux/netdevice.h: NET_ADDR_PERM, an address that nobody has changed since the driver read it.
_UNCHANGED = "0"


def interfaces(fs: Sysfs) -> dict[str, list[Interface]]:
    """Address of a function -> its network interfaces, [{name, mac, address}].

    ``mac`` is the permanent address where it is known, ``address`` the one in use: a port of a bond or team has the address
    of another port, and anybody may set one.
    """
    found: dict[str, list[Interface]] = {}
    told: dict[int, tuple[str, str]] | None = None
    for name in fs.names(fs.net):
        function = last_address(fs.target(f"{fs.net}/{name}") or "")
        if not function:
            continue
        directory = f"{fs.net}/{name}"
        used = fs.read(f"{directory}/address")
        bonded = fs.read(f"{directory}/bonding_slave/perm_hwaddr")
        mac = used
        if bonded or fs.read(f"{directory}/addr_assign_type") != _UNCHANGED:
            if told is None:
                told = fs.permanent_addresses()
            mac = _permanent(fs, directory, used, told) or bonded or used
        found.setdefault(function, []).append({"name": name, "mac": mac, "address": used})
    return found


def _permanent(fs: Sysfs, directory: str, used: str | None, told: dict[int, tuple[str, str]]) -> str | None:
    """The permanent address as netlink told it. It speaks of this process's network namespace, sysfs perhaps of another: index
    and address in use must agree.
    """
    index = fs.number(f"{directory}/ifindex")
    address, permanent = (None, None) if index is None else told.get(index, (None, None))
    return permanent if address is not None and address == used else None


__all__ = ("interfaces",)
