# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What /proc/net says: routes, addresses, connections; and over which interfaces an address is reached. Pure.

An address is 4 or 16 bytes, in the order of the wire.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

_REJECT, _GATEWAY, _LOCAL = 0x0200, 0x0002, 0x80000000  # RTF_REJECT, RTF_GATEWAY, RTF_LOCAL: include/uapi/linux/route.h
_ESTABLISHED = "01"  # TCP_ESTABLISHED: include/net/tcp_states.h
_MAPPED = bytes(10) + b"\xff\xff"  # an IPv4 address in the shape of an IPv6 one
_LINK_LOCAL = b"\xfe\x80"
_LOOPBACK = bytes(15) + b"\x01"


@dataclass(frozen=True)
class Route:
    """One route: the first ``length`` bits of ``network``; ``connected``: without a gateway."""

    interface: str
    network: bytes
    length: int
    connected: bool

    def __post_init__(self):
        if not 0 <= self.length <= 8 * len(self.network):
            raise ValueError(f"a network of {len(self.network)} bytes has no first {self.length} bits")

    def covers(self, address):
        """Whether the route is for an address."""
        if len(address) != len(self.network):
            return False
        rest = 8 * len(address) - self.length
        return int.from_bytes(address, "big") >> rest == int.from_bytes(self.network, "big") >> rest


@dataclass(frozen=True)
class Tables:
    """The routes of IPv4's main table and of all of IPv6's, and what is known of other tables.

    ``other``: the names of IPv4's other tables, whose routes /proc does not show; ``hidden``: those of them with a default
    route; ``addresses``: IPv6 address -> interfaces.
    """

    routes: list
    other: list
    hidden: list
    addresses: dict

    def default_interfaces(self):
        """The interfaces of all default routes."""
        return sorted({route.interface for route in self.routes if route.length == 0})

    def to_peer(self, peer):
        """The interfaces over which an address is reached; empty where it cannot be told."""
        best = _longest(route for route in self.routes if route.covers(peer))
        if len(peer) == 4 and self.other and not all(route.connected for route in best):
            return set()  # a rule may send it to another table
        return {route.interface for route in best}

    def of_connection(self, local, peer):
        """The interfaces of a connection's two ends; empty where it cannot be told.

        Answers may leave by another interface than questions come in, so both ends count.
        """
        if len(local) == 4:
            own = {route.interface for route in _longest(
                route for route in self.routes if route.connected and route.length and route.covers(local)
            )}
            if not own and self.other:
                return set()
        else:
            own = set(self.addresses.get(local, ()))
        # Every interface has a route to link-local addresses.
        return own | (set() if peer.startswith(_LINK_LOCAL) and len(peer) == 16 else self.to_peer(peer))


def _longest(routes):
    routes = list(routes)
    length = max((route.length for route in routes), default=0)
    return [route for route in routes if route.length == length]


def read_tables(route, route6, trie, inet6):
    """The Tables in the texts of /proc/net/route, ipv6_route, fib_trie and if_inet6. Raises ValueError for other texts."""
    other, hidden, name = [], [], None
    for line in trie.split("\n"):
        if line.endswith(":") and not line[0].isspace():
            name = line[:-1].split()[-1]
            if name not in ("Main", "Local"):
                other.append(name)
        elif name in other and line.split()[:1] == ["/0"] and line.split()[2:3] == ["UNICAST"]:
            hidden.append(name)
    addresses = {}
    for words in map(str.split, inet6.split("\n")):
        if len(words) > 5:
            addresses.setdefault(bytes.fromhex(words[0]), []).append(words[5])
    return Tables(list(_routes(route)) + list(_routes6(route6)), other, hidden, addresses)


def _routes(text):
    for words in map(str.split, text.split("\n")[1:]):
        if len(words) > 7 and not int(words[3], 16) & _REJECT:
            length = bin(int(words[7], 16)).count("1")
            yield Route(words[0], _wire(words[1]), length, not int(words[3], 16) & _GATEWAY)


def _routes6(text):
    for words in map(str.split, text.split("\n")):
        if len(words) > 9 and not int(words[8], 16) & (_REJECT | _LOCAL):
            yield Route(words[9], bytes.fromhex(words[0]), int(words[1], 16), not int(words[8], 16) & _GATEWAY)


def _wire(text):
    """The kernel prints addresses as numbers of 32 bits, in the byte order of the machine."""
    printed = bytes.fromhex(text)
    if len(printed) not in (4, 16):
        raise ValueError(f"{text!r} is no address")
    step = -1 if sys.byteorder == "little" else 1
    return b"".join(printed[at:at + 4][::step] for at in range(0, len(printed), 4))


def connections(text):
    """Inode -> [(local address, peer's address)] of the established connections in /proc/net/tcp or tcp6.

    Raises ValueError for other texts.
    """
    found = {}
    for line in text.split("\n")[1:]:
        words = line.split(None, 10)
        if len(words) < 10 or words[3] != _ESTABLISHED:
            continue
        ends = tuple(_plain(_wire(words[at].split(":")[0])) for at in (1, 2))
        if not any(one == _LOOPBACK or (len(one) == 4 and one[0] == 127) for one in ends):
            found.setdefault(words[9], []).append(ends)
    return found


def _plain(address):
    return address[12:] if address.startswith(_MAPPED) else address


def parse_address(text):
    """An address as people write it; None for what is none, such as a host's name."""
    text = text.strip("[]").partition("%")[0]
    try:
        if ":" not in text:
            address = bytes(int(part) for part in text.split("."))
            return address if len(address) == 4 else None
        head, gap, tail = text.partition("::")
        before, after = ([int(part, 16) for part in half.split(":") if part] for half in (head, tail))
        parts = before + [0] * ((8 - len(before) - len(after)) if gap else 0) + after
        address = b"".join(part.to_bytes(2, "big") for part in parts)
    except (ValueError, OverflowError):
        return None
    return _plain(address) if len(address) == 16 and "::" not in tail else None


def show_address(address):
    """An address for people."""
    if len(address) == 4:
        return ".".join(map(str, address))
    return ":".join(f"{int.from_bytes(address[at:at + 2], 'big'):x}" for at in range(0, 16, 2))


__all__ = ("Route", "Tables", "connections", "parse_address", "read_tables", "show_address")
