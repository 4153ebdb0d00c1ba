# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bad input: one clear message that names the item, nothing touched, no traceback; the same from both modules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PAIR_BRIDGE

NIC_ENTRY = {"match": {"address": NIC}}

# What is wrong: policy, devices, the words that the one message must have.
BAD = {
    "unknown driver": ("p", [dict(NIC_ENTRY, driver="nosuch")], ["devices[0]", "nosuch"]),
    "malformed address": ("p", [{"match": {"address": "0000:02:00"}}], ["devices[0]", "0000:02:00"]),
    "unknown match key": ("p", [{"match": {"vndor": "8086"}}], ["devices[0]", "vndor", "vendor"]),
    "nothing matched": ("p", [{"match": {"serial": "NV99"}}], ["devices[0]", "serial=NV99"]),
    "wrong count": ("p", [{"match": {"device": "10d3"}, "count": 3}], ["devices[0]", "count is 3", "matches 2"]),
    "two drivers": ("p", [NIC_ENTRY, dict(NIC_ENTRY, driver="e1000e")], [NIC, "devices[0]", "devices[1]"]),
    "a bridge": ("p", [{"match": {"address": PAIR_BRIDGE}}], [PAIR_BRIDGE, "bridge"]),
    "policy with a slash": ("a/b", [NIC_ENTRY], ["policy", "a/b"]),
    "policy with a newline": ("a\nb", [NIC_ENTRY], ["policy", "a\\nb"]),
    "policy that ends with a newline": ("a\n", [NIC_ENTRY], ["policy", "a\\n"]),
    "empty policy name": ("", [NIC_ENTRY], ["policy ''"]),
    "driver with quotes": ("p", [dict(NIC_ENTRY, driver='x", RUN+="/bin/sh')], ["devices[0]", "RUN"]),
    "driver with a newline": ("p", [dict(NIC_ENTRY, driver="vfio-pci\n")], ["devices[0]", "vfio-pci\\n"]),
    "driver that is a path": ("p", [dict(NIC_ENTRY, driver="../../e1000e")], ["devices[0]", "../../e1000e"]),
    "id with a line end": ("p", [{"match": {"vendor": "10de\n", "net": "x\x1b[31m"}}], ["devices[0]", "vendor=10de\\n", "matches no device"]),
    "interface as the facts have it": (
        "p", [{"match": {"net": [{"name": "enp2s0", "mac": "52:54:00:12:34:56"}]}}], ["'net' is a mapping; say mac: ... beside the other fields"],
    ),
    "part of the facts of s390": (
        "p", [{"match": {"zpci": {"uid": "0x12", "pchid": "0x1"}}}], ["'zpci' is no field of a device; say uid: ... and pchid: ... beside"],
    ),
    "no match": ("p", [{"driver": "auto"}], ["devices[0]", "match"]),
    "empty match": ("p", [{"match": {}}], ["devices[0]", "match"]),
    "no devices": ("p", [], ["policy p", "state: absent"]),
    "unknown option": ("p", [dict(NIC_ENTRY, drvr="auto")], ["devices[0]", "drvr"]),
    "unquoted id": ("p", [{"match": {"class": 300}}], ["devices[0]", "class", "quotes"]),
    "bad group way": ("p", [dict(NIC_ENTRY, iommu_group="take")], ["devices[0]", "iommu_group", "take"]),
    "bad count": ("p", [dict(NIC_ENTRY, count="all")], ["devices[0]", "count", "all"]),
    "uplink": ("p", [{"match": {"net": "ens3"}}], ["0000:00:03.0", "default route", "force: [network]"]),
    "disk of the root": ("p", [{"match": {"class": "0100"}}], ["0000:00:04.0", "/ is on vda1", "force: [storage]"]),
}


def refused(run_module, host, module, check=False, **options):
    """The message of a task that fails without having touched anything."""
    before = host.snapshot()
    host.faults.reset()
    result = run_module(host, module, check=check, **options)
    assert result["failed"]
    assert "exception" not in result and "Traceback" not in result["msg"]
    assert host.snapshot() == before
    assert host.faults.log == []
    return result["msg"]


