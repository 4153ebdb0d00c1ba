# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard 'network' where something carries an interface without being below it, and of routes that are not shown."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC
from ansible_collections.vfio.host.tests.unit.fake.model import Stacked
from ansible_collections.vfio.host.tests.unit.plugins.module_utils._devices.guards.test_network import EVERY_NIC, guarded, route4

VXLAN, VETH = "sys/devices/virtual/net/port0/uevent", "sys/devices/virtual/net/port0/iflink"


@pytest.mark.parametrize("files", [
    {VXLAN: "DEVTYPE=vxlan\nINTERFACE=port0\nIFINDEX=9\n"}, {VXLAN: "DEVTYPE=neverheardof\n"}, {VXLAN: "INTERFACE=port0\n", VETH: "0\n"},
])
def test_a_tunnel_among_a_bridges_ports_is_carried_by_any_interface(make_host, files):
    host = make_host(hosts.x86(
        routes=(route4("br0"),), interfaces=(Stacked("port0", ()), Stacked("br0", ("enp2s0", "port0"))), files=files,
    ))
    assert sorted(guarded(host)) == EVERY_NIC


@pytest.mark.parametrize("files", [
    {VXLAN: "INTERFACE=port0\n", VETH: "2\n"}, {VXLAN: "INTERFACE=port0\n"}, {VXLAN: "DEVTYPE=bond\n"}, {},
    {VXLAN: "DEVTYPE=vlan\n", VETH: "0\n"},
])
def test_what_a_guest_or_a_container_has_among_a_bridges_ports_is_carried_by_none(make_host, files):
    host = make_host(hosts.x86(
        routes=(route4("br0"),), interfaces=(Stacked("port0", ()), Stacked("br0", ("enp2s0", "port0"))), files=files,
    ))
    assert sorted(guarded(host)) == [NIC]


def test_a_tunnel_of_open_vswitch_is_of_guests_networks(make_host):
    host = make_host(hosts.x86(
        routes=(route4("br-ex"),), interfaces=(Stacked("port0", ()), Stacked("ovs-system", ("enp2s0", "port0")), Stacked("br-ex", ())),
        files={VXLAN: "DEVTYPE=vxlan\n", "sys/devices/virtual/net/br-ex/uevent": "INTERFACE=br-ex\nIFINDEX=8\n"},
    ))
    assert sorted(guarded(host)) == [NIC]


def test_a_card_behind_usb_over_ip_is_carried_by_any_interface(make_host):
    host = make_host(hosts.x86(routes=(route4("enx0"),), links={
        "sys/class/net/enx0": "sys/devices/platform/vhci_hcd.0/usb9/9-1/9-1:1.0/net/enx0",
    }))
    assert sorted(guarded(host)) == EVERY_NIC


LEAVES = """Id 100:
  +-- 0.0.0.0/0 3 0 5
     |-- {first}.0.0.0
        /24 universe UNICAST
        /{length} universe {kind}
"""


@pytest.mark.parametrize("first, length, kind, is_large", [
    (0, 1, "UNICAST", True), (128, 1, "UNICAST", True), (64, 2, "UNICAST", True), (208, 4, "UNICAST", True), (0, 0, "UNICAST", True),
    (0, 1, "BLACKHOLE", False), (224, 4, "UNICAST", False), (240, 4, "UNICAST", False), (10, 8, "UNICAST", False),
])
def test_a_default_route_in_parts_of_a_table_whose_routes_are_not_shown_goes_over_any_interface(make_host, first, length, kind, is_large):
    host = make_host(hosts.x86(routes=(), files={"proc/net/fib_trie": LEAVES.format(first=first, length=length, kind=kind)}))
    assert sorted(guarded(host)) == (EVERY_NIC if is_large else [])
