# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard 'network': functions that carry a default route."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PF, ROOT_PORT, TWIN, UPLINK, VF
from ansible_collections.vfio.host.tests.unit.fake.model import Stacked


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
    def make(*routes, routes6=(), interfaces=()):
        return make_host(hosts.x86(routes=routes, routes6=routes6, interfaces=interfaces))

    return make


def test_the_default_route_guards_its_function(host):
    assert guarded(host) == {UPLINK: ["ens3 carries the default route"]}


def test_the_bridge_above_is_guarded_too(with_routes):
    guards = with_routes(route4("enp2s0")).facts(ROOT_PORT)["guards"]
    assert guards == [{"kind": "network", "reason": "enp2s0 carries the default route"}]


def test_another_route_guards_nothing(with_routes):
    assert guarded(with_routes(route4("enp2s0", "0000A8C0", "0000FFFF"), route4("enp3s0", mask="0000FFFF"))) == {}


def test_the_default_route_of_ipv6_guards_too(with_routes):
    assert list(guarded(with_routes(routes6=(route6("enp3s0"), route6("lo", length="80"))))) == [TWIN]


def test_a_rejecting_route_guards_nothing(with_routes):
    assert guarded(with_routes(route4("enp2s0", flags="0203"), routes6=(route6("enp3s0", flags="00200200"),))) == {}


def test_both_of_two_default_routes_guard(with_routes):
    assert sorted(guarded(with_routes(route4("ens3"), route4("enp2s0")))) == [UPLINK, NIC]


def test_a_bond_guards_all_its_ports(with_routes):
    host = with_routes(route4("bond0"), interfaces=(Stacked("bond0", ("enp2s0", "enp3s0")),))
    assert guarded(host) == {
        NIC: ["bond0 carries the default route over enp2s0"],
        TWIN: ["bond0 carries the default route over enp3s0"],
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
    assert guarded(host)[NIC] == ["br0 carries the default route over bond0.7 over bond0 over enp2s0"]
    assert sorted(guarded(host)) == [NIC, TWIN]


def test_a_vlan_guards_its_card(with_routes):
    assert list(guarded(with_routes(route4("enp1s0.5"), interfaces=(Stacked("enp1s0.5", ("enp1s0",)),)))) == [PF]


def test_a_vf_with_the_default_route_guards_its_pf_too(with_routes):
    host = with_routes(route4("enp1s0v0"))
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "1")
    assert guarded(host) == {
        VF: ["enp1s0v0 carries the default route"],
        PF: [f"its VF {VF} is needed: enp1s0v0 carries the default route"],
    }


def test_a_route_over_nothing_of_pci_guards_nothing(with_routes):
    assert guarded(with_routes(route4("wg0"), route4("gone"), interfaces=(Stacked("wg0", ()),))) == {}


def test_without_the_tables_nothing_is_guarded(host):
    for name in ("route", "ipv6_route"):
        (host.tree.root / "proc/net" / name).unlink()
    assert guarded(host) == {}
