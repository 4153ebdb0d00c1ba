# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard 'network' of what may be the controller's connection; and where interfaces are in another network namespace."""

from __future__ import annotations

import errno
import os
import time

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.guards.routes import read_tables
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PAIR, PAIR2, PF, TWIN, UPLINK, VIRTIO
from ansible_collections.vfio.host.tests.unit.fake.model import Module, Net, alias

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
# 10.0.9.0/24 on enp2s0, 10.0.8.0/24 on enp3s0; 2001:db8:9::5/64 on enp6s0.
LANS = (
    "enp2s0\t0009000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0", "enp3s0\t0008000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0",
)
LAN6 = f"20010db80009{'0' * 20} 40 {'0' * 32} 00 {'0' * 32} 00000100 00000001 00000000 00000001   enp6s0"
ADDRESS6 = f"20010db80009{'0' * 19}5 07 40 00 80   enp6s0\n"
ON_NIC, ON_TWIN, PEER, LOOPBACK = "0509000A:0016", "0508000A:9C40", "0909000A:B2C4", "0100007F:0016"
SIX, SIX_PEER = "B80D0120000009000000000005000000:0016", "B80D0120000009000000000009000000:B2C4"
EVERY_NIC = {UPLINK, PF, NIC, TWIN, PAIR, PAIR2, VIRTIO}


def tcp(local, peer, inode, state="01"):
    return f"   0: {local} {peer} {state} 00000000:00000000 02:000A7D4B 00000000     0        0 {inode} 2 0 20\n"


def guarded(host):
    return {
        address: [one["reason"] for one in device.guards if one["kind"] == "network"]
        for address, device in host.survey().devices.items()
        if not device.is_bridge and any(one["kind"] == "network" for one in device.guards)
    }


@pytest.fixture
def connected(make_host):
    """A function: a host on which this process is below sshd, which has sockets of some inodes open."""

    def make(tcp4="", tcp6="", inodes=(777,), **files):
        texts = {
            "proc/self/stat": "42 (python3) S 40 42 1 0 -1", "proc/40/stat": "40 (sshd) S 1 42 1 0 -1", "proc/net/if_inet6": ADDRESS6,
            "proc/net/tcp": HEAD + tcp4, "proc/net/tcp6": HEAD + tcp6,
        }
        texts.update({f"proc/net/{name}": text for name, text in files.items()})
        host = make_host(hosts.x86(routes=LANS, routes6=(LAN6,), files=texts))
        (host.tree.root / "proc/40/fd").mkdir()
        for number, inode in enumerate(inodes):
            (host.tree.root / f"proc/40/fd/{number}").symlink_to(f"socket:[{inode}]")
        return host

    return make


def test_below_more_ancestors_than_are_looked_at_any_connection_may_be_the_controllers(connected):
    host = connected(tcp(ON_NIC, PEER, 777) + tcp(ON_TWIN, "0908000A:9C40", 778))
    for pid in range(100, 170):
        host.tree.put(host.tree.root / f"proc/{pid}/stat", f"{pid} (a) S {pid + 1 if pid < 169 else 40} 1 1 0 -1")
    host.tree.put(host.tree.root / "proc/self/stat", "42 (python3) S 100 42 1 0 -1")
    (host.tree.root / "proc/100/fd").mkdir()
    (host.tree.root / "proc/100/fd/5").symlink_to("socket:[778]")
    assert set(guarded(host)) == {NIC, TWIN}


def test_a_controller_over_ipv6_is_guarded_beside_a_connection_of_sshds_over_ipv4(connected):
    host = connected(tcp(ON_TWIN, "0908000A:0185", 778), tcp(SIX, SIX_PEER, 777), inodes=(777, 778))
    assert set(guarded(host)) == {VIRTIO, TWIN}
    assert guarded(host)[VIRTIO] == [
        f"enp6s0 carries a connection, which may be the controller's, from 2001:db8:9::9 on {VIRTIO}"
    ]


def test_of_connections_of_one_address_each_way_back_counts(connected):
    """The answers to a peer behind a gateway leave by another interface than those to its neighbours do."""
    far = "enp6s0\t000010AC\t0108000A\t0003\t0\t0\t100\t0000F0FF\t0\t0\t0"  # 172.16.0.0/12
    for peers in (("090010AC:B2C4", PEER), (PEER, "090010AC:B2C4"), ("090010AC:B2C4", "0909A8C0:B2C4")):
        host = connected("".join(tcp(ON_NIC, peer, 5) for peer in peers), inodes=())
        path = host.tree.root / "proc/net/route"
        path.write_text(path.read_text() + far + "\n")
        assert set(guarded(host)) == {NIC, VIRTIO}


