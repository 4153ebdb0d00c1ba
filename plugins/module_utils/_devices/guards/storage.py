# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What the host's file systems are on: from mounts, swap and boot partitions down to PCI functions."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._devices import mounts
from ansible_collections.vfio.host.plugins.module_utils._devices.guards import filesystems
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.block import Blocks, Way
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.boot import NextBoot
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.namespaces import other_mounts
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.servers import unnamed_servers
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.zfs import Pools
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import addresses_in

if TYPE_CHECKING:
    from typing import Collection, Iterator

    from ansible_collections.vfio.host.plugins.module_utils._devices.guards.network import Network
    from ansible_collections.vfio.host.plugins.module_utils._devices.mounts import Mount
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_VIRTIO = re.compile(r"virtio\d+\Z")


class Storage:
    """One host's file systems and swap. ``network`` is its Network, for what is mounted from afar."""

    def __init__(self, fs: Sysfs, network: Network) -> None:
        self._fs = fs
        self._blocks = Blocks(fs, network)
        self._pools = Pools(fs, self._blocks)
        self._blocks.file_ways = self._file
        self._blocks.pool_ways = self._pools.all
        self._mounts = mounts.parse_mountinfo(fs.text(fs.proc + "/self/mountinfo"))
        self._holding = mounts.Holding(self._mounts)
        self._members_told: set[str | None] = set()

    def ways(self) -> Iterator[Way]:
        """Every Way from what the host uses, or needs for its next boot."""
        seen: set[tuple[str, str, str]] = set()
        root = self._holding.of("/")
        if root is None or filesystems.stands_on(root) == filesystems.NOTHING:
            yield Way("/ is", None)
        for mount in self._mounts:
            yield from self._once(mount, f"{mount.point} is", seen)
        for pid, other in other_mounts(self._fs):
            if other is None:
                yield Way(f"what process {pid} has mounted cannot be read, and is", None)
            else:
                yield from self._once(other, f"{other.point} of process {pid} is", seen)
        swaps = self._fs.proc + "/swaps"
        for path, is_file in mounts.parse_swaps(self._fs.text(swaps)):
            if is_file:
                yield from self._file(path, f"swap {path} is", ())
            else:
                yield from self._blocks.of_node(path, "swap is")
        yield from self._pools.rest()
        yield from self._btrfs_without_mount()
        yield from self._journals()
        yield from self._without_mount()
        for path in (swaps, self._pools.directory, self._fs.journals):
            yield from self._blocks.unread(path)
        yield from NextBoot(self._fs, self._blocks, self._mounts).ways()
        yield from self._assembled()
        # What has sessions and connections open for these is the kernel; a guest may have the disk.
        for way in self._blocks.far("a disk of another host, which this one is connected to, is", but=frozenset(self._blocks.used)):
            yield replace(way, is_direct=False)
        for server in unnamed_servers(self._fs, {kind for dummy, dummy, kind in seen}):
            for way in self._blocks.remote([server.address], server.text, own=[server.own]):
                yield replace(way, is_direct=False)

    def _once(self, mount: Mount, text: str, seen: set[tuple[str, str, str]]) -> Iterator[Way]:
        """The Ways of a mount, where no other one of the same file system was looked at. A host may have thousands."""
        stands_on, key = filesystems.stands_on(mount), (mount.number, mount.source, mount.kind)
        if stands_on in (filesystems.NOTHING, filesystems.IN_MEMORY) or key in seen:
            return
        seen.add(key)
        if stands_on == filesystems.POOL and self._pools.is_told(_pool(mount)):
            return
        yield from self._mount(mount, text, ())

    def _btrfs_without_mount(self) -> Iterator[Way]:
        """btrfs shows what it has open, and the numbers of its mounts lead nowhere: all of it counts, whatever mount it is of."""
        for one in self._fs.names(self._fs.btrfs):
            directory = f"{self._fs.btrfs}/{one}/devices"
            for name in self._fs.names(directory):
                if name not in self._members_told:
                    yield from self._blocks.ways(name, f"the btrfs file system {one} is")
            yield from self._blocks.unread(directory)
        yield from self._blocks.unread(self._fs.btrfs)

    def _journals(self) -> Iterator[Way]:
        """Journals of ext4 and OCFS2 that are on disks of their own: no mount names them. One within a file system has a name that is no
        block device's, sda1-8 (source: fs/jbd2/journal.c jbd2_journal_init_dev(), jbd2_journal_init_inode()).
        """
        for name in self._fs.names(self._fs.journals):
            if self._fs.exists(f"{self._fs.block}/{name}"):
                yield from self._blocks.ways(name, "the journal of a file system is")

    def _without_mount(self) -> Iterator[Way]:
        """File systems that no mount leads to: unmounted lazily and still in use, or mounted in a namespace that no process is in; and further
        devices of f2fs. Most kinds have a directory that is called as the block device, as long as the kernel has it open (source:
        fs/ext4/sysfs.c ext4_register_sysfs(); of xfs, f2fs and others alike).
        """
        fs, points = self._fs, {mount.point for mount in self._mounts}
        for top in fs.filesystems:
            kinds = [kind for kind in fs.names(top) if f"{top[len(fs.root):]}/{kind}" not in points]  # anybody may name what is in bpffs
            yield from self._blocks.unread(top)
            for kind in kinds:
                directory = f"{top}/{kind}"
                for name in fs.names(directory):
                    if name not in self._blocks.used and fs.exists(f"{fs.block}/{name}"):
                        yield from self._blocks.ways(name, f"a file system of {kind} that no mount shows is")
                    for path in filesystems.further_devices(fs.text(f"{directory}/{name}/disk_map")) if kind == "f2fs" else ():
                        if self._blocks.node(path) not in self._blocks.used:
                            yield from self._blocks.of_node(path, f"the file system of {name} is")
                    yield from self._blocks.unread(f"{directory}/{name}/disk_map")
                yield from self._blocks.unread(directory)

    def _assembled(self) -> Iterator[Way]:
        """What is made of disks (LVM, md, LUKS, multipath), and has them open though nothing is mounted: a guest may have it."""
        fs = self._fs
        for name in fs.names(fs.block):
            below = fs.names(f"{fs.block}/{name}/slaves")
            yield from self._blocks.unread(f"{fs.block}/{name}/slaves")
            if name not in self._blocks.used and not fs.names(f"{fs.block}/{name}/holders"):
                for one in below:
                    yield from self._blocks.ways(one, f"{name}, which is assembled, is")
        yield from self._blocks.unread(fs.block)

    # Each of the following goes on from a text that ends before "on ...", to every end below.

    def _mount(self, mount: Mount, text: str, seen: tuple[Mount | str, ...]) -> Iterator[Way]:
        """The Ways of a mount. ``seen``: the mounts and block devices that it was reached by."""
        stands_on = filesystems.stands_on(mount)
        if mount in seen:
            yield Way(text, None)
        elif stands_on in (filesystems.IN_MEMORY, filesystems.NOTHING):
            yield Way(text, [])
        elif stands_on == filesystems.POOL:
            yield from self._pools.ways(_pool(mount), f"{text} on {mount.source}")
        elif stands_on == filesystems.REMOTE:
            yield from self._blocks.remote(filesystems.servers(mount), f"{text} on {mount.source}", own=filesystems.own_addresses(mount))
        elif stands_on == filesystems.SHARED:
            yield from self._shared(filesystems.SHARED_BY[mount.kind], f"{text} on {mount.source}")
        elif stands_on == filesystems.LAYERS:
            yield from self._overlay(mount, text, seen + (mount,))
        elif stands_on == filesystems.MEMBERS:
            yield from self._members(mount, text, seen)
        elif stands_on == filesystems.FILE:
            # It may be mounted over what it is of.
            yield from self._file(mount.source, f"{text} on {mount.source}", seen + (mount,), but=seen + (mount,))
        elif stands_on == filesystems.BLOCK:
            yield from self._device(mount, text, seen)
        else:
            yield Way(f"{text} on {mount.source} ({mount.kind})", None)

    def _device(self, mount: Mount, text: str, seen: tuple[Mount | str, ...]) -> Iterator[Way]:
        """A file system on one device, by its number; and the devices of its journal, where these are others."""
        name = self._blocks.numbered(mount.number)
        if name:
            yield from self._blocks.ways(name, text, seen=seen)
        elif mount.number.startswith("0:") and self._blocks.node(mount.source):
            yield from self._blocks.of_node(mount.source, text, seen=seen)
        else:
            yield Way(f"{text} on {mount.number} ({mount.source})", None)
        for path in mounts.nodes_named(mount):
            yield from self._blocks.of_node(path, text, seen=seen)
        if filesystems.is_of_cluster(mount, [self._fs.read(f"{self._fs.gfs2}/{one}/lock_module/proto_name") for one in self._fs.names(self._fs.gfs2)]):
            yield from self._blocks.remote([], f"{text} with other hosts")

    def _overlay(self, mount: Mount, text: str, seen: tuple[Mount | str, ...]) -> Iterator[Way]:
        """An overlay is where its layers are, and these on other mounts."""
        layers, is_root = mounts.layers(mount), mount.point == "/"
        paths = layers.lower + layers.data + layers.upper
        if layers.is_relative and not is_root:
            # They begin where it was mounted from: container engines do that with many layers, from above the mount point.
            paths.append(os.path.dirname(mount.point))
        found = {path: holder for path, holder in zip(paths, map(self._holding.of, paths)) if holder is not None}
        hidden = {path for path in layers.lower + layers.data if path in found and self._is_hidden(found[path], mount)} if is_root else set()
        is_told = bool(found) and len(found) == len(set(paths)) and not (is_root and (layers.is_relative or not layers.lower))
        # A layer of a root that the initramfs has mounted may not be to be seen any more. The lowest one of composefs is an image in the
        # same repository as its data (source: ostree src/libotcore/otcore-prepare-root.c otcore_mount_composefs()).
        if not is_told or (hidden and not (layers.data and hidden.isdisjoint(layers.data))):
            yield Way(text, None)
            return
        for holder in dict.fromkeys(holder for path, holder in found.items() if path not in hidden):
            for way in self._mount(holder, f"{text} on {holder.point}", seen):
                yield replace(way, is_direct=False)

    @staticmethod
    def _is_hidden(holder: Mount, overlay: Mount) -> bool:
        """Whether a path that ``holder`` has now is none of what an overlay was mounted with."""
        return holder == overlay or filesystems.stands_on(holder) in (filesystems.IN_MEMORY, filesystems.NOTHING)

    def _file(self, path: str, text: str, seen: tuple[Mount | str, ...], *, but: Collection[Mount | str] = ()) -> Iterator[Way]:
        holder = self._holding.of(path, but=but)
        if holder is None or filesystems.stands_on(holder) == filesystems.NOTHING:
            yield Way(text, None, is_direct=False)  # a node that is gone has no file system below it
            return
        for way in self._mount(holder, f"{text} on {holder.point}", seen):
            yield replace(way, is_direct=False)

    def _members(self, mount: Mount, text: str, seen: tuple[Mount | str, ...]) -> Iterator[Way]:
        """All devices of a file system that has several, as sysfs has them: of btrfs, each file system that is in use."""
        fs = self._fs
        names = [self._blocks.node(path) for path in filesystems.members_of(mount.source)]
        if mount.kind == "btrfs":
            sets = [fs.names(f"{fs.btrfs}/{one}/devices") for one in fs.names(fs.btrfs)]
            own = [members for members in sets if set(names) & set(members)]
            names = [*sorted({name for members in own or sets for name in members})]
        else:
            # A member that has no link is a device that is gone.
            paths = [fs.bcachefs]
            for directory in [f"{fs.bcachefs}/{one}" for one in fs.names(fs.bcachefs)]:
                links = [f"{directory}/{device}/block" for device in fs.names(directory) if device.startswith("dev-")]
                names += [fs.link(link) for link in links]
                paths += [directory, *links]
            names += [None for path in paths if fs.refusal(path) is not None]
        for name in dict.fromkeys(names) or [None]:
            self._members_told.add(name)
            yield from self._blocks.ways(name, text, seen=seen) if name else [Way(f"{text} on {mount.number} ({mount.source})", None)]

    def _shared(self, driver: str, text: str) -> Iterator[Way]:
        fs = self._fs
        directory = f"{fs.virtio_drivers}/{driver}"
        devices = [name for name in fs.names(directory) if _VIRTIO.match(name)]
        for path in [fs.target(f"{directory}/{name}") for name in devices] or [None]:
            yield Way(text, None if path is None else addresses_in(path))


def _pool(mount: Mount) -> str:
    """The pool of a mount of ZFS: 'tank/home@then' is in tank."""
    return mount.source.split("/")[0].split("@")[0]


__all__ = ("Storage",)
