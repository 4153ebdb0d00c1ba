# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What the host's file systems are on: from mounts, swap and boot partitions down to PCI functions."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass, replace

from ansible_collections.vfio.host.plugins.module_utils._device import mounts
from ansible_collections.vfio.host.plugins.module_utils._device.guards_network import VIRTUAL
from ansible_collections.vfio.host.plugins.module_utils._device.pci import addresses_in
from ansible_collections.vfio.host.plugins.module_utils._device.routes import parse_address
from ansible_collections.vfio.host.plugins.module_utils._host.errors import errno_name

# On the path of a namespace that several controllers may serve: it hangs from none of them.
NVME_SUBSYSTEM = "/nvme-subsystem/"
_NVME_FABRICS = "/nvme-fabrics/"
_ISCSI_SESSION = re.compile(r"/session(\d+)/")
# Block devices of memory; and of a network, whose servers nothing here names.
_OF_MEMORY, _OF_A_NETWORK = re.compile(r"(ram|zram|nullb)\d"), re.compile(r"(nbd|rbd|ublkb)\d")
_IN_MEMORY = frozenset(("tmpfs", "ramfs", "rootfs"))
_REMOTE = frozenset(("nfs", "nfs4", "cifs", "smb3", "ceph", "afs"))
_ON_MEMBERS = frozenset(("btrfs", "bcachefs"))
# The virtio drivers of file systems that a hypervisor shares.
_SHARED = {"9p": "9pnet_virtio", "virtiofs": "virtiofs"}
_SPECIAL = _REMOTE | _ON_MEMBERS | frozenset(_SHARED) | frozenset(("zfs", "overlay"))
_BY = {"UUID": "uuid", "LABEL": "label", "PARTUUID": "partuuid", "PARTLABEL": "partlabel"}
_LONGEST_NAME = 255
_ODD = re.compile(r"[^\w#+.:=@-]")  # what udev escapes in the name of a link
# Global variables, and systemd's: the partition that its boot loader or stub came from.
_EFI, _LOADER = "8be4df61-93ca-11d2-aa0d-00e098032b8c", "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"


@dataclass(frozen=True)
class Way:
    """One way down: ``text`` says it, ``addresses`` is where it ends; None: it cannot be told.

    ``is_direct``: what is in use is a disk's, and no file's on another file system.
    """

    text: str
    addresses: list
    is_direct: bool = True


