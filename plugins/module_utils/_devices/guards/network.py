# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What the host's network goes over: from default routes and the controller's connection down to PCI functions."""

from __future__ import annotations

import errno
import re
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.vfio.host.plugins.module_utils._devices.guards.connections import (
    INODES,
    Connection,
    connections,
    inodes,
    of_controller,
    reached_by_root,
)
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.namespaces import shows_own_interfaces
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.routes import parse_address, parts_of_server, read_tables, show_address
from ansible_collections.vfio.host.plugins.module_utils._devices.mounts import arguments
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import addresses_in
from ansible_collections.vfio.host.plugins.module_utils._host.errors import errno_name

if TYPE_CHECKING:
    from typing import Callable, Iterable, Iterator

    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

VIRTUAL = "/devices/virtual/"
USB_OVER_IP = "/vhci_hcd"  # source: drivers/usb/usbip/vhci_hcd.c
_PARTS = re.compile(r"[^\w.@-]+")
_MAC, _NO_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}"), "none"
_LOOPBACK = "lo"
_UP = 0x1  # IFF_UP: include/uapi/linux/if.h
_LOWER = "lower_"
_PORT_DOWN = "1:"  # "1: DOWN", source: linux drivers/infiniband/core/sysfs.c state_show()
# The interface that Open vSwitch's kernel datapath hangs its ports from; nothing links its internal ports to it.
_OVS = "ovs-system"
_DEVTYPE = re.compile(r"^DEVTYPE=(.*)$", re.MULTILINE)
_STACKED = frozenset(("bond", "bridge", "vlan"))  # of which one without anything below carries nothing
_MOST_ANCESTORS = 64
# Source: net/vmw_vsock/virtio_transport.c; drivers/misc/vmw_vmci/vmci_guest.c. That of Hyper-V is on no PCI bus.
_VSOCK_OF_VIRTIO, _VSOCK_OF_VMWARE = "vmw_vsock_virtio_transport", "vmw_vmci"
# Addresses of each family of which some is reached by the default route alone: those for documentation, and well-known ones.
_SOMEWHERE = tuple(tuple(address for address in map(parse_address, some) if address is not None) for some in (
    ("192.0.2.1", "198.51.100.1", "203.0.113.1", "8.8.8.8", "1.1.1.1"), ("2001:db8::1", "2001:4860:4860::8888", "2606:4700:4700::1111"),
))


class Untold(NamedTuple):
    """In place of an interface: it cannot be told which, and may be each that is up; ``what`` cannot be told."""

    what: str = "what cannot be told"


