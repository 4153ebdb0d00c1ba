# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts for who hands a device over: the kernel's files as drivers/pci/pci-sysfs.c and vpd.c make them."""

from __future__ import annotations

import os
import struct

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.details import FIELDS, add
from ansible_collections.vfio.host.plugins.module_utils._devices.holders import Usage
from ansible_collections.vfio.host.plugins.module_utils._devices.vpd import identification
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PAIR, PAIR2, PF, UPLINK, VF
from ansible_collections.vfio.host.tests.unit.fake.sriov import SMALL, VFS
from ansible_collections.vfio.host.tests.unit.fake.vfs import FRESH

# QEMU's e1000e as resource_show() prints it: memory, memory, I/O, memory; nothing in between, a ROM, no VFs.
RESOURCE = """\
0x00000000febc0000 0x00000000febdffff 0x0000000000040200
0x00000000feba0000 0x00000000febbffff 0x0000000000040200
0x000000000000c040 0x000000000000c05f 0x0000000000040101
0x0000000800000000 0x0000000800003fff 0x000000000014220c
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x00000000feb80000 0x00000000feb9ffff 0x0000000000046200
0x0000000000000000 0x0000000000000000 0x0000000000000000
"""


def details(host, address, *fields):
    survey = host.survey()
    return add(host.kernel, survey, usage=Usage(host.kernel), facts={address: survey.facts()["devices"][address]}, fields=fields)[address]


def put(host, address, **files):
    for name, text in files.items():
        host.tree.put(host.tree.directory(address) / name, text)


@pytest.mark.parametrize("spec", [hosts.x86(), hosts.s390(), hosts.p9(), hosts.x86(iommu=False)], ids=["x86", "s390", "p9", "off"])
def test_every_field_is_there_for_every_device_asked_for_or_not(make_host, spec):
    host = make_host(spec)
    survey = host.survey()
    for fields in ((), FIELDS):
        for one in add(host.kernel, survey, usage=Usage(host.kernel), facts=survey.facts()["devices"], fields=fields).values():
            assert {*FIELDS, "functions", "pf_net"} <= set(one) and {"node", "cdev"} <= set(one["vfio"])


def test_what_is_not_asked_for_is_not_read(host, monkeypatch):
    put(host, NIC, resource=RESOURCE, local_cpulist="0-3\n", vpd="x", current_link_speed="8.0 GT/s PCIe\n")
    read = []
    survey = host.survey()
    monkeypatch.setattr(host.kernel, "read", read.append)
    monkeypatch.setattr(host.kernel, "opened", read.append)
    found = add(host.kernel, survey, usage=Usage(host.kernel), facts={NIC: survey.facts()["devices"][NIC]}, fields=())[NIC]
    assert [found[name] for name in FIELDS] == [None] * len(FIELDS) and read == []


def test_bars_have_sizes_and_kinds_and_those_that_are_not_there_are_left_out(host):
    put(host, NIC, resource=RESOURCE)
    assert details(host, NIC, "bars")["bars"] == [
        {"name": "bar0", "size": 131072, "flags": ["memory"]}, {"name": "bar1", "size": 131072, "flags": ["memory"]},
        {"name": "bar2", "size": 32, "flags": ["io"]}, {"name": "bar3", "size": 16384, "flags": ["memory", "prefetchable", "64bit"]},
        {"name": "rom", "size": 131072, "flags": ["memory", "prefetchable"]},
    ]


@pytest.mark.parametrize("text, expected", [("", []), ("nonsense\n0x1\n\xff\n", []), (None, None)])
def test_a_resource_file_of_another_shape_has_no_bars(host, text, expected):
    if text is None:
        (host.tree.directory(NIC) / "resource").unlink()
    else:
        put(host, NIC, resource=text)
    assert details(host, NIC, "bars")["bars"] == expected


def test_the_link_is_as_now_and_at_most(host):
    put(host, NIC, current_link_speed="2.5 GT/s PCIe\n", current_link_width="4\n", max_link_speed="8.0 GT/s PCIe\n", max_link_width="16\n")
    assert details(host, NIC, "link")["link"] == {"speed": "2.5 GT/s PCIe", "width": 4, "max_speed": "8.0 GT/s PCIe", "max_width": 16}


@pytest.mark.parametrize("speed, width", [("Unknown\n", "0\n"), ("Unknown speed\n", "63\n"), ("\n", "255\n"), ("Unknown\n", "\n")])
def test_a_link_that_is_down_has_no_speed_and_no_width(host, speed, width):
    put(host, NIC, current_link_speed=speed, current_link_width=width, max_link_speed="8.0 GT/s PCIe\n", max_link_width="16\n")
    assert details(host, NIC, "link")["link"] == {"speed": None, "width": None, "max_speed": "8.0 GT/s PCIe", "max_width": 16}


def test_conventional_pci_has_no_link(host):
    assert details(host, PAIR, "link")["link"] is None


@pytest.mark.parametrize("field, files", [("link", {"current_link_speed": "2.5 GT/s PCIe\n"}), ("vpd", {"vpd": "\x82\x01\0X\x78"})])
def test_a_device_in_d3cold_is_not_woken(make_host, field, files):
    host = make_host(hosts.changed(hosts.x86(), NIC, power="D3cold"))
    put(host, NIC, **files)
    assert details(host, NIC, field)[field] is None and host.kernel.woken == []


def test_the_cpus_of_its_node_are_as_the_kernel_lists_them(host):
    put(host, NIC, local_cpulist="0-7,16-23\n")
    assert details(host, NIC, "cpus")["cpus"] == "0-7,16-23"
    put(host, NIC, local_cpulist="\n")
    assert details(host, NIC, "cpus")["cpus"] is None


