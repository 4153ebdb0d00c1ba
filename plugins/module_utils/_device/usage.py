# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Who needs a device: the processes that hold it through VFIO, and the host itself (guards)."""

from __future__ import annotations

import os

from ansible_collections.vfio.host.plugins.module_utils._device.pci import (
    CONSOLE,
    NETWORK,
    STORAGE,
    addresses_in,
)

# On the path of a namespace that several controllers may serve: it hangs from none of them.
NVME_SUBSYSTEM = "/nvme-subsystem/"

_REJECT_ROUTE = 0x0200  # RTF_REJECT, include/uapi/linux/route.h
_VFIO_NODES = ("/dev/vfio/devices/", "/dev/vfio/noiommu-", "/dev/vfio/")
# A root file system of these kinds has no disk that could be taken away.
_DISKLESS = frozenset(("tmpfs", "ramfs", "rootfs", "nfs", "nfs4", "9p", "ceph", "cifs"))


def holders(fs):
    """VFIO node -> the processes that have it open, as [{pid, command}].

    A node is a group's number or a character device's name ('vfio0'), as below /dev/vfio. The kernel blocks an unbind
    for ever while a device's file is open, so this is asked before. Needs root to see every process.
    """
    found = {}
    for pid in fs.names(fs.proc):
        if not pid.isdigit():
            continue
        directory = f"{fs.proc}/{pid}/fd"
        for handle in fs.names(directory):
            node = _vfio_node(fs.target(f"{directory}/{handle}"))
            if node is None:
                continue
            holder = {"pid": int(pid), "command": fs.read(f"{fs.proc}/{pid}/comm")}
            if holder not in found.setdefault(node, []):
                found[node].append(holder)
    return found


def _vfio_node(target):
    for prefix in _VFIO_NODES:
        if target and target.startswith(prefix):
            node = target[len(prefix):]
            return None if node == "vfio" else node
    return None


def guards(fs, devices):
    """Address -> the reasons why the host itself needs that function, as [{kind, reason}].

    ``devices`` are the scanned functions; what cannot be resolved counts as needed.
    """
    found = {}
    _network(fs, found)
    _storage(fs, found, devices)
    for device in devices:
        if device.boot_vga:
            _add(found, [device.address], CONSOLE, "it is the firmware's display (boot_vga)")
    for device in devices:
        for guard in found.get(device.address, ()) if device.physfn else ():
            _add(found, [device.physfn], guard["kind"], f"its VF {device.address} is needed: {guard['reason']}")
    return found


def _add(found, addresses, kind, reason):
    for address in addresses:
        reasons = found.setdefault(address, [])
        if {"kind": kind, "reason": reason} not in reasons:
            reasons.append({"kind": kind, "reason": reason})


def _network(fs, found):
    for name in sorted(_default_route_interfaces(fs)):
        for chain, addresses in _net_chains(fs, [name]):
            over = f" over {' over '.join(chain[1:])}" if chain[1:] else ""
            _add(found, addresses, NETWORK, f"{name} carries the default route{over}")


def _default_route_interfaces(fs):
    names = set()
    for line in (fs.read_file(fs.proc + "/net/route") or b"").decode().splitlines()[1:]:
        words = line.split()
        if len(words) > 7 and words[1] == words[7] == "00000000" and not int(words[3], 16) & _REJECT_ROUTE:
            names.add(words[0])
    for line in (fs.read_file(fs.proc + "/net/ipv6_route") or b"").decode().splitlines():
        words = line.split()
        if len(words) > 9 and words[0] == "0" * 32 and words[1] == "00" and not int(words[8], 16) & _REJECT_ROUTE:
            names.add(words[9])
    return names


def _net_chains(fs, chain):
    """The ways from an interface down to PCI functions: (interfaces on the way, addresses)."""
    directory = f"{fs.net}/{chain[-1]}"
    addresses = addresses_in(fs.target(directory) or "")
    if addresses:
        yield chain, addresses
    for name in fs.names(directory):
        if name.startswith("lower_") and name[len("lower_"):] not in chain:
            yield from _net_chains(fs, chain + [name[len("lower_"):]])


def _storage(fs, found, devices):
    root_is_known = False
    for number, source, kind, use in _mounts(fs):
        name = _block_name(fs, number, source)
        ways = list(_block_chains(fs, [name])) if name else []
        for chain, addresses in ways:
            _add(found, addresses, STORAGE, f"{use} is on {' on '.join(chain)}")
        if use == "/" and (name or kind in _DISKLESS):
            root_is_known = True
    for line in (fs.read_file(fs.proc + "/swaps") or b"").decode("utf-8", "replace").splitlines()[1:]:
        name = _block_name(fs, "", line.split()[0])
        for chain, addresses in _block_chains(fs, [name]) if name else ():
            _add(found, addresses, STORAGE, f"swap is on {' on '.join(chain)}")
    if not root_is_known:
        for device in devices:
            if device.ids["class"].startswith("01"):
                _add(found, [device.address], STORAGE, "which disk carries / cannot be told, so every disk counts")


def _mounts(fs):
    """(major:minor, source, file system, mount point) of every mount (source: proc_pid_mountinfo(5))."""
    for line in (fs.read_file(fs.proc + "/self/mountinfo") or b"").decode("utf-8", "surrogateescape").splitlines():
        left, dummy, right = line.partition(" - ")
        words, rest = left.split(" "), right.split(" ")
        if len(words) > 4 and len(rest) > 1:
            yield words[2], rest[1], rest[0], words[4]


def _block_name(fs, number, source):
    """The kernel's name of the block device behind a mount; None where there is none.

    btrfs and others mount with a number of their own (major 0): there the source's node tells.
    """
    name = fs.link(f"{fs.dev_block}/{number}") if number else None
    if name is None and source.startswith("/dev/"):
        name = os.path.basename(os.path.realpath(fs.root + source))
        if not fs.exists(f"{fs.block}/{name}"):
            name = None
    return name


def _block_chains(fs, chain):
    """The ways from a block device down to PCI functions: (block devices on the way, addresses)."""
    directory = f"{fs.block}/{chain[-1]}"
    target = fs.target(directory) or ""
    addresses = addresses_in(target)
    if NVME_SUBSYSTEM in target:
        addresses = [one for path in subsystem_controllers(fs, chain[-1]) for one in addresses_in(path)]
    if addresses:
        yield chain, addresses
    lower = fs.names(directory + "/slaves")
    parent = target.split("/")[-2] if "/" in target else ""
    if not lower and not addresses and fs.exists(f"{fs.block}/{parent}"):
        lower = [parent]  # a partition of a stacked disk (md0p1): its disk has the slaves
    for name in lower:
        if name not in chain:
            yield from _block_chains(fs, chain + [name])


def subsystem_controllers(fs, name):
    """The sysfs paths of the controllers behind a multipath NVMe namespace, whose device hangs from none of them."""
    directory = os.path.realpath(f"{fs.block}/{name}")
    while directory and not os.path.basename(directory).startswith("nvme-subsys"):
        directory = os.path.dirname(directory) if directory != "/" else ""
    controllers = [fs.target(f"{fs.nvme}/{entry}") for entry in fs.names(directory)] if directory else []
    return [path for path in controllers if path]


__all__ = ("NVME_SUBSYSTEM", "guards", "holders", "subsystem_controllers")
