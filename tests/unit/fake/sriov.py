# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small host with a card that can have VFs, and what the tests of these ask of it."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PF

VFS = [hosts.vf(number).address for number in range(7)]
BOOT_FILES = ("59-vfio-host-sriov.rules", "61-vfio-host-sriov.rules")

# A small host, since some tests boot many; the VFs' native driver is loaded beforehand.
SMALL = hosts.x86(
    functions=tuple(
        replace(one, parent=None) for one in hosts.x86().functions if one.address in (hosts.ROOT_DISK, PF, NIC)
    ),
    modules=tuple(
        replace(one, initramfs=True) if one.name in ("igb", "igbvf") else one for one in hosts.x86().modules
    ),
)
SMALL = hosts.changed(SMALL, PF, vfs=tuple(replace(hosts.vf(number), parent=None) for number in range(7)))
FOR_GUESTS = {"match": {"physfn": PF}, "count": 7}
SPLIT = {
    "guests": [{"match": {"address": VFS[:4]}}],
    "host": [{"match": {"address": VFS[4:]}, "driver": "native"}],
}


def pfs(numvfs=7, **more):
    return [dict({"match": {"address": PF}, "numvfs": numvfs}, **more)]


def vf_drivers(host):
    return [host.driver(one) for one in VFS if one in host.kernel.functions]


def autoprobe(host):
    return host.kernel.read(f"{host.kernel.pci_devices}/{PF}/sriov_drivers_autoprobe") == "1"


def watch(host):
    """A list that grows by each (address, driver) that binds from now on."""
    seen = []
    heard = host.kernel._on_bind
    host.kernel._on_bind = lambda address: (seen.append((address, host.driver(address))), heard(address))
    return seen


def everything(host):
    # What was loaded stays loaded, and harms nobody; its directories come with it.
    found = host.snapshot("/run/vfio-host", "/sys/module", "/sys/bus/pci/drivers/vfio-pci")
    found.pop("/sys/class/vfio-dev", None)
    return found


__all__ = ("BOOT_FILES", "FOR_GUESTS", "SMALL", "SPLIT", "VFS", "autoprobe", "everything", "pfs", "vf_drivers", "watch")
