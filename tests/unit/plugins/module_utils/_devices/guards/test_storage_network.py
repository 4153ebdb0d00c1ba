# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard 'storage' of what is mounted over a network, or by the hypervisor: the card or function that brings it."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, PF, UPLINK, VF, VIRTIO
from ansible_collections.vfio.host.tests.unit.plugins.module_utils._devices.guards.mounting import ON_VDA, guarded, mount

LAN = "enp2s0\t0009000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0"


def nfs(options):
    return f"25 1 0:50 / /home rw - nfs4 nas:/home {options}"


def test_a_file_system_of_a_server_guards_the_card_that_reaches_it(with_mounts):
    host = with_mounts(ON_VDA, nfs("rw,vers=4.2,clientaddr=10.0.9.2,addr=10.0.9.7"), routes=(hosts.DEFAULT_ROUTE, LAN))
    assert guarded(host)[NIC] == [f"/home is on nas:/home over enp2s0 on {NIC}"]
    assert UPLINK not in guarded(host)


@pytest.mark.parametrize("interface, expected", [("enp1s0", {PF}), ("enp1s0v0", {PF, VF})])
def test_a_card_whose_vf_carries_storage_is_guarded_and_the_vfs_of_one_that_carries_it_are_free(with_mounts, interface, expected):
    host = with_mounts(ON_VDA, nfs("rw,addr=10.0.9.7"), routes=(hosts.DEFAULT_ROUTE, LAN.replace("enp2s0", interface)))
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "2")
    assert {PF, VF, hosts.vf(1).address}.intersection(guarded(host)) == expected


def test_a_server_of_no_known_address_may_be_reached_over_any_interface(with_mounts):
    host = with_mounts(ON_VDA, nfs("rw"))
    assert {UPLINK, NIC, VIRTIO} < set(guarded(host))
    assert "so every interface that is up counts" in guarded(host)[NIC][0]


def test_iscsi_guards_the_card_that_reaches_the_target(with_mounts):
    host = with_mounts(
        mount("8:0", "/", "/dev/sda"), routes=(LAN,),
        links={"sys/class/block/sda": "sys/devices/platform/host2/session3/target2:0:0/2:0:0:0/block/sda",
               "sys/dev/block/8:0": "sys/devices/platform/host2/session3/target2:0:0/2:0:0:0/block/sda"},
        files={"sys/class/iscsi_connection/connection3:0/address": "10.0.9.7\n",
               "sys/class/iscsi_connection/connection4:0/address": "10.8.8.8\n"},
    )
    assert guarded(host) == {NIC: [f"/ is on sda over enp2s0 on {NIC}"], hosts.ROOT_PORT: [
        f"/ is on sda over enp2s0 on {NIC}, which is behind it"
    ]}


def test_nvme_over_tcp_guards_the_card_that_reaches_it(with_mounts):
    host = with_mounts(
        ON_VDA, mount("259:7", "/srv", "/dev/nvme5n1"), routes=(LAN,),
        links={"sys/class/nvme/nvme5": "sys/devices/virtual/nvme-fabrics/ctl/nvme5",
               "sys/class/block/nvme5n1": "sys/devices/virtual/nvme-fabrics/ctl/nvme5/nvme5n1",
               "sys/dev/block/259:7": "sys/devices/virtual/nvme-fabrics/ctl/nvme5/nvme5n1"},
        files={"sys/devices/virtual/nvme-fabrics/ctl/nvme5/address": "traddr=10.0.9.7,trsvcid=4420\n"},
    )
    assert guarded(host)[NIC] == [f"/srv is on nvme5n1 over enp2s0 on {NIC}"]


def test_a_directory_that_the_hypervisor_shares_guards_the_function_that_brings_it(make_host):
    function = f"sys/devices/pci0000:00/{EDU}/virtio7"
    spec = hosts.x86(
        mounts=(ON_VDA, "25 1 0:50 / /x rw - virtiofs tag rw"),
        links={"sys/bus/virtio/drivers/virtiofs/virtio7": function, "sys/bus/virtio/drivers/virtiofs/module": "sys/module"},
    )
    assert guarded(make_host(spec))[EDU] == [f"/x is on tag on {EDU}"]