def test_many_connections_of_one_way_are_one_reason(connected):
    host = connected("".join(tcp(ON_NIC, f"{number:02X}09000A:B2C4", 5) for number in range(9, 40)), inodes=())
    assert guarded(host) == {NIC: [f"enp2s0 carries a connection, which may be the controller's, from 10.0.9.9 on {NIC}"]}


def test_a_forward_of_sshds_is_guarded_and_not_told_as_the_controllers(connected):
    host = connected(tcp(ON_NIC, PEER, 777) + tcp(ON_TWIN, "0908000A:0050", 778), inodes=(777, 778))
    assert set(guarded(host)) == {NIC, TWIN}
    assert not any("the controller's connection" in reason for some in guarded(host).values() for reason in some)


def test_a_controller_through_a_reverse_tunnel_may_come_over_any_connection(connected):
    tunnelled = tcp(LOOPBACK, "0100007F:9999", 777) + tcp("0100007F:9999", LOOPBACK, 900)
    host = connected(tunnelled + tcp(ON_TWIN, "0908000A:0050", 778) + tcp(ON_NIC, "0909000A:0016", 901), inodes=(777, 778))
    assert set(guarded(host)) == {NIC, TWIN}


def test_a_connection_between_two_addresses_of_this_host_is_a_tunnel_as_well(connected):
    both = tcp(ON_NIC, "0509000A:B2C4", 777) + tcp("0509000A:B2C4", ON_NIC, 900)
    assert TWIN in guarded(connected(both + tcp(ON_TWIN, "0908000A:0016", 901)))


@pytest.mark.parametrize("known, expected", [(False, {NIC, TWIN}), (True, {NIC})])
def test_a_socket_of_no_kind_that_is_known_may_be_the_controllers(connected, known, expected):
    unix = "Num       RefCount Protocol Flags    Type St Inode Path\n0000000000000000: 00000003 00000000 00000000 0001 03 555 /run/x\n"
    host = connected(tcp(ON_NIC, PEER, 777) + tcp(ON_TWIN, "0908000A:0050", 901), inodes=(777, 555), **({"unix": unix} if known else {}))
    assert set(guarded(host)) == expected


@pytest.mark.parametrize("driver", ["sys/bus/virtio/drivers/vmw_vsock_virtio_transport/virtio7", "sys/bus/pci/drivers/vmw_vmci/0000:00:10.0"])
@pytest.mark.parametrize("inodes, is_needed", [((777,), False), ((777, 555), True), ((), True)])
def test_a_controller_that_may_come_by_vsock_guards_the_function_of_that(connected, driver, inodes, is_needed):
    """Which the hypervisor's own ssh does (source: systemd-ssh-generator(8)); no file of /proc/net has such a socket."""
    host = connected(tcp(ON_NIC, PEER, 777), inodes=inodes)
    host.tree.link(host.tree.root / driver, host.tree.directory(hosts.EDU) / ("virtio7" if "virtio7" in driver else ""))
    assert (hosts.EDU in guarded(host)) == is_needed


def test_a_socket_that_listens_is_known(connected):
    host = connected(
        tcp(ON_NIC, PEER, 777) + tcp("00000000:0016", "00000000:0000", 555, state="0A") + tcp(ON_TWIN, "0908000A:0050", 901), inodes=(777, 555),
    )
    assert guarded(host) == {NIC: [f"enp2s0 carries the controller's connection from 10.0.9.9 on {NIC}"]}


def test_a_connection_of_an_ancestor_in_another_network_namespace_may_go_over_any_interface(connected):
    host = connected(tcp(ON_NIC, PEER, 777))
    for pid, number in (("self", 1), ("40", 2)):
        (host.tree.root / f"proc/{pid}/ns").mkdir(exist_ok=True)
        (host.tree.root / f"proc/{pid}/ns/net").symlink_to(f"net:[{number}]")
    assert set(guarded(host)) == EVERY_NIC


# Interfaces that are not to be seen.

@pytest.fixture
def with_hidden(make_host):
    """A function: a host on which the native driver of the card at NIC shows no interface; ``files`` below /proc."""

    def make(route, **files):
        spec = hosts.changed(hosts.x86(routes=(route,), files={f"proc/{name.replace('_', '/')}": text for name, text in files.items()}), NIC, net=())
        return make_host(spec)

    return make


DEFAULT = "{0}\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0"


