# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard 'storage' of servers that no mount names, and that the kernel says it reaches."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PAIR, PAIR2, PF, ROOT_DISK, TWIN, UPLINK, VIRTIO

ON_VDA = "25 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw"
# 10.0.9.0/24 on enp2s0, 10.0.8.0/24 on enp3s0, 10.0.6.0/24 on enp6s0.
LANS = (hosts.DEFAULT_ROUTE,) + tuple(
    f"{name}\t000{net}000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0" for name, net in (("enp2s0", 9), ("enp3s0", 8), ("enp6s0", 6))
)
NFS = "30 25 0:50 / /home rw - nfs4 nas:/x rw,vers=4.2,addr=10.0.9.7"
CEPH = "30 25 0:50 / /x rw - ceph 10.0.9.7:6789:/ rw,name=a"
SWITCH = "sys/kernel/sunrpc/xprt-switches/switch-0"
EVERY_INTERFACE = {UPLINK, NIC, TWIN, VIRTIO, PF, PAIR, PAIR2}
CLIENT = "sys/kernel/debug/ceph/1-2-3.client4711"


def guarded(make_host, mount, files):
    """(endpoints with the guard beside the disk of /, the reasons of one of them)."""
    devices = make_host(hosts.x86(mounts=(ON_VDA, mount), routes=LANS, files=files)).survey().devices
    found = {
        address: [one["reason"] for one in device.guards] for address, device in devices.items()
        if not device.is_bridge and any(one["kind"] == "storage" for one in device.guards)
    }
    del found[ROOT_DISK]
    return found


def transport(number, dstaddr, srcaddr=None):
    files = {f"{SWITCH}/xprt-{number}-tcp/dstaddr": dstaddr}
    return {**files, f"{SWITCH}/xprt-{number}-tcp/srcaddr": srcaddr} if srcaddr else files


@pytest.mark.parametrize("end", ["\n", "\n\0", ""])
def test_further_addresses_of_a_server_of_nfs_guard_the_cards_that_reach_them(make_host, end):
    found = guarded(make_host, NFS, {**transport(0, "10.0.9.7" + end), **transport(1, "10.0.8.7" + end)})
    assert found == {
        NIC: [f"/home is on nas:/x over enp2s0 on {NIC}"],
        TWIN: [f"a connection of the kernel's for NFS to 10.0.8.7 is over enp3s0 on {TWIN}"],
    }


def test_a_transport_of_nfs_guards_the_card_whose_address_it_comes_from(make_host):
    assert set(guarded(make_host, NFS, transport(0, "10.0.9.7\n", "10.0.6.1\n"))) == {NIC, VIRTIO}


@pytest.mark.parametrize("dstaddr", ["/var/run/rpcbind.sock\n", "127.0.0.1\n", "::1\n", "\n", "<closed>\n", "0.0.0.0\n", "10.0.9.9\n"])
def test_transports_on_this_host_and_to_known_networks_guard_nothing_else(make_host, dstaddr):
    assert set(guarded(make_host, NFS, transport(0, dstaddr))) == {NIC}


def test_transports_of_a_host_that_has_nothing_of_nfs_mounted_guard_none(make_host):
    assert set(guarded(make_host, CEPH, transport(0, "10.0.8.7\n"))) == {NIC}


OSDS = """epoch 12 barrier 0 flags 0x588000
pool 1 'x' type 1 size 3 min_size 2 pg_num 32 pg_num_mask 31 flags 0x1 lfor 0 read_tier -1 write_tier -1
osd0\t{0}10.0.9.8:6801\t100%\t(exists, up)\t100%\t 0
osd1\t{0}10.0.8.7:6809\t100%\t(exists, up)\t100%\t 0
osd2\t{0}0.0.0.0:0\t  0%\t(doesn't exist)\t100%\t-1
"""


@pytest.mark.parametrize("kind", ["(1)", "(2)", ""])
def test_the_osds_of_ceph_guard_the_cards_that_reach_them(make_host, kind):
    found = guarded(make_host, CEPH, {f"{CLIENT}/osdmap": OSDS.format(kind)})
    assert set(found) == {NIC, TWIN}
    assert found[TWIN] == [f"osd1 of Ceph, at 10.0.8.7, is reached over enp3s0 on {TWIN}"]


def test_the_metadata_servers_and_monitors_of_ceph_guard_the_cards_that_reach_them(make_host):
    found = guarded(make_host, CEPH, {
        f"{CLIENT}/mdsmap": "epoch 9\nroot 0\n\tmds0\t(1)10.0.8.7:6805\t(up:active)\n",
        f"{CLIENT}/monmap": "epoch 1\n\tmon0\t(2)[2001:db8:9::7]:3300\n\tmon1\t(1)10.0.6.7:6789\n",
    })
    assert {NIC, TWIN, VIRTIO} <= set(found)


def test_maps_of_ceph_without_a_mount_guard_none(make_host):
    assert set(guarded(make_host, NFS, {f"{CLIENT}/osdmap": OSDS.format("(1)")})) == {NIC}


@pytest.mark.parametrize("text", [b"\xff\xfe\tosd1\t(9999999999)x:y\n", b"osd1\t:1\n", b"osd1\t(1)[fe80::1%\xe9]:7\n", b""])
def test_a_map_that_is_none_ends_nothing(make_host, text):
    assert NIC in guarded(make_host, CEPH, {f"{CLIENT}/osdmap": text})


MONITORS = "epoch 1\n\tmon0\t(2)10.0.9.7:3300\n"
RBD = {"sys/bus/rbd/devices/12/cluster_fsid": "1-2-3\n", "sys/bus/rbd/devices/12/client_id": "client4711\n"}


@pytest.mark.parametrize("name", ["rbd12", "rbd12p1"])
@pytest.mark.parametrize("files, expected", [
    ({**RBD, f"{CLIENT}/monmap": MONITORS, f"{CLIENT}/osdmap": OSDS.format("(1)")}, {NIC, TWIN}),
    ({**RBD, f"{CLIENT}/monmap": MONITORS, f"{CLIENT}/osdmap": "epoch 0\n"}, EVERY_INTERFACE), (RBD, EVERY_INTERFACE),
    ({**RBD, f"{CLIENT}/osdmap": OSDS.format("(1)")}, EVERY_INTERFACE),
    ({f"{CLIENT}/monmap": MONITORS, f"{CLIENT}/osdmap": OSDS.format("(1)")}, EVERY_INTERFACE),
    ({**RBD, "sys/kernel/debug/ceph/1-2-3.client9/monmap": MONITORS, "sys/kernel/debug/ceph/1-2-3.client9/osdmap": OSDS.format("(1)")}, EVERY_INTERFACE),
])
def test_a_block_device_of_ceph_guards_the_cards_that_reach_its_servers(make_host, name, files, expected):
    """Every interface that is up where the kernel does not tell them."""
    target = "sys/devices/rbd/12/block/rbd12" + ("" if name == "rbd12" else f"/{name}")
    devices = make_host(hosts.x86(
        mounts=(ON_VDA, f"30 25 252:0 / /x rw - ext4 /dev/{name} rw"), routes=LANS, files=files,
        links={f"sys/class/block/{name}": target, "sys/dev/block/252:0": target},
    )).survey().devices
    found = {address for address, device in devices.items() if not device.is_bridge and any(one["kind"] == "storage" for one in device.guards)}
    assert found - {ROOT_DISK} == expected