class Storage:
    """One host's file systems and swap. ``network`` is its Network, for what is mounted from afar."""

    def __init__(self, fs, network):
        self._fs = fs
        self._network = network
        self._used = set()  # names of the block devices on the ways so far
        self._mounts = mounts.parse_mountinfo(self._text(fs.proc + "/self/mountinfo"))

    def _text(self, path):
        return (self._fs.read_file(path) or b"").decode("utf-8", "surrogateescape")

    def _unread(self, path):
        """A Way that cannot be told, where what was just looked for at ``path`` is there and cannot be read."""
        number = self._fs.refusal(path)
        if number is not None:
            yield Way(f"what {path[len(self._fs.root):]} would say ({errno_name(number)}) is", None)

    def ways(self):
        """Every Way from what the host uses, or needs for its next boot."""
        seen, root = set(), mounts.holding(self._mounts, "/")
        if root is None or not (root.kind in _IN_MEMORY or self._is_real(root)):
            yield Way("/ is", None)
        for mount in self._mounts:
            if self._is_real(mount) and (mount.number, mount.source) not in seen:
                seen.add((mount.number, mount.source))
                yield from self._mount(mount, f"{mount.point} is", ())
        for pid, mount in self._elsewhere():
            if mount is None:
                yield Way(f"what process {pid} has mounted cannot be read, and is", None)
            elif self._is_real(mount) and (mount.number, mount.source) not in seen:
                seen.add((mount.number, mount.source))
                yield from self._mount(mount, f"{mount.point} of process {pid} is", ())
        swaps, pools = self._fs.proc + "/swaps", self._fs.proc + "/spl/kstat/zfs"
        for path, is_file in mounts.parse_swaps(self._text(swaps)):
            if is_file:
                yield from self._file(path, f"swap {path} is", ())
            else:
                yield from self._source(path, "swap is", ())
        for name in self._fs.names(pools):
            if self._fs.exists(f"{pools}/{name}/state"):
                yield Way(f"the ZFS pool {name} is", None)
        for path in (swaps, pools):
            yield from self._unread(path)
        yield from self._of_next_boot()
        yield from self._assembled()

    @staticmethod
    def _is_real(mount):
        if not mount.number.startswith("0:") or mount.kind in _SPECIAL:
            return True
        # A process behind /dev/fuse uses files of its own, if any.
        return mount.source.startswith("/dev/") and mount.kind not in _IN_MEMORY and mount.kind.split(".")[0] != "fuse"

    def _elsewhere(self):
        """(pid, Mount) of other mount namespaces, such as containers': as far as this user may see them. None in place of a
        Mount: they cannot be told.
        """
        fs = self._fs
        known = {fs.target(fs.proc + "/self/ns/mnt"), None}
        for pid in filter(str.isdigit, fs.names(fs.proc)):
            link, info = f"{fs.proc}/{pid}/ns/mnt", f"{fs.proc}/{pid}/mountinfo"
            namespace = fs.target(link)
            unread = fs.refusal(link)
            if namespace not in known:
                known.add(namespace)
                for mount in mounts.parse_mountinfo(self._text(info)):
                    yield pid, mount
                # EINVAL: it has ended meanwhile, and is in no namespace any more (source: fs/proc_namespace.c).
                unread = None if fs.refusal(info) == errno.EINVAL else fs.refusal(info)
            if unread is not None and fs.is_root:
                yield pid, None

    def _of_next_boot(self):
        """What no mount need show: the partitions that the next boot wants, and the one that this boot came from."""
        fs = self._fs
        wanted = [
            (what, f"{key}= of the kernel's command line is")
            for what, key in mounts.boot_devices(fs.read(fs.proc + "/cmdline") or "")
        ]
        wanted += [(what, f"{where} of /etc/fstab is") for what, where in mounts.parse_fstab(self._text(fs.fstab))]
        for path in (fs.proc + "/cmdline", fs.fstab):
            yield from self._unread(path)
        for what in self._booted_from():
            if isinstance(what, Way):
                yield what
            else:
                wanted.append((f"PARTUUID={what.lower()}", "the EFI partition of this boot is"))
        for what, text in wanted:
            name, is_told = self._named(what)
            if not is_told:
                yield Way(text, None)
            for way in self._block(name, text, ()) if name else ():
                yield replace(way, is_direct=False)

    def _assembled(self):
        """What is made of disks (LVM, md, LUKS, multipath), and has them open though nothing is mounted: a guest may have it."""
        for name in self._fs.names(self._fs.block):
            below = self._fs.names(f"{self._fs.block}/{name}/slaves")
            yield from self._unread(f"{self._fs.block}/{name}/slaves")
            if name not in self._used and not self._fs.names(f"{self._fs.block}/{name}/holders"):
                for one in below:
                    yield from self._block(one, f"{name}, which is assembled, is", ())
        yield from self._unread(self._fs.block)

    def _booted_from(self):
        """UUIDs of the partitions that this boot came from, and a Way for each that cannot be told."""
        fs = self._fs
        # The first four bytes of a variable's file are its attributes (source: Documentation/filesystems/efivarfs.rst).
        paths = [f"{fs.efivars}/LoaderDevicePartUUID-{_LOADER}", f"{fs.efivars}/BootCurrent-{_EFI}"]
        loader, current = ((fs.read_bytes(path) or b"")[4:] for path in paths)
        entry = b""
        if len(current) == 2:
            paths.append(f"{fs.efivars}/Boot{int.from_bytes(current, 'little'):04X}-{_EFI}")
            entry = fs.read_bytes(paths[-1]) or b""
        for path in paths:
            yield from self._unread(path)
        yield from filter(None, (loader.decode("utf-16-le", "replace").strip("\0"), mounts.booted_partition(entry[4:])))

    def _named(self, what):
        """(the kernel's name of the block device that a boot names, None where it is not there; whether that can be told)."""
        fs = self._fs
        if "\0" in what:
            return None, False
        key, is_tag, value = what.partition("=")
        if is_tag and key in _BY:
            shown = _ODD.sub(_escaped, value)
            links = [f"{fs.disk_links}/by-{_BY[key]}/{one}" for one in (shown, shown.lower())]
            name = next((name for name in map(fs.link, links) if name), None)
            # What is too long for a link's name is mounted all the same, found by its content.
            return name, name is not None or len(shown.encode("utf-8")) <= _LONGEST_NAME
        if what.startswith("/dev/"):
            return self._node(what), True
        link = f"{fs.dev_block}/{what}"
        name = fs.link(link) if re.match(r"\d+:\d+\Z", what) else None
        return name, fs.refusal(link) is None

    def _node(self, path):
        """The kernel's name of a device node; None where there is none."""
        name = os.path.basename(os.path.realpath(self._fs.root + path))
        return name if self._fs.exists(f"{self._fs.block}/{name}") else None

    # Each of the following goes on from a text that ends before "on ...", to every end below.

    def _mount(self, mount, text, seen):
        if mount in seen or mount.kind == "zfs":
            yield Way(text, None)
        elif mount.kind in _REMOTE:
            yield from self._remote(mounts.option(mount, "addr", "mon_addr"), f"{text} on {mount.source}")
        elif mount.kind in _SHARED and "trans=tcp" not in mount.options:
            yield from self._shared(_SHARED[mount.kind], f"{text} on {mount.source}")
        elif mount.kind == "9p":
            yield from self._remote([mount.source], f"{text} on {mount.source}")
        elif mount.kind == "overlay":
            yield from self._overlay(mount, text, seen + (mount,))
        elif mount.kind in _ON_MEMBERS:
            yield from self._members(mount, text, seen)
        elif not mount.number.startswith("0:"):
            name = self._fs.link(f"{self._fs.dev_block}/{mount.number}")
            yield from self._block(name, text, seen) if name else [Way(text, None)]
        elif mount.source.startswith("/dev/"):
            yield from self._source(mount.source, text, seen)
        else:
            yield Way(text, [])

    def _overlay(self, mount, text, seen):
        directories = mounts.layers(mount)
        holders = [mounts.holding(self._mounts, path) for path in directories]
        if not holders or None in holders:
            yield Way(text, None)
            return
        for holder in dict.fromkeys(holders):
            for way in self._mount(holder, f"{text} on {holder.point}", seen):
                yield replace(way, is_direct=False)

    def _file(self, path, text, seen):
        holder = mounts.holding(self._mounts, path)
        for way in self._mount(holder, f"{text} on {holder.point}", seen) if holder else [Way(text, None)]:
            yield replace(way, is_direct=False)

    def _members(self, mount, text, seen):
        """All devices of a file system that has several: btrfs' are in sysfs, bcachefs' in the source."""
        fs = self._fs
        names = [self._node(path) for path in mount.source.split(":")]
        if mount.kind == "btrfs":
            sets = [fs.names(f"{fs.btrfs}/{one}/devices") for one in fs.names(fs.btrfs)]
            names = next((members for members in sets if names[0] in members), [None])
        for name in names:
            yield from self._block(name, text, seen) if name else [Way(text, None)]

    def _source(self, path, text, seen):
        name = self._node(path)
        yield from self._block(name, text, seen) if name else [Way(text, None)]

    def _remote(self, servers, text):
        """What is reached by network; ``servers`` are addresses as people write them, with a port or without."""
        peers = []
        for server in servers:
            for one in server.split("/"):
                peers.append(parse_address(one) or parse_address(one.rpartition(":")[0]))
        for peer in peers or [None]:
            for way, addresses in self._network.to_peer(peer):
                yield Way(f"{text} over {way}", addresses)

    def _shared(self, driver, text):
        fs = self._fs
        directory = f"{fs.virtio_drivers}/{driver}"
        devices = [name for name in fs.names(directory) if re.match(r"virtio\d+\Z", name)]
        for path in [fs.target(f"{directory}/{name}") for name in devices] or [None]:
            yield Way(text, None if path is None else addresses_in(path))

    def _block(self, name, text, seen):
        fs, directory = self._fs, f"{self._fs.block}/{name}"
        text, target = f"{text} on {name}", fs.target(directory)
        self._used.add(name)
        if target is None or name in seen:
            yield Way(text, None)
            return
        addresses, session = addresses_in(target), _ISCSI_SESSION.search(target)
        if addresses:
            yield Way(text, addresses)
        elif NVME_SUBSYSTEM in target or _NVME_FABRICS in target:
            yield from self._namespace(name, target, text)
        elif session:
            yield from self._remote(
                [fs.read(f"{fs.iscsi_connections}/{one}/address") or "" for one in fs.names(fs.iscsi_connections)
                 if one.startswith(f"connection{session.group(1)}:")], text,
            )
        elif VIRTUAL in target or _OF_A_NETWORK.match(name):
            yield from self._virtual(name, target, text, seen + (name,))
        else:
            yield Way(text, [])  # a disk that no PCI function serves

    def _virtual(self, name, target, text, seen):
        fs, directory = self._fs, f"{self._fs.block}/{name}"
        lower = fs.names(directory + "/slaves")
        parent = target.split("/")[-2]
        if not lower and fs.exists(f"{fs.block}/{parent}"):
            lower = [parent]  # a partition: its disk has the slaves
        backing = (fs.read(directory + "/loop/backing_file") or fs.read(directory + "/backing_dev") or "none")
        for one in lower:
            yield from self._block(one, text, seen)
        if lower:
            return
        if backing.startswith("/dev/") and self._node(backing):
            yield from self._source(backing, text, seen)
        elif backing.startswith("/"):
            yield from self._file(backing, text, seen)
        elif _OF_MEMORY.match(name) and fs.refusal(directory + "/backing_dev") is None:
            yield Way(text, [])
        elif _OF_A_NETWORK.match(name):
            yield from self._remote([], text)
        else:
            yield Way(text, None)

    def _namespace(self, name, target, text):
        """An NVMe namespace that hangs from no PCI function by itself."""
        fs = self._fs
        paths = subsystem_controllers(fs, name) if NVME_SUBSYSTEM in target else [target.rpartition("/")[0]]
        for path in paths or [""]:
            if addresses_in(path):
                yield Way(text, addresses_in(path))
                continue
            # "traddr=192.168.1.1,trsvcid=4420", of TCP and RDMA.
            words = (fs.read(f"{fs.nvme}/{os.path.basename(path)}/address") or "").split(",")
            yield from self._remote([one[len("traddr="):] for one in words if one.startswith("traddr=")], text)


def _escaped(found):
    """A character as udev writes it in the name of a link, byte by byte."""
    return "".join(f"\\x{one:02x}" for one in found.group().encode("utf-8", "surrogateescape"))


def subsystem_controllers(fs, name):
    """The sysfs paths of the controllers behind a multipath NVMe namespace, whose device hangs from none of them."""
    directory = os.path.realpath(f"{fs.block}/{name}")
    while directory and not os.path.basename(directory).startswith("nvme-subsys"):
        directory = os.path.dirname(directory) if directory != "/" else ""
    controllers = [fs.target(f"{fs.nvme}/{entry}") for entry in fs.names(directory)] if directory else []
    return [path for path in controllers if path]


__all__ = ("NVME_SUBSYSTEM", "Storage", "Way", "subsystem_controllers")
