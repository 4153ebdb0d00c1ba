# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Memory of this host that is on cards: what CXL's regions, which the kernel or the firmware has put together, are made of; and what a
hypervisor plugs in by virtio-mem, or by a card's persistent memory that is used as plain one.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Iterable, Iterator, Tuple

from ansible_collections.vfio.host.plugins.module_utils._devices.clients import ranges
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import ADDRESS, Device, addresses_in

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_REGION, _TARGET = re.compile(r"region\d+\Z"), re.compile(r"target\d+\Z")
_MEMORY_CARDS = "0502"
_PERSISTENT = "pmem"  # it has block devices, which other guards follow
# The buses by whose devices' names memory is called that a driver has brought: "virtio0", and in it "System RAM (virtio_mem)" (source:
# drivers/virtio/virtio_mem.c virtio_mem_create_resource(), drivers/dax/kmem.c dev_dax_kmem_probe()).
_PLAIN, _BUSES = "System RAM", ("virtio", "dax")
_BY_VIRTIO = "virtio_mem"


def memory(fs: Sysfs, devices: Iterable[Device]) -> Iterator[Tuple[str, str]]:
    """(address, reason) of each function that has memory of a committed region, which this host may have in use anywhere: taken away, it
    is not there any more (source: drivers/cxl/core/region.c cxl_region_detach()).

    A region names the decoders of its cards, a decoder is below its endpoint, and that links to the card (source:
    drivers/cxl/core/port.c devm_cxl_link_uport()).
    """
    for region in filter(_REGION.match, fs.names(fs.cxl)):
        directory = f"{fs.cxl}/{region}"
        if fs.read(f"{directory}/commit") == "0" or fs.read(f"{directory}/mode") == _PERSISTENT:
            continue
        targets = [fs.read(f"{directory}/{name}") for name in fs.names(directory) if _TARGET.match(name)]
        cards = [_card(fs, decoder) if decoder else [] for decoder in targets]
        if cards and all(cards):
            for addresses in cards:
                for address in addresses:
                    yield address, f"{region} of CXL, which is committed, has memory of it"
        else:
            for device in devices:
                if device.ids["class"].startswith(_MEMORY_CARDS):
                    yield device.address, f"{region} of CXL, which is committed, does not say whose memory it has, so every such card counts"
    if fs.refusal(fs.cxl) is not None:
        for device in devices:
            if device.ids["class"].startswith(_MEMORY_CARDS):
                yield device.address, "which regions CXL has cannot be read, so every such card counts"
    yield from _brought(fs)


def _brought(fs: Sysfs) -> Iterator[Tuple[str, str]]:
    """As memory(), of what drivers have brought: without the driver nobody sees to it, and the memory may be gone with the next reset (source:
    drivers/virtio/virtio_mem.c virtio_mem_deinit_hotplug()).
    """
    named = {one for dummy, dummy, name, above in ranges(fs) if name.startswith(_PLAIN) for one in above}
    if fs.refusal(f"{fs.proc}/iomem") is not None:
        named.update(fs.names(f"{fs.virtio_drivers}/{_BY_VIRTIO}"), fs.names(f"{fs.buses}/dax/devices"))
    for name in sorted(named):
        links = [fs.target(f"{fs.buses}/{bus}/devices/{name}") or "" for bus in _BUSES]
        for address in [name] if ADDRESS.match(name) else [one for link in links for one in addresses_in(link)]:
            yield address, f"memory of this host is on {name}"


def _card(fs: Sysfs, decoder: str) -> list[str]:
    """The functions on the path of the card that a decoder is of, with the bridges above it; none where it cannot be told."""
    endpoint = os.path.dirname(os.path.realpath(f"{fs.cxl}/{decoder}"))
    return addresses_in(fs.target(f"{endpoint}/uport") or "")


__all__ = ("memory",)
