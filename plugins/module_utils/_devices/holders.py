# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Who uses a device: the processes that have a node of it open, and the kernel where it builds on its disks."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._devices.algorithms import algorithms_in_use
from ansible_collections.vfio.host.plugins.module_utils._devices.below import Backing, Below, Place, VfioNodes, below, vfio_nodes
from ansible_collections.vfio.host.plugins.module_utils._devices.channels import channels_in_use
from ansible_collections.vfio.host.plugins.module_utils._devices.processes import Processes, printable, views
from ansible_collections.vfio.host.plugins.module_utils._host.errors import errno_name, errno_text
from ansible_collections.vfio.host.plugins.module_utils._host.nodes import BLOCK
from ansible_collections.vfio.host.plugins.module_utils._host.udevd import let_settle

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import Holder
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

# What an unbind does while a process has a node open. It waits until the node is closed (source: drivers/vfio/vfio_main.c
# vfio_unregister_group_dev(), sound/core/init.c snd_card_free(), drivers/vhost/vdpa.c vhost_vdpa_remove(),
# drivers/infiniband/core/uverbs_main.c ib_uverbs_remove_one(), drivers/infiniband/hw/hfi1/init.c wait_for_clients(), NVIDIA's
# kernel-open/nvidia/nv-pci.c nv_pci_remove()).
_WAITING = frozenset(("vfio", "vfio-dev", "sound", "vhost-vdpa", "infiniband_verbs", "hfi1", "nvidia"))
# It ends at once, and the process sees what it sees of one that is unplugged (source: drivers/input/evdev.c
# evdev_disconnect(), drivers/hid/hidraw.c hidraw_disconnect(), drivers/usb/core/devio.c usbdev_remove()).
_UNPLUGGED = frozenset(("input", "hidraw", "usb"))
_PATIENCE = 5  # seconds for udev to close a node that it looks at, as it does with each new disk
# Nobody has claimed the disk: beside success, what the kernel answers after it has looked for that (source: block/bdev.c
# blkdev_get_by_dev(): bd_prepare_to_claim() comes before the disk is opened), and of a disk that is gone.
_UNCLAIMED = (0, errno.ENXIO, errno.ENODEV, errno.ENOMEDIUM)
WAITS, LOSES, UNPLUGS, UNTOLD = "waits", "loses", "unplugs", "untold"


@dataclass(frozen=True)
class Use:
    """One user of a device: ``text`` says which, ``effect`` is one of WAITS, LOSES, UNPLUGS, UNTOLD. ``pid`` is None for the kernel."""

    text: str
    effect: str
    pid: int | None = None


@dataclass(frozen=True)
class InUse:
    """What uses one device that is to lose its driver. ``mediated``: the mediated devices that are made of it."""

    uses: tuple[Use, ...] = ()
    mediated: tuple[str, ...] = ()


