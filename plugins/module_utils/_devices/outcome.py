# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""A plan of devices as it came out: what each device has by now, and what could not be given back. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._devices import rules
from ansible_collections.vfio.host.plugins.module_utils._devices.steps import FAILED, PROBE, RELEASED, DevicePlan

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.plan import Plan


def carried_out(plan: Plan, *, devices: list[DevicePlan], failed: dict[str, list[str]]) -> Plan:
    """The plan with ``devices``, its DevicePlans as the host is now, and what is to be said of them.

    ``failed``: address -> messages, which name the device, of devices that could not be given back. Their records stay in the list of devices on their way
    back, below /run, so that another run tries again.
    """
    failures = [
        f"{message}; it could not be given back, all else was done, and its record stays: run again when that is mended"
        for messages in failed.values() for message in messages
    ]
    return replace(
        plan, devices=[replace(one, status=FAILED) if one.device.address in failed else one for one in devices],
        failures=failures, warnings=plan.warnings + _warnings(plan, devices, failed), last_files=_last_files(plan, failed),
    )


def _warnings(plan: Plan, devices: list[DevicePlan], failed: dict[str, list[str]]) -> list[str]:
    """A sentence for each device that was given back, and for which the kernel's table names a driver that did not take it."""
    found = []
    for one in devices:
        native = plan.host.survey.native_driver(one.device)
        is_back = one.gives_back and one.status == RELEASED and one.device.address not in failed
        if is_back and one.driver is None and native is not None and any(step.action == PROBE for step in one.steps):
            found.append(
                f"{one.device.address} ({one.device.name}) is given back without a driver: {native}, which declares it, did not take it; "
                "the kernel log may say why"
            )
    return found


def _last_files(plan: Plan, failed: dict[str, list[str]]) -> dict[str, str | None]:
    """The files that are written last, with the records of what could not be given back."""
    if not failed:
        return plan.last_files
    found = {}
    for policy in sorted({one.policy for one in plan.devices}):
        dummy, path = plan.host.rules_paths(policy)
        if path in plan.last_files:
            text = plan.files.get(path, plan.host.files.get(path))
            records = [one.located(plan.host.survey.devices) for one in rules.parse(text or "", path)]
            done = [one for one in records if one.released and one.address not in failed]
            found[path] = rules.without(text, path, policy=policy, records=done, standings=[]) if text else None
    return dict(plan.last_files, **found)


__all__ = ("carried_out",)
