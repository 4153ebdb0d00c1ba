# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What the kernel says of network interfaces and sysfs does not: their permanent hardware addresses, in one dump."""

from __future__ import annotations

import socket
import struct
from contextlib import closing

# include/uapi/linux/netlink.h, rtnetlink.h and if_link.h
_NLMSG_ERROR, _NLMSG_DONE, _RTM_NEWLINK, _RTM_GETLINK = 2, 3, 16, 18
_REQUEST, _DUMP = 0x1, 0x300
_IFLA_ADDRESS, _IFLA_PERM_ADDRESS = 1, 54
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_INTERFACE = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_ATTRIBUTE = struct.Struct("=HH")  # struct rtattr: length, type
_BUFFER, _SECONDS = 1 << 18, 5


def permanent_addresses() -> dict[int, tuple[str, str]]:
    """Index -> (address in use, permanent address) of the interfaces of this network namespace that have a permanent one.

    Empty where the kernel does not answer; IFLA_PERM_ADDRESS is there from 5.6 on (source: net/core/rtnetlink.c
    rtnl_fill_ifinfo()).
    """
    try:
        with closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)) as link:
            link.settimeout(_SECONDS)
            body = _INTERFACE.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
            link.sendto(_HEADER.pack(_HEADER.size + len(body), _RTM_GETLINK, _REQUEST | _DUMP, 1, 0) + body, (0, 0))
            addresses: dict[int, tuple[str, str]] = {}
            while read_dump(link.recv(_BUFFER), addresses):
                pass
            return addresses
    except (OSError, struct.error):
        return {}


def read_dump(data: bytes, addresses: dict[int, tuple[str, str]]) -> bool:
    """Add one datagram of a dump to ``addresses``, as permanent_addresses() returns them; whether there is more to come. Raises
    struct.error for what is cut off.
    """
    while data:
        length, kind, dummy, dummy, dummy = _HEADER.unpack_from(data)
        if kind in (_NLMSG_ERROR, _NLMSG_DONE) or length < _HEADER.size:
            return False
        if kind == _RTM_NEWLINK:
            dummy, dummy, index, dummy, dummy = _INTERFACE.unpack_from(data, _HEADER.size)
            attributes = _attributes(data[_HEADER.size + _INTERFACE.size:length])
            if _IFLA_PERM_ADDRESS in attributes:
                addresses[index] = _text(attributes.get(_IFLA_ADDRESS, b"")), _text(attributes[_IFLA_PERM_ADDRESS])
        data = data[_aligned(length):]
    return True


def _attributes(data: bytes) -> dict[int, bytes]:
    """Type -> value of the attributes (struct rtattr) in ``data``."""
    values: dict[int, bytes] = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            break
        values[kind] = data[_ATTRIBUTE.size:length]
        data = data[_aligned(length):]
    return values


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _text(address: bytes) -> str:
    """A hardware address as sysfs prints it."""
    return ":".join(f"{byte:02x}" for byte in address)


__all__ = ("permanent_addresses", "read_dump")
