# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What /proc/net says: routes and addresses; and over which interfaces an address is reached. Pure.

An address is 4 or 16 bytes, in the order of the wire; a server's may have its scope behind it. Lines end at a newline, and fields at
what the kernel prints between them: a name may have what Python takes for either.
"""

from __future__ import annotations

import re
import sys
from functools import cached_property
from typing import Callable, Collection, Dict, FrozenSet, Iterable, Iterator, List, NamedTuple, Optional, Set, Tuple

_REJECT, _GATEWAY, _LOCAL = 0x0200, 0x0002, 0x80000000  # RTF_REJECT, RTF_GATEWAY, RTF_LOCAL: include/uapi/linux/route.h
# The interfaces of a route that sends nothing anywhere, of a black hole without RTF_REJECT: none, or that of the loopback where it is a next-hop
# object (source: net/ipv4/fib_trie.c fib_route_seq_show(), fib_flag_trans(); net/ipv4/nexthop.c nh_create_ipv4(), nh_create_ipv6()).
_NOWHERE = ("*", "lo")
_MAPPED = bytes(10) + b"\xff\xff"  # an IPv4 address in the shape of an IPv6 one
# What an interface may be called (source: net/core/dev.c dev_valid_name()), or its number.
_SCOPE, _SCOPED = b"%", re.compile(r"%([^\s/:\[\]]+)")
_MULTICAST = 224  # the first byte of an address of IPv4
# The first byte of a leaf that has such a route; other lengths of the same leaf may come before it (source: net/ipv4/fib_trie.c
# fib_trie_seq_show()).
_LARGE = re.compile(r"\|-- (\d+)\.[\d.]+\n(?: +/\d.*\n)*? +/[0-4] \S+ UNICAST")
# A leaf, and of its lines those of routes that may send something over an interface.
_LEAF = re.compile(r"\|-- ([\d.]+)\n((?: +/\d.*(?:\n|\Z))+)")
_SENDING = re.compile(r"/(\d+) \S+ (?!(?:LOCAL|BROADCAST|MULTICAST|ANYCAST|BLACKHOLE|UNREACHABLE|PROHIBIT|THROW)\b)")
_HEX = frozenset("0123456789abcdefABCDEF")
_OF_ADDRESS, _LONE_COLON = _HEX | frozenset(":."), re.compile(r"^:(?!:)|(?<!:):$|:::")
# The longest network whose route counts as a default one, as in _LARGE.
_LARGEST = 4


class Route(NamedTuple):
    """One route. ``length``: bits of its network; ``connected``: without a gateway."""

    interface: str
    length: int
    connected: bool


class Tables:
    """The routes of IPv4's main table and of all of IPv6's, and what is known of other tables.

    ``hidden``: the names of those of IPv4's other tables, whose interfaces /proc does not show, that have a default route;
    ``addresses``: IPv6 address -> interfaces. ``has_rules6``: whether a rule of IPv6 may lead to another table than main, which /proc shows
    as if its routes were main's. ``routes_in``: gives (network, length, interfaces) of each route of one of IPv4's other tables by its
    number, None where that cannot be told.
    """

    has_rules6 = False
    routes_in: Callable[[int], Optional[List[Tuple[bytes, int, List[str]]]]] = staticmethod(lambda number: None)

    def __init__(self, routes: Dict[str, List[str]], routes6: Dict[str, List[str]], trie: Dict[str, str], addresses: Dict[bytes, List[str]]) -> None:
        self._routes = routes
        self._routes6 = routes6
        self._trie = trie
        self.hidden = [name for name, text in trie.items() if _has_default(text)]
        self.addresses = addresses
        self._known_defaults: Dict[int, List[Route]] = {}
        self._told: Dict[str, Optional[Dict[Tuple[int, bytes], Set[str]]]] = {}
        # Which lengths networks have. A mask is far in its line, and there are few lengths of IPv4.
        self._lengths = {4: range(32, -1, -1), 16: sorted({int(network[33:], 16) for network in routes6}, reverse=True)}

    def default_interfaces(self) -> List[str]:
        """The interfaces of all default routes: of IPv6 also of one for all that is in use of it, 2000::/3; and where a family has none,
        of routes to large parts of all addresses, such as 0.0.0.0/1 and 128.0.0.0/1.
        """
        return sorted({route.interface for size in (4, 16) for route in self._defaults(size)})

    def _defaults(self, size: int) -> List[Route]:
        """The default routes of addresses of a size in bytes."""
        if size not in self._known_defaults:
            whole = self._at(bytes(size), 0) + (self._at(b"\x20" + bytes(15), 3) if size == 16 else [])
            parts = [] if whole else [route for network, length in _large_parts(size) for route in self._at(network, length)]
            self._known_defaults[size] = whole + parts
        return self._known_defaults[size]

    def is_default(self, address: bytes) -> bool:
        """Whether a default route covers an address, and nothing else does."""
        defaults = self._defaults(len(address))
        try:
            return bool(defaults) and all(route in defaults for route in self._best(address))
        except ValueError:
            return False

    def to_peer(self, peer: bytes) -> Set[str]:
        """The interfaces over which an address is reached; empty where it cannot be told."""
        try:
            found = self._all(peer) if len(peer) == 16 and self.has_rules6 else self._best(peer)
        except ValueError:
            return set()
        others = self._in_others(peer)
        if others is None:
            return set()  # a rule may send it there
        return {*others, *(route.interface for route in found)}

    def of_connection(self, local: bytes, peer: bytes) -> Set[str]:
        """The interfaces of a connection's two ends; empty where it cannot be told.

        Answers may leave by another interface than questions come in, so both ends count.
        """
        if self._in_others(peer) is None:
            return set()
        if len(local) == 4:
            try:
                own = {route.interface for route in self._best(local, is_own=True)}
            except ValueError:
                return set()
            others = frozenset() if own else self._in_others(local)
            if others is None:
                return set()
            own |= others
        else:
            own = set(self.addresses.get(local, ()))
        # Every interface has a route to link-local addresses.
        return own | (set() if _is_link_local(peer) else self.to_peer(peer))

    @cached_property
    def _networks(self) -> Dict[str, Set[Tuple[str, str]]]:
        """Name -> (length, network) of all routes of one of IPv4's other tables that may send something over an interface."""
        return {
            name: {(length, network) for network, lines in _LEAF.findall(text) for length in _SENDING.findall(lines)}
            for name, text in self._trie.items()
        }

    def _in_others(self, address: bytes) -> Optional[FrozenSet[str]]:
        """The interfaces of all routes of IPv4's other tables to an address; None where they cannot be told. A rule that leads to a table without
        one leads on to the next rule, or nowhere (source: net/ipv4/fib_rules.c fib4_rule_action()).
        """
        found: Set[str] = set()
        if len(address) != 4 or not any(self._networks.values()):
            return frozenset()
        number = int.from_bytes(address, "big")
        covering = [(length, (number >> (32 - length) << (32 - length)).to_bytes(4, "big")) for length in range(33)]
        printed = {(str(length), show_address(network)) for length, network in covering}
        for name, networks in self._networks.items():
            if printed.isdisjoint(networks):
                continue
            told = self._table(name) or {}
            names = [told[one] for one in covering if one in told]
            if not names:
                return None
            found.update(*names)
        return frozenset(found)

    def _table(self, name: str) -> Optional[Dict[Tuple[int, bytes], Set[str]]]:
        """(length, network) -> interfaces, of one of IPv4's other tables; None where the kernel does not tell."""
        if name not in self._told:
            routes = self.routes_in(int(name)) if name.isdecimal() else None
            told: Dict[Tuple[int, bytes], Set[str]] = {}
            for network, length, interfaces in routes or ():
                told.setdefault((length, network), set()).update(one for one in interfaces if one not in _NOWHERE)
            self._told[name] = None if routes is None else told
        return self._told[name]

    def defaults_of(self, name: str) -> Optional[List[str]]:
        """The interfaces of the default routes of one of ``hidden``, which has some; None where they cannot be told."""
        told = self._table(name) or {}
        found = [interfaces for (length, network), interfaces in told.items() if length <= _LARGEST and network[0] < _MULTICAST]
        return sorted(set().union(*found)) if found else None

    def network_of(self, address: bytes) -> Tuple[int, bytes, Optional[FrozenSet[str]]]:
        """What addresses have in common that are reached by the same routes: (length of the network, network, the interfaces of other tables'
        routes to it, None where they cannot be told).
        """
        try:
            length, network, dummy = self._longest(address)
        except ValueError:
            length, network = 8 * len(address), address
        return length, network, self._in_others(address)

    def _best(self, address: bytes, is_own: bool = False) -> List[Route]:
        """The routes of the longest network that an address is in; of networks of this host's own, where asked for these."""
        return self._longest(address, is_own)[2]

    def _longest(self, address: bytes, is_own: bool = False) -> Tuple[int, bytes, List[Route]]:
        """(length, network, routes), as _best(); no routes where there is none."""
        bits = 8 * len(address)
        number = int.from_bytes(address, "big")
        for length in self._lengths[len(address)]:
            if length == 0 and is_own:
                break
            network = (number >> (bits - length) << (bits - length)).to_bytes(len(address), "big")
            found = [route for route in self._at(network, length) if route.connected or not is_own]
            if found:
                return length, network, found
        return 0, b"", []

    def _all(self, address: bytes) -> List[Route]:
        """The routes of every network that an address is in: of those in several tables a rule decides, and not the length."""
        bits, number = 8 * len(address), int.from_bytes(address, "big")
        networks = ((length, number >> (bits - length) << (bits - length)) for length in self._lengths[len(address)])
        return [route for length, network in networks for route in self._at(network.to_bytes(len(address), "big"), length)]

    def _at(self, network: bytes, length: int) -> List[Route]:
        if len(network) == 4:
            return list(_routes(self._routes.get(_printed(network), ()), length))
        return list(_routes6(self._routes6.get(f"{network.hex()} {length:02x}", ())))