def test_a_card_without_an_interface_may_have_the_one_that_sys_does_not_show(with_hidden):
    found = guarded(with_hidden(DEFAULT.format("mgmt0")))
    assert set(found) == EVERY_NIC
    assert found[NIC] == [
        "mgmt0 carries the default route over what cannot be told, so every interface that is up counts: e1000e, whose interface is not "
        f"to be seen here, on {NIC}"
    ]


def test_a_card_without_an_interface_is_free_where_the_default_route_can_be_told(with_hidden):
    assert set(guarded(with_hidden(DEFAULT.format("ens3")))) == {UPLINK}


def test_a_card_without_a_driver_carries_nothing(make_host):
    spec = hosts.changed(hosts.x86(routes=(DEFAULT.format("mgmt0"),)), NIC, net=(), ids="abcd:0001")
    assert NIC not in guarded(make_host(spec))


def test_an_interface_of_another_namespace_is_not_the_one_of_the_same_name(with_hidden):
    """ens3 of this namespace is not ens3 of the namespace that /sys is of."""
    devices = "Inter-|   Receive\n face |bytes\n    lo: 0 0\n  ens3: 0 0\n"
    assert set(guarded(with_hidden(DEFAULT.format("ens3"), net_dev=devices))) == EVERY_NIC


@pytest.mark.parametrize("own, expected", [("0:22", EVERY_NIC), ("0:77", {UPLINK})])
def test_whether_sys_is_of_this_namespace_its_number_tells(with_hidden, own, expected):
    host = with_hidden(DEFAULT.format("ens3"))
    for pid, number, net in (("1", "0:22", 1), ("self", own, 2)):
        host.tree.put(host.tree.root / f"proc/{pid}/mountinfo", f"9 1 254:1 / / rw - ext4 /dev/vda1 rw\n10 9 {number} / /sys rw - sysfs sysfs rw\n")
        (host.tree.root / f"proc/{pid}/ns").mkdir(exist_ok=True)
        os.symlink(f"net:[{net}]", str(host.tree.root / f"proc/{pid}/ns/net"))
    assert set(guarded(host)) == expected


@pytest.mark.parametrize("pid", ["1", "self"])
def test_where_it_cannot_be_told_whose_interfaces_sys_has_they_are_anothers(with_hidden, monkeypatch, pid):
    host = with_hidden(DEFAULT.format("ens3"))
    for one in ("1", "self"):
        (host.tree.root / f"proc/{one}/ns").mkdir(parents=True, exist_ok=True)
        os.symlink("net:[1]", str(host.tree.root / f"proc/{one}/ns/net"))
    assert set(guarded(host)) == {UPLINK}
    real = os.readlink

    def refusing(path, **more):
        if str(path).endswith(f"/proc/{pid}/ns/net"):
            raise OSError(errno.EACCES, "no")
        return real(path, **more)

    monkeypatch.setattr(os, "readlink", refusing)
    assert set(guarded(host)) == EVERY_NIC


def test_the_file_of_the_bonding_driver_beside_the_interfaces_is_none(host):
    host.tree.put(host.tree.root / "sys/class/net/bonding_masters", "bond0\n")
    names = [one.name for one in (host.tree.root / "sys/class/net").iterdir() if one.name != "bonding_masters"]
    host.tree.put(host.tree.root / "proc/net/dev", "a\nb\n" + "".join(f"{name}: 0\n" for name in names))
    assert set(guarded(host)) == {UPLINK}


def test_an_adapter_of_infiniband_without_an_interface_counts_as_a_card(make_host):
    spec = hosts.changed(hosts.x86(routes=(DEFAULT.format("mgmt0"),)), hosts.EDU, pci_class="0c0600")
    spec = hosts.with_modules(spec, Module("ib_x", ("ib_x",), (alias("1234", "11e8"),)))
    assert hosts.EDU in guarded(make_host(spec))


def with_driver(route, pci_class):
    """A host on which EDU has a native driver and no interface of its own."""
    spec = hosts.changed(hosts.x86(routes=(route,)), hosts.EDU, pci_class=pci_class)
    return hosts.with_modules(spec, Module("some", ("some",), (alias("1234", "11e8"),), initramfs=True))


@pytest.mark.parametrize("pci_class", ["0d4000", "0d2100"])
def test_a_wireless_card_without_an_interface_counts_as_a_card(make_host, pci_class):
    assert hosts.EDU in guarded(make_host(with_driver(DEFAULT.format("mgmt0"), pci_class)))


