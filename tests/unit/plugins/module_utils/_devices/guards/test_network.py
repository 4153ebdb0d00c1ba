# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard 'network': functions under default routes and under the controller's connection."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PAIR, PAIR2, PF, ROOT_PORT, TWIN, UPLINK, VF, VIRTIO
from ansible_collections.vfio.host.tests.unit.fake.model import Net, Stacked


def route4(interface, destination="00000000", mask="00000000", flags="0003"):
    return f"{interface}\t{destination}\t0202000A\t{flags}\t0\t0\t100\t{mask}\t0\t0\t0"


def route6(interface, destination="0" * 32, length="00", flags="00000003"):
    return f"{destination} {length} {'0' * 32} 00 fe80{'0' * 28} 00000400 00000001 00000000 {flags} {interface:>8}"


def guarded(host):
    """Endpoint -> reasons."""
    return {
        address: [guard["reason"] for guard in device.guards if guard["kind"] == "network"]
        for address, device in host.survey().devices.items()
        if not device.is_bridge and any(one["kind"] == "network" for one in device.guards)
    }


@pytest.fixture
def with_routes(make_host):
    def make(*routes, routes6=(), interfaces=(), **files):
        files = {path.replace("_", "/", 1) if path.startswith("net_") else path: text for path, text in files.items()}
        return make_host(hosts.x86(
            routes=routes, routes6=routes6, interfaces=interfaces,
            files={f"proc/{path}": text for path, text in files.items()},
        ))

    return make


EVERY_NIC = sorted([UPLINK, PF, NIC, TWIN, PAIR, PAIR2, VIRTIO])


def test_the_default_route_guards_its_function(host):
    assert guarded(host) == {UPLINK: [f"ens3 carries the default route on {UPLINK}"]}


@pytest.mark.parametrize("words", [
    "ip=enp2s0:dhcp", "ip=10.0.0.2::10.0.0.1:255.255.255.0:host:enp2s0:none", "bond=bond9:enp2s0,eth9:mode=1", "vlan=vlan5:enp2s0",
    "netconsole=@10.0.0.2/enp2s0,@10.0.0.1/", "BOOTIF=01-52-54-00-00-03-02", "ifname=lan:52:54:00:00:03:02", 'unheard_of="x y=enp2s0"',
])
def test_an_interface_that_the_command_line_names_is_needed_by_the_next_boot(make_host, words):
    found = guarded(make_host(hosts.x86(cmdline=f"quiet {words} ro")))
    key = words.partition("=")[0]
    assert found[NIC] == [f"enp2s0 carries the network of the next boot ({key}= of the kernel's command line) on {NIC}"]
    assert set(found) == {NIC, UPLINK}


@pytest.mark.parametrize("words", ["ip=dhcp", "ip=enp2s0x:dhcp", "ip=lo", "enp2s0", "BOOTIF=01-52-54-00-00-99-99", "x=00:00:00:00:00:00"])
def test_a_command_line_that_names_no_interface_guards_none(make_host, words):
    host = make_host(hosts.x86(cmdline=f"quiet {words} ro"))
    host.tree.put(host.tree.sys / "class/net/lo/address", "00:00:00:00:00:00\n")
    assert set(guarded(host)) == {UPLINK}


@pytest.mark.parametrize("routes", [
    ("00000000 00000080", "00000080 00000080"), ("00000000 000000C0", "00000040 000000C0", "00000080 00000080"), ("000000D0 000000F0",),
])
def test_a_default_route_in_parts_guards_their_interfaces(with_routes, routes):
    parts = [route4("enp2s0", *part.split(" ")) for part in routes]
    assert guarded(with_routes(*parts)) == {NIC: [f"enp2s0 carries the default route on {NIC}"]}
    # Beside a whole one, such as a tunnel's own, they go over what that goes over.
    assert NIC not in guarded(with_routes(route4("ens3"), *parts))


def test_a_default_route_of_ipv6_in_parts_guards_their_interfaces(with_routes):
    parts = [route6("enp2s0", first + "0" * 31, "04") for first in "23"]
    assert list(guarded(with_routes(routes6=parts))) == [NIC]
    halves = [route6("enp2s0", first + "0" * 31, "01") for first in "08"]
    assert list(guarded(with_routes(routes6=halves))) == [NIC]


