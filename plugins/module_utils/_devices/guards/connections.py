# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""This host's connections as /proc/net shows them, and which of them may be the controller's. Pure."""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, List, NamedTuple, Set, Tuple

from ansible_collections.vfio.host.plugins.module_utils._devices.guards.routes import is_loopback, wire

_ESTABLISHED = "01"  # TCP_ESTABLISHED: include/net/tcp_states.h
_ROOT, _NONE = "0", "0"

# Where each kind of socket has its inode: the file of /proc/net, and the field (source: the seq_show functions of linux net/).
INODES = {
    "unix": 6, "udp": 9, "udp6": 9, "udplite": 9, "udplite6": 9, "raw": 9, "raw6": 9, "icmp": 9, "icmp6": 9, "netlink": 9, "packet": 8,
}


class Connection(NamedTuple):
    """One established connection of TCP; ends are (address, port as printed)."""

    local: Tuple[bytes, str]
    peer: Tuple[bytes, str]

    @property
    def is_loopback(self) -> bool:
        """Whether an end is an address of the loopback."""
        return any(is_loopback(one) for one, dummy in self)


def connections(text: str) -> Dict[str, List[Connection]]:
    """Inode -> the established connections, in the text of /proc/net/tcp or tcp6. Raises ValueError for other texts."""
    found: Dict[str, List[Connection]] = {}
    for words in _lines(text):
        if len(words) > 9 and words[3] == _ESTABLISHED:
            ends = [word.partition(":") for word in words[1:3]]
            found.setdefault(words[9], []).append(Connection(*((wire(address), port) for address, dummy, port in ends)))
    return found


def inodes(text: str, field: int = 9) -> Set[str]:
    """The inodes of all sockets in the text of a file of /proc/net."""
    return {words[field] for words in _lines(text) if len(words) > field}


def reached_by_root(text: str) -> Set[bytes]:
    """The addresses at the other ends of root's sockets, the kernel's own among them, in the text of /proc/net/tcp or tcp6, also of those
    that wait for an answer. What is over, and nobody has open, has no inode and root's number, whoever had it (source: linux
    net/ipv4/tcp_ipv4.c get_timewait4_sock(), net/core/sock.c sock_i_uid()). Raises ValueError for other texts.
    """
    return {wire(words[2].partition(":")[0]) for words in _lines(text) if len(words) > 9 and words[7] == _ROOT and words[9] != _NONE}


def _lines(text: str) -> Iterator[list[str]]:
    return (line.split(None, 10) for line in text.split("\n")[1:])


def of_controller(
    inherited: Iterable[str], found: dict[str, list[Connection]], *, is_all_known: bool,
) -> tuple[list[tuple[bytes, bytes]], bool]:
    """([(local address, peer's address)] of what may be the controller's, whether it is that for sure).

    ``inherited``: the inodes of the sockets that this process's ancestors have open; ``found``: connections by inode;
    ``is_all_known``: whether each inherited socket is of a known kind.

    sshd has the connection open, and may have others: of what it forwards, of a directory of users. Where one of them ends on
    this host, the controller may have come through a tunnel, which any connection may be.
    """
    everything = {one for some in found.values() for one in some}
    own = {one for inode in inherited for one in found.get(inode, ())}
    near = {one for one in own if one.is_loopback or Connection(one.peer, one.local) in everything}
    if own and is_all_known and not near:
        return sorted({(one.local[0], one.peer[0]) for one in own}), len(own) == 1
    return sorted({(one.local[0], one.peer[0]) for one in everything if not one.is_loopback}), False


__all__ = ("Connection", "INODES", "connections", "inodes", "of_controller", "reached_by_root")