@pytest.mark.parametrize("place", ["net", "usb1/1-2/1-2:1.0/net"])
@pytest.mark.parametrize("route, is_needed", [(DEFAULT.format("mgmt0"), True), (DEFAULT.format("ens3"), False)])
def test_an_interface_that_is_elsewhere_leaves_an_empty_directory_whatever_it_is_of(make_host, place, route, is_needed):
    host = make_host(with_driver(route, "0c0330"))
    (host.tree.directory(hosts.EDU) / place).mkdir(parents=True)
    assert (hosts.EDU in guarded(host)) == is_needed


@pytest.mark.parametrize("route, count, is_needed", [
    (DEFAULT.format("mgmt0"), 2, True), (DEFAULT.format("mgmt0"), 1, False), (DEFAULT.format("mgmt0"), None, False), (DEFAULT.format("ens3"), 2, False),
])
def test_one_of_a_cards_two_interfaces_may_be_elsewhere_and_the_directory_counts_both(make_host, monkeypatch, route, count, is_needed):
    host = make_host(hosts.changed(hosts.x86(routes=(route,)), NIC, net=(Net("enp2s0", "52:54:00:00:03:02", is_up=False),)))
    monkeypatch.setattr(host.kernel, "count_directories", lambda path: count if path.endswith(f"/{NIC}/net") else None, raising=False)
    assert (NIC in guarded(host)) == is_needed


def test_where_a_cards_interfaces_cannot_be_counted_one_may_be_elsewhere(make_host, monkeypatch):
    route = DEFAULT.format("mgmt0")
    host = make_host(hosts.changed(hosts.x86(routes=(route,)), NIC, net=(Net("enp2s0", "52:54:00:00:03:02", is_up=False),)))
    real = os.stat

    def stat(path, **more):
        if str(path).endswith(f"/{NIC}/net"):
            raise OSError(errno.EIO, "no")
        return real(path, **more)

    assert NIC not in guarded(host)
    monkeypatch.setattr(os, "stat", stat)
    assert NIC in guarded(host)


def test_a_function_with_a_driver_and_no_interface_anywhere_carries_nothing(make_host):
    host = make_host(with_driver(DEFAULT.format("mgmt0"), "0c0330"))
    (host.tree.directory(hosts.EDU) / "usb1/1-2/power").mkdir(parents=True)
    assert hosts.EDU not in guarded(host)


# The tables.

def route6(interface, network="0" * 32, length="00"):
    return f"{network} {length} {'0' * 32} 00 fe80{'0' * 28} 00000400 00000001 00000000 00000003 {interface:>8}"


@pytest.mark.parametrize("hops, expected", [
    (["ens3", "enp2s0"], {UPLINK, NIC}), (["ens3"], {UPLINK}), ([], {UPLINK}), (["enp2s0"], {UPLINK}), (None, EVERY_NIC),
])
def test_every_next_hop_of_the_default_route_is_guarded_as_the_kernel_tells_them(host, monkeypatch, hops, expected):
    monkeypatch.setattr(host.kernel, "next_hops", lambda address: hops if len(address) == 4 else [], raising=False)
    assert set(guarded(host)) == expected


def test_next_hops_that_the_kernel_does_not_tell_may_be_of_any_interface(host, monkeypatch):
    asked = []

    def refuse(address):
        asked.append(address)
        raise OSError(errno.EPERM, "no")

    monkeypatch.setattr(host.kernel, "next_hops", refuse, raising=False)
    found = guarded(host)
    assert set(found) == EVERY_NIC
    assert found[NIC] == [
        "the default route goes over next hops that the kernel does not tell (EPERM), so every interface that is up counts: "
        f"enp2s0 on {NIC}"
    ]
    assert len(asked) == 1


def test_next_hops_to_a_server_that_the_kernel_does_not_tell_may_be_of_any_interface(make_host, monkeypatch):
    host = make_host(hosts.x86(routes=LANS, mounts=("25 1 0:40 / / rw - nfs4 nas:/x rw,addr=10.0.9.7",), cmdline="quiet"))

    def refuse(dummy):
        raise TimeoutError("timed out")

    monkeypatch.setattr(host.kernel, "next_hops", refuse, raising=False)
    reasons = [one["reason"] for one in host.survey().devices[TWIN].guards]
    assert reasons == [
        "/ is on nas:/x over next hops that the kernel does not tell (ETIMEDOUT), so every interface that is up counts: "
        f"enp3s0 on {TWIN}"
    ]


def test_every_next_hop_to_a_server_is_guarded(make_host, monkeypatch):
    host = make_host(hosts.x86(routes=LANS, mounts=("25 1 0:40 / / rw - nfs4 nas:/x rw,addr=10.0.9.7",), cmdline="quiet"))
    monkeypatch.setattr(host.kernel, "next_hops", lambda address: ["enp2s0", "enp3s0"], raising=False)
    devices = host.survey().devices
    assert devices[NIC].guards and devices[TWIN].guards and not devices[VIRTIO].guards