@pytest.mark.parametrize("route", [("000000E0", "000000F0"), ("0000000A", "000000FF"), ("000000F0", "000000F0")])
def test_a_route_to_multicast_or_to_a_network_is_no_part_of_a_default_route(with_routes, route):
    assert guarded(with_routes(route4("enp2s0", *route))) == {}


def test_the_bridge_above_is_guarded_too(with_routes):
    guards = with_routes(route4("enp2s0")).facts(ROOT_PORT)["guards"]
    reason = f"enp2s0 carries the default route on {NIC}, which is behind it"
    assert guards == [{
        "kind": "network", "reason": reason, "brief": reason, "interface": "enp2s0", "via": None,
        "carries": f"the default route on {NIC}, which is behind it",
    }]


def test_another_route_guards_nothing(with_routes):
    assert guarded(with_routes(route4("enp2s0", "0000A8C0", "0000FFFF"), route4("enp3s0", mask="0000FFFF"))) == {}


def test_the_default_route_of_ipv6_guards_too(with_routes):
    assert list(guarded(with_routes(routes6=(route6("enp3s0"), route6("lo", length="80"))))) == [TWIN]


def test_a_rejecting_route_guards_nothing(with_routes):
    assert guarded(with_routes(route4("enp2s0", flags="0203"), routes6=(route6("enp3s0", flags="00200200"),))) == {}


@pytest.mark.parametrize("name", ["*", "lo"])
def test_a_black_hole_goes_over_no_interface(make_host, with_routes, name):
    """The kernel shows one without RTF_REJECT, over none, or over the loopback where it is a next-hop object (seen on Linux 6.18)."""
    host = with_routes(route4(name, flags="0001"), route4("enp2s0"), routes6=(route6("lo", flags="00000001"),))
    assert guarded(host) == {NIC: [f"enp2s0 carries the default route on {NIC}"]}
    hole = route4(name, "000000C0", "000000FF", flags="0001")
    host = connected(make_host, tcp(ON_ENP2S0, NEIGHBOUR, 777), tcp("010100C0", "090200C0", 778), inodes=(777, 778), routes=(route4("ens3"), LANS[1], hole))
    assert set(guarded(host)) == {UPLINK, NIC}


def test_both_of_two_default_routes_guard(with_routes):
    assert sorted(guarded(with_routes(route4("ens3"), route4("enp2s0")))) == [UPLINK, NIC]


def test_a_bond_guards_all_its_ports(with_routes):
    host = with_routes(route4("bond0"), interfaces=(Stacked("bond0", ("enp2s0", "enp3s0")),))
    assert guarded(host) == {
        NIC: [f"bond0 carries the default route over enp2s0 on {NIC}"],
        TWIN: [f"bond0 carries the default route over enp3s0 on {TWIN}"],
    }


def test_a_bridge_over_a_vlan_over_a_bond_guards_the_ports(with_routes):
    host = with_routes(
        route4("br0"),
        interfaces=(
            Stacked("bond0", ("enp2s0", "enp3s0")),
            Stacked("bond0.7", ("bond0",)),
            Stacked("br0", ("bond0.7",)),
        ),
    )
    assert guarded(host)[NIC] == [
        f"br0 carries the default route over bond0.7 over bond0 over enp2s0 on {NIC}"
    ]
    assert sorted(guarded(host)) == [NIC, TWIN]


def test_a_vlan_guards_its_card(with_routes):
    assert list(guarded(with_routes(route4("enp1s0.5"), interfaces=(Stacked("enp1s0.5", ("enp1s0",)),)))) == [PF]


def test_a_vf_with_the_default_route_guards_its_pf_too(with_routes):
    host = with_routes(route4("enp1s0v0"))
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "1")
    assert guarded(host) == {
        VF: [f"enp1s0v0 carries the default route on {VF}"],
        PF: [f"its VF {VF} is needed: enp1s0v0 carries the default route on {VF}"],
    }


def test_the_vfs_of_a_card_with_the_default_route_are_guarded_as_it_is(with_routes):
    host = with_routes(route4("enp1s0"))
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "2")
    reason = f"enp1s0 carries the default route on {PF}"
    assert guarded(host) == {
        PF: [reason],
        VF: [f"its PF {PF} is needed: {reason}"],
        hosts.vf(1).address: [f"its PF {PF} is needed: {reason}"],
    }


