# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which driver has a function: what matches, who probes, what a probe answers, and what the attributes of a driver do.

The rules come from the kernel's sources (drivers/base/bus.c, drivers/base/dd.c, drivers/pci/pci-driver.c, drivers/vfio/pci), stated
here on their own and not by the code under test.
"""

from __future__ import annotations

import errno
import os
from fnmatch import fnmatchcase

from ansible_collections.vfio.host.tests.unit.fake.holding import Blocked, Holding

_HARMLESS = ("pcieport", "pci-stub")
# vfio-pci's denylist: Intel QAT and DSA (source: drivers/vfio/pci/vfio_pci.c, vfio_pci_dev_in_denylist).
_DENIED = ("8086:19e2", "8086:19e3", "8086:37c8", "8086:37c9", "8086:0435", "8086:0443", "8086:0b25")


class Drivers(Holding):
    """Holding, in which drivers bind devices. What is derived from it has ``nodes``, and ``_drop_vfs``."""

    def __init__(self, tree, run):
        super().__init__(tree, run=run)
        self.spec = tree.spec
        self.now = 0.0
        self.refusals = {}  # (driver, address) -> errno that its probe answers
        self.deferrals = {}  # (driver, address) -> seconds until it binds by itself, after EAGAIN
        self.slow = {}  # (driver, address) -> seconds until the driver link shows after a bind that succeeded
        self.functions = {}
        self._later = []
        self._dynamic_ids = {}
        self._modules = {}
        self.on_node = lambda directory, action: None  # user space hears of a node of VFIO's, or of /dev/iommu
        self._on_bind = lambda address: None

    def driver_of(self, address):
        """The driver that a function is bound to, or None."""
        return self.link(f"{self.pci_devices}/{address}/driver")

    def override_of(self, address):
        """The override of a function, or None."""
        value = self._get(address, "driver_override")
        return None if value == "(null)" else value

    def _present(self, address):
        if address in self._blocked:
            raise Blocked(address)
        if address not in self.functions:
            raise OSError(errno.ENODEV, "absent")

    def _get(self, address, name):
        with open(f"{self.tree.directory(address)}/{name}", "rb", 0) as stream:
            return stream.read().decode(errors="surrogateescape").rstrip("\n")

    def _put(self, address, name, value):
        self.tree.put(f"{self.tree.directory(address)}/{name}", value + "\n")

    def _module_of(self, driver):
        return next(one for one in self._modules.values() if driver in one.drivers)

    def _matches(self, driver, address):
        """The kernel's pci_match_device: an override beats every table; without one, ids and tables speak."""
        override = self.override_of(address)
        if override is not None:
            return override == driver
        function = self.functions[address]
        if ":".join(function.id_parts[:2]) in self._dynamic_ids.get(driver, ()):
            return True
        return any(fnmatchcase(function.modalias, alias) for alias in self._module_of(driver).aliases)

    def _attach_any(self, address):
        """The kernel's device_attach: drivers in order of registration, until one keeps it; the last group refusal."""
        refusal = None
        for module in list(self._modules.values()):
            for driver in module.drivers:
                if self._matches(driver, address) and self.driver_of(address) is None:
                    answer = self._probe(driver, address)
                    refusal = errno.EBUSY if answer == errno.EBUSY and not module.is_vfio else refusal
        return refusal

    def _probe(self, driver, address):
        """The errno that keeps a driver from a function, or 0 and it is bound."""
        if address not in self.functions or self.driver_of(address):
            return errno.ENODEV
        function, module = self.functions[address], self._module_of(driver)
        if function.physfn and self._get(function.physfn, "sriov_drivers_autoprobe") == "0":
            if self.override_of(address) is None:
                return errno.ENODEV  # whoever asks: pci_device_can_probe
        refusal = self.refusals.get((driver, address), 0)
        if module.is_vfio:
            refusal = refusal or self._vfio_refusal(function)
        elif driver not in _HARMLESS and self._is_given_away(function.group):
            refusal = errno.EBUSY
        if not refusal:
            before = set(self._node_directories())
            self.tree.attach(function, driver, module.is_vfio)
            for directory in self._node_directories():
                if directory not in before:
                    self.on_node(directory, "add")
            self._on_bind(address)
        return refusal

    def _vfio_refusal(self, function):
        if function.header_type != 0 or ":".join(function.id_parts[:2]) in _DENIED:
            return errno.EINVAL
        if function.sriov_total and self._get(function.address, "sriov_numvfs") != "0":
            return errno.EBUSY
        has_group = self.spec.iommu and function.group is not None
        return 0 if has_group or self.spec.noiommu else errno.EINVAL

    def _is_given_away(self, group):
        return group is not None and any(
            self.functions[address].group == group for address in self._held.values() if address in self.functions
        )

    def _detach(self, address):
        holders = self.waited_for(address)
        if holders:
            raise Blocked(address, f"this would block for ever: it is held by {holders}")
        self._drop_vfs(address)
        self.tree.detach(self.functions[address], self.driver_of(address))
        self.nodes.forget_gone()

    def _node_directories(self):
        """The directories in sysfs of VFIO's groups and devices, and of /dev/iommu."""
        places = [f"{self.tree.sys}/class/{place}" for place in ("vfio", "vfio-dev", "misc")]
        found = [f"{place}/{name}" for place in places if os.path.isdir(place) for name in sorted(os.listdir(place))]
        return [os.path.realpath(one) for one in found]

    # What loading a module and writing to a driver's attributes do.

    def _attach_all(self, driver):
        for address in sorted(self.functions):
            if self._matches(driver, address) and self.driver_of(address) is None:
                self._probe(driver, address)

    def _register(self, module):
        self._modules[module.name] = module
        self.tree.register(module)

    def _bind(self, driver, address):
        self._present(address)
        if not self._matches(driver, address):
            raise OSError(errno.ENODEV, "no match")
        if self.driver_of(address):
            raise OSError(errno.EBUSY, "bound already")
        seconds = self.deferrals.pop((driver, address), None)
        if seconds is not None:
            self._later.append((self.now + seconds, lambda: self._probe(driver, address)))
            raise OSError(errno.EAGAIN, "deferred")
        seconds = self.slow.pop((driver, address), None)
        if seconds is not None:
            self._later.append((self.now + seconds, lambda: self._probe(driver, address)))
            return
        refusal = self._probe(driver, address)
        if refusal:
            raise OSError(refusal, "probe")

    def _unbind(self, driver, address):
        self._present(address)
        if self.driver_of(address) != driver:
            raise OSError(errno.ENODEV, "not bound to it")
        self._detach(address)

    def _drivers_probe(self, address):
        self._present(address)
        if self.driver_of(address) is None and self._attach_any(address) == errno.EBUSY:
            raise OSError(errno.EINVAL, "the group is user space's")

    def _new_id(self, driver, value):
        words = value.split()
        if len(words) < 2:
            raise OSError(errno.EINVAL, "vendor and device")
        self._dynamic_ids.setdefault(driver, []).append(":".join(words[:2]))
        self._attach_all(driver)


__all__ = ("Drivers",)
