# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What a mounted file system stands on, by its kind and its device number; and which servers it names. Pure.

A kind is taken for harmless only where it is known to be so. Every other kind counts.
"""

from __future__ import annotations

import re
from typing import List, Optional, Tuple

from ansible_collections.vfio.host.plugins.module_utils._devices.guards.routes import is_loopback, parse_address, parse_server
from ansible_collections.vfio.host.plugins.module_utils._devices.mounts import TAGS, Mount, option

# What a mount stands on: a block device of its number; several ones; a pool of ZFS; other mounts; a file; what the hypervisor
# brings; a network; nothing; what cannot be told. IN_MEMORY: nothing either, and files can be in it.
BLOCK, MEMBERS, POOL, LAYERS, FILE, SHARED, REMOTE, IN_MEMORY, NOTHING, UNKNOWN = (
    "block", "members", "pool", "layers", "file", "shared", "remote", "memory", "nothing", "unknown"
)

_MEMORY = frozenset(("tmpfs", "ramfs", "rootfs", "hugetlbfs"))
# Views of the kernel's own tables. Their sources are words that whoever mounts them chooses, also an unprivileged user in a
# namespace of his own (source: FS_USERNS_MOUNT of linux fs/).
_PSEUDO = frozenset((
    "anon_inodefs", "apparmorfs", "autofs", "bdev", "binder", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "cpuset",
    "cxl", "dax", "debugfs", "devfs", "devpts", "devtmpfs", "dma_buf", "dmabuf", "drm", "efivarfs", "functionfs", "fusectl", "gadgetfs",
    "ipathfs", "mqueue", "nfsd", "nsfs", "nullfs", "ocfs2_dlmfs", "ocxlflash", "openpromfs", "oprofilefs", "pidfs", "pipefs", "proc", "pstore",
    "qibfs", "resctrl", "rpc_pipefs", "s390_hypfs", "secretmem", "securityfs", "selinuxfs", "smackfs", "sockfs", "spufs", "sysfs",
    "tracefs", "usbdevfs", "usbfs", "xenfs",
))
_MEMBERS = frozenset(("btrfs", "bcachefs"))
_REMOTE = frozenset((
    "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "panfs", "pvfs2", "smb3", "smbfs",
    "wekafs",
))
# What is over a directory, or in a file.
_OVER_FILES = frozenset(("ecryptfs", "erofs", "shiftfs"))
# The virtio drivers of file systems that a hypervisor shares.
SHARED_BY = {"9p": "9pnet_virtio", "virtiofs": "virtiofs"}
_SHARES = {"virtio": SHARED, "tcp": REMOTE, "rdma": REMOTE}  # by 9p's transport
# File systems of processes that serve what directories have, which are on mounts of their own, or nothing but memory.
_LOCAL_FUSE = frozenset((
    "archivemount", "bindfs", "cryfs", "encfs", "fuse-overlayfs", "fuse-zip", "fuseiso", "gocryptfs", "gvfsd-fuse", "lxcfs", "mergerfs",
    "portal", "rar2fs", "snapfuse", "squashfuse", "unionfs", "unionfs-fuse", "vmware-vmblock",
))
_REMOTE_FUSE = frozenset((
    "beegfs", "blobfuse", "blobfuse2", "ceph", "ceph-fuse", "curlftpfs", "cvmfs2", "davfs", "gcsfuse", "glusterfs", "goofys", "hdfs",
    "juicefs", "mfs", "mount.davfs", "orangefs", "pvfs2fuse", "quobyte", "rclone", "s3fs", "seaweedfs", "smbnetfs", "sshfs",
))
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|//")
_OF_DISK_MAP = re.compile(r"^Disk: *\d+ .* on (/.+)$", re.MULTILINE)
_BETWEEN_NODES = re.compile(":(?=/dev/)")  # names in by-path have colons, too
_BRACKETED = re.compile(r"\[([^\]]*)\]")
_WITH_COLONS = re.compile(r"(?<![\w.])[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*")


def stands_on(mount: Mount) -> str:
    """What a mount stands on: BLOCK and so on."""
    kind = mount.kind
    if kind in _MEMBERS:
        return MEMBERS
    if kind == "zfs":
        return POOL
    if kind == "overlay":
        return LAYERS
    if not mount.number.startswith("0:"):
        return BLOCK
    if kind in _MEMORY:
        return IN_MEMORY
    if kind in _PSEUDO:
        return NOTHING
    if kind in SHARED_BY:
        return _SHARES.get((option(mount, "trans") or ["virtio"])[0], UNKNOWN) if kind == "9p" else SHARED
    if kind in _REMOTE:
        return BLOCK if mount.source.startswith("/dev/") else REMOTE  # lustre's servers mount their disks
    if kind == "fuse" or kind.startswith("fuse."):
        return _of_fuse(mount)
    return FILE if kind in _OVER_FILES and mount.source.startswith("/") else UNKNOWN


def is_of_anybody(mount: Mount) -> bool:
    """Whether an unprivileged user can have mounted it in a user namespace of his own, with any source and any options."""
    return mount.kind in ("overlay", "shiftfs", "fuse") or mount.kind.startswith("fuse.")


def _of_fuse(mount: Mount) -> str:
    # The kernel prints who mounted it (source: fs/fuse/inode.c fuse_show_options()): what a user mounts, the host does not need.
    if [one for one in option(mount, "user_id") if one != "0"]:
        return NOTHING
    served = mount.kind[len("fuse."):]
    if served in _LOCAL_FUSE or (mount.kind, mount.source, mount.point) == ("fuse", "/dev/fuse", "/etc/pve"):
        return NOTHING  # the latter is Proxmox VE's pmxcfs, whose database is a file
    if served in _REMOTE_FUSE or _URL.match(mount.source):
        return REMOTE
    return UNKNOWN


def servers(mount: Mount) -> List[Optional[bytes]]:
    """The addresses of all servers that a REMOTE mount names, 4 or 16 bytes each; None among them for one that it names otherwise,
    or that may stand for others.
    """
    told = [_address(one) for value in option(mount, "addr", "mon_addr", "mountaddr") for one in value.split("/")]
    named = _named(mount.source)
    found = told + [one for one in named if one is not None]
    # The kernel was given the addresses of the names; other channels of SMB, and its witness, go to addresses that the server tells.
    has_more = not told and (None in named or not named) or any(one in ("multichannel", "witness") for one in mount.options.split(","))
    # Behind the loopback is a proxy or a tunnel, to wherever.
    has_more = has_more or any(one is not None and is_loopback(one) for one in found)
    return list(dict.fromkeys(found + ([None] if has_more else [])))


def is_of_cluster(mount: Mount, gfs2_protocols: List[Optional[str]]) -> bool:
    """Whether a file system on a disk needs other hosts, too, for its locks and its heartbeat. ``gfs2_protocols``: those of this host's
    file systems of GFS2 (source: fs/gfs2/sys.c proto_name_show(); fs/ocfs2/super.c ocfs2_show_options()).
    """
    if mount.kind == "gfs2":
        return not gfs2_protocols or any(one != "lock_nolock" for one in gfs2_protocols)
    return mount.kind == "ocfs2" and ("heartbeat=none" not in mount.options.split(",") or bool(option(mount, "cluster_stack")))


def own_addresses(mount: Mount) -> List[Optional[bytes]]:
    """The addresses of this host that a REMOTE mount names as those that it reaches its servers from (source: nfs(5), mount.cifs(8))."""
    return [parse_address(one) for one in option(mount, "clientaddr", "srcaddr")]


def _named(source: str) -> List[Optional[bytes]]:
    """The servers in a source such as 'a,b:/x', '10.0.0.1@tcp:10.0.0.2@tcp:/fs', '[::1]:6789,[::2]:6789:/', '//host/share'."""
    text = _URL.sub("", source, count=1)
    found = []
    for host in re.split(r"[,;]", text.split("/")[0]):
        found += _of_host(host)
    return found


def _of_host(text: str) -> List[Optional[bytes]]:
    whole = _address(text)
    if whole is not None:
        return [whole]
    # An address of IPv6, with a network of Lustre's behind it, has the colons that separate others.
    text = _WITH_COLONS.sub(lambda run: f"[{run.group()}]" if parse_address(run.group()) else run.group(), text)
    found = [_address(one) for one in _BRACKETED.findall(text)]
    words = _BRACKETED.sub("", text).split(":")
    for word in words:
        # A user or a file system's name before the address, or a network of Lustre's behind it.
        addresses = [one for one in map(_address, re.split("[@#]", word)) if one is not None]
        if addresses:
            found += addresses
        elif word and not word.isdecimal() and not (found and (word.startswith("@") or "@" not in word)):
            found.append(None)
    return found


def _address(text: str) -> Optional[bytes]:
    """An address as people write it, with a port or without; None for what is none."""
    head, dummy, port = text.rpartition(":")
    return parse_server(text) or (parse_server(head) if not port or port.isdecimal() else None)


def is_server(what: str, kind: str) -> bool:
    """Whether a line of fstab is about what a server has: by its kind, or since it names an address, whatever the kind."""
    mount = Mount("0:0", "", kind, what, "")
    is_device = what.startswith("/dev/") or what.partition("=")[0] in TAGS
    return stands_on(mount) == REMOTE or bool(kind and not is_device and any(_named(what)))


def further_devices(disk_map: str) -> List[str]:
    """The device nodes that a file system of f2fs on several is on (source: fs/f2fs/sysfs.c disk_map_seq_show(), from Linux 6.12 on)."""
    return _OF_DISK_MAP.findall(disk_map)


def members_of(source: str) -> Tuple[str, ...]:
    """The device nodes in the source of a file system on several: '/dev/a:/dev/b'."""
    return tuple(one for one in _BETWEEN_NODES.split(source) if one.startswith("/dev/"))


__all__ = (
    "BLOCK", "FILE", "IN_MEMORY", "LAYERS", "MEMBERS", "NOTHING", "POOL", "REMOTE", "SHARED", "SHARED_BY", "UNKNOWN", "further_devices",
    "is_of_anybody", "is_of_cluster", "is_server", "members_of", "own_addresses", "servers", "stands_on",
)