def test_a_bridge_with_ports_of_guests_guards_its_real_port_alone(with_routes):
    host = with_routes(
        route4("br0"), interfaces=(Stacked("vnet0", ()), Stacked("br0", ("vnet0", "enp2s0"))),
    )
    assert guarded(host) == {NIC: [f"br0 carries the default route over enp2s0 on {NIC}"]}


@pytest.mark.parametrize("name", ["wg0", "gone"])
def test_a_route_over_what_shows_no_hardware_guards_every_interface_that_is_up(with_routes, name):
    host = with_routes(route4(name), interfaces=(Stacked("wg0", ()),))
    assert sorted(guarded(host)) == EVERY_NIC
    assert guarded(host)[NIC] == [
        f"{name} carries the default route over what cannot be told, so every interface that is up counts: "
        f"enp2s0 on {NIC}"
    ]


def test_an_interface_that_is_down_carries_nothing(make_host):
    spec = hosts.changed(hosts.x86(routes=(route4("wg0"),)), NIC, net=(Net("enp2s0", "52:54:00:00:03:02", is_up=False),))
    assert sorted(guarded(make_host(spec))) == [one for one in EVERY_NIC if one != NIC]


def test_a_network_card_that_is_on_no_pci_bus_leaves_the_others_free(make_host):
    spec = hosts.x86(
        routes=(route4("enc1"),), links={"sys/class/net/enc1": "sys/devices/css0/0.0.0001/net/enc1"},
    )
    assert guarded(make_host(spec)) == {}


def test_open_vswitchs_bridge_guards_the_ports_of_its_datapath(with_routes):
    host = with_routes(
        route4("br-ex"), interfaces=(Stacked("br-ex", ()), Stacked("ovs-system", ("enp2s0",))),
    )
    host.tree.put(host.tree.sys / "devices/virtual/net/br-ex/uevent", "INTERFACE=br-ex\nIFINDEX=7\n")
    assert guarded(host) == {NIC: [f"br-ex carries the default route over ovs-system over enp2s0 on {NIC}"]}


@pytest.mark.parametrize(("file", "text"), [("uevent", "DEVTYPE=wireguard\n"), ("tun_flags", "0x1\n")])
def test_a_tunnel_beside_open_vswitch_may_go_over_any_interface(with_routes, file, text):
    host = with_routes(route4("tun0"), interfaces=(Stacked("tun0", ()), Stacked("ovs-system", ("enp2s0",))))
    host.tree.put(host.tree.sys / "devices/virtual/net/tun0/uevent", "INTERFACE=tun0\n")
    host.tree.put(host.tree.sys / "devices/virtual/net/tun0" / file, text)
    assert sorted(guarded(host)) == EVERY_NIC


def test_a_default_route_of_another_table_guards_every_interface_that_is_up(with_routes):
    host = with_routes(net_fib_trie=TRIE.format(table="Id 100"))
    assert sorted(guarded(host)) == EVERY_NIC
    assert guarded(host)[NIC] == [
        "the default route of table 100 goes over what cannot be told, so every interface that is up counts: "
        f"enp2s0 on {NIC}"
    ]
    assert guarded(with_routes(net_fib_trie=TRIE.format(table="Main"))) == {}


def test_without_the_tables_every_interface_that_is_up_is_guarded(host):
    for name in ("route", "ipv6_route"):
        (host.tree.root / "proc/net" / name).unlink()
    assert sorted(guarded(host)) == EVERY_NIC


# The controller's connection.

TRIE = """{table}:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 192.168.0.0/24 2 0 2
        |-- 192.168.0.1
           /32 host LOCAL
"""
# 192.168.0.5 on enp2s0, 10.0.9.5 on enp3s0; and the default route over ens3.
LANS = (
    route4("ens3"),
    "enp2s0\t0000A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0",
    "enp3s0\t0009000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0",
)
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def tcp(local, peer, inode, state="01"):
    return f"   0: {local}:0016 {peer}:B2C4 {state} 00000000:00000000 02:000A7D4B 00000000     0        0 {inode} 2 0 20\n"


