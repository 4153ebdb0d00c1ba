# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Servers that the kernel reaches and that no mount names: of NFS, those of further addresses and of pNFS; of Ceph, all but monitors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Iterable, Iterator, NamedTuple, Optional

from ansible_collections.vfio.host.plugins.module_utils._devices.guards.routes import is_loopback, parse_server, parts_of_server, show_address

if TYPE_CHECKING:
    from typing import Collection

    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_OF_NFS, _OF_CEPH = frozenset(("nfs", "nfs4")), "ceph"
_MAPS = ("monmap", "mdsmap", "osdmap")
# "osd3\t(1)10.0.8.7:6801\t100%", without "(1)" before Linux 5.3 (source: net/ceph/debugfs.c, fs/ceph/debugfs.c; net/ceph/messenger.c
# ceph_pr_addr()).
_ENTITY = re.compile(r"^\s*((?:mon|mds|osd)\d+)\t(?:\(\d+\))?(\S+):\d+", re.MULTILINE)


class Server(NamedTuple):
    """A server: ``text`` ends before "over"; ``address`` is None where it cannot be told; ``own``: the address of this host that the
    kernel reaches it from, where it says so.
    """

    text: str
    address: Optional[bytes]
    own: Optional[bytes] = None


def unnamed_servers(fs: Sysfs, kinds: Collection[str]) -> Iterator[Server]:
    """The Servers of a host that has file systems of these ``kinds`` mounted, each address once, as far as the kernel shows them: to root,
    and Ceph's where debugfs is mounted and may be read.
    """
    known: set[tuple[bytes | None, bytes | None]] = set()
    for server in _all(fs, kinds):
        if (server.address, server.own) not in known:
            known.add((server.address, server.own))
            yield server


def _all(fs: Sysfs, kinds: Collection[str]) -> Iterator[Server]:
    if not _OF_NFS.isdisjoint(kinds):
        paths = [fs.rpc_transports]
        for switch in [f"{fs.rpc_transports}/{name}" for name in fs.names(fs.rpc_transports)]:
            transports = [f"{switch}/{name}" for name in fs.names(switch)]
            paths += [switch, *(f"{one}/dstaddr" for one in transports)]
            for one in transports:
                # Where there is no connection just now, the kernel has no own address of it: ENOTCONN.
                told, own = (_address(fs.read(f"{one}/{name}")) for name in ("dstaddr", "srcaddr"))
                if told is not None:
                    own = None if own is None else parts_of_server(own)[0]
                    yield Server(f"a connection of the kernel's for NFS to {show_address(told)} is", told, own)
        if any(fs.refusal(path) is not None for path in paths):
            yield Server("a connection of the kernel's for NFS, which cannot be read, is", None)
    for client in fs.names(fs.ceph_clients) if _OF_CEPH in kinds else ():
        for entity, address in _of_maps(fs, client, _MAPS):
            yield Server(f"{entity} of Ceph, at {show_address(address)}, is reached", address)


def _of_maps(fs: Sysfs, client: str, maps: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """(entity, address) of each server in some maps of one client of Ceph."""
    for name in maps:
        text = (fs.read_file(f"{fs.ceph_clients}/{client}/{name}") or b"").decode("ascii", "replace")
        for entity, address in _ENTITY.findall(text):
            told = _address(address)
            if told is not None:
                yield entity, told


def servers_of_rbd(fs: Sysfs, number: str) -> list[bytes]:
    """The addresses of all servers of a block device of Ceph, its monitors and all OSDs, by its number; none where they cannot be told
    (source: drivers/block/rbd.c rbd_client_id_show(), net/ceph/debugfs.c ceph_debugfs_client_init()).
    """
    cluster, client = (fs.read(f"{fs.buses}/rbd/devices/{number}/{name}") for name in ("cluster_fsid", "client_id"))
    found = [[address for dummy, address in _of_maps(fs, f"{cluster}.{client}", (name,))] for name in ("monmap", "osdmap")]
    return list(dict.fromkeys(found[0] + found[1])) if all(found) else []


def _address(text: str | None) -> bytes | None:
    """An address that is of another host; None for what is none, such as a socket's path, or zero, of what is not up. Some kernels end
    it with a NUL (source: net/sunrpc/sysfs.c rpc_sysfs_xprt_dstaddr_show(), "return ret + 1").
    """
    address = parse_server((text or "").partition("\n")[0].strip("\0"))
    return None if address is None or is_loopback(address) or not any(address) else address


__all__ = ("Server", "unnamed_servers")
