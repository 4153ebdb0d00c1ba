# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What can be opened of a PCI function: the device nodes below it in sysfs, and those that live on its disks."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._devices.dependence import unbound_with
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import last_address
from ansible_collections.vfio.host.plugins.module_utils._devices.processes import printable
from ansible_collections.vfio.host.plugins.module_utils._devices.vendors import unplaced
from ansible_collections.vfio.host.plugins.module_utils._host.errors import errno_name
from ansible_collections.vfio.host.plugins.module_utils._host.nodes import BLOCK, CHARACTER, Node

if TYPE_CHECKING:
    from typing import Iterable, Iterator

    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_NUMBER = re.compile(r"\d+:\d+\Z")
# Where the kernel shows the files that it has open for others without being their exclusive user (source: drivers/block/loop.c,
# drivers/nvme/target/io-cmd-bdev.c, drivers/nvme/target/passthru.c, drivers/target/target_core_file.c,
# drivers/usb/gadget/function/storage_common.c, fs/ocfs2/cluster/heartbeat.c, drivers/block/rnbd/rnbd-srv-sysfs.c).
_NVMET, _TARGET, _GADGET, _OCFS2, _RNBD = "nvmet/subsystems", "target/core", "usb_gadget", "cluster", "rnbd-server/ctl/devices"
_PASSED_ON = "/pscsi_"  # a device of SCSI as it is, of which a disk alone is claimed (source: drivers/target/target_core_pscsi.c pscsi_create_type_nondisk())
_TARGET_FILE = re.compile(r"File: (/\S+)")
_NODES, _SHARED_MEMORY = "/dev/", "/dev/shm/"


@dataclass(frozen=True)
class Place:
    """One device node: what it is called below /dev, its class in sysfs, and its directory there."""

    name: str
    subsystem: str
    directory: str


@dataclass(frozen=True)
class Below:
    """What is below one PCI function. ``nodes``: Node -> Place; ``disks``: the Nodes of its own whole disks; ``users``: a text for
    each user in the kernel that builds on one of them; ``mediated``: the UUIDs of its mediated devices; ``unread``: a text for each thing
    that would tell of more and cannot be read.
    """

    nodes: dict[Node, Place] = field(default_factory=dict)
    disks: list[Node] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    mediated: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def vfio_nodes(fs: Sysfs, directory: str, *, group: str | None) -> dict[Node, Place]:
    """The Nodes through which a process can hold the device of a sysfs directory by VFIO: Node -> Place."""
    groups = _group_names(group)
    return _nodes_at(fs, [f"{fs.vfio_groups}/{name}" for name in groups] + _own_paths(fs, directory))


def _group_names(group: str | None) -> list[str]:
    return [] if group is None else [group, f"noiommu-{group}"]


def _own_paths(fs: Sysfs, directory: str) -> list[str]:
    return [f"{directory}/vfio-dev/{name}" for name in fs.names(f"{directory}/vfio-dev")]


def _nodes_at(fs: Sysfs, paths: Iterable[str]) -> dict[Node, Place]:
    found: dict[Node, Place] = {}
    for path in paths:
        _add(fs, found, path)
    return found


class VfioNodes:
    """vfio_nodes() of many devices at one moment. Most devices of a host are in neither of VFIO's classes, which are read once.

    What is below a device as vfio-dev/NAME is also in the class vfio-dev (source: drivers/vfio/vfio_main.c vfio_init_device()). Where a
    class cannot be read, any device may be in it.
    """

    def __init__(self, fs: Sysfs) -> None:
        self._fs = fs
        self._found: dict[str, dict[Node, Place]] = {}
        groups, own = fs.names(fs.vfio_groups), fs.names(fs.vfio_devices)
        self._groups = None if fs.refusal(fs.vfio_groups) is not None else frozenset(groups)
        parents = {last_address(fs.target(f"{fs.vfio_devices}/{name}") or "") for name in own}
        self._parents = None if fs.refusal(fs.vfio_devices) is not None or None in parents else parents

    def of(self, device: Device) -> dict[Node, Place]:
        """The Nodes of a device: Node -> Place."""
        if device.address not in self._found:
            self._found[device.address] = _nodes_at(self._fs, self._paths(device))
        return self._found[device.address]

    def _paths(self, device: Device) -> list[str]:
        fs, groups, parents = self._fs, self._groups, self._parents
        paths = [f"{fs.vfio_groups}/{name}" for name in _group_names(device.iommu_group) if groups is None or name in groups]
        if parents is None or device.address in parents:
            paths += _own_paths(fs, fs.device_directory(device.address))
        return paths


