# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What /proc does not show of routes, asked of the kernel by rtnetlink: all next hops, of which /proc/net/route and ipv6_route show the
first one; the routes of IPv4's other tables, which it does not show; and whether rules lead to further tables of IPv6, whose routes
ipv6_route shows among each other.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Iterator, List, Optional, Tuple

# include/uapi/linux/rtnetlink.h, netlink.h, fib_rules.h: message types, flags and attributes.
_ERROR, _DONE, _NEWROUTE, _GETROUTE, _NEWRULE, _GETRULE = 2, 3, 24, 26, 32, 34
_REQUEST, _DUMP, _FIB_MATCH = 0x1, 0x300, 0x2000
_DST, _OIF, _MULTIPATH, _NEXTHOP_ID = 1, 4, 9, 30
_TABLE, _L3MDEV, _TO_TABLE = 15, 19, 1
_SOL_NETLINK, _STRICT = 270, 12  # SOL_NETLINK, NETLINK_GET_STRICT_CHK: a dump of one table alone, from Linux 4.20 on
# RTN_LOCAL to RTN_THROW: what such a route takes goes over no interface.
_NOT_SENDING = range(2, 10)
_USUAL = (254, 255)  # RT_TABLE_MAIN, RT_TABLE_LOCAL
# What the kernel answers where an address has no route: none, or one that sends nothing (source: net/ipv4/fib_semantics.c fib_props,
# net/ipv4/route.c inet_rtm_getroute(), net/ipv6/route.c inet6_rtm_getroute()).
_NO_ROUTE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL)
_HEADER, _ROUTE, _ATTRIBUTE, _HOP = struct.Struct("=IHHII"), struct.Struct("=BBBBBBBBI"), struct.Struct("=HH"), struct.Struct("=HBBi")
_LONGEST, _PATIENCE = 65536, 1.0  # bytes, seconds
_MOST_ROUTES = 20000  # of a table that is asked for; one of a border router takes seconds


def interfaces_to(address: bytes) -> Optional[List[str]]:
    """The interfaces of all next hops of the route to an address of 4 or 16 bytes; [] where there is none; None where it has next hops that
    the kernel does not name. Raises OSError where the kernel does not say.
    """
    family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(address), _DST) + address
    with _asked(_GETROUTE, _REQUEST, _ROUTE.pack(family, 8 * len(address), 0, 0, 0, 0, 0, 0, _FIB_MATCH) + attribute) as line:
        answer = line.recv(_LONGEST)
    numbers = parse(answer)
    return None if numbers is None else sorted({socket.if_indextoname(number) for number in numbers})


def has_other_rules() -> bool:
    """Whether a rule of IPv6 leads to another table than main and local. Raises OSError where the kernel does not say."""
    with _asked(_GETRULE, _REQUEST | _DUMP, _ROUTE.pack(socket.AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0)) as line:
        while True:
            answer = line.recv(_LONGEST)
            leads = parse_rules(answer)
            if leads is not None:
                return leads


def routes_in(table: int) -> Optional[List[Tuple[bytes, int, List[str]]]]:
    """(network, its length, the interfaces of all next hops) of each route of IPv4 in a table that sends something over an interface; None
    where one has next hops that the kernel does not name. Raises OSError where the kernel does not say, or has very many.
    """
    found: List[Tuple[bytes, int, List[int]]] = []
    body = _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0) + _ATTRIBUTE.pack(_ATTRIBUTE.size + 4, _TABLE) + struct.pack("=I", table)
    with _asked(_GETROUTE, _REQUEST | _DUMP, body, is_strict=True) as line:
        is_whole = False
        while not is_whole:
            some, is_whole = parse_table(line.recv(_LONGEST), table)
            if some is None:
                return None
            found += some
            if len(found) > _MOST_ROUTES:
                raise _refusal(errno.E2BIG)
    names = {number: socket.if_indextoname(number) for number in {one for route in found for one in route[2]}}
    return [(network, length, sorted({names[one] for one in numbers})) for network, length, numbers in found]


def _asked(kind: int, flags: int, body: bytes, *, is_strict: bool = False) -> socket.socket:
    """A socket on which the kernel answers a message. Raises OSError."""
    line = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    try:
        line.settimeout(_PATIENCE)
        if is_strict:
            line.setsockopt(_SOL_NETLINK, _STRICT, 1)
        line.sendto(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body, (0, 0))
    except OSError:
        line.close()
        raise
    return line


def parse(answer: bytes) -> Optional[List[int]]:
    """The numbers of the interfaces in an answer; [] where it says that there is no route, None where it has next hops without any. Raises
    OSError for an error, and for what is no answer.
    """
    for kind, message in _messages(answer):
        if kind == _ERROR and _error(message) in _NO_ROUTE:
            return []
        if kind != _NEWROUTE:
            raise _refusal(_error(message) if kind == _ERROR else 0)
        return _hops(message[_ROUTE.size:])
    raise _refusal(0)


