# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Permanent addresses by netlink."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host import netlink


def attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def message(kind, index=0, attributes=b""):
    body = struct.pack("=BxHiII", 0, 1, index, 0, 0) + attributes if kind == 16 else b"\0" * 4
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body


USED, OWN = bytes.fromhex("525400000302"), bytes.fromhex("525400000303")
PORT = message(16, 3, attribute(3, b"enp3s0\0") + attribute(1, USED) + attribute(54, OWN))
VIRTUAL = message(16, 9, attribute(3, b"bond0\0") + attribute(1, USED))
DONE = message(3)


def test_a_dump_tells_the_address_in_use_and_the_permanent_one_of_those_that_have_one():
    found = {}
    assert netlink.read_dump(VIRTUAL + PORT, found)
    assert not netlink.read_dump(DONE, found)
    assert found == {3: ("52:54:00:00:03:02", "52:54:00:00:03:03")}


@pytest.mark.parametrize("data", [message(2), DONE, struct.pack("=IHHII", 3, 16, 0, 0, 0)])
def test_an_error_or_nonsense_ends_the_dump(data):
    assert not netlink.read_dump(data + PORT, {})


def test_a_kernel_that_does_not_answer_is_no_error(monkeypatch):
    def refuse(*dummy):
        raise OSError(97, "Address family not supported")

    monkeypatch.setattr(netlink.socket, "socket", refuse)
    assert netlink.permanent_addresses() == {}


def test_the_running_kernel_tells_what_sysfs_tells():
    net = Path("/sys/class/net")
    shown = {int((one / "ifindex").read_text()): (one / "address").read_text().strip() for one in net.iterdir() if (one / "ifindex").exists()}
    told = {index: used for index, (used, dummy) in netlink.permanent_addresses().items()}
    assert {index: shown[index] for index in told if index in shown} == {index: used for index, used in told.items() if index in shown}
