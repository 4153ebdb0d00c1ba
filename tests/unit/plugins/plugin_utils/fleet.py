# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A made-up fleet: what the tasks of a play have registered of each host, always the same for the same numbers."""

from __future__ import annotations

import random

from ansible_collections.vfio.host.plugins.plugin_utils._report.record import record

VFS = 96
# ids, class, vendor, name, native driver, module's VFIO driver, how many
_CARDS = (
    ("8086:347a", "060400", "Intel Corporation", "Ice Lake PCIe Root Port", "pcieport", "vfio-pci", 12),
    ("8086:a182", "010601", "Intel Corporation", "Lewisburg SATA Controller [AHCI mode]", "ahci", "vfio-pci", 1),
    ("8086:1592", "020000", "Intel Corporation", "Ethernet Controller E810-C for QSFP", "ice", "vfio-pci", 4),
    ("144d:a80a", "010802", "Samsung Electronics Co Ltd", "NVMe SSD Controller PM9A1", "nvme", "vfio-pci", 8),
    ("8086:4940", "0b4000", "Intel Corporation", "4xxx Series QAT", "4xxx", "vfio-pci", 3),
    ("10de:20b0", "030200", "NVIDIA Corporation", "GA100 [A100 SXM4 40GB]", "nvidia", "nvgrace_gpu_vfio_pci", 8),
    ("10de:1e04", "030000", "NVIDIA Corporation", "TU102 [GeForce RTX 2080 Ti]", "nouveau", "vfio-pci", 4),
    ("10de:10f7", "040300", "NVIDIA Corporation", "TU102 High Definition Audio Controller", "snd_hda_intel", "vfio-pci", 4),
)
_VF = ("8086:1889", "020000", "Intel Corporation", "Ethernet Adaptive Virtual Function", "iavf", "vfio-pci", VFS)


def _device(address, card, group, chance):
    ids, code, vendor, name, driver, vfio, dummy = card
    serial = f"S{chance.getrandbits(48):012X}" if code in ("010802", "030200") else None
    mac = ":".join(f"{chance.getrandbits(8):02x}" for dummy in range(6))
    return {
        "address": address, "vendor": ids[:4], "device": ids[5:], "class": code, "driver": driver, "driver_override": None, "iommu_group": str(group),
        "numa_node": int(address[5:7] > "80"), "header_type": int(code == "060400"), "path": f"0000:00/{address[5:]}-00.0", "is_vf": card is _VF,
        "physfn": None, "sriov": {"total": 128, "num": VFS, "autoprobe": False} if ids == "8086:1592" else None, "serial": serial,
        "net": [{"name": f"enp{address[5:7]}", "mac": mac, "address": mac}] if code == "020000" else [],
        "block": [f"nvme{group}n1"] if code == "010802" else [], "zpci": None, "vendor_name": vendor, "device_name": name,
        "vfio": {"module": vfio.replace("-", "_"), "driver": vfio, "bindable": True, "reason": None}, "holders": [], "guards": [],
    }


