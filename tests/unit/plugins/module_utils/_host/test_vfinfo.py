# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attributes of VFs by rtnetlink."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host import vfinfo
from ansible_collections.vfio.host.plugins.module_utils._host.errors import KernelRefusal
from ansible_collections.vfio.host.plugins.module_utils._host.vfattributes import GROUPS, NAMES

VALUES = {
    "mac": "52:54:00:aa:00:01", "vlan": 42, "qos": 3, "vlan_protocol": "802.1ad", "min_tx_rate": 10, "max_tx_rate": 100, "spoofchk": True,
    "link_state": "disable", "trust": False, "node_guid": "02:00:00:00:00:00:00:01", "port_guid": "02:00:00:00:00:00:00:02",
}
# struct ifla_vf_* of include/uapi/linux/if_link.h for VF 5, as a little-endian machine has them.
PACKED = {
    "mac": "05000000" + "525400aa0001" + "00" * 26,
    "vlan": "14000100" + "05000000" + "2a000000" + "03000000" + "88a8" + "0000",
    "rate": "05000000" + "0a000000" + "64000000",
    "spoofchk": "05000000" + "01000000",
    "link_state": "05000000" + "02000000",
    "trust": "05000000" + "00000000",
    "node_guid": "05000000" + "00000000" + "0100000000000002",
    "port_guid": "05000000" + "00000000" + "0200000000000002",
}


def attribute(kind, value):
    # (source: include/net/netlink.h nla_nest_end(), whose nla_len has 16 bits)
    return struct.pack("=HH", (4 + len(value)) & 0xFFFF, kind) + value + b"\0" * (-len(value) % 4)


def test_every_attribute_is_of_one_group_and_has_its_wire():
    assert sorted(VALUES) == sorted(NAMES)
    assert list(vfinfo.WIRES) == list(GROUPS)


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_a_group_is_packed_as_the_header_of_the_kernel_says_and_read_back(group):
    values = {name: VALUES[name] for name in GROUPS[group]}
    packed = vfinfo.WIRES[group].pack(5, values)
    assert packed.hex() == PACKED[group]
    assert vfinfo.WIRES[group].unpack(packed) == values


def answer_of(*vfs):
    infos = b"".join(attribute(1, b"".join(attribute(kind, value) for kind, value in one)) for one in vfs)
    body = struct.pack("=BxHiII", 0, 1, 7, 0, 0) + attribute(3, b"enp1s0\0") + attribute(22 | 0x8000, infos)
    return struct.pack("=IHHII", 16 + len(body), 16, 0, 1, 0) + body


def test_an_answer_tells_the_name_and_of_each_vf_what_its_driver_tells():
    unknown = struct.pack("=II", 3, 0xFFFFFFFF)
    mac = struct.pack("=I32s", 3, bytes.fromhex("525400aa0003"))
    told = vfinfo.parse(answer_of([(1, mac), (4, unknown), (9, struct.pack("=II", 3, 1)), (99, b"later")]))
    assert told == ("enp1s0", {3: {"mac": "52:54:00:aa:00:03", "trust": True}})


@pytest.mark.parametrize("number", [1, 300, 400, 1000])
def test_vfs_whose_list_is_longer_than_its_field_can_say_are_all_told(number):
    def one(index):
        mac = struct.pack("=I32s", index, bytes.fromhex("525400aa") + struct.pack(">H", index))
        return [(1, mac), (12, vfinfo.WIRES["vlan"].pack(index, {"vlan": 1, "qos": 0, "vlan_protocol": "802.1Q"})), (99, b"x" * 88)]

    answer = answer_of(*(one(index) for index in range(number)))
    body = answer[16:] + attribute(43, b"\0" * 8)
    told = vfinfo.parse(struct.pack("=IHHII", 16 + len(body), 16, 0, 1, 0) + body)
    assert told.name == "enp1s0" and list(told.vfs) == list(range(number))
    assert told.vfs[number - 1]["mac"] == ":".join(["52:54:00:aa", *(f"{byte:02x}" for byte in struct.pack(">H", number - 1))])


def test_a_protocol_that_nobody_names_is_not_told():
    data = attribute(1, struct.pack("=III2sxx", 0, 9, 0, b"\x91\x00"))
    assert vfinfo.WIRES["vlan"].unpack(data) == {"vlan": 9, "qos": 0}


@pytest.mark.parametrize("data", [b"", b"\1", answer_of([(1, b"")]), answer_of([])[:-2] + b"\1\0\1\0"])
def test_nonsense_is_no_interface_and_no_traceback(monkeypatch, data):
    monkeypatch.setattr(vfinfo, "_asked", lambda message: data)
    found = vfinfo.read(7)
    assert found is None or found.vfs == {}


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL])
def test_a_refusal_names_the_vf_the_values_and_the_errno(monkeypatch, number):
    answer = struct.pack("=IHHII", 36, 2, 0, 1, 0) + struct.pack("=i", -number) + b"\0" * 16
    monkeypatch.setattr(vfinfo, "_asked", lambda message: answer)
    with pytest.raises(KernelRefusal) as caught:
        vfinfo.write(7, name="enp1s0", vf=3, group="trust", values={"trust": True})
    assert caught.value.errno == number
    name = "EOPNOTSUPP" if number == errno.EOPNOTSUPP else "EINVAL"
    assert caught.value.messages[0].startswith(f"writing 'trust=True' to VF 3 of enp1s0 by rtnetlink: {name}")


def test_a_kernel_that_does_not_answer_is_a_refusal(monkeypatch):
    def refuse(*dummy):
        raise OSError(errno.EAFNOSUPPORT, "")

    monkeypatch.setattr(vfinfo.socket, "socket", refuse)
    assert vfinfo.read(7) is None
    with pytest.raises(KernelRefusal):
        vfinfo.write(7, name="enp1s0", vf=3, group="trust", values={"trust": True})


def test_the_running_kernel_names_its_loopback_and_refuses_vfs_of_it():
    index = socket.if_nametoindex("lo")
    assert vfinfo.read(index) == ("lo", {})
    assert vfinfo.read(2**31 - 1) is None
    with pytest.raises(KernelRefusal) as caught:
        vfinfo.write(index, name="lo", vf=0, group="mac", values={"mac": "52:54:00:aa:00:01"})
    # Without root, the kernel says nothing but that.
    assert caught.value.errno in (errno.EOPNOTSUPP, errno.EPERM)