def connected(make_host, *lines, inodes=(777,), routes=LANS, tcp6="", **more):
    """A host on which this process is below sudo, below sshd, which has sockets open."""
    files = {
        "proc/self/stat": "42 (python3) S 41 42 1 0 -1",
        "proc/41/stat": "41 (su do) 1 (x) S 40 42 1 0 -1",
        "proc/40/stat": "40 (sshd) S 1 42 1 0 -1",
        "proc/net/tcp": HEAD + "".join(lines),
        "proc/net/tcp6": HEAD + tcp6,
    }
    host = make_host(hosts.x86(**dict(more, routes=routes, files=dict(files, **more.get("files", {})))))
    for number, inode in enumerate(inodes):
        (host.tree.root / "proc/40/fd").mkdir(exist_ok=True)
        (host.tree.root / f"proc/40/fd/{number}").symlink_to(f"socket:[{inode}]")
    return host


ON_ENP2S0, ON_ENP3S0, NEIGHBOUR, FAR = "0500A8C0", "0509000A", "0900A8C0", "08080808"


def test_the_controllers_connection_guards_the_function_of_its_address(make_host):
    host = connected(make_host, tcp(ON_ENP2S0, NEIGHBOUR, 777), tcp(ON_ENP3S0, FAR, 778))
    assert guarded(host) == {
        UPLINK: [f"ens3 carries the default route on {UPLINK}"],
        NIC: [f"enp2s0 carries the controller's connection from 192.168.0.9 on {NIC}"],
    }


def test_the_way_of_the_answers_is_guarded_as_well(make_host):
    host = connected(make_host, tcp(ON_ENP2S0, FAR, 777))
    assert f"ens3 carries the controller's connection from 8.8.8.8 on {UPLINK}" in guarded(host)[UPLINK]
    assert f"enp2s0 carries the controller's connection from 8.8.8.8 on {NIC}" in guarded(host)[NIC]


def test_a_connection_that_listens_is_none(make_host):
    assert list(guarded(connected(make_host, tcp(ON_ENP2S0, "00000000", 777, state="0A")))) == [UPLINK]


def test_a_connection_over_ipv6_guards_the_interface_of_its_address(make_host):
    six = tcp("000080FE00000000FF005452020300FE", "000080FE00000000FF005452090300FE", 777)
    host = connected(make_host, tcp6=six, files={
        "proc/net/if_inet6": "fe80000000000000525400fffe000302 03 40 20 80   enp2s0\n"
                             "fe80000000000000525400fffe000303 04 40 20 80   enp3s0\n",
    }, routes6=(route6("enp3s0", "fe80" + "0" * 28, "40"), route6("enp2s0", "fe80" + "0" * 28, "40")))
    assert guarded(host)[NIC] == [
        f"enp2s0 carries the controller's connection from fe80::5254:ff:fe00:309 on {NIC}"
    ]
    assert TWIN not in guarded(host)


def test_an_ipv4_address_in_ipv6s_shape_is_one_of_ipv4(make_host):
    mapped = "0000000000000000FFFF0000"
    host = connected(make_host, tcp6=tcp(mapped + ON_ENP2S0, mapped + NEIGHBOUR, 777))
    assert guarded(host)[NIC] == [f"enp2s0 carries the controller's connection from 192.168.0.9 on {NIC}"]


def test_where_no_ancestor_has_a_connection_any_may_be_the_controllers(make_host):
    host = connected(
        make_host, tcp(ON_ENP2S0, NEIGHBOUR, 5), tcp(ON_ENP3S0, "0909000A", 6), tcp("0100007F", "0100007F", 7), inodes=(),
    )
    assert sorted(guarded(host)) == [UPLINK, NIC, TWIN]
    assert guarded(host)[NIC] == [
        f"enp2s0 carries a connection, which may be the controller's, from 192.168.0.9 on {NIC}"
    ]


def test_a_controller_that_comes_from_this_host_itself_may_have_come_over_any_connection(make_host):
    host = connected(make_host, tcp("0100007F", "0100007F", 777), tcp(ON_ENP3S0, "0909000A", 6))
    assert sorted(guarded(host)) == [UPLINK, TWIN]


def test_an_address_of_no_network_is_reached_over_the_peers_route(make_host):
    host = connected(make_host, tcp("01020304", FAR, 777))
    assert sorted(guarded(host)) == [UPLINK]
    assert len(guarded(host)[UPLINK]) == 2


LEAF = "Id {table}:\n  +-- 0.0.0.0/0 3 0 5\n     |-- {network}\n        /{length} universe {kind}\n        /32 host LOCAL\n"


