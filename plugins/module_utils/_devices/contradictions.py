# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What is declared, as competitors see it, and what of theirs contradicts it. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._competitors import module_options
from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import (
    BARRED,
    BIND,
    EARLY,
    NEW_ID,
    Claim,
    Target,
    fits_pattern,
    sentences,
)
from ansible_collections.vfio.host.plugins.module_utils._core import globs
from ansible_collections.vfio.host.plugins.module_utils._devices import competitors
from ansible_collections.vfio.host.plugins.module_utils._host.words import words
from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import BUILTIN, Modules, normalize_module_name

if TYPE_CHECKING:
    from typing import Any, Callable, Iterable

    from ansible_collections.vfio.host.plugins.module_utils._devices.area import Host
    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import Named
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._devices.resolve import Target as DeviceTarget

# One of xen-pciback.hide=, '(0000:02:00.*)': slot and function may be a '*' (source: linux drivers/xen/xen-pciback/pci_stub.c str_to_slot()).
_HIDDEN = re.compile(r"\((?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):(\*|[0-9a-f]{1,2})\.(\*|[0-7])\)", re.IGNORECASE)


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
    modules = host.survey.modules
    return _warnings(
        host, found, [*_without_native(host, found), *_by_alias(modules, found), *_stub_ids(modules), *_hidden(modules), *_preloaded(modules)],
    )


def warnings_of_vfs(host: Host, targets: list[Target]) -> list[str]:
    """The sentences for functions that are declared to have VFs, of Targets."""
    if not targets:
        return []
    modules = {module for target in targets for module in target.natives}
    options = module_options.claims(
        modules, settings=host.survey.modules.settings, disabling=lambda module: _disabling(host.survey.modules, module),
    )
    more = [*_by_alias(host.survey.modules, targets), *_hidden(host.survey.modules)]
    return _warnings(host, targets, [*host.competition.overrides, *options, *more])


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
    natives = [target for target in targets if target.is_native and target.natives]
    # Many devices share few modules.
    against = {module: _disabling(modules, module) for module in {module for target in natives for module in target.natives}}
    found: list[Claim] = []
    for target in natives:
        if all(any(is_sure for dummy, dummy, is_sure in against[module]) for module in target.natives):
            found += [
                Claim(where, BARRED, module, text, _is(target))
                for module in sorted(target.natives) for where, text, is_sure in against[module] if is_sure
            ]
    return found


def _by_alias(modules: Modules, targets: Iterable[Target]) -> list[Claim]:
    """The Claims of alias lines that have another module load for a device than those that declare it: kmod asks no further where one fits
    (source: libkmod/libkmod-module.c kmod_module_new_from_lookup()).
    """
    found: list[Claim] = []
    for one in modules.configured().directives:
        to = words(one.rest)[:1]
        if one.verb != "alias" or not one.module.startswith("pci:") or not to:
            continue
        fits = _has_modalias(one.module)
        left = {native for target in targets if fits(target) and normalize_module_name(to[0]) not in target.natives for native in target.natives}
        found += [
            Claim(one.where, BARRED, native, f"'alias {one.module} {to[0]}'", fits, is_sure=False)
            for native in sorted(left) if modules.state(native) != BUILTIN
        ]
    return found


def _hidden(modules: Modules) -> list[Claim]:
    """The Claims of xen-pciback, which has what hide= names before any other driver."""
    last = [one for one in modules.settings("xen_pciback") if one.name == "hide" and one.value][-1:]
    return [
        Claim(one.where, BIND, "pciback", f"hide={found.group()} of xen-pciback", _is_hidden(found))
        for one in last for found in _HIDDEN.finditer(one.value or "")
    ]


def _preloaded(modules: Modules) -> list[Claim]:
    """The Claims of modules that the command line has dracut load before udev (source: dracut.cmdline(7), rd.driver.pre=)."""
    return [
        Claim(one.where, EARLY, normalize_module_name(name), f"rd.driver.pre={one.value}", lambda target: True, is_sure=False)
        for one in modules.settings("rd") if one.name == "driver.pre" for name in (one.value or "").split(",") if name
    ]


def _stub_ids(modules: Modules) -> list[Claim]:
    """The Claims of pci-stub's ids, which it takes when it loads (source: linux drivers/pci/pci-stub.c, pci_stub_init)."""
    last = [one for one in modules.settings("pci_stub") if one.name == "ids" and one.value][-1:]
    return [
        Claim(one.where, NEW_ID, "pci-stub", f"ids={text}", _has_ids(numbers))
        for one in last for text, numbers in competitors.parse_ids(one.value or "")
    ]


def _is(target: Target) -> Callable[[Target], bool]:
    return lambda other: other is target


def _has_modalias(pattern: str) -> Callable[[Target], bool]:
    return lambda target: globs.fits(target.modalias, pattern)


def _is_hidden(found: re.Match[str]) -> Callable[[Target], bool | None]:
    domain, bus, slot, function = (part and part.lower() for part in found.groups())
    pattern = f"{int(domain or '0', 16):04x}:{int(bus, 16):02x}:{slot if slot == '*' else f'{int(slot, 16):02x}'}.{function}"
    return lambda target: fits_pattern(pattern, [target.address])


def _has_ids(numbers: competitors.Numbers) -> Callable[[Target], bool]:
    return lambda target: competitors.names(numbers, target.ids)


def _warnings(host: Host, targets: list[Target], more: list[Claim]) -> list[str]:
    found = host.competition
    return sentences([*found.claims, *more, *found.installs], targets) + list(found.notes)


__all__ = ("target_of", "warnings_of_devices", "warnings_of_vfs")
