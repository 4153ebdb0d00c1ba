# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host's devices as values alone: no tree of files is behind them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Competition
from ansible_collections.vfio.host.plugins.module_utils._devices.area import Host
from ansible_collections.vfio.host.plugins.module_utils._devices.drivers import Choices
from ansible_collections.vfio.host.plugins.module_utils._devices.holders import InUse
from ansible_collections.vfio.host.plugins.module_utils._devices.iommu import groups_of
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device, parse_modalias
from ansible_collections.vfio.host.plugins.module_utils._devices.pciids import Dictionary
from ansible_collections.vfio.host.plugins.module_utils._devices.state import Survey
from ansible_collections.vfio.host.plugins.module_utils._kernel.alias import NATIVE, VFIO, Alias
from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import ABSENT, LOADABLE, LOADED
from ansible_collections.vfio.host.plugins.module_utils._kernel.modprobe import Configuration

_ETHERNET = "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00"
BOOT, VOLATILE = "/etc/udev/rules.d", "/run/udev/rules.d"


class NoRoot:
    """In place of Sysfs or Files: whatever is asked of it fails."""

    def __getattr__(self, name):
        raise AssertionError(f"a plan asked the host for {name}")


@dataclass(frozen=True)
class Table:
    """What a plan asks of Modules, from values. ``drivers_of``: loaded module -> its drivers; ``loadable``: other modules; ``is_closed``: none
    loads any more.
    """

    drivers_of: dict = field(default_factory=lambda: {"e1000e": ["e1000e"]})
    loadable: frozenset = frozenset(("vfio_pci",))
    is_closed: bool = False
    table: tuple = (
        Alias("vfio_pci:v*d*sv*sd*bc*sc*i*", "vfio_pci", "modules.alias"),
        Alias("pci:v00008086d000010D3sv*sd*bc*sc*i*", "e1000e", "modules.alias"),
    )

    def aliases(self, prefix):
        return [one for one in self.table if one.pattern.startswith(prefix)]

    def native_aliases(self, dummy):
        return self.aliases(NATIVE)

    def aliases_of(self, module):
        return [one for one in self.table if one.module == module]

    def takes_by_itself(self, module):
        return any(one.pattern.startswith(NATIVE) for one in self.aliases_of(module))

    def competing(self):
        carriers = {one.module for one in self.aliases(VFIO)}
        return [one for one in self.aliases(NATIVE) if one.module in carriers]

    def state(self, module):
        return LOADED if module in self.drivers_of else LOADABLE if module in self.loadable else ABSENT

    def kind(self, module):
        return ABSENT if self.state(module) == ABSENT else LOADABLE

    def is_loadable(self, module):
        return self.state(module) == LOADABLE

    def drivers(self, module):
        return self.drivers_of.get(module, [])

    def driver_module(self, driver):
        return next((module for module, drivers in self.drivers_of.items() if driver in drivers), None)

    def registered(self):
        return [driver for drivers in self.drivers_of.values() for driver in drivers]

    def is_registered(self, driver):
        return driver in self.registered()

    def disabled(self):
        return frozenset()

    def configured(self):
        return Configuration()

    def settings(self, dummy):
        return []

    def dependencies(self, dummy):
        return []


class Idle(dict):
    """Address -> what uses the device there: nothing."""

    def __missing__(self, dummy):
        return InUse()


class NothingAbove(dict):
    """Address -> what is above the device there: nothing that is known."""

    def __missing__(self, dummy):
        return ()


def ethernet(address, **facts):
    """An Ethernet port with driver e1000e, in an IOMMU group of its own."""
    known = {
        "driver": "e1000e", "iommu_group": address[5:7], "header_type": 0, "devpath": f"/devices/pci0000:00/{address}",
        "path": f"0000:00/{address[8:]}", "slots": address[8:], "root": "0000:00",
    }
    return Device(address, parse_modalias(_ETHERNET), _ETHERNET, **dict(known, **facts))


def host_of(*devices, modules=None, files=None, **state):
    """A Host with these devices. ``files``: path -> text of rules files; ``state``: more of Host."""
    table = modules or Table()
    choices = Choices(table)
    known = {device.address: replace(device, vfio=choices.facts(device.modalias, None)) for device in devices}
    survey = Survey(
        platform="x86", kernel="6.12.0", iommu_enabled=True, groups=groups_of(known.values()), others={}, devices=known, modules=table, choices=choices,
        vfio_drivers=frozenset(("vfio-pci",)), noiommu=False,
        interrupt_remapping=True, ids=Dictionary((), {}.get), unsafe_interrupts=None, warnings=[], stuck={},
    )
    nothing = {"policies": {}, "standings": {}, "uses": Idle(), "competition": Competition(above=NothingAbove())}
    return Host(survey, files=files or {}, boot_rules=BOOT, volatile_rules=VOLATILE, **dict(nothing, **state))


__all__ = ("BOOT", "NoRoot", "Table", "VOLATILE", "ethernet", "host_of")
