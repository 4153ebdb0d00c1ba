# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""A plan of devices as a task returns it, and as Ansible shows its difference. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._core.diff import of_files, piece

if TYPE_CHECKING:
    from typing import Any, Iterable

    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._devices.plan import Plan
    from ansible_collections.vfio.host.plugins.module_utils._devices.record import Record
    from ansible_collections.vfio.host.plugins.module_utils._devices.steps import DevicePlan


def devices(plan: Plan) -> list[dict[str, Any]]:
    """One mapping for each device of the plan."""
    recorded, owners = plan.host.recorded, _owners(plan)
    return [
        {
            "address": one.device.address,
            "policy": one.policy,
            "policy_before": next(iter(sorted(owners.get(one.device.address, ()), key=lambda policy: (policy != one.policy, policy))), None),
            "identity": _identity(one.device, recorded.get(one.device.address)),
            "driver_before": one.device.driver,
            "driver": one.driver,
            "override": one.override,
            "choice": one.choice.facts(),
            "status": one.status,
        }
        for one in plan.devices
    ]


def _owners(plan: Plan) -> dict[str, set[str]]:
    """Address -> the policies that have it when the run begins: two, where a run was killed while it changed its owner."""
    owners: dict[str, set[str]] = {}
    for policy, records in plan.host.policies.items():
        for record in records:
            if not record.released:
                owners.setdefault(record.address, set()).add(policy)
    return owners


def _identity(device: Device, record: Record | None) -> dict[str, str | None]:
    """The device's identity, with a serial number that VFIO hides as it is remembered."""
    identity = device.identity()
    if identity["serial"] is None and record is not None and record.is_of(device):
        identity["serial"] = record.was["serial"]
    return identity


def diff(plan: Plan) -> list[dict[str, str]]:
    """The devices' state in one piece, then each file."""
    found = []
    changing = [one for one in plan.devices if one.steps]
    if changing:
        found.append(piece(
            "PCI devices",
            before=_state((one.device.address, one.device.driver, one.device.driver_override) for one in changing),
            after=_state((one.device.address, one.driver or _unknown(one), one.override or _unknown(one)) for one in changing),
        ))
    return found + of_files(plan.host.files, plan.changed_files())


def _unknown(one: DevicePlan) -> str | None:
    """What stands for a driver whose name shows when its module is loaded."""
    return f"(that of module {one.choice.module})" if one.choice.module and one.choice.driver is None else None


def _state(rows: Iterable[tuple[str, str | None, str | None]]) -> str:
    return "".join(
        f"{address} driver={driver or '(none)'} driver_override={override or '(none)'}\n"
        for address, driver, override in rows
    )


__all__ = ("devices", "diff")
