# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""All next hops of a route, asked of the kernel by rtnetlink: /proc/net/route and ipv6_route show the first one."""

from __future__ import annotations

import socket
import struct
from typing import Iterator, List, Optional, Tuple

# include/uapi/linux/rtnetlink.h, netlink.h: message types, flags and attributes.
_NEWROUTE, _GETROUTE, _REQUEST, _FIB_MATCH = 24, 26, 0x1, 0x2000
_DST, _OIF, _MULTIPATH, _NEXTHOP_ID = 1, 4, 9, 30
_HEADER, _ROUTE, _ATTRIBUTE, _HOP = struct.Struct("=IHHII"), struct.Struct("=BBBBBBBBI"), struct.Struct("=HH"), struct.Struct("=HBBi")
_LONGEST, _PATIENCE = 65536, 1.0  # bytes, seconds


def interfaces_to(address: bytes) -> Optional[List[str]]:
    """The interfaces of all next hops of the route to an address of 4 or 16 bytes; [] where there is none, or the kernel does not
    say; None where it has next hops that it does not name.
    """
    family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(address), _DST) + address
    body = _ROUTE.pack(family, 8 * len(address), 0, 0, 0, 0, 0, 0, _FIB_MATCH) + attribute
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as line:
            line.settimeout(_PATIENCE)
            line.sendto(_HEADER.pack(_HEADER.size + len(body), _GETROUTE, _REQUEST, 1, 0) + body, (0, 0))
            answer = line.recv(_LONGEST)
        numbers = parse(answer)
        return None if numbers is None else sorted({socket.if_indextoname(number) for number in numbers})
    except (OSError, struct.error):
        return []


def parse(answer: bytes) -> Optional[List[int]]:
    """The numbers of the interfaces in an answer; None where it has next hops without any. Raises struct.error."""
    dummy, kind = _HEADER.unpack_from(answer)[:2]
    if kind != _NEWROUTE:
        return []
    numbers: List[int] = []
    has_id = False
    for name, value in _attributes(answer, _HEADER.size + _ROUTE.size):
        has_id = has_id or name == _NEXTHOP_ID
        if name == _OIF:
            numbers.append(struct.unpack("=I", value)[0])
        elif name == _MULTIPATH:
            at = 0
            while at + _HOP.size <= len(value):
                size, dummy, dummy, index = _HOP.unpack_from(value, at)
                numbers.append(index)
                at += max(_HOP.size, (size + 3) & ~3)
    return None if has_id and not numbers else numbers


def _attributes(data: bytes, at: int) -> Iterator[Tuple[int, bytes]]:
    """(type, value) of the attributes (struct rtattr) in ``data`` from byte ``at`` on."""
    while at + _ATTRIBUTE.size <= len(data):
        size, name = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size:
            return
        yield name & 0x3FFF, data[at + _ATTRIBUTE.size:at + size]
        at += (size + 3) & ~3


__all__ = ("interfaces_to", "parse")