class Network:
    """One host's interfaces, and what goes over them. What was read once is kept.

    ``hidden``: gives (text, addresses) of each function that may have an interface where this process does not see it; it is called where
    these count.
    """

    def __init__(self, fs: Sysfs, hidden: Callable[[], Iterable[tuple[str, list[str]]]]) -> None:
        self._fs = fs
        self._up: list[tuple[str, list[str]]] | None = None
        self._list_hidden = hidden
        self._is_own: bool | None = None
        self._hops_untold: list[Untold] = []
        self._owners: dict[bytes, list[str]] = {}
        self.is_readable = fs.exists(fs.proc + "/net/route") or fs.exists(fs.proc + "/net/ipv6_route")
        try:
            self.tables = read_tables(
                self._text("/net/route"), self._text("/net/ipv6_route"), trie=self._text("/net/fib_trie"), inet6=self._text("/net/if_inet6"),
            )
            self.tables.default_interfaces()
        except ValueError:
            self.is_readable, self.tables = False, read_tables("", "", trie="", inet6="")
        self.tables.has_rules6, self.tables.routes_in = fs.has_other_rules(), fs.routes_in

    def _text(self, name: str) -> str:
        """A file of /proc. Raises ValueError where it is there and cannot be read."""
        text = self._fs.read_file(self._fs.proc + name)
        if self._fs.refusal(self._fs.proc + name) is not None:
            raise ValueError(f"{name} cannot be read")
        return (text or b"").decode("utf-8", "surrogateescape")

    def loads(self) -> Iterator[tuple[str | Untold, str]]:
        """(interface or Untold, what it carries), of all that the host must not lose."""
        names: set[str | Untold] = set(self.tables.default_interfaces())
        for family in _SOMEWHERE:
            for address in filter(self.tables.is_default, family):
                names |= self._with_hops(self.tables.to_peer(address), address)
                break
        for name in sorted(names, key=str):
            yield name, "the default route"
        yield from self._of_other_tables()
        if not self.is_readable:
            yield Untold(), "the default route"
        yield from self._told_to_boots()
        try:
            ends, is_told = self._connections
        except ValueError:
            yield Untold(), "a connection that cannot be read, which may be the controller's"
            return
        if self._inherited[1]:
            yield Untold(), "a connection of another network namespace, which may be the controller's,"
        what = "the controller's connection" if is_told else "a connection, which may be the controller's,"
        known: set[tuple[bytes, object]] = set()
        for local, peer in ends:
            # A host may have many thousands, of which most have the same way.
            way = local, self.tables.network_of(peer)
            if way in known:
                continue
            known.add(way)
            names = self._both_ends(local, peer)
            for name in sorted(names, key=str) or [Untold()]:
                if is_told or (local, name) not in known:
                    known.add((local, name))
                    yield name, f"{what} from {show_address(peer)}"

    def _of_other_tables(self) -> Iterator[tuple[str | Untold, str]]:
        """As loads(): what the default routes of IPv4's other tables go over."""
        for table in self.tables.hidden:
            told = self.tables.defaults_of(table)
            for one in [Untold()] if told is None else told:
                yield one, f"the default route of table {table}"

    def _told_to_boots(self) -> Iterator[tuple[str, str]]:
        """As loads(): interfaces that arguments of the kernel's command line name, whatever these are called, by name or by address: a
        boot brings them up to get at its root or at the key of that (ip=, bond=, vlan=, ifname=, BOOTIF=, netconsole=).
        """
        fs = self._fs
        names = [name for name in fs.names(fs.net) if name != _LOOPBACK]
        for key, value in arguments(fs.read(fs.proc + "/cmdline") or "") if names else ():
            parts, macs = set(_PARTS.split(value)), value.lower().replace("-", ":")
            told = [name for name in names if name in parts]
            if _MAC.search(macs):
                told += [name for name in names if self._address(name) in macs]
            for name in dict.fromkeys(told):
                yield name, f"the network of the next boot ({key}= of the kernel's command line)"

    def _address(self, name: str) -> str:
        """The hardware address of an interface; of one that cannot be read "", which is in every text."""
        path = f"{self._fs.net}/{name}/address"
        return (self._fs.read(path) or ("" if self._fs.refusal(path) is not None else _NO_MAC)).lower()

    def _with_hops(self, names: set[str], address: bytes) -> set[str | Untold]:
        """``names``, interfaces that /proc tells, with those of the other next hops of the same route; Untold among them: one that cannot
        be told. A route that has none of these is another one, of a rule or of another namespace.
        """
        if not names or self._hops_untold:
            return {*names, *self._hops_untold}
        try:
            hops = self._fs.next_hops(address)
        except OSError as error:
            # It is not asked again: each question may take the whole time of one.
            self._hops_untold = [Untold(f"next hops that the kernel does not tell ({errno_name(error.errno or errno.ETIMEDOUT)})")]
            return {*names, *self._hops_untold}
        if hops is None:
            return {*names, Untold()}
        return {*names, *hops} if names.intersection(hops) else {*names}

    def _both_ends(self, local: bytes, peer: bytes) -> set[str | Untold]:
        """The interfaces of a connection's two ends; empty where they cannot be told."""
        names = self.tables.of_connection(local, peer)
        return {*self._with_hops(names, peer), *self._having(local)} if names else set()

    def _having(self, local: bytes) -> list[str]:
        """The interfaces with hardware that have an address of this host, as the kernel tells by its own route to that: one that is in no
        connected network (/32, noprefixroute) is known to nothing else. What carries one without hardware nothing here names.
        """
        if local not in self._owners:
            hops: list[str] | None = None
            with suppress(OSError):  # so does the question about the peer, which counts
                hops = self._fs.next_hops(local)
            self._owners[local] = [name for name in hops or () if name != _LOOPBACK and self.ways(name) is not None]
        return self._owners[local]

    def hypervisors(self) -> list[tuple[str, list[str]]]:
        """(text, addresses) of each function by which this host talks to its hypervisor (vsock), where the controller may be that: no
        file of /proc shows such a connection.
        """
        fs, found = self._fs, []
        with suppress(ValueError):
            if self._connections[1]:
                return []
        for directory in (f"{fs.virtio_drivers}/{_VSOCK_OF_VIRTIO}", f"{fs.pci_drivers}/{_VSOCK_OF_VMWARE}"):
            for name in fs.names(directory):
                addresses = addresses_in(fs.target(f"{directory}/{name}") or "")
                if addresses:
                    found.append((f"vsock, by which the controller's connection may come, is on {name}", addresses))
        return found

    @cached_property
    def _connections(self) -> tuple[list[tuple[bytes, bytes]], bool]:
        """([(local address, peer)], whether these are the controller's).

        sshd is among the ancestors of this process and has the connection open, also behind sudo. Where none of them has
        one (no sshd, a process in the background, no root), any of this host's connections may be the controller's.
        """
        inherited = self._inherited[0]
        found: dict[str, list[Connection]] = {}
        known: set[str] = set()
        for name in ("tcp", "tcp6"):  # each costs the kernel a walk through all its sockets
            text = self._text(f"/net/{name}")
            for inode, ends in connections(text).items():
                found.setdefault(inode, []).extend(ends)
            known |= inodes(text) if inherited else set()
        for name, field in INODES.items():
            if inherited <= known:
                break
            known |= inodes(self._text(f"/net/{name}"), field)
        return of_controller(inherited, found, is_all_known=inherited <= known)

    @cached_property
    def _inherited(self) -> tuple[set[str], bool]:
        """(the inodes of the sockets that this process's ancestors have open, none where not all of them can be told; whether one of
        them is in another network namespace).
        """
        found: set[str] = set()
        fs, pid, is_elsewhere = self._fs, "self", False
        own = fs.target(f"{fs.proc}/self/ns/net")
        for dummy in range(_MOST_ANCESTORS):
            paths = [f"{fs.proc}/{pid}/stat"]
            words = (fs.read(paths[0]) or "").rpartition(")")[2].split()
            pid = words[1] if len(words) > 1 else "0"
            if pid not in ("0", "1"):
                directory = f"{fs.proc}/{pid}/fd"
                links = [f"{directory}/{handle}" for handle in fs.names(directory)]
                paths += [directory] + links
                targets = [fs.target(link) or "" for link in links]
                sockets = {one[len("socket:["):-1] for one in targets if one.startswith("socket:[")}
                is_elsewhere = is_elsewhere or (bool(sockets - found) and fs.target(f"{fs.proc}/{pid}/ns/net") not in (own, None))
                found |= sockets
            if any(fs.refusal(path) is not None for path in paths):
                return set(), is_elsewhere
            if pid in ("0", "1"):
                return found, is_elsewhere
        return set(), is_elsewhere  # sshd may be above

    def ways(self, name: str) -> list[tuple[str, list[str]]] | None:
        """The ways from an interface down to PCI functions, [(text, addresses)]; None where they cannot be told.

        What ends in no hardware (a tunnel, a container's interface) is carried by some other interface, which nothing
        here names. A bridge with a real port needs no more, but for what tunnels among its ports go over; bridges of Open vSwitch have
        their ports in one place, where tunnels are of guests' networks. Where /sys is of another network namespace, an interface of
        that name is another one.
        """
        if self._is_own is None:
            self._is_own = shows_own_interfaces(self._fs)
        if not self._is_own:
            return None
        ends = list(self._ends([name]))
        if not any(end[2] for end in ends) or any(end[1] is None for end in ends):
            return None
        return [(" over ".join(chain), addresses) for chain, addresses, dummy in ends if addresses]

    def _ends(self, chain: list[str]) -> Iterator[tuple[list[str], list[str] | None, bool]]:
        """(interfaces on the way, addresses, whether hardware is there) of each end below an interface; addresses are None where
        they cannot be told.
        """
        fs, directory = self._fs, f"{self._fs.net}/{chain[-1]}"
        target = fs.target(directory) or ""
        addresses = addresses_in(target)
        lower = [entry[len(_LOWER):] for entry in fs.names(directory) if entry.startswith(_LOWER)]
        if fs.refusal(directory) is not None or USB_OVER_IP in target:
            yield chain, None, False
        elif target and VIRTUAL not in target:
            yield chain, addresses, True
        elif not lower and self._may_be_of_ovs(directory):
            lower = [_OVS]
        elif not lower and chain[1:] and _OVS not in chain and self._is_tunnel(directory):
            yield chain, None, False
        for name in lower:
            if name not in chain:
                yield from self._ends(chain + [name])

    def _is_tunnel(self, directory: str) -> bool:
        """Whether a port that nothing is below is the end of a tunnel, and no guest's, nor a container's, nor for nothing at all.

        Kinds with a name of their own say so; of GRE the kernel says that it is over no link (source: net/core/net-sysfs.c
        iflink_show(), net/ipv4/ip_tunnel.c ip_tunnel_get_iflink()). What does not tell may be one.
        """
        fs, paths = self._fs, (directory + "/uevent", directory + "/iflink")
        kind, link = _DEVTYPE.search(fs.read(paths[0]) or ""), fs.read(paths[1])
        if any(fs.refusal(path) is not None for path in paths):
            return True
        return kind.group(1) not in _STACKED if kind else link == "0"

    def _may_be_of_ovs(self, directory: str) -> bool:
        fs = self._fs
        if not fs.exists(f"{fs.net}/{_OVS}") or fs.exists(directory + "/tun_flags"):
            return False
        return "DEVTYPE=" not in (fs.read(directory + "/uevent") or "DEVTYPE=")

    def up(self) -> list[tuple[str, list[str]]]:
        """(text, addresses) of every interface of a PCI function that is up, or whose state cannot be read; of each adapter with a
        port of InfiniBand or RoCE that is up; and of what may have an interface that is not seen here.
        """
        if self._up is None:
            self._up = self._hidden + self._shown_up()
        return self._up

    @cached_property
    def _hidden(self) -> list[tuple[str, list[str]]]:
        return list(self._list_hidden())

    @cached_property
    def _reached(self) -> set[bytes]:
        """The addresses that sockets of root's and of the kernel's reach in this network namespace. Another user could have one to whatever
        address, and hide so that the kernel's is elsewhere.
        """
        try:
            return {peer for name in ("tcp", "tcp6") for peer in reached_by_root(self._text(f"/net/{name}"))}
        except ValueError:
            return set()

    def unseen(self, peer: bytes) -> list[tuple[str, list[str]]]:
        """(text, addresses) of what may reach a peer that is in use, from a network namespace that is not to be seen here: none where this
        one has a connection to it.
        """
        return [] if parts_of_server(peer)[0] in self._reached else self._hidden

    def _shown_up(self) -> list[tuple[str, list[str]]]:
        fs, ways = self._fs, []
        for name, target in self._links.items():
            addresses = addresses_in(target or "")
            flags = fs.read(f"{fs.net}/{name}/flags") if addresses else "0x0"
            if addresses and _is_up(flags):
                ways.append((name, addresses))
        for name in fs.names(fs.infiniband):
            addresses, ports = addresses_in(fs.target(f"{fs.infiniband}/{name}") or ""), f"{fs.infiniband}/{name}/ports"
            found = fs.names(ports)
            is_unread = fs.refusal(ports) is not None
            states = [fs.read(f"{ports}/{port}/state") or "" for port in found]
            if addresses and (is_unread or any(not one.startswith(_PORT_DOWN) for one in states)):
                ways.append((name, addresses))
        return ways

    @cached_property
    def _links(self) -> dict[str, str | None]:
        """Interface -> where its link in the class points; None where there is none, or it cannot be read."""
        return {name: self._fs.target(f"{self._fs.net}/{name}") for name in self._fs.names(self._fs.net)}

    def is_hidden(self) -> bool:
        """Whether it cannot be told which interfaces there are, or what they belong to."""
        fs, links = self._fs, self._links
        # What is no link is no interface: bonding_masters (EINVAL, source: readlink(2)).
        return fs.refusal(fs.net) is not None or any(
            target is None and fs.refusal(f"{fs.net}/{name}") not in (None, errno.EINVAL) for name, target in links.items()
        )

    def below(self, name: str | Untold) -> list[tuple[str, list[str]]]:
        """(text, addresses) of all that an interface needs; where that cannot be told, of every interface that is up."""
        untold = name if isinstance(name, Untold) else Untold()
        ways = None if isinstance(name, Untold) else self.ways(name)
        if ways is not None:
            return ways
        start = "" if isinstance(name, Untold) else f"{name} over "
        return [(f"{start}{untold.what}, so every interface that is up counts: {one}", addresses) for one, addresses in self.up()]

    def to_peer(self, peer: bytes | None) -> list[tuple[str, list[str]]]:
        """(text, addresses) of all that reaching a peer needs; ``peer`` is None where it is not known."""
        address, scope = parts_of_server(peer or b"")
        names: set[str | Untold] = set(self._of_scope(scope)) if scope else set()
        if address and not names:
            names = self._with_hops(self.tables.to_peer(address), address)
        return [way for name in sorted(names, key=str) or [Untold()] for way in self.below(name)]

    def _of_scope(self, scope: str) -> list[str]:
        """The interfaces that a scope names: by name, or by number, as the kernel prints it (source: net/sunrpc/addr.c rpc_ntop6())."""
        fs = self._fs
        return [name for name in fs.names(fs.net) if scope in (name, fs.read(f"{fs.net}/{name}/ifindex"))]

    def from_own(self, local: bytes, peer: bytes) -> list[tuple[str, list[str]]]:
        """(text, addresses) of all that a connection from an address of this host to a peer needs."""
        peer = parts_of_server(peer)[0]
        return [way for name in sorted(self._both_ends(local, peer), key=str) or [Untold()] for way in self.below(name)]


def _is_up(flags: str | None) -> bool:
    try:
        return not flags or bool(int(flags, 16) & _UP)
    except ValueError:
        return True


__all__ = ("Network", "Untold", "USB_OVER_IP", "VIRTUAL")