@pytest.mark.parametrize("network, length", [("8.8.0.0", 16), ("4.0.0.0", 8), ("8.8.8.8", 32)])
def test_an_address_that_only_another_table_may_know_guards_every_interface_that_is_up(make_host, network, length):
    trie = LEAF.format(table=7, network=network, length=length, kind="UNICAST")
    host = connected(make_host, tcp("01020304", FAR, 777), files={"proc/net/fib_trie": trie})
    assert sorted(guarded(host)) == EVERY_NIC
    assert guarded(host)[NIC] == [
        "the controller's connection from 8.8.8.8 goes over what cannot be told, so every interface that is up counts: "
        f"enp2s0 on {NIC}"
    ]


def test_a_neighbour_that_another_table_has_a_route_to_may_be_reached_by_that(make_host):
    trie = LEAF.format(table=7, network="192.168.0.0", length=24, kind="UNICAST")
    host = connected(make_host, tcp(ON_ENP2S0, NEIGHBOUR, 777), files={"proc/net/fib_trie": trie})
    assert sorted(guarded(host)) == EVERY_NIC


def test_of_connections_over_the_default_route_the_one_that_another_table_knows_counts(make_host):
    lines = [tcp("01020304", peer, 5) for peer in ("04080808", "08080808", "08080809")]  # 8.8.8.4, 8.8.8.8, 9.8.8.8
    host = connected(make_host, *lines, inodes=(), files={"proc/net/fib_trie": LEAF.format(table=7, network="8.8.8.8", length=32, kind="UNICAST")})
    assert sorted(guarded(host)) == EVERY_NIC


@pytest.mark.parametrize("network, length, kind", [
    ("100.64.0.0", 10, "UNICAST"), ("8.8.8.16", 29, "UNICAST tos=0x10"), ("0.0.0.0", 0, "LOCAL"), ("0.0.0.0", 0, "UNREACHABLE"), ("8.0.0.0", 8, "THROW"),
])
def test_a_table_that_sends_an_address_nowhere_is_no_way_to_it(make_host, network, length, kind):
    """Of a VPN such as Tailscale's, of a transparent proxy, of a VRF that is closed: a rule that leads there leads on, or nowhere."""
    host = connected(make_host, tcp("01020304", FAR, 777), files={"proc/net/fib_trie": LEAF.format(table=52, network=network, length=length, kind=kind)})
    assert sorted(guarded(host)) == [UPLINK]


def test_a_connection_over_a_vf_guards_the_vf_and_its_card(make_host):
    lan = "enp1s0v0\t0009000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0"
    host = connected(make_host, tcp(ON_ENP3S0, "0909000A", 777), routes=(route4("ens3"), lan))
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "2")
    reason = f"enp1s0v0 carries the controller's connection from 10.0.9.9 on {VF}"
    assert guarded(host)[VF] == [reason]
    assert guarded(host)[PF] == [f"its VF {VF} is needed: {reason}"]
    assert hosts.vf(1).address not in guarded(host)


def test_a_vlan_on_a_bridge_is_guarded_down_to_the_card(make_host):
    lan = LANS[1].replace("enp2s0", "br0.7")
    host = connected(
        make_host, tcp(ON_ENP2S0, NEIGHBOUR, 777), routes=(lan,),
        interfaces=(Stacked("br0", ("enp2s0",)), Stacked("br0.7", ("br0",))),
    )
    assert guarded(host) == {
        NIC: [f"br0.7 carries the controller's connection from 192.168.0.9 over br0 over enp2s0 on {NIC}"]
    }


def test_forcing_the_network_gives_up_no_disk(make_host):
    host = make_host(replace(hosts.x86(), mounts=("25 1 0:30 / / rw - nfs4 10.0.2.9:/ rw,addr=10.0.2.9",)))
    kinds = [one["kind"] for one in host.facts(UPLINK)["guards"]]
    assert kinds == ["network", "storage"]
    for given_up, kept in (("network", "storage"), ("storage", "network"), ("console", "network")):
        with pytest.raises(PlanError, match=rf"is needed by this host: .*say force: \[{kept}\]"):
            host.take(UPLINK, force=(given_up,))
    assert host.take(UPLINK, force=("network", "storage"))["changed"]
