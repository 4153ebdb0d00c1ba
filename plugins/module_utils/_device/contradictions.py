# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What is declared, as competitors see it, and what of theirs contradicts it. Pure: files are read by who made the Competitors."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._competitors import module_options, shell
from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Target, sentences
from ansible_collections.vfio.host.plugins.module_utils._device.alias import VFIO, matching
from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import BUILTIN


def target_of(host, device, **wishes):
    """The Target of a Device of a host as it was read; ``wishes``: what is declared of it."""
    survey = host.survey
    carriers = {alias.module for alias in survey.modules.aliases(VFIO)}
    record = host.recorded.get(device.address)
    known, of_pf = _nets(host, device), _nets(host, survey.devices.get(device.physfn))
    above = [
        (name, survey.devices[name].ids if name in survey.devices else None)
        for name in host.competitors.above(device.physfn or device.address)
    ]
    natives = {alias.module for dummy, alias in matching(survey.modules.native_aliases(device.modalias), device.modalias)}
    if device.driver is not None and not survey.is_vfio(device.driver):
        natives.add((survey.modules.driver_module(device.driver) or device.driver).replace("-", "_"))
    if record is not None and record.was["driver"]:
        natives.add(record.was["driver"].replace("-", "_"))
    return Target(
        address=device.address, name=device.name, ids=device.ids, modalias=device.modalias,
        driver=None if survey.is_vfio(device.driver) else device.driver, natives=frozenset(natives - carriers),
        nets=tuple((one["name"], one["mac"] or "") for one in known), ancestors=tuple(above), vfio=frozenset(survey.vfio_drivers),
        physfn=device.physfn, pf_names=tuple(one["name"] for one in of_pf), **wishes,
    )


def _nets(host, device):
    """The interfaces of a Device, or None, as they are, and as they were before VFIO had it."""
    if device is None:
        return []
    record = host.recorded.get(device.address)
    return list(device.net) + (record.was["net"] if record is not None else [])


def warnings_of_devices(host, targets):
    """The sentences for devices, of ``targets``, address -> Target of _device/resolve.py."""
    if host.competitors is None or not targets:
        return []
    found = [
        target_of(
            host, one.device, policy=one.entry.policy, wanted=None if one.is_native else one.choice.driver,
            module=None if one.is_native else one.choice.module,
        )
        for one in targets.values()
    ]
    return _warnings(host, found, [])


def warnings_of_vfs(host, targets):
    """The sentences for functions that are declared to have VFs, of Targets."""
    if host.competitors is None or not targets:
        return []
    modules = {module for target in targets for module in target.natives}
    configured = host.survey.modules.configured()

    def disabling(module):
        if host.survey.modules.state(module) == BUILTIN:
            return []
        return [(one.where, f"{one.verb} of {module}") for one in configured.against(module)]

    return _warnings(
        host, targets, host.competitors.overrides() + module_options.claims(host.survey.modules.settings, disabling, modules)
    )


def _warnings(host, targets, more):
    claims = host.competitors.claims() + more
    for one in host.survey.modules.configured().directives:
        if one.verb == "install" and shell.speaks_of_devices(one.rest + host.competitors.scripts(one.rest)):
            claims = claims + shell.claims(
                one.rest, one.where, first=0, script=host.competitors.script, says=f"'install {one.module} {one.rest.strip()}'",
            )
    return sentences(claims, targets) + host.competitors.notes


__all__ = ("target_of", "warnings_of_devices", "warnings_of_vfs")