def facts(number):
    """The facts of one host of 140 functions, as far as the survey reads them. About a third of its GPUs and VFs are taken."""
    chance, devices, group = random.Random(number), {}, 0
    bus = number % 7 + 1
    for card in (*_CARDS, _VF):
        for index in range(card[-1]):
            slot, function = divmod(index, 8)
            group += not (card[1] == "040300" and index)
            address = f"0000:{bus:02x}:{slot:02x}.{function}"
            devices[address] = _device(address, card, group, chance)
        bus += 3
    groups, owners = {}, {}
    uplink = next(one for one in devices.values() if one["device"] == "1592")
    uplink["guards"] = [{"kind": "network", "reason": f"{uplink['net'][0]['name']} carries the default route on {uplink['address']}"}]
    disk = next(one for one in devices.values() if one["class"] == "010802")
    disk["guards"] = [{"kind": "storage", "reason": f"{disk['block'][0]} carries / on {disk['address']}"}]
    for index, one in enumerate(devices.values()):
        groups.setdefault(one["iommu_group"], []).append(one["address"])
        one["physfn"] = uplink["address"] if one["is_vf"] else None
        if (one["is_vf"] or one["class"] == "030200") and index % 3 == 0:
            policy = "dpdk" if one["is_vf"] else "gpus"
            owners[one["address"]] = {"policy": policy, "was": {"driver": one["driver"], "net": one["net"], "serial": one["serial"]}}
            one.update(driver=one["vfio"]["driver"], driver_override=one["vfio"]["driver"], net=[])
            if index % 9 == 0:
                one["holders"] = [{"pid": 4000 + index, "command": "qemu-system-x86"}]
    iommu = {"enabled": True, "groups": groups, "interrupt_remapping": True}
    return {"platform": "x86", "kernel": "6.12.107+deb13-amd64", "iommu": iommu, "devices": devices, "owners": owners,
            "policies": sorted({owner["policy"] for owner in owners.values()})}


def _row(one, policy, is_new, waits):
    """A row of the result's devices."""
    return {
        "address": one["address"], "policy": policy,
        "identity": {"vendor": one["vendor"], "device": one["device"], "class": one["class"], "name": one["device_name"]},
        "driver_before": one["driver"], "driver": "vfio-pci" if is_new and not waits else one["driver"],
        "status": "unchanged" if not is_new else "pending" if waits else "bound",
        "choice": {
            "source": "auto", "module": one["vfio"]["module"], "driver": one["vfio"]["driver"], "alias": "vfio_pci:v*", "reason": "the only alias that fits",
        },
    }


def result(found, *, taking=0, waits=()):
    """What the module passthrough says of a host in check mode: all that is taken stays, and ``taking`` more devices are taken."""
    free = [one for one in found["devices"].values() if one["class"] == "010802" and not one["guards"]][:taking]
    rows = [
        _row(one, "disks" if one in free else found["owners"][one["address"]]["policy"], one in free, bool(waits))
        for one in found["devices"].values() if one in free or one["address"] in found["owners"]
    ]
    return {
        "changed": bool(free), "devices": rows, "reboot_required": bool(waits), "reboot_reasons": list(waits), "undeclared": [], "diff": [],
        "warnings": [],
    }


REFUSED = {
    "failed": True, "changed": False,
    "msg": "0000:0a:00.0 (Intel Corporation E810-C) is needed by this host: enp0a carries the default route; say force: [network]",
    "refusals": [{
        "kind": "guard", "guard": "network", "devices": ["0000:0a:00.0"], "remedy": "say force: [network]",
        "message": "0000:0a:00.0 (Intel Corporation E810-C) is needed by this host: enp0a carries the default route; say force: [network]",
    }],
}
FAILED = {"failed": True, "changed": False, "msg": "udevadm cannot be started: ENOENT (No such file or directory); all is as it was"}
UNREACHABLE = {"unreachable": True, "changed": False, "msg": "Failed to connect to the host via ssh: ssh: connect to host: No route to host"}


def registered(number):
    """The variables of one host. Of each 50 hosts two would change, one waits, two are refused, one failed, and one is not reached."""
    place = number % 50
    if place == 49:
        return {"passthrough_survey": UNREACHABLE}
    if place == 48:
        return {"passthrough_survey": FAILED}
    found = facts(number)
    variables = {"passthrough_survey": {"record": record(found)}, "passthrough_checked": {"run": "x"}}
    if place in (46, 47):
        return dict(variables, passthrough_result=REFUSED)
    waits = ("the running kernel was not started with intel_iommu=on",) if place == 45 else ()
    return dict(variables, passthrough_result=result(found, taking=2 if place in (43, 44, 45) else 0, waits=waits))


def fleet(hosts):
    """Host -> its variables."""
    return {f"node{number:03}.example.com": registered(number) for number in range(hosts)}
