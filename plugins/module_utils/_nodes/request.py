# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From a module's options, and the plan of devices where there is one, to a request for nodes."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Set

from ansible_collections.vfio.host.plugins.module_utils._core.options import undeclared
from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import RELEASE
from ansible_collections.vfio.host.plugins.module_utils._devices.spec import NATIVE
from ansible_collections.vfio.host.plugins.module_utils._devices.steps import BOUND, PENDING, RELEASED
from ansible_collections.vfio.host.plugins.module_utils._nodes.plan import Request
from ansible_collections.vfio.host.plugins.module_utils._nodes.spec import Wish, parse


def node_request(
    options: Dict[str, Any], plan: Any, *, host: Any, gives_all: bool,
) -> Request:
    """The Request that a module's options ``nodes`` and ``iommu_node`` mean; what is wrong with them is in it.

    ``plan``: of devices, None where the task is about none; ``host``: the Host as it is; ``gives_all``: everything goes.
    """
    present = options["state"] == "present"
    problems: List[str] = []
    wishes: Dict[Optional[str], Optional[Wish]] = {}
    if present:
        wishes.update(parse(options["nodes"], options["iommu_node"], problems=problems))
    else:
        wishes.update(parse(dict.fromkeys([*(options["nodes"] or ()), *(options["devices"] or ())]), None, problems=problems))
        wishes.update({None: None} if options["iommu_node"] else {})
    found = _Holding(host)
    if plan is not None:
        found.add_plan(plan)
    else:
        found.add_host(host.policies)
    has_come = plan is not None and plan.request.prediction is not None and plan.request.prediction.come
    return Request(
        wishes=wishes, devices=host.survey.devices, owners=found.owners, policies=frozenset(found.policies),
        coming=frozenset(found.coming), waiting=frozenset(found.waiting), ended=frozenset(found.ended),
        leaving=frozenset(found.leaving), decided=frozenset(found.decided), vfio_drivers=host.survey.vfio_drivers, now=options["now"],
        at_boot=options["at_boot"], undeclared=undeclared(options), gives_all=gives_all,
        unknown=tuple(problems), has_come=bool(has_come),
    )


class _Holding:
    """Who has which device on VFIO when the run has ended: as Request has it."""

    def __init__(self, host: Any) -> None:
        self._host = host
        self.owners: Dict[str, str] = {}
        self.policies: Set[str] = set(host.policies) | set(host.standings)
        self.ended: Set[str] = set()
        self.coming: Set[str] = set()
        self.waiting: Set[str] = set()
        self.leaving: Set[str] = set()
        self.decided: Set[str] = set()

    def add_plan(self, plan: Any) -> None:
        """What a plan of devices makes of its policies, and the others as they are."""
        request, survey = plan.request, plan.host.survey
        named = set(plan.host.policies if request.policies is None else request.policies)
        self.policies |= named
        others = set() if request.undeclared == RELEASE else self.policies - named
        self.ended = {one for one in self.policies - others if not (request.present and (request.policies or {}).get(one))}
        for one in plan.devices:
            if (one.gives_back or one.choice.source == NATIVE) and one.status == RELEASED:
                self.leaving.add(one.device.address)
            if one.gives_back or one.choice.source == NATIVE or not (one.choice.driver is None or survey.is_vfio(one.choice.driver)):
                continue
            address = one.device.address
            self.owners[address] = one.policy
            if one.status == PENDING and not survey.is_vfio(one.device.driver):
                self.waiting.add(address)
            elif one.status == BOUND and one.rebinds:
                self.coming.add(address)
        self.decided = {one.device.address for one in plan.devices}
        self.add_host({name: records for name, records in plan.host.policies.items() if name in others}, self.decided)

    def add_host(self, policies: Dict[str, Any], but: Any = ()) -> None:
        """What ``policies``, name -> Records, have on the host; ``but``: addresses that the task itself decides about."""
        devices, survey = self._host.survey.devices, self._host.survey
        for name, records in policies.items():
            for record in records:
                device = devices.get(record.address)
                if not record.released and record.address not in but and record.is_of(device) and survey.is_vfio(device.driver):
                    self.owners.setdefault(record.address, name)
        for name, kinds in self._host.standings.items():
            if name not in policies:
                continue
            for address, device in devices.items():
                if address not in but and survey.is_vfio(device.driver) and any(
                    one.catches(device) and one.driver == device.driver_override for one in kinds
                ):
                    self.owners.setdefault(address, name)


__all__ = ("node_request",)
