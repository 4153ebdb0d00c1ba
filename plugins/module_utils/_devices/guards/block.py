# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What block devices stand on: from a block device's name down to PCI functions, to interfaces, or to what cannot be told."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Collection, Iterator, List, Optional, Sequence

from ansible_collections.vfio.host.plugins.module_utils._devices.guards.network import USB_OVER_IP, VIRTUAL, Network
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.routes import parse_address, parse_server
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.servers import servers_of_rbd
from ansible_collections.vfio.host.plugins.module_utils._devices.nvme import NVME_SUBSYSTEM, subsystem_controllers
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import addresses_in
from ansible_collections.vfio.host.plugins.module_utils._host.errors import errno_name
from ansible_collections.vfio.host.plugins.module_utils._host.nodes import BLOCK
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.mounts import Mount

_NVME_FABRICS = "/nvme-fabrics/"
_FABRICS_CONTROLLER = re.compile(r".*/nvme-fabrics/[^/]+/[^/]+(?=/)")
_ISCSI_SESSION = re.compile(r"/(host\d+)/session(\d+)/")
_INTERFACE = re.compile(r"/net/([^/]+)/")  # Fibre Channel over Ethernet hangs its hosts below the interface
# Of memory (source: drivers/block/{brd,zram,null_blk}); and of Ceph.
_OF_MEMORY, _OF_CEPH = re.compile(r"(ram|zram|nullb)\d"), re.compile(r"rbd(\d+)")
_REPLICATED, _ZVOL = re.compile(r"drbd\d"), re.compile(r"zd\d")
# The roots below /sys/devices of what is on no PCI bus: channels of s390, ACPI, device trees, virtual buses of POWER and Xen, virtio
# of a command line, and scsi_debug's memory. On the platform bus, hosts of iSCSI are no hardware; and what CXL brings is a PCI function's.
_ON_OTHER_BUS = re.compile(r".*/devices/(css0|LNXSYSTM:00|platform|soc[^/]*|vio|vbd-\d+|virtio-mmio-cmdline|pseudo_0)/(?!host\d+/)(?!.*/nvdimm-bridge)")
_OF_THIS_HOST = "loop"  # a transport of NVMe that leads to this host's own target (source: drivers/nvme/target/loop.c)
_DELETED = " (deleted)"


@dataclass(frozen=True)
class Way:
    """One way down: ``text`` says it, ``addresses`` is where it ends; None: it cannot be told, and may be anywhere.

    ``is_direct``: what is in use is a disk's, and no file's on another file system. ``is_disk``: of what cannot be told, that it
    is some block device of this host.
    """

    text: str
    addresses: Optional[List[str]]
    is_direct: bool = True
    is_disk: bool = False