def _large_parts(size: int) -> Iterator[Tuple[bytes, int]]:
    """(network, length) of each sixteenth, or more, of the addresses of hosts: of IPv4 up to 224.0.0.0, of IPv6 in 2000::/3."""
    first, end, least, most = (0, 0xE0, 1, 4) if size == 4 else (0x20, 0x40, 1, 7)
    for length in range(least, most + 1):
        step = 1 << (8 - length)
        for start in range(0, 0x100, step):
            if start < end and start + step > first:
                yield bytes([start]) + bytes(size - 1), length


def read_tables(route: str, route6: str, *, trie: str, inet6: str) -> Tables:
    """The Tables in the texts of /proc/net/route, ipv6_route, fib_trie and if_inet6. Raises ValueError for other texts."""
    addresses: Dict[bytes, List[str]] = {}
    for line in inet6.split("\n"):
        words = line.split(" ", 5)
        if len(words) > 5:
            addresses.setdefault(bytes.fromhex(words[0]), []).append(words[5].strip(" "))
    return Tables(_index(route), _index6(route6), _tables_of(trie), addresses)


def _index(text: str) -> Dict[str, List[str]]:
    """Destination as printed -> lines. A host may have hundreds of thousands of routes, of which a few are looked at."""
    found: Dict[str, List[str]] = {}
    for line in text.split("\n")[1:]:
        at = line.find("\t") + 1
        destination = line[at:at + 8].upper()
        if destination in found:
            found[destination].append(line)
        elif line.strip(" "):
            found[destination] = [line]
    _check_hex(found, 8)
    for line in found.get("00000000", ()):
        list(_routes([line], 0))
    return found