def below(fs: Sysfs, address: str, *, backing: Backing | None = None) -> Below:
    """The Below of the function at ``address``: with PCI functions, auxiliary and mediated devices that hang from it, with functions
    that the kernel unbinds together with it, and with what is built on its disks (device mapper, md, bcache, loop devices).
    ``backing``: of the same host, which will be asked more.
    """
    found, backing = Below(), backing or Backing(fs)
    directory = fs.device_directory(address)
    with fs.refused() as refused:
        seen, todo = set(), [(directory, True)] + [(one, True) for one in _subsystems(fs, directory)]
        while todo:
            start, is_own = todo.pop()
            if start in seen:
                continue
            seen.add(start)
            for path, names in fs.walk(start):
                if is_own:
                    todo += [(fs.device_directory(one), True) for one in unbound_with(fs, path, names=names)]
                todo += [(os.path.realpath(more), False) for more in _node(fs, path, names, is_own, found, backing)]
        for one in unplaced(fs, address, known=list(found.nodes)):
            found.nodes.setdefault(one.node, Place(one.name, one.driver, ""))
    found.unread.extend(_unread(fs, refused))
    return found


def _unread(fs: Sysfs, refused: dict[str, int]) -> list[str]:
    """A text for each path that was ``refused``."""
    return [f"{path[len(fs.root):]} ({errno_name(number)})" for path, number in sorted(refused.items())]


def _node(fs: Sysfs, path: str, names: list[str], is_own: bool, found: Below, backing: Backing) -> Iterator[str]:
    """Take in what one directory of sysfs is, and yield those of what is built on it."""
    if "iommu_group" in names:
        # What it has as vfio-dev/NAME comes by itself.
        found.nodes.update(_nodes_at(fs, [f"{fs.vfio_groups}/{name}" for name in _group_names(fs.link(f"{path}/iommu_group"))]))
    if "mdev_type" in names:
        found.mediated.append(os.path.basename(path))
    for name in names:
        # An interface on top goes with the one below, but not its bridge or bond (source: net/core/dev.c).
        if name.startswith("upper_") and fs.link(f"{path}/master") != name[len("upper_"):]:
            yield f"{fs.net}/{name[len('upper_'):]}"
    if "dev" not in names:
        return
    node = _add(fs, found.nodes, path)
    if node is None:
        return
    for user, text in backing.users_of(node):
        found.users.append(f"{text} {os.path.basename(path)}")
        if user is not None:
            yield f"{fs.block}/{user}"
    if node.kind != BLOCK:
        return
    if is_own and "partition" not in names and fs.read(f"{path}/hidden") != "1":
        found.disks.append(node)
    for name in fs.names(f"{path}/holders"):
        found.users.append(f"{_called(fs, name)} is built on {os.path.basename(path)}")
        yield f"{fs.block}/{name}"


def _add(fs: Sysfs, nodes: dict[Node, Place], path: str) -> Node | None:
    """Take in the node of a directory of sysfs, where it has one."""
    number = fs.read(f"{path}/dev")
    if number is None or not _NUMBER.match(number):
        return None
    subsystem = fs.link(f"{path}/subsystem") or ""
    node = Node(BLOCK if subsystem == "block" else CHARACTER, number)
    name = next((
        line[len("DEVNAME="):] for line in (fs.read(f"{path}/uevent") or "").split("\n") if line.startswith("DEVNAME=")
    ), os.path.basename(path).replace("!", "/"))
    nodes.setdefault(node, Place(name, subsystem, path))
    return node


def _subsystems(fs: Sysfs, directory: str) -> list[str]:
    """The NVMe subsystems of the controllers below a directory: namespaces may hang from these (native multipath)."""
    found = []
    for name in fs.names(fs.nvme_subsystems):
        controllers = [os.path.realpath(f"{fs.nvme}/{entry}") for entry in fs.names(f"{fs.nvme_subsystems}/{name}")]
        if any(one.startswith(os.path.realpath(directory) + "/") for one in controllers):
            found.append(os.path.realpath(f"{fs.nvme_subsystems}/{name}"))
    return found


def _called(fs: Sysfs, name: str) -> str:
    """A block device, with the name that device mapper has for it."""
    mapped = fs.read(f"{fs.block}/{name}/dm/name")
    return f"{name} ({mapped})" if mapped else name