@pytest.mark.parametrize("has_rules, expected", [(False, {VIRTIO}), (True, {VIRTIO, TWIN})])
def test_where_rules_of_ipv6_lead_to_further_tables_each_route_to_a_server_may_be_the_one(make_host, monkeypatch, has_rules, expected):
    """/proc/net/ipv6_route has the routes of all tables, and does not say of which each is (source: net/ipv6/ip6_fib.c
    ipv6_route_native_seq_show()).
    """
    wide = f"20010db8{'0' * 24} 20 {'0' * 32} 00 fe80{'0' * 28} 00000400 00000001 00000000 00000003   enp3s0"
    host = make_host(hosts.x86(
        routes=(), routes6=(LAN6, wide), mounts=("25 1 0:40 / / rw - nfs4 nas:/x rw,addr=2001:db8:9::7",), cmdline="quiet",
    ))
    monkeypatch.setattr(host.kernel, "has_other_rules", lambda: has_rules)
    devices = [one for one in host.survey().devices.values() if not one.is_bridge]
    assert {one.address for one in devices if any(guard["kind"] == "storage" for guard in one.guards)} == expected


def test_one_route_for_all_of_ipv6_that_is_in_use_is_a_default_route(make_host):
    host = make_host(hosts.x86(routes=(), routes6=(route6("enp6s0", "2" + "0" * 31, "03"),)))
    assert set(guarded(host)) == {VIRTIO}


@pytest.mark.parametrize("odd", ["e\x1ct", "e\u2003t", "e\u2028t", "e\u00a0t"])
def test_a_name_with_what_python_takes_for_white_space_is_whole(odd):
    tables = read_tables(f"Iface\n{DEFAULT.format(odd)}\n", route6(odd) + "\n", trie="", inet6=f"{'0' * 31}1 01 80 10 80 {odd:>8}\n")
    assert tables.default_interfaces() == [odd]
    assert tables.addresses == {bytes(15) + b"\1": [odd]}


@pytest.mark.parametrize("route, six", [
    ("Iface\neth0\tXX\t", ""), ("Iface\neth0 00000000 0", ""), ("Iface\neth0\t00000000\t0\t0001", ""), ("", "zz" * 16 + " 00 "), ("", "00"),
    ("Iface\neth0\t00000000\t0\tflag\t0\t0\t0\t00000000\t", ""),
])
def test_what_is_no_table_is_refused(route, six):
    with pytest.raises(ValueError, match="."):
        read_tables(route, six, trie="", inet6="").default_interfaces()


@pytest.mark.parametrize("route, six", [
    ("eth0\t0009000A\tbroken", ""), ("eth0\t00000000\t0202000A\tflag\t0\t0\t100\t00000000\t0\t0\t0", ""), ("", "0" * 32 + " ff " + "0" * 90),
    ("", f"20010db80009{'0' * 20} 40 broken"), ("eth0\tnothing", ""),
])
def test_a_table_that_is_no_table_guards_every_interface_where_it_is_asked(make_host, route, six):
    host = make_host(hosts.x86(
        routes=(route,), routes6=(six,), cmdline="quiet", mounts=("25 1 0:40 / / rw - nfs nas,nas:/x rw,addr=10.0.9.7,mountaddr=2001:db8:9::7",),
    ))
    found = {address for address, device in host.survey().devices.items() if device.guards}
    assert found >= EVERY_NIC


def test_hundreds_of_thousands_of_routes_are_read_in_a_moment():
    """A border router's tables. The bound is wide: a loaded machine; it was 19 seconds."""
    lines = ["Iface\tDestination"] + [
        f"eth{number % 7}\t{number * 256 % 2**32:08X}\t0102000A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0".ljust(127) for number in range(1, 300001)
    ]
    six = "\n".join(route6(f"eth{number % 7}", f"2001{number:012x}{'0' * 16}", "40") for number in range(100000))
    trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n" + "".join(f"     |-- 10.{one >> 8 & 255}.{one & 255}.0\n        /24 universe UNICAST\n" for one in range(300000))
    lines.insert(7, DEFAULT.format("eth9").ljust(127))
    text, start = "\n".join(lines) + "\n", time.process_time()
    tables = read_tables(text, six, trie=trie + "Local:\n", inet6="")
    assert tables.default_interfaces() == ["eth9"]
    assert len(tables.to_peer(bytes([0, 1, 0, 5]))) == 1
    assert time.process_time() - start < 5