def _index6(text: str) -> Dict[str, List[str]]:
    """As _index(), network and length -> lines."""
    found: Dict[str, List[str]] = {}
    for line in text.split("\n"):
        network = line[:35].lower()
        if network in found:
            found[network].append(line)
        elif line.strip(" "):
            found[network] = [line]
    _check_hex([network[:32] + network[33:] for network in found], 34)
    if any(int(network[33:], 16) > 128 for network in found):
        raise ValueError("a network of 16 bytes has 128 bits")
    return found


def _check_hex(words: Collection[str], length: int) -> None:
    """Raises ValueError where words are no numbers of so many digits."""
    text = "".join(words)
    if len(text) != length * len(words) or not _HEX.issuperset(text):
        raise ValueError("no table of routes")


def _routes(lines: Iterable[str], length: int) -> Iterator[Route]:
    for words in (line.split("\t") for line in lines):
        if len(words) < 8 or len(words[7]) != 8:
            raise ValueError(f"no route: {words!r}")
        flags = int(words[3], 16)
        if not flags & _REJECT and words[0] not in _NOWHERE and bin(int(words[7], 16)).count("1") == length:
            yield Route(words[0], length, not flags & _GATEWAY)


def _routes6(lines: Iterable[str]) -> Iterator[Route]:
    for words in (line.split(" ", 9) for line in lines):
        if len(words) < 10:
            raise ValueError(f"no route: {words!r}")
        flags = int(words[8], 16)
        if not flags & (_REJECT | _LOCAL) and words[9].strip(" ") not in _NOWHERE:
            yield Route(words[9].strip(" "), int(words[1], 16), not flags & _GATEWAY)


