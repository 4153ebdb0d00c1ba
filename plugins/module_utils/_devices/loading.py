# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What keeps the modules of declared drivers from loading, now or at boot. Pure.

udev's "kmod load" respects a blacklist, as modprobe does not for a module's own name: a run would have what no boot has. Of what a
module depends on a blacklist keeps nothing, and an install line does (source: kmod libkmod/libkmod-module.c,
kmod_module_probe_insert_module).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._host.words import words
from ansible_collections.vfio.host.plugins.module_utils._kernel.alias import BASE_MODULE, VFIO
from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import BUILTIN, LOADABLE, Modules

if TYPE_CHECKING:
    from typing import Iterator

    from ansible_collections.vfio.host.plugins.module_utils._devices.resolve import Resolution

# What gives clients of VFIO their memory; vfio has it loaded by a soft dependency (source: drivers/vfio/vfio_main.c, MODULE_SOFTDEP).
_BACKENDS = ("vfio_iommu_type1", "vfio_iommu_spapr_tce")


def unloadable(modules: Modules, resolution: Resolution) -> tuple[list[str], list[str]]:
    """(problems, warnings): drivers that are to be had, whose modules, or what these need, are kept from loading."""
    uses = {target.module: target.choice.driver for target in resolution.targets.values() if not target.is_native}
    uses.update({one.module: one.driver for kinds in resolution.standings.values() for one in kinds})
    problems: list[str] = []
    warnings: list[str] = []
    for module, driver in sorted(uses.items()):
        if modules.state(module) == BUILTIN:
            continue
        is_there = driver is not None and modules.is_registered(driver)
        if modules.is_closed and not is_there:
            problems.append(
                f"module {module} cannot be loaded: kernel.modules_disabled is 1, which holds until the next boot: take that setting away, "
                "reboot, and run again"
            )
        for said in _kept_out(modules, module):
            if is_there:
                warnings.append(f"{said}: after the next boot devices that are declared for {driver} have no driver; remove that line")
            else:
                problems.append(f"{said}, and devices are declared for its driver: remove that line, or name another driver")
        warnings += _replaced(modules, module)
    is_vfio = {BASE_MODULE}.union(one.module for one in modules.aliases(VFIO)) & set(uses)
    return problems, warnings + (list(_without_backend(modules)) if is_vfio else [])


def _kept_out(modules: Modules, module: str) -> Iterator[str]:
    """One sentence for the module, and one for each that it depends on."""
    configured = modules.configured()
    if module in modules.disabled():
        yield f"module {module} is kept from loading by {' and '.join(modules.disabling(module))}"
    alias = configured.alias(module)
    if alias is not None:
        yield f"module {module} is kept from loading by {alias.where}, which has {words(alias.rest)[0]} load under its name"
    for needed in modules.dependencies(module):
        wheres = [one.where for one in configured.against(needed) if one.verb != "blacklist"]
        if wheres:
            yield f"module {module} needs module {needed}, which is kept from loading by {' and '.join(wheres)}"


def _replaced(modules: Modules, module: str) -> Iterator[str]:
    """What runs something else than the loading of a module, of which nobody can tell whether it loads it in the end."""
    configured = modules.configured()
    for one in [module] + modules.dependencies(module):
        install = configured.install(one)
        if install is not None and one not in modules.disabled():
            yield (
                f"{install.where}: runs {install.rest.strip()!r} in place of loading module {one}, now and at every boot: what that "
                "does to devices and drivers cannot be told; remove that line"
            )


def _without_backend(modules: Modules) -> Iterator[str]:
    """Why no client can use what is bound: the module for its memory does not load with vfio."""
    configured = modules.configured()
    for backend in _BACKENDS:
        if modules.kind(backend) != LOADABLE:
            continue
        for one in configured.against(backend):
            if one.verb != "blacklist":
                yield f"{one.where}: keeps module {backend} from loading, without which no client can use a device; remove that line"
        first = configured.softdep("vfio")
        if first is not None and "modprobe.d" in first.where and backend not in words(first.rest.replace("-", "_")):
            yield (
                f"{first.where}: takes the place of vfio's own soft dependency, by which {backend} is loaded, without which no client can "
                f"use a device; add post: {backend} there"
            )


__all__ = ("unloadable",)