class Blocks:
    """The block devices of one host. ``file_ways``: called with (path, text, seen), gives the Ways of a file; ``pool_ways``: called
    with a text, gives the Ways of all pools of ZFS.
    """

    def __init__(self, fs: Sysfs, network: Network) -> None:
        self._fs = fs
        self._network = network
        self.used: set[str] = set()  # names of the block devices on the ways so far
        self.file_ways: Callable[..., Iterator[Way]] = lambda path, text, seen: iter([Way(text, None)])
        self.pool_ways: Callable[[str], Iterator[Way]] = lambda text: iter([Way(text, None)])

    def node(self, path: str) -> Optional[str]:
        """The kernel's name of a device node; None where there is none. Those in /dev itself are called so by the kernel; others, such as
        device mapper's, have names that anybody chooses, those of disks as well, and are known by their number.
        """
        real = os.path.realpath(self._fs.root + path)
        directory, name = os.path.split(real)
        is_named = self._fs.exists(f"{self._fs.block}/{name}")
        if is_named and directory == self._fs.dev:
            return name
        found = self._fs.look(real)
        if found is not None and found.kind == BLOCK:
            return self.numbered(found.number)
        return name if is_named else None

    def numbered(self, number: str) -> Optional[str]:
        """The kernel's name of the block device 'major:minor'; None where sysfs has none."""
        return self._fs.link(f"{self._fs.dev_block}/{number}")

    def of_node(self, path: str, text: str, *, seen: tuple[Mount | str, ...] = ()) -> Iterator[Way]:
        """The Ways of a device node."""
        name = self.node(path)
        yield from self.ways(name, text, seen=seen) if name else [Way(f"{text} on {path}", None)]

    def unread(self, path: str) -> Iterator[Way]:
        """A Way that cannot be told, where what was just looked for at ``path`` is there and cannot be read."""
        number = self._fs.refusal(path)
        if number is not None:
            yield Way(f"what {path[len(self._fs.root):]} would say ({errno_name(number)}) is", None)

    def far(self, text: str, *, but: Collection[str] = ()) -> Iterator[Way]:
        """The Ways of all disks of this host that are reached over a network, but those with these names."""
        for name in self._fs.names(self._fs.block):
            target = self._fs.target(f"{self._fs.block}/{name}") or ""
            if name in but or addresses_in(target) or self._fs.exists(f"{self._fs.block}/{name}/partition"):
                continue
            if _OF_CEPH.match(name) or _ISCSI_SESSION.search(target) or self._is_of_fabrics(name, target):
                yield from self.ways(name, text)

    def _is_of_fabrics(self, name: str, target: str) -> bool:
        """Whether some controller of an NVMe disk that no function is above is of another host, or may be."""
        for path in self._controllers(name, target):
            directory = f"{self._fs.nvme}/{os.path.basename(path)}"
            if not (addresses_in(path) or _ON_OTHER_BUS.match(path) or (path and self._fs.read(directory + "/transport") == _OF_THIS_HOST)):
                return True
        return False

    def _controllers(self, name: str, target: str) -> list[str]:
        """The paths of the controllers of an NVMe disk that no function is above, "" for one that cannot be told; none of another disk."""
        if NVME_SUBSYSTEM in target:
            return subsystem_controllers(self._fs, name) or [""]
        return (_FABRICS_CONTROLLER.findall(target) or [""]) if _NVME_FABRICS in target else []

    def remote(
        self, peers: Sequence[Optional[bytes]], text: str, *, own: Sequence[Optional[bytes]] = (), is_in_use: bool = True,
    ) -> Iterator[Way]:
        """The Ways to addresses; None among them, or none at all: every interface that is up counts. ``own``: addresses of this host that
        these are reached from, by which a route can differ. ``is_in_use``: the kernel reaches them now, in whatever network namespace.
        """
        for peer in peers or (None,):
            for way, addresses in self._network.to_peer(peer) + (self._network.unseen(peer) if peer and is_in_use else []):
                yield Way(f"{text} over {way}", addresses)
            for local in own:
                for way, addresses in self._network.from_own(local, peer or local) if local is not None and any(local) else ():
                    yield Way(f"{text} over {way}", addresses)

    def _over(self, interface: str, text: str) -> Iterator[Way]:
        for way, addresses in self._network.below(interface):
            yield Way(f"{text} over {way}", addresses)

    def ways(self, name: str, text: str, *, seen: tuple[Mount | str, ...] = ()) -> Iterator[Way]:
        """The Ways of a block device, to every end below; ``text`` ends before "on"."""
        fs = self._fs
        text, target = f"{text} on {name}", fs.target(f"{fs.block}/{name}")
        self.used.add(name)
        if target is None or name in seen:
            yield Way(text, None)
            return
        addresses, session, interface = addresses_in(target), _ISCSI_SESSION.search(target), _INTERFACE.search(target)
        if addresses:
            yield Way(text, addresses)
        elif NVME_SUBSYSTEM in target or _NVME_FABRICS in target:
            for path in self._controllers(name, target):
                yield from self._controller(path, text)
        elif session:
            yield from self._session(session.group(1), session.group(2), text)
        elif interface:
            yield from self._over(interface.group(1), text)
        elif _OF_CEPH.match(name):
            yield from self.remote(servers_of_rbd(fs, _OF_CEPH.findall(name)[0]), text)
        elif USB_OVER_IP in target:
            yield from self.remote([], text)
        elif VIRTUAL in target:
            yield from self._virtual(name, target, text, seen + (name,))
        else:
            yield Way(text, [] if _ON_OTHER_BUS.match(target) else None)

    def _virtual(self, name: str, target: str, text: str, seen: tuple[Mount | str, ...]) -> Iterator[Way]:
        fs, directory = self._fs, f"{self._fs.block}/{name}"
        lower = fs.names(directory + "/slaves")
        is_unread = fs.refusal(directory + "/slaves") is not None
        parent = target.split("/")[-2]
        if not lower and fs.exists(f"{fs.block}/{parent}"):
            lower = [parent]  # a partition: its disk has the slaves
        for one in lower:
            yield from self.ways(one, text, seen=seen)
        if lower and _REPLICATED.match(name):
            yield from self.remote([], text)
        if lower:
            return
        paths = [directory + "/loop/backing_file", directory + "/backing_dev"]
        backing = next((one for one in map(fs.read, paths) if one and one != "none"), "")
        is_unread = is_unread or any(fs.refusal(path) is not None for path in paths)
        if backing.startswith("/dev/") and self.node(backing):
            yield from self.of_node(backing, text, seen=seen)
        elif backing.startswith("/"):
            yield from self.file_ways(backing[:-len(_DELETED)] if backing.endswith(_DELETED) else backing, text, seen)
        elif _OF_MEMORY.match(name) and not is_unread:
            yield Way(text, [])
        elif _ZVOL.match(name):
            yield from self.pool_ways(text)
        else:
            yield Way(text, None)

    def _session(self, host: str, session: str, text: str) -> Iterator[Way]:
        """A disk of an iSCSI session, whose connections' addresses, and the interface that it is tied to, the kernel tells. A connection that a
        target has redirected goes back to its persistent address when it is made anew (source: open-iscsi usr/initiator.c).
        """
        fs = self._fs
        connections = [f"{fs.iscsi_connections}/{one}" for one in fs.names(fs.iscsi_connections) if one.startswith(f"connection{session}:")]
        peers = [parse_server(fs.read(f"{one}/address") or "") for one in connections]
        for path in [f"{one}/persistent_address" for one in connections]:
            address = parse_server(fs.read(path) or "")
            # One that is a name says nothing new.
            peers += [address] if address is not None or fs.refusal(path) is not None else []
        yield from self.remote(peers, text, own=[parse_address(fs.read(f"{fs.iscsi_hosts}/{host}/ipaddress") or "")])
        interface = fs.read(f"{fs.iscsi_hosts}/{host}/netdev") or ""
        if interface and fs.exists(f"{fs.net}/{interface}"):
            yield from self._over(interface, text)
        if any(fs.refusal(f"{fs.iscsi_hosts}/{host}/{name}") is not None for name in ("ipaddress", "netdev")):
            yield from self.remote([], text)

    def _controller(self, path: str, text: str) -> Iterator[Way]:
        """An NVMe controller by its transport (source: drivers/nvme/host/fabrics.c nvmf_get_address())."""
        fs = self._fs
        if addresses_in(path) or _ON_OTHER_BUS.match(path):
            yield Way(text, addresses_in(path))
            return
        directory = f"{fs.nvme}/{os.path.basename(path)}"
        transport = fs.read(directory + "/transport") if path else None
        words = {}
        for word in (fs.read(directory + "/address") or "").split(",") if path else ():
            key, dummy, value = word.partition("=")
            words[key] = value
        peer = parse_server(words.get("traddr", ""))
        if transport in ("tcp", "rdma") or (transport is None and peer is not None):
            yield from self.remote([peer], text, own=[parse_address(words.get(key, "")) for key in ("host_traddr", "src_addr")])
            if "host_iface" in words:
                yield from self._over(words["host_iface"], text)
        elif transport == "fc":
            yield from self._adapter(words.get("host_traddr", ""), text)
        else:
            yield Way(text, None)

    def _adapter(self, traddr: str, text: str) -> Iterator[Way]:
        """The Fibre Channel adapter of a port name: 'nn-0x20000090fa000001:pn-0x10000090fa000001'."""
        fs, found = self._fs, []
        wanted = _number(traddr.rpartition("pn-")[2]) if "pn-" in traddr else None
        for host in fs.names(fs.fc_hosts):
            if wanted is not None and _number(fs.read(f"{fs.fc_hosts}/{host}/port_name")) == wanted:
                found.append((host, fs.target(f"{fs.fc_hosts}/{host}") or ""))
        for host, target in found or [("", "")]:
            addresses, interface = addresses_in(target), _INTERFACE.search(target)
            if addresses:
                yield Way(f"{text} over {host}", addresses)
            elif interface:
                yield from self._over(interface.group(1), f"{text} over {host}")
            else:
                yield Way(text, None)


def _number(text: str | None) -> int | None:
    try:
        return int(text or "", 16)
    except ValueError:
        return None


__all__ = ("Blocks", "Way")
