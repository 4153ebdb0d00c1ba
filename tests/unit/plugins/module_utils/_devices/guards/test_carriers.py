# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard 'network' where something carries an interface without being below it, and of routes that are not shown."""

from __future__ import annotations

import os

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, TWIN, UPLINK, VIRTIO
from ansible_collections.vfio.host.tests.unit.fake.model import Net, Stacked
from ansible_collections.vfio.host.tests.unit.plugins.module_utils._devices.guards.test_network import EVERY_NIC, FAR, LEAF, connected, guarded, route4, tcp

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


def with_table(host, monkeypatch, *routes):
    """A host whose kernel tells these routes of whatever table it is asked for."""
    monkeypatch.setattr(host.kernel, "routes_in", lambda number: None if number != 100 else list(routes), raising=False)
    return host


@pytest.mark.parametrize("routes, expected", [
    ([(bytes(4), 0, ["enp2s0"])], [NIC]), ([(bytes(4), 0, ["enp2s0", "enp3s0"])], [NIC, TWIN]), ([(bytes((128, 0, 0, 0)), 1, ["enp2s0"])], [NIC]),
    ([(bytes(4), 0, ["enp2s0"]), (bytes((10, 0, 0, 0)), 8, ["enp3s0"]), (bytes((224, 0, 0, 0)), 4, ["enp3s0"])], [NIC]),
    ([(bytes(4), 0, ["lo"])], []), ([], EVERY_NIC), ([(bytes((10, 0, 0, 0)), 8, ["enp3s0"])], EVERY_NIC), ([(bytes(4), 0, ["gone0"])], EVERY_NIC),
])
def test_the_default_route_of_a_table_goes_over_what_the_kernel_tells(make_host, monkeypatch, routes, expected):
    host = make_host(hosts.x86(routes=(), files={"proc/net/fib_trie": LEAVES.format(first=0, length=0, kind="UNICAST")}))
    found = guarded(with_table(host, monkeypatch, *routes))
    assert sorted(found) == expected
    if expected == [NIC]:
        assert found[NIC] == [f"enp2s0 carries the default route of table 100 on {NIC}"]


@pytest.mark.parametrize("table, routes, expected", [
    (100, [(bytes((8, 8, 0, 0)), 16, ["enp6s0"])], [UPLINK, VIRTIO]), (100, [(bytes((8, 8, 0, 0)), 16, ["enp6s0", "enp3s0"])], [UPLINK, TWIN, VIRTIO]),
    (100, [(bytes((9, 9, 0, 0)), 16, ["enp6s0"])], EVERY_NIC), (101, [(bytes((8, 8, 0, 0)), 16, ["enp6s0"])], EVERY_NIC),
])
def test_a_connection_that_a_rule_may_send_by_another_table_goes_over_what_both_tell(make_host, monkeypatch, table, routes, expected):
    trie = LEAF.format(table=table, network="8.8.0.0", length=16, kind="UNICAST")
    host = connected(make_host, tcp("01020304", FAR, 777), files={"proc/net/fib_trie": trie})
    assert sorted(guarded(with_table(host, monkeypatch, *routes))) == expected


def test_of_connections_over_the_default_route_each_that_a_table_knows_counts(make_host, monkeypatch):
    trie = "".join(LEAF.format(table=100, network=network, length=32, kind="UNICAST") for network in ("8.8.8.8", "9.8.8.8"))
    lines = [tcp("01020304", peer, 5) for peer in ("04080808", "08080808", "08080809")]  # 8.8.8.4, 8.8.8.8, 9.8.8.8
    host = connected(make_host, *lines, inodes=(), files={"proc/net/fib_trie": trie})
    told = [(bytes((8, 8, 8, 8)), 32, ["enp6s0"]), (bytes((9, 8, 8, 8)), 32, ["enp3s0"])]
    assert sorted(guarded(with_table(host, monkeypatch, *told))) == [UPLINK, TWIN, VIRTIO]


def test_a_server_that_another_table_reaches_guards_what_that_and_the_main_one_tell(make_host, monkeypatch):
    mount = "25 1 0:40 / / rw - nfs4 nas:/x rw,addr=8.8.8.8"
    trie = LEAF.format(table=100, network="8.8.8.0", length=24, kind="UNICAST")
    host = make_host(hosts.x86(mounts=(mount,), cmdline="quiet", files={"proc/net/fib_trie": trie}))
    devices = with_table(host, monkeypatch, (bytes((8, 8, 8, 0)), 24, ["enp3s0"])).survey().devices
    assert sorted(address for address, one in devices.items() if not one.is_bridge and any(g["kind"] == "storage" for g in one.guards)) == [UPLINK, TWIN]


@pytest.mark.parametrize("owner, expected", [
    (["enp3s0"], [UPLINK, TWIN]), (["ens3"], [UPLINK]), (["lo"], [UPLINK]), (["port0"], [UPLINK]), ([], [UPLINK]), (None, [UPLINK]),
])
def test_an_address_of_no_network_guards_the_interface_that_has_it(make_host, monkeypatch, owner, expected):
    """As 10.9.0.1/32, or with noprefixroute: answers go by the default route, and questions come in there (seen on Linux 6.18)."""
    host = connected(make_host, tcp("01020304", FAR, 777), interfaces=(Stacked("port0", ()),))
    monkeypatch.setattr(host.kernel, "next_hops", lambda address: owner if address == bytes((4, 3, 2, 1)) else ["ens3"], raising=False)
    assert sorted(guarded(host)) == expected


def test_an_address_that_a_mount_comes_from_guards_the_interface_that_has_it(make_host, monkeypatch):
    mount = "25 1 0:40 / / rw - nfs4 nas:/x rw,clientaddr=4.3.2.1,addr=8.8.8.8"
    host = make_host(hosts.x86(mounts=(mount,), cmdline="quiet"))
    monkeypatch.setattr(host.kernel, "next_hops", lambda address: ["enp3s0"] if address == bytes((4, 3, 2, 1)) else ["ens3"], raising=False)
    assert [one["reason"] for one in host.survey().devices[TWIN].guards if one["kind"] == "storage"]


def test_an_interface_whose_name_is_no_utf8_is_the_one_that_sysfs_has(make_host):
    name = os.fsdecode(b"en\xe9")
    host = make_host(hosts.changed(hosts.x86(routes=()), NIC, net=(Net(name, "52:54:00:00:03:02"),)))
    host.tree.put(host.tree.root / "proc/net/route", b"Iface\n" + route4("@").encode().replace(b"@", b"en\xe9") + b"\n")
    assert sorted(guarded(host)) == [NIC]
