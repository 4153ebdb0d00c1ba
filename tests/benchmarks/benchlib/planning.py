# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for more and more declared devices on one surveyed host, in this process."""

from __future__ import annotations

import time
from pathlib import Path

from ansible_collections.vfio.host.plugins.module_utils._devices.area import Host, asked
from ansible_collections.vfio.host.plugins.module_utils._devices.holders import Usage
from ansible_collections.vfio.host.plugins.module_utils._devices.plan import Request, make_draft, make_plan
from ansible_collections.vfio.host.plugins.module_utils._devices.state import survey
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

TAKE, GIVE_BACK = "take", "give back"


def planning(root: Path, shares: list[int], rounds: int) -> dict[str, dict[int, list[float]]]:
    """What is planned -> number of declared devices -> seconds of processor time of the draft, what it asks of the host, and the plan, a round each.

    ``shares``: 64 declares each 64th device, 1 all. Each is declared by its own address, in an entry of its own.
    Nothing is recorded of what those given back had before, so the kernel's tables are asked.
    """
    fs = Sysfs(str(root))
    found = survey(fs)
    # A PF with VFs is refused, and with it the whole plan.
    endpoints = [
        address for address, device in found.devices.items()
        if not device.is_bridge and not (device.sriov or {}).get("num")
    ]
    vfio = [address for address in endpoints if found.is_vfio(found.devices[address].driver)]
    requests = {
        (what, len(addresses[::share])): _request(addresses[::share], driver)
        for what, addresses, driver in ((TAKE, endpoints, "auto"), (GIVE_BACK, vfio, "native")) for share in shares
    }
    times: dict[str, dict[int, list[float]]] = {TAKE: {}, GIVE_BACK: {}}
    for dummy in range(rounds):
        for (what, count), request in requests.items():
            host = Host(found, {}, {}, {}, str(root / "etc"), str(root / "run"))
            before = time.process_time()
            draft = make_draft(host, request)
            # Who uses the devices is looked at anew for each plan.
            plan = make_plan(asked(fs, host, usage=Usage(fs), request=request, draft=draft), draft, request=request)
            times[what].setdefault(count, []).append(time.process_time() - before)
            if len(plan.devices) != count:
                raise AssertionError(f"{len(plan.devices)} devices planned, {count} declared")
    return times


def _request(addresses: list[str], driver: str) -> Request:
    entries = [{"match": {"address": address}, "driver": driver, "iommu_group": "ignore"} for address in addresses]
    return Request({"benchmark": entries}, force=("network", "storage", "console"))