class Backing:
    """What the kernel has open by a path, of which it is no exclusive user: read once, where there is a node to look for."""

    def __init__(self, fs: Sysfs) -> None:
        self._fs = fs
        self._found: dict[Node, list[tuple[str | None, str]]] | None = None
        self._untold: list[tuple[str | None, str]] = []

    def users_of(self, node: Node) -> list[tuple[str | None, str]]:
        """(block device or None, text) of each user of a device."""
        if self._found is None:
            self._found = self._users()
        return self._found.get(node, []) + (self._untold if node.kind == BLOCK else [])

    def _users(self) -> dict[Node, list[tuple[str | None, str]]]:
        users: dict[Node, list[tuple[str | None, str]]] = {}
        fs = self._fs
        with fs.refused() as refused:
            paths = list(self._paths())
            numbers = [(fs.read(f"{fs.block}/{device}/dev"), text) for device, text in self._devices()]
        # A file's path may be longer than the kernel tells, a node's is not (source: drivers/block/loop.c loop_attr_backing_file_show()).
        untold = {path: number for path, number in refused.items() if number != errno.ENAMETOOLONG}
        self._untold += [(None, f"what cannot be read, {text}, may say that something has") for text in _unread(fs, untold)]
        for name, path, text in paths:
            target = self._fs.look(self._fs.root + path)
            if target is not None:
                users.setdefault(target, []).append((name, text))
            elif path.startswith(_NODES) and not path.startswith(_SHARED_MEMORY):
                self._untold.append((name, f"{text} {printable(path)}, which is not to be seen here and may be"))
        for number, text in numbers:
            if number:
                users.setdefault(Node(BLOCK, number), []).append((None, text))
        return users

    def _devices(self) -> Iterator[tuple[str, str]]:
        """(the kernel's name of a block device, text)."""
        fs = self._fs
        for place in self._below(_OCFS2, "heartbeat"):
            device = fs.read(f"{place}/dev")
            if device:
                yield device, f"OCFS2's heartbeat {place[len(fs.configfs) + 1:]} is on"
        for name in fs.names(f"{fs.classes}/{_RNBD}"):
            device = fs.link(f"{fs.classes}/{_RNBD}/{name}/block_dev")
            if device:
                yield device, f"RNBD's server has for its clients, as {name},"

    def _paths(self) -> Iterator[tuple[str | None, str, str]]:
        fs = self._fs
        for name in fs.names(fs.block):
            path = fs.read(f"{fs.block}/{name}/loop/backing_file")
            if path:
                yield name, path, f"loop device {name} is set up over"
        passed = [f"{fs.configfs}/{_NVMET}/{name}/passthru" for name in fs.names(f"{fs.configfs}/{_NVMET}")]
        for place in passed + list(self._below(_NVMET, "namespaces")):
            path = fs.read(f"{place}/device_path")
            if path and fs.read(f"{place}/enable") == "1":
                yield None, path, f"NVMe target {place[len(fs.configfs) + 1:]} serves"
        for place in self._below(_TARGET):
            path = self._served(place)
            if path:
                yield None, path, f"SCSI target {place[len(fs.configfs) + 1:]} serves"
        for name in fs.names(fs.scst_devices):
            # The path is followed by a line with a mark where it was set (source: SCST's scst_vdisk.c vdisk_sysfs_filename_show()).
            path = (fs.read(f"{fs.scst_devices}/{name}/filename") or "").partition("\n")[0]
            if path.startswith("/"):
                yield None, path, f"device {name} of SCST is on"
        for place in self._below(_GADGET, "functions"):
            for lun in fs.names(place):
                path = fs.read(f"{place}/{lun}/file")
                if path:
                    yield None, path, f"USB gadget {place[len(fs.configfs) + 1:]} serves"

    def _served(self, place: str) -> str:
        """What a device of the SCSI target has open without a claim; "" for nothing."""
        if _PASSED_ON in place and self._fs.read(f"{place}/enable") == "1":
            return self._fs.read(f"{place}/udev_path") or ""
        file = _TARGET_FILE.search(self._fs.read(f"{place}/info") or "")
        return file.group(1) if file else ""

    def _below(self, top: str, middle: str = "") -> Iterator[str]:
        """The directories two levels below ``top`` of configfs, by way of ``middle``."""
        fs = self._fs
        for one in fs.names(f"{fs.configfs}/{top}"):
            base = os.path.join(f"{fs.configfs}/{top}", one, middle).rstrip("/")
            for two in fs.names(base):
                yield f"{base}/{two}"


__all__ = ("Backing", "Below", "Place", "VfioNodes", "below", "vfio_nodes")
