# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Which steps a device needs: to be taken, or to be given back. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._devices.drivers import module_name
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
from ansible_collections.vfio.host.plugins.module_utils._devices.spec import NATIVE
from ansible_collections.vfio.host.plugins.module_utils._devices.steps import (
    BIND,
    BOUND,
    LOAD,
    LOAD_NATIVE,
    OVERRIDE,
    PENDING,
    PROBE,
    RELEASED,
    UNBIND,
    UNCHANGED,
    DevicePlan,
    Step,
)
from ansible_collections.vfio.host.plugins.module_utils._kernel.alias import Choice, matching

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.plan import Request
    from ansible_collections.vfio.host.plugins.module_utils._devices.record import Record
    from ansible_collections.vfio.host.plugins.module_utils._devices.records import Memory
    from ansible_collections.vfio.host.plugins.module_utils._devices.resolve import Target
    from ansible_collections.vfio.host.plugins.module_utils._devices.state import Survey


def take(survey: Survey, target: Target, *, request: Request) -> DevicePlan:
    """How the device of a Target gets the driver that is declared for it."""
    device, choice, policy = target.device, target.choice, target.entry.policy
    if target.is_native:
        native = survey.native_driver(device)
        return _give_native(survey, device, policy, choice, native, request, is_met=target.is_met, must_bind=native is not None)
    rebinds = not target.is_met and (choice.driver is None or device.driver != choice.driver)
    if target.is_met or target.waits or not request.now:
        status = UNCHANGED if target.is_met else PENDING
        return DevicePlan(device, policy, status, device.driver, device.driver_override, choice, rebinds=rebinds)
    steps = []
    if choice.driver is None or not survey.modules.is_registered(choice.driver):
        steps.append(Step(LOAD, choice.module))
    if device.driver_override != choice.driver:
        steps.append(Step(OVERRIDE, choice.driver))
    if rebinds and device.driver is not None:
        steps.append(Step(UNBIND, device.driver))
    if rebinds:
        steps.append(Step(BIND, choice.driver))
    fallback = None if target.refused else target.entry.fallback
    return DevicePlan(device, policy, BOUND, choice.driver, choice.driver, choice, steps, rebinds, fallback=fallback)


def release(survey: Survey, policy: str, *, record: Record, request: Request, memory: Memory) -> DevicePlan:
    """How the device of a Record that its policy does not declare any more is given back."""
    device = survey.devices[record.address]
    choice = Choice(None, None, NATIVE, because=request.why_released(policy), is_usual=not request.present)
    if not record.is_of(device):
        now = memory.moved.get((policy, record.address))
        taken = f"the rule of serial {record.serial} took it{', which is at ' + now + ' now' if now else ''}"
        choice = replace(choice, because=taken) if request.present else choice.noted(taken)
    pf = survey.devices.get(device.physfn or "")
    was = record.was["driver"]
    if pf is not None and pf.sriov and not pf.sriov["autoprobe"] and was is None:
        return _leave_alone(device, policy, choice, request)
    later, must_bind = _driver_to_come(survey, device, was)
    found = _give_native(survey, device, policy, choice, later, request, must_bind=must_bind)
    if later is None and was is not None and found.rebinds:
        found = replace(found, warning=(
            f"{device.address} ({device.name}) had driver {was}, and no driver or module of kernel {survey.kernel} serves it now: it is "
            "given back without a driver"
        ))
    return replace(found, gives_back=True)


def _driver_to_come(survey: Survey, device: Device, was: str | None) -> tuple[str | None, bool]:
    """(the driver that the kernel gives a device that is given back, None for none, whether it has to).

    ``was``: the driver that it had before it was taken. What had none before need not get one; nor what had one that is not on this
    host any more, or that it had by an override alone.
    """
    native, modules = survey.native_driver(device), survey.modules
    if native is None:
        return (was if was is not None and modules.is_registered(was) else None), False
    if was is None:
        return native, False
    is_there = modules.is_registered(was) or modules.is_loadable(module_name(was))
    if not is_there and not modules.is_registered(native):
        return was, False  # the name of a module that is not loaded stands for its driver's
    declares = is_there and matching(modules.aliases_of(modules.driver_module(was) or module_name(was)), device.modalias)
    return (was, True) if declares else (native, False)


def _leave_alone(device: Device, policy: str, choice: Choice, request: Request) -> DevicePlan:
    """Take override and driver off a VF that had no driver, and that its PF keeps from getting one by itself."""
    if not request.now:
        return DevicePlan(device, policy, PENDING, device.driver, device.driver_override, choice, rebinds=True, gives_back=True)
    steps = [Step(OVERRIDE, "")] if device.driver_override is not None else []
    if device.driver is not None:
        steps.append(Step(UNBIND, device.driver))
    return DevicePlan(device, policy, RELEASED, None, None, choice, steps, bool(steps), gives_back=True)


def _give_native(
    survey: Survey, device: Device, policy: str, choice: Choice, expected: str | None, request: Request, *, is_met: bool = False,
    must_bind: bool = False,
) -> DevicePlan:
    """Clear the override and let the kernel pick; ``expected``: the driver that will come of it, None for none."""
    if is_met:
        return DevicePlan(device, policy, UNCHANGED, device.driver, device.driver_override, choice)
    rebinds = device.driver is None or not survey.is_native(device) or expected not in (None, device.driver)
    native = survey.native_driver(device)
    if not request.now:
        return DevicePlan(device, policy, PENDING, device.driver, device.driver_override, choice, rebinds=rebinds)
    steps = []
    if device.driver_override is not None:
        steps.append(Step(OVERRIDE, ""))
    if rebinds and device.driver is not None:
        steps.append(Step(UNBIND, device.driver))
    if rebinds:
        steps += [Step(LOAD_NATIVE, device.modalias), Step(PROBE, native if device.physfn and native else "")]
    later = expected if rebinds else device.driver
    return DevicePlan(device, policy, RELEASED, later, None, choice, steps, rebinds, must_bind=rebinds and must_bind)


__all__ = ("release", "take")
