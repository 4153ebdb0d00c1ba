# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What is declared, as competitors see it, and what of theirs contradicts it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._competitors import module_options
from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import BARRED, NEW_ID, Claim, Target, sentences
from ansible_collections.vfio.host.plugins.module_utils._devices import competitors
from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import BUILTIN, Modules

if TYPE_CHECKING:
    from typing import Any, Callable

    from ansible_collections.vfio.host.plugins.module_utils._devices.area import Host
    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import Named
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._devices.resolve import Target as DeviceTarget


def target_of(host: Host, device: Device, **wishes: Any) -> Target:
    """The Target of a Device of a host as it was read; ``wishes``: what is declared of it."""
    survey = host.survey
    record = host.recorded.get(device.address)
    known, of_pf = _nets(host, device), _nets(host, survey.devices.get(device.physfn or ""))
    above = [
        (name, survey.devices[name].ids if name in survey.devices else None)
        for name in host.competition.above[device.physfn or device.address]
    ]
    natives = set(survey.choices.native_modules(device.modalias))
    if device.driver is not None and not survey.is_vfio(device.driver):
        natives.add((survey.modules.driver_module(device.driver) or device.driver).replace("-", "_"))
    if record is not None and record.was["driver"]:
        natives.add(record.was["driver"].replace("-", "_"))
    return Target(
        address=device.address, name=device.name, ids=device.ids, modalias=device.modalias,
        driver=None if survey.is_vfio(device.driver) else device.driver, natives=frozenset(natives),
        nets=tuple((one["name"], one["mac"] or "") for one in known), ancestors=tuple(above), vfio=frozenset(survey.vfio_drivers),
        physfn=device.physfn, pf_names=tuple(one["name"] for one in of_pf), **wishes,
    )


def _nets(host: Host, device: Device | None) -> list[Named]:
    """The interfaces of a Device, or None, as they are, and as they were before VFIO had it."""
    if device is None:
        return []
    record = host.recorded.get(device.address)
    return [*device.net, *(record.was["net"] if record is not None else ())]


def warnings_of_devices(host: Host, targets: dict[str, DeviceTarget]) -> list[str]:
    """The sentences for devices, of ``targets``, address -> Target of _devices/resolve.py."""
    if not targets:
        return []
    found = [
        target_of(
            host, one.device, policy=one.entry.policy, wanted=None if one.is_native else one.choice.driver,
            module=None if one.is_native else one.choice.module,
        )
        for one in targets.values()
    ]
    return _warnings(host, found, _without_native(host, found) + _stub_ids(host.survey.modules))


def warnings_of_vfs(host: Host, targets: list[Target]) -> list[str]:
    """The sentences for functions that are declared to have VFs, of Targets."""
    if not targets:
        return []
    modules = {module for target in targets for module in target.natives}
    options = module_options.claims(
        modules, settings=host.survey.modules.settings, disabling=lambda module: _disabling(host.survey.modules, module),
    )
    return _warnings(host, targets, [*host.competition.overrides, *options])


def _disabling(modules: Modules, module: str) -> list[tuple[str, str, bool]]:
    """[(where, how the line reads, whether it surely keeps a native driver's module from loading)]."""
    if modules.state(module) == BUILTIN:
        return []
    configured = modules.configured()
    found = [(one.where, f"{one.verb} of {module}", True) for one in configured.against(module)]
    install = configured.install(module)
    if install is not None and install.where not in [line[0] for line in found]:
        found.append((install.where, f"'install {install.module} {install.rest.strip()}'", False))
    return found


def _without_native(host: Host, targets: list[Target]) -> list[Claim]:
    """The Claims against devices that are declared native and of whose native drivers none loads by itself."""
    modules = host.survey.modules
    found: list[Claim] = []
    for target in targets:
        against = {module: _disabling(modules, module) for module in target.natives}
        if target.is_native and against and all(any(is_sure for dummy, dummy, is_sure in one) for one in against.values()):
            found += [
                Claim(where, BARRED, module, text, _is(target))
                for module, several in sorted(against.items()) for where, text, is_sure in several if is_sure
            ]
    return found


def _stub_ids(modules: Modules) -> list[Claim]:
    """The Claims of pci-stub's ids, which it takes when it loads (source: linux drivers/pci/pci-stub.c, pci_stub_init)."""
    last = [one for one in modules.settings("pci_stub") if one.name == "ids" and one.value][-1:]
    return [
        Claim(one.where, NEW_ID, "pci-stub", f"ids={text}", _has_ids(numbers))
        for one in last for text, numbers in competitors.parse_ids(one.value or "")
    ]


def _is(target: Target) -> Callable[[Target], bool]:
    return lambda other: other is target


def _has_ids(numbers: competitors.Numbers) -> Callable[[Target], bool]:
    return lambda target: competitors.names(numbers, target.ids)


def _warnings(host: Host, targets: list[Target], more: list[Claim]) -> list[str]:
    found = host.competition
    return sentences([*found.claims, *more, *found.installs], targets) + list(found.notes)


__all__ = ("target_of", "warnings_of_devices", "warnings_of_vfs")