def _tables_of(trie: str) -> Dict[str, str]:
    """Name -> text of IPv4's tables beside Main and Local (source: linux net/ipv4/fib_trie.c)."""
    found: Dict[str, str] = {}
    end, at = len(trie), trie.find(":\n")
    while at >= 0:
        following = trie.find(":\n", at + 1)
        name = trie[trie.rfind("\n", 0, at) + 1:at].split(" ")[-1]
        if name not in ("Main", "Local"):
            found[name] = found.get(name, "") + trie[at:end if following < 0 else following]
        at = following
    return found


def _has_default(text: str) -> bool:
    """Whether a table has a default route, or one to a large part of the addresses of hosts, as Tables looks for in its own."""
    return any(int(first) < _MULTICAST for first in _LARGE.findall(text))


def _printed(network: bytes) -> str:
    """An IPv4 network as the kernel prints it: a number in the byte order of the machine."""
    return network[::-1 if sys.byteorder == "little" else 1].hex().upper()


def wire(text: str) -> bytes:
    """An address as /proc prints it: numbers of 32 bits, in the byte order of the machine. Raises ValueError."""
    printed = bytes.fromhex(text)
    if len(printed) not in (4, 16):
        raise ValueError(f"{text!r} is no address")
    step = -1 if sys.byteorder == "little" else 1
    return plain(b"".join(printed[at:at + 4][::step] for at in range(0, len(printed), 4)))


def plain(address: bytes) -> bytes:
    """An address in its own shape: of IPv4 also where it comes in IPv6's."""
    return address[12:] if address.startswith(_MAPPED) else address


def is_loopback(address: bytes) -> bool:
    """Whether an address is this host's own for itself."""
    return address[:1] == b"\x7f" if len(address) == 4 else address == bytes(15) + b"\x01"


def parse_address(text: str) -> Optional[bytes]:
    """An address as people write it; None for what is none, such as a host's name."""
    text = text.strip("[]").partition("%")[0]
    if not _OF_ADDRESS.issuperset(text) or _LONE_COLON.search(text):
        return None  # int() reads more than digits
    try:
        if ":" not in text:
            address = bytes(int(part) for part in text.split("."))
            return address if len(address) == 4 else None
        if "." in text:
            # The last four bytes as those of IPv4, as the kernel prints an address of these (source: lib/vsprintf.c ip6_compressed_string()).
            before_last, dummy, last = text.rpartition(":")
            four = bytes(int(part) for part in last.split("."))
            text = f"{before_last}:{four[:2].hex()}:{four[2:].hex()}" if len(four) == 4 else ""
        head, gap, tail = text.partition("::")
        before, after = ([int(part, 16) for part in half.split(":") if part] for half in (head, tail))
        parts = before + [0] * ((8 - len(before) - len(after)) if gap else 0) + after
        address = b"".join(part.to_bytes(2, "big") for part in parts)
    except (ValueError, OverflowError):
        return None
    return plain(address) if len(address) == 16 and "::" not in tail else None


def parse_server(text: str) -> Optional[bytes]:
    """As parse_address(); a link-local address, which every interface has neighbours of, with the scope that it names, fe80::1%eth0."""
    address, scope = parse_address(text), _SCOPED.search(text)
    if address is None or scope is None or not _is_link_local(address):
        return address
    return address + _SCOPE + scope.group(1).encode("utf-8", "surrogateescape")


def parts_of_server(address: bytes) -> Tuple[bytes, str]:
    """(address, scope or "") of what parse_server() gives."""
    return (address, "") if len(address) <= 16 else (address[:16], address[16 + len(_SCOPE):].decode("utf-8", "surrogateescape"))


def _is_link_local(address: bytes) -> bool:
    return len(address) == 16 and address[0] == 0xFE and address[1] & 0xC0 == 0x80


def show_address(address: bytes) -> str:
    """An address as people and ``ip`` write it (source: RFC 5952)."""
    address, scope = parts_of_server(address)
    if scope:
        return f"{show_address(address)}%{scope}"
    if len(address) == 4:
        return ".".join(map(str, address))
    words = [f"{int.from_bytes(address[at:at + 2], 'big'):x}" for at in range(0, 16, 2)]
    for length in range(8, 1, -1):
        for at in range(9 - length):
            if words[at:at + length] == ["0"] * length:
                return f"{':'.join(words[:at])}::{':'.join(words[at + length:])}"
    return ":".join(words)


__all__ = ("Route", "Tables", "is_loopback", "parse_address", "parse_server", "parts_of_server", "plain", "read_tables", "show_address", "wire")