def test_functions_that_depend_on_each_other_are_named_and_other_links_are_not(host):
    directory = host.tree.directory(PAIR)
    for name in (f"consumer:pci:{PAIR2}", "consumer:platform:reg-dummy", "supplier:pci:0000:00:01.0", "consumer:pci:x"):
        os.symlink("../nowhere", directory / name)
    assert details(host, PAIR, "dependence")["dependence"] == {"consumers": [PAIR2], "suppliers": ["0000:00:01.0"]}
    assert details(host, NIC, "dependence")["dependence"] == {"consumers": [], "suppliers": []}


def test_the_other_functions_of_a_card_are_those_of_its_slot_and_no_vfs(make_host):
    gpu, audio = "0000:09:00.0", "0000:09:00.1"
    spec = hosts.x86()
    functions = tuple(
        hosts.Function(address, "10de:2684", pci_class, group="30") for address, pci_class in ((gpu, "030000"), (audio, "040300"))
    )
    host = make_host(hosts.replace(spec, functions=spec.functions + functions))
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "2")
    assert details(host, gpu)["functions"] == [audio] and details(host, audio)["functions"] == [gpu]
    assert details(host, PF)["functions"] == [] and details(host, VF)["functions"] == [] and details(host, PAIR)["functions"] == []


def test_a_vf_has_the_names_of_its_pfs_interfaces(host):
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "1")
    assert details(host, VF)["pf_net"] == [one["name"] for one in host.facts(PF)["net"]] != []
    assert details(host, PF)["pf_net"] is None


def test_the_node_of_a_group_has_owner_group_and_mode_while_vfio_has_the_device(host):
    assert details(host, NIC)["vfio"]["node"] is None
    host.take(NIC)
    node = host.tree.root / "dev/vfio/14"
    os.chmod(node, 0o660)
    assert details(host, NIC)["vfio"]["node"] == {"path": "/dev/vfio/14", "owner": "root", "group": "root", "mode": "0660"}
    assert details(host, NIC)["vfio"]["cdev"] is None and details(host, UPLINK)["vfio"]["node"] is None
    os.chown(node, 54321, 54322)
    assert details(host, NIC)["vfio"]["node"]["owner"] == "54321" and details(host, NIC)["vfio"]["node"]["group"] == "54322"
    os.unlink(node)
    assert details(host, NIC)["vfio"]["node"] == {"path": "/dev/vfio/14", "owner": None, "group": None, "mode": None}


def test_a_character_device_of_its_own_is_told_too(host):
    host.take(NIC)
    host.kernel.hold(NIC, 900, "nobody", node="devices/vfio0")
    assert details(host, NIC)["vfio"]["cdev"]["path"] == "/dev/vfio/devices/vfio0"


# Vital product data.


def tag(kind, data):
    return bytes((kind,)) + struct.pack("<H", len(data)) + data


def keyword(name, value):
    return name + bytes((len(value),)) + value


NAME = tag(0x82, b"ConnectX-6 Dx EN adapter card ")
READ_ONLY = tag(0x90, keyword(b"PN", b"MCX623106AN") + keyword(b"EC", b"A9") + keyword(b"SN", b"MT2039K04711 ") + keyword(b"RV", b"\x12\0\0"))
WHOLE = NAME + READ_ONLY + tag(0x91, keyword(b"SN", b"of somebody")) + b"\x78"


def reading(data):
    asked = []

    def read_at(length, offset):
        asked.append((offset, length))
        return data[offset:offset + length]

    return read_at, asked


def test_a_card_says_its_name_part_and_serial(host):
    (host.tree.directory(NIC) / "vpd").write_bytes(WHOLE)
    expected = {"name": "ConnectX-6 Dx EN adapter card", "part": "MCX623106AN", "serial": "MT2039K04711"}
    assert details(host, NIC, "vpd")["vpd"] == expected
    assert details(host, PAIR, "vpd")["vpd"] is None


def test_nothing_is_read_behind_what_the_maker_wrote():
    read_at, asked = reading(WHOLE)
    identification(read_at)
    assert max(offset + length for offset, length in asked) == len(NAME + READ_ONLY)


@pytest.mark.parametrize("data", [b"", b"\xff" * 64, b"\0" * 64, b"\x78", b"\x82", b"\x0a\x00" * 200])
def test_what_is_no_such_data_is_none(data):
    assert identification(reading(data)[0]) is None


@pytest.mark.parametrize("data, expected", [
    (tag(0x90, b"SN\xff123"), {"name": None, "part": None, "serial": None}),
    (b"\x90\xff\xff" + keyword(b"SN", b"1"), {"name": None, "part": None, "serial": "1"}),
    (tag(0x82, b"caf\xe9\n\x1b[1m"), {"name": "caf[1m", "part": None, "serial": None}),
    (b"\x0b\x01\x02\x03" + READ_ONLY, {"name": None, "part": "MCX623106AN", "serial": "MT2039K04711"}),
    (tag(0x90, keyword(b"SN", b"  ")), {"name": None, "part": None, "serial": None}),
])
def test_data_that_is_cut_off_or_odd_gives_what_can_be_told(data, expected):
    assert identification(reading(data)[0]) == expected


def test_attributes_of_a_vf_are_those_that_its_pf_keeps(make_host):
    host = make_host(SMALL)
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "2")
    host.kernel.vfs.of(PF)[1].update(mac="52:54:00:aa:00:01", vlan=42)
    found = details(host, VFS[1], "vf_attributes")["vf_attributes"]
    assert found == dict(FRESH, mac="52:54:00:aa:00:01", vlan=42, node_guid=None, port_guid=None)
    assert details(host, PF, "vf_attributes")["vf_attributes"] is None
    assert details(host, VFS[1])["vf_attributes"] is None
