# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What the kernel's alias table answers for the devices of one host."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.vfio.host.plugins.module_utils._device.alias import VFIO, choose, matching
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError


class Choices:
    """The alias table's answer for each modalias, worked out once for each kind of device."""

    def __init__(self, modules):
        self._modules = modules
        self._aliases = modules.aliases(VFIO)
        self._known = {}
        self._facts = {}
        self._native = {}

    def choice(self, modalias):
        """The Choice for a device; its ``driver`` is None while the variant's module is not loaded."""
        if modalias not in self._known:
            found = choose(self._aliases, modalias, self._modules.disabled())
            if found.driver is None:
                registered = self._modules.drivers(found.module)
                found = replace(found, driver=registered[0] if len(registered) == 1 else None)
            self._known[modalias] = found
        return self._known[modalias]

    def facts(self, modalias, reason):
        """The choice as the facts show it, in a dict that devices share; ``reason``: why VFIO refuses them, or None."""
        if (modalias, reason) not in self._facts:
            found = self.choice(modalias)
            self._facts[modalias, reason] = {
                "module": found.module, "driver": found.driver, "alias": found.alias, "ties": found.ties,
                "bindable": reason is None, "reason": reason,
            }
        return self._facts[modalias, reason]

    def native_driver(self, modalias):
        """The driver that the table names for a device without an override; None where it names none.

        A module that is not loaded has no driver yet: then its name stands for the driver's. A VFIO module that also declares
        devices by ordinary aliases is no native driver's.
        """
        if modalias not in self._native:
            disabled = self._modules.disabled().union(alias.module for alias in self._aliases)
            found = (alias.module for dummy, alias in matching(self._modules.native_aliases(modalias), modalias))
            module = next((module for module in found if module not in disabled), None)
            self._native[modalias] = module and (self._modules.drivers(module) or [module])[0]
        return self._native[modalias]


def named_module(modules, driver, where, kernel):
    """The module of a driver that the inventory names at ``where``. Raises PlanError where the host has no such driver."""
    registered = modules.is_registered(driver)
    module = (modules.driver_module(driver) if registered else None) or driver.replace("-", "_")
    if not registered and modules.state(module) in ("absent", "builtin"):
        raise PlanError(
            f"{where}: unknown driver {driver!r}: the PCI bus has no driver of that name, and kernel {kernel} no module of "
            "it to load"
        )
    return module


__all__ = ("Choices", "named_module")
