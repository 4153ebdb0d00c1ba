# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.
"""SR-IOV network device plugin: its configuration, and the network attachment that asks for it.

(source: pkg/factory/factory.go: VFIO nodes for driver vfio-pci only; pkg/types/types.go: classes 02 and 12)
"""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.vfio.host.plugins.plugin_utils._handover.model import (
    ACCELERATOR,
    BASE_DRIVER,
    FUNCTIONS,
    NETWORK,
    Consumer,
    Problem,
    Wanted,
)
from ansible_collections.vfio.host.plugins.plugin_utils._handover.options import name_for

# (source: pkg/utils/utils.go, ValidResourceName)
NAME = r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9_]{1,63}"
PREFIX = "intel.com"  # what the plugin adds where nothing else is said (source: cmd/sriovdp/main.go)


def write(wanted: Wanted) -> dict[str, Any]:
    """A mapping: ``config`` as the plugin reads it, ``config_map`` with that as JSON, ``network_attachment_definition`` or None."""
    name = name_for("the SR-IOV network device plugin", wanted.options["name"], pattern=NAME, words="a name of letters, digits and '_', or DOMAIN/NAME,")
    prefix, dummy, short = name.rpartition("/")
    kind = _kind(wanted)
    resource: dict[str, Any] = {"resourceName": short}
    if prefix:
        resource["resourcePrefix"] = prefix
    if kind == ACCELERATOR:
        resource["deviceType"] = "accelerator"
    resource["selectors"] = {
        "vendors": list(dict.fromkeys(device.ids()[0] for device in wanted.devices)),
        "devices": list(dict.fromkeys(device.ids()[1] for device in wanted.devices)),
        "drivers": [BASE_DRIVER],
        "pciAddresses": [device.address for device in wanted.devices],
    }
    config = {"resourceList": [resource]}
    return {
        "config": config,
        "config_map": {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "sriovdp-config", "namespace": "kube-system"},
            "data": {"config.json": json.dumps(config, indent=2)},
        },
        "network_attachment_definition": _attachment(wanted, short, prefix or PREFIX) if kind == NETWORK else None,
    }


def _kind(wanted: Wanted) -> str:
    """NETWORK or ACCELERATOR, which all of the devices are. Raises Problem."""
    problems = []
    for device in wanted.devices:
        if not device.is_of(NETWORK) and not device.is_of(ACCELERATOR):
            shown = device.pci_class or "not known"
            problems.append(
                f"{device.address}: its class is {shown}, and the SR-IOV network device plugin sees network devices (02) and "
                "accelerators (12) only"
            )
    kinds = {(device.pci_class or "")[:2] for device in wanted.devices}
    if not problems and len(kinds) > 1:
        problems.append("network devices and accelerators cannot be one resource: hand them over one after the other, under two names")
    if problems:
        raise Problem(*problems)
    return kinds.pop()


def _attachment(wanted: Wanted, short: str, prefix: str) -> dict[str, Any] | None:
    """The attachment for VFs; None where a device is no VF, which sriov-cni does not take."""
    if any(device.is_vf is False for device in wanted.devices):
        return None
    label = short.lower().replace("_", "-").strip("-") or "vfio"
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": label, "annotations": {"k8s.v1.cni.cncf.io/resourceName": f"{prefix}/{short}"}},
        "spec": {"config": json.dumps({"cniVersion": "0.3.1", "name": label, "type": "sriov"})},
    }


CONSUMER = Consumer(
    "the SR-IOV network device plugin", write, frozenset(("name",)), frozenset(("name",)), pools=FUNCTIONS,
)

__all__ = ("CONSUMER",)