@pytest.mark.parametrize("check", [False, True], ids=["run", "check"])
@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_input_is_one_message_that_names_it(run_module, host, name, check):
    policy, devices, words = BAD[name]
    message = refused(run_module, host, "driver_override", check, policy=policy, devices=devices)
    assert len(message.splitlines()) == 1
    assert [word for word in words if word not in message] == []


# An empty list gives back where the whole host is declared: test_area_owners.py.
@pytest.mark.parametrize("name", sorted(set(BAD) - {"no devices"}))
def test_the_whole_host_module_says_the_same(run_module, host, name):
    policy, devices, dummy = BAD[name]
    single = refused(run_module, host, "driver_override", policy=policy, devices=devices)
    assert refused(run_module, host, "passthrough", devices={policy: devices}) == single


def test_no_iommu(run_module, make_host):
    message = refused(run_module, make_host(hosts.x86(iommu=False)), "driver_override", devices=[NIC_ENTRY])
    assert NIC in message and "IOMMU" in message
    assert len(message.splitlines()) == 1


def test_not_root(run_module, host):
    host.kernel.is_root = False
    message = refused(run_module, host, "driver_override", devices=[NIC_ENTRY])
    assert "become: true" in message


def test_no_pci(run_module, make_host):
    message = refused(run_module, make_host(hosts.x86(functions=())), "driver_override", devices=[NIC_ENTRY])
    assert "matches no device" in message


def test_no_vfio_module(run_module, make_host):
    spec = hosts.x86()
    spec = replace(spec, modules=tuple(one for one in spec.modules if one.name != "vfio_pci"))
    assert "no module vfio_pci" in refused(run_module, make_host(spec), "driver_override", devices=[NIC_ENTRY])


def test_several_errors_at_once(run_module, host):
    message = refused(
        run_module,
        host,
        "passthrough",
        devices={
            "a/b": [NIC_ENTRY],
            "q": [{"match": {"vndor": "1", "address": "x"}}, dict(NIC_ENTRY, driver='"')],
            "r": 7,
        },
    )
    assert len(message.splitlines()) == 5


def test_several_things_that_cannot_be_met_at_once(run_module, host):
    message = refused(
        run_module,
        host,
        "driver_override",
        devices=[
            {"match": {"serial": "NV99"}},
            {"match": {"device": "10d3"}, "count": 3},
            {"match": {"address": PAIR_BRIDGE}},
        ],
    )
    assert len(message.splitlines()) == 3


@pytest.mark.parametrize(
    ("module", "options", "word"),
    [
        ("driver_override", {}, "devices"),
        ("driver_override", {"devices": "all"}, "devices"),
        ("driver_override", {"devices": [NIC_ENTRY], "state": "gone"}, "gone"),
        ("driver_override", {"devices": [NIC_ENTRY], "force": ["fun"]}, "fun"),
        ("driver_override", {"devices": [NIC_ENTRY], "timeout": "soon"}, "timeout"),
        ("driver_override", {"devices": [NIC_ENTRY], "root": "/x"}, "root"),
        ("driver_override", {"devices": [NIC_ENTRY], "now": False, "at_boot": False}, "at_boot"),
        ("passthrough", {}, "devices"),
        ("passthrough", {"devices": [NIC_ENTRY]}, "devices"),
        ("passthrough", {"devices": {"p": "all"}}, "policy p"),
        ("passthrough", {"devices": {}, "sysfs": "/x"}, "sysfs"),
        ("passthrough", {"kernel_config": {"VFIO_PCI": "maybe"}}, "kernel_config: VFIO_PCI: 'maybe' must be y, m or n"),
        ("kernel_config", {"options": {"VFIO_PCI": "maybe"}}, "options: VFIO_PCI: 'maybe' must be y, m or n"),
    ],
)
def test_a_bad_option_is_named(run_module, host, module, options, word):
    assert word in refused(run_module, host, module, **options)