def _hops(data: bytes) -> Optional[List[int]]:
    numbers: List[int] = []
    has_id = False
    for name, value in _attributes(data, 0):
        has_id = has_id or name == _NEXTHOP_ID
        if name == _OIF and len(value) == 4:
            numbers.append(struct.unpack("=I", value)[0])
        elif name == _MULTIPATH:
            at = 0
            while at + _HOP.size <= len(value):
                size, dummy, dummy, index = _HOP.unpack_from(value, at)
                numbers.append(index)
                at += max(_HOP.size, (size + 3) & ~3)
    return None if has_id and not numbers else numbers


def parse_rules(answer: bytes) -> Optional[bool]:
    """Of one part of a dump of rules, whether one leads to another table than the usual ones; False at its end, None where more is to come.
    Raises OSError for an error, and for what is no answer.
    """
    is_any = False
    for kind, message in _messages(answer):
        is_any = True
        if kind in (_DONE, _ERROR) and _error(message) in (0, errno.EAFNOSUPPORT):
            return False  # the end of the dump, or a kernel without rules of IPv6 (source: net/core/fib_rules.c fib_nl_dumprule())
        if kind != _NEWRULE or len(message) < _ROUTE.size:
            raise _refusal(_error(message) if kind in (_DONE, _ERROR) else 0)
        dummy, dummy, dummy, dummy, table, dummy, dummy, action, dummy = _ROUTE.unpack_from(message)
        values = dict(_attributes(message, _ROUTE.size))
        told = values.get(_TABLE, b"")
        number = struct.unpack("=I", told)[0] if len(told) == 4 else table
        # A rule of VRFs leads to the table of each (source: net/ipv6/fib6_rules.c, net/core/fib_rules.c fib_nl_fill_rule()).
        if action == _TO_TABLE and (number not in _USUAL or any(values.get(_L3MDEV, b""))):
            return True
    if not is_any:
        raise _refusal(0)
    return None


def parse_table(answer: bytes, table: int) -> Tuple[Optional[List[Tuple[bytes, int, List[int]]]], bool]:
    """(the routes in one part of a dump of ``table``, as of routes_in() with numbers for names, whether it is the last part). Raises OSError
    for an error, and for what is no answer (source: net/ipv4/fib_semantics.c fib_dump_info()).
    """
    found: List[Tuple[bytes, int, List[int]]] = []
    is_any = False
    for kind, message in _messages(answer):
        is_any = True
        if kind == _DONE and _error(message) == 0:
            return found, True
        if kind != _NEWROUTE or len(message) < _ROUTE.size:
            raise _refusal(_error(message) if kind in (_DONE, _ERROR) else 0)
        header, values = _ROUTE.unpack_from(message), dict(_attributes(message, _ROUTE.size))
        length, number, sort = header[1], header[4], header[7]
        if struct.unpack("=I", values.get(_TABLE, struct.pack("=I", number)))[0] != table:
            raise _refusal(errno.EBADMSG)  # a kernel that does not heed what it was asked
        numbers = [] if sort in _NOT_SENDING else _hops(message[_ROUTE.size:])
        if numbers is None:
            return None, False
        if numbers:
            found.append((values.get(_DST, bytes(4)), length, numbers))
    if not is_any:
        raise _refusal(0)
    return found, False


def _messages(data: bytes) -> Iterator[Tuple[int, bytes]]:
    """(type, what is behind the header) of the whole messages in ``data``."""
    at = 0
    while at + _HEADER.size <= len(data):
        size, kind = _HEADER.unpack_from(data, at)[:2]
        if size < _HEADER.size or at + size > len(data):
            return
        yield kind, data[at + _HEADER.size:at + size]
        at += (size + 3) & ~3


def _error(message: bytes) -> int:
    return -struct.unpack_from("=i", message)[0] if len(message) >= 4 else 0


def _refusal(number: int) -> OSError:
    return OSError(number or errno.EBADMSG, os.strerror(number or errno.EBADMSG))


def _attributes(data: bytes, at: int) -> Iterator[Tuple[int, bytes]]:
    """(type, value) of the attributes (struct rtattr) in ``data`` from byte ``at`` on."""
    while at + _ATTRIBUTE.size <= len(data):
        size, name = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size:
            return
        yield name & 0x3FFF, data[at + _ATTRIBUTE.size:at + size]
        at += (size + 3) & ~3


__all__ = ("has_other_rules", "interfaces_to", "parse", "parse_rules", "parse_table", "routes_in")
