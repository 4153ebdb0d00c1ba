# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What the kernel's alias table answers for the devices of one host, and which driver a name of the inventory means."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.words import nearest
from ansible_collections.vfio.host.plugins.module_utils._kernel.alias import BASE_DRIVER, BASE_MODULE, VFIO, Choice, choose, matching

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.iommu import NotBindable
    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import VfioFacts
    from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import Modules


class Choices:
    """The alias table's answer for each modalias, worked out once for each kind of device."""

    def __init__(self, modules: Modules) -> None:
        self._modules = modules
        self._aliases = modules.aliases(VFIO)
        self._known: dict[str, Choice] = {}
        self._facts: dict[tuple[str, str | None], VfioFacts] = {}
        self._native: dict[str, str | None] = {}
        self._takers: dict[str, list[str]] = {}

    def choice(self, modalias: str) -> Choice:
        """The Choice for a device; its ``driver`` is None while the variant's module is not loaded."""
        if modalias not in self._known:
            found = choose(self._aliases, modalias, disabled=self._modules.disabled())
            if found.module is not None and found.driver is None:
                registered = self._modules.drivers(found.module)
                found = replace(found, driver=registered[0] if len(registered) == 1 else None)
            self._known[modalias] = found
        return self._known[modalias]

    def facts(self, modalias: str, refusal: NotBindable | None) -> VfioFacts:
        """The choice as the facts show it, in a dict that devices share; ``refusal``: why VFIO refuses them, or None."""
        reason = refusal.reason if refusal else None
        if (modalias, reason) not in self._facts:
            found = self.choice(modalias)
            self._facts[modalias, reason] = {
                "module": found.module, "driver": found.driver, "alias": found.alias, "ties": found.ties,
                "bindable": reason is None, "reason": reason,
            }
        return self._facts[modalias, reason]

    def native_driver(self, modalias: str) -> str | None:
        """The driver that the table names for a device without an override; None where it names none.

        A module that is not loaded has no driver yet: then its name stands for the driver's. A VFIO module that also declares
        devices by ordinary aliases is no native driver's.
        """
        if modalias not in self._native:
            disabled = self._modules.disabled()
            module = next((module for module in self.native_modules(modalias) if module not in disabled), None)
            self._native[modalias] = module and (self._modules.drivers(module) or [module])[0]
        return self._native[modalias]

    def native_modules(self, modalias: str) -> list[str]:
        """The modules that the table names for a device without an override, in its order, those that do not load included."""
        if modalias not in self._takers:
            carriers = {alias.module for alias in self._aliases}
            found = matching(self._modules.native_aliases(modalias), modalias)
            self._takers[modalias] = [alias.module for dummy, alias in found if alias.module not in carriers]
        return self._takers[modalias]


# The drivers of modules that need not declare any device by an alias. (source: the names of struct pci_driver in
# drivers/vfio/pci/vfio_pci.c, drivers/pci/pci-stub.c and drivers/uio/uio_pci_generic.c)
_UNDECLARING = {BASE_MODULE: BASE_DRIVER, "pci_stub": "pci-stub", "uio_pci_generic": "uio_pci_generic"}


def named_driver(modules: Modules, driver: str, *, where: str, kernel: str) -> tuple[str, str | None]:
    """(module, driver) for a driver that the inventory names at ``where``. Raises PlanError where the host has no such driver.

    The driver is None where only loading the module tells whether it has one of that name: /sys/module/M/drivers shows the
    names, and a module that is not loaded has no such directory.
    """
    module = module_name(driver)
    if modules.is_registered(driver):
        return modules.driver_module(driver) or module, driver
    if modules.is_loadable(module):
        if _UNDECLARING.get(module) == driver:
            return module, driver
        if module not in _UNDECLARING and modules.aliases_of(module):
            return module, None
    raise PlanError(f"{where}: unknown driver {driver!r}{_why_unknown(modules, driver, module, kernel)}")


def module_name(driver: str) -> str:
    """The name that a module has if it is called as its driver."""
    return driver.replace("-", "_")


def _why_unknown(modules: Modules, driver: str, module: str, kernel: str) -> str:
    near = _near(modules, driver, module)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    if modules.is_loadable(module):
        return (
            f": module {module} is not loaded and declares no PCI device, so nobody can tell whether it has such a driver; "
            "where it has, load the module first"
        )
    return f": the PCI bus has no driver of that name, and kernel {kernel} no module of it to load"


def _near(modules: Modules, driver: str, module: str) -> list[str]:
    """The names of drivers of this host that may have been meant, the nearest first."""
    there = set(modules.registered())
    there.update(name for owner, name in _UNDECLARING.items() if modules.is_loadable(owner))
    same = sorted(set(modules.drivers(module)) | {name for name in there if module_name(name).lower() == module.lower()})
    # Of what is too short to be near, the beginning may do: vfio.
    return same or nearest(driver.lower(), sorted(there), most=3, cutoff=0.7) or [name for name in sorted(there) if name.startswith(f"{driver.lower()}-")][:3]


__all__ = ("Choices", "module_name", "named_driver")