class Usage:
    """Who uses the devices of one host, at one moment. Nothing is looked at before somebody asks."""

    def __init__(self, fs: Sysfs) -> None:
        self._fs = fs
        self._processes = Processes(fs)
        self._below: dict[str, Below] = {}
        self._backing = Backing(fs)
        self._is_settled = False

    @cached_property
    def vfio_nodes(self) -> VfioNodes:
        """The VfioNodes of the host."""
        return VfioNodes(self._fs)

    def holders(self, device: Device, is_vfio: bool) -> list[Holder]:
        """The processes that hold a device through VFIO, as the facts show them: [{pid, command}].

        ``is_vfio``: a VFIO driver has it, so that a process of which it cannot be told what it has open counts, too.
        """
        processes, nodes = self._processes, self.vfio_nodes.of(device)
        pids = list(processes.having(nodes)) if nodes else []
        pids += processes.having_vfio(device.address)
        if is_vfio:
            pids += self._some_vfio + processes.untold
        return [processes.holder(pid) for pid in dict.fromkeys(pids)]

    def below(self, device: Device) -> Below:
        """The Below of a device."""
        if device.address not in self._below:
            self._below[device.address] = below(self._fs, device.address, backing=self._backing)
        return self._below[device.address]

    def of(self, device: Device, is_vfio: bool, *, with_disks: bool = True) -> InUse:
        """What uses a device that is to lose its driver. ``with_disks``: its disks' users in the kernel, too.

        Of a device with a native driver udev may be such a user for a moment.
        """
        uses = self._of(device, is_vfio, with_disks)
        if uses and not is_vfio and not self._is_settled:
            self._is_settled = True
            let_settle(self._fs, _PATIENCE)
            self._processes = Processes(self._fs)
            self.__dict__.pop("_some_vfio", None)
            uses = self._of(device, is_vfio, with_disks)
        # The survey has all of this file, and few tasks take a driver away.
        from ansible_collections.vfio.host.plugins.module_utils._devices.guards.hidden import has_interface_elsewhere
        if not is_vfio and has_interface_elsewhere(self._fs, self._fs.device_directory(device.address)):
            # The kernel takes it away from there (source: net/core/dev.c unregister_netdevice_many_notify()).
            uses.append(Use("another network namespace, which has an interface of it", UNPLUGS))
        return InUse(tuple(uses), tuple(sorted(self.below(device).mediated)))

    def _of(self, device: Device, is_vfio: bool, with_disks: bool) -> list[Use]:
        found = self.below(device)
        uses = processes_using(self._processes, found, is_vfio=is_vfio)
        pids = {use.pid for use in uses}
        if is_vfio:
            held = self._processes.having_vfio(device.address) + self._some_vfio
            uses += [
                Use(f"process {pid} ({self._processes.holder(pid)['command']}), which has it open through VFIO", WAITS, pid)
                for pid in dict.fromkeys(held) if pid not in pids
            ]
        unread = list(found.unread) + ([self._fs.proc[len(self._fs.root):]] if self._fs.refusal(self._fs.proc) is not None else [])
        if with_disks:
            with self._fs.refused() as refused:
                directory = self._fs.device_directory(device.address)
                served = algorithms_in_use(self._fs, directory, pci_class=device.ids["class"])
                channels = channels_in_use(self._fs, directory)
            unread += [f"{path[len(self._fs.root):]} ({errno_name(number)})" for path, number in refused.items()]
            texts = self._kernels(found) + [f"its algorithm {one} is in use, as by an encrypted disk" for one in served]
            texts += [f"its DMA channel {one} is in use, as by a RAID or an NTB" for one in channels]
            uses += [Use(f"the kernel: {text}", LOSES) for text in texts]
        uses += [Use(f"somebody who cannot be told, since {path} cannot be read", UNTOLD) for path in dict.fromkeys(unread)]
        return uses

    @cached_property
    def _some_vfio(self) -> list[int]:
        """The pids that have some device's VFIO file, and no VFIO node whose number would say which device that is."""
        fs, groups = self._fs, {}
        for name in fs.names(fs.vfio_groups):
            groups.update(vfio_nodes(fs, "", group=name))
        known = self._processes.having(groups)
        return [pid for pid in self._processes.having_some_vfio() if pid not in known]

    def _kernels(self, found: Below) -> list[str]:
        """What of a device's disks the kernel itself uses, one text each."""
        texts = list(found.users)
        if found.disks:
            texts += self._mounts(found)
        for node in found.disks:
            name = found.nodes[node].name
            answer = self._fs.claim(node.number, name)
            if answer == errno.EBUSY and not texts:
                texts.append(
                    f"/dev/{name} has an exclusive user, such as a mounted file system, swap, LVM, md, ZFS, or a storage target"
                )
            elif answer != errno.EBUSY and answer not in _UNCLAIMED:
                texts.append(f"whether /dev/{name} has an exclusive user cannot be told: {errno_text(answer)}")
        return texts

    def _mounts(self, found: Below) -> list[str]:
        """Where a device's disks, or what is built on them, are mounted, in any mount namespace."""
        # Compiled on the host each time, so only where disks may be taken.
        from ansible_collections.vfio.host.plugins.module_utils._devices.mounts import parse_mountinfo

        fs, texts, seen = self._fs, [], set()
        numbers = {node.number: place for node, place in found.nodes.items() if node.kind == BLOCK}
        for pid, directory in [("self", f"{fs.proc}/self"), *views(fs)]:
            namespace = fs.target(f"{directory}/ns/mnt")
            if namespace in seen and namespace is not None:
                continue
            seen.add(namespace)
            for mount in parse_mountinfo(fs.text(f"{directory}/mountinfo")):
                if mount.number in numbers:
                    where = "" if pid == "self" else f" of process {pid} ({self._processes.holder(int(pid))['command']})"
                    texts.append(f"/dev/{numbers[mount.number].name} is mounted at {printable(mount.point)}{where}")
        return list(dict.fromkeys(texts))


def processes_using(processes: Processes, found: Below, *, is_vfio: bool = False) -> list[Use]:
    """A Use for each process that has a node of ``found`` open, or of which that cannot be told.

    ``is_vfio``: a VFIO driver has the device, so there is something to have open, whatever nodes show.
    """
    uses = []
    for pid, nodes in processes.having(found.nodes).items():
        places = [found.nodes[node] for node in nodes]
        named = " and ".join(f"/dev/{place.name} ({node.number})" for node, place in zip(nodes, places))
        effects = {_effect(place) for place in places}
        effect = next(one for one in (WAITS, LOSES, UNPLUGS) if one in effects)
        uses.append(Use(f"process {pid} ({processes.holder(pid)['command']}), which has {named} open", effect, pid))
    known = {use.pid for use in uses}
    if found.nodes or is_vfio:
        uses += [
            Use(f"process {pid} ({processes.holder(pid)['command']})", UNTOLD, pid)
            for pid in processes.untold if pid not in known
        ]
    return uses


def _effect(place: Place) -> str:
    if place.subsystem in _WAITING or "vhost-vdpa" in place.name:
        return WAITS
    return UNPLUGS if place.subsystem in _UNPLUGGED else LOSES


__all__ = ("InUse", "LOSES", "UNPLUGS", "UNTOLD", "Usage", "Use", "WAITS", "processes_using")
