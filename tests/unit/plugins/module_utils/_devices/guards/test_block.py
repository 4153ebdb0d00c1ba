# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard 'storage' of block devices that hang from no PCI function by themselves."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, ROOT_DISK, TWIN, UPLINK, VIRTIO
from ansible_collections.vfio.host.tests.unit.fake.model import Disk, Nvme, Stacked

ON_VDA = "25 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw"
LAN = "enp2s0\t0009000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0"
EVERY_INTERFACE = {UPLINK, NIC, TWIN, VIRTIO}
CARD = f"sys/devices/pci0000:00/0000:00:06.0/{NIC}"


def guarded(host):
    """Endpoint -> reasons."""
    return {
        address: [one["reason"] for one in device.guards if one["kind"] == "storage"]
        for address, device in host.survey().devices.items()
        if not device.is_bridge and any(one["kind"] == "storage" for one in device.guards)
    }


@pytest.fixture
def over(make_host):
    """A function: what is guarded beside the disk of / where /x is on block device 99:1, ``name`` at ``place`` below /sys/devices."""

    def make(name, place, files=(), links=(), is_mounted=True, **more):
        target = f"sys/devices/{place}/{name}"
        spec = hosts.x86(
            mounts=(ON_VDA, f"30 25 99:1 / /x rw - ext4 /dev/{name} rw")[:1 + is_mounted], routes=(hosts.DEFAULT_ROUTE, LAN),
            links=dict({f"sys/class/block/{name}": target, "sys/dev/block/99:1": target}, **dict(links)), files=dict(files), **more,
        )
        nvme = Nvme("nvme0", "NV01", Disk("nvme0n1", "259:0", ""))
        found = guarded(make_host(hosts.changed(spec, NVME, nvme=nvme)))
        assert found.pop(ROOT_DISK)
        return found

    return make


FABRICS = "virtual/nvme-fabrics/ctl/nvme5"


def controller(transport, address):
    files = {f"sys/devices/{FABRICS}/address": address + "\n"}
    if transport:
        files[f"sys/devices/{FABRICS}/transport"] = transport + "\n"
    return {"files": files, "links": {"sys/class/nvme/nvme5": f"sys/devices/{FABRICS}"}}


@pytest.mark.parametrize("transport", ["tcp", "rdma", None])
@pytest.mark.parametrize("name, place", [("nvme5n1", FABRICS), ("nvme5n1p1", FABRICS + "/nvme5n1")])
def test_nvme_over_ip_guards_the_card_that_reaches_it(over, transport, name, place):
    assert over(name, place, **controller(transport, "traddr=10.0.9.7,trsvcid=4420")) == {
        NIC: [f"/x is on {name} over enp2s0 on {NIC}"]
    }


def test_nvme_on_another_bus_guards_nothing_with_multipath_either(over):
    """As of Apple's (source: drivers/nvme/host/apple.c)."""
    on_soc = "sys/devices/platform/soc/393cc0000.nvme/nvme/nvme9"
    links = {"sys/class/nvme/nvme9": on_soc, "sys/devices/virtual/nvme-subsystem/nvme-subsys9/nvme9": on_soc}
    assert over("nvme9n1", "virtual/nvme-subsystem/nvme-subsys9", links=links) == {}


def test_a_disk_of_this_hosts_own_target_that_is_not_mounted_is_no_other_hosts(over):
    assert over("nvme5n1", FABRICS, is_mounted=False, **controller("loop", "")) == {}
    assert NIC in over("nvme5n1", FABRICS, is_mounted=False, **controller("neverheardof", ""))


SAID = "a disk of another host, which this one is connected to, is on"


def test_a_disk_of_another_host_guards_the_card_that_reaches_it_though_nothing_of_it_is_mounted(over):
    """A guest may have it, and the kernel has the connection."""
    over_tcp = controller("tcp", "traddr=10.0.9.7,trsvcid=4420")
    assert over("nvme5n1", FABRICS, is_mounted=False, **over_tcp) == {NIC: [f"{SAID} nvme5n1 over enp2s0 on {NIC}"]}
    iscsi = {"sys/class/iscsi_connection/connection3:0/address": "10.0.9.7\n"}
    place = "platform/host2/session3/target2:0:0/2:0:0:0/block"
    assert over("sda", place, files=iscsi, is_mounted=False) == {NIC: [f"{SAID} sda over enp2s0 on {NIC}"]}
    assert NIC in over("rbd0", "virtual/block", is_mounted=False)


@pytest.mark.parametrize("place", ["virtual/block", "pci0000:00/0000:00:09.0/nvme/nvme0"])
def test_a_disk_of_this_host_that_is_not_mounted_is_free(over, place):
    assert over("nbd0" if place == "virtual/block" else "nvme0n2", place, is_mounted=False) == {}


def test_a_disk_of_several_controllers_of_this_host_that_is_not_mounted_is_free(over):
    """With NVMe's own multipath a disk hangs from no controller (source: drivers/nvme/host/multipath.c)."""
    subsystem = "virtual/nvme-subsystem/nvme-subsys0"
    links = {f"sys/devices/{subsystem}/nvme0": f"sys/devices/pci0000:00/{NVME}/nvme/nvme0"}
    assert over("nvme0n9", subsystem, links=links, is_mounted=False) == {}


def test_nvme_over_ip_guards_the_interface_that_it_is_tied_to_as_well(over):
    found = over("nvme5n1", FABRICS, **controller("tcp", "traddr=10.0.9.7,trsvcid=4420,host_iface=enp6s0,src_addr=10.0.9.1"))
    assert set(found) == {NIC, VIRTIO}


# The connected network of enp6s0, whose address is in it.
OWN = "enp6s0\t0006000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0"


@pytest.mark.parametrize("transport", ["tcp", "rdma"])
@pytest.mark.parametrize("word", ["host_traddr", "src_addr"])
def test_nvme_over_ip_guards_the_interface_whose_address_it_comes_from_as_well(make_host, transport, word):
    target = f"sys/devices/{FABRICS}/nvme5n1"
    more = controller(transport, f"traddr=10.0.9.7,trsvcid=4420,{word}=10.0.6.1")
    host = make_host(hosts.x86(
        mounts=(ON_VDA, "30 25 99:1 / /x rw - ext4 /dev/nvme5n1 rw"), routes=(hosts.DEFAULT_ROUTE, LAN, OWN), files=more["files"],
        links={**more["links"], "sys/class/block/nvme5n1": target, "sys/dev/block/99:1": target},
    ))
    assert set(guarded(host)) == {ROOT_DISK, NIC, VIRTIO}


def test_an_iscsi_disk_guards_the_interface_whose_address_its_host_has_as_well(make_host):
    target = "sys/devices/platform/host2/session3/target2:0:0/2:0:0:0/block/sda"
    host = make_host(hosts.x86(
        mounts=(ON_VDA, "30 25 99:1 / /x rw - ext4 /dev/sda rw"), routes=(hosts.DEFAULT_ROUTE, LAN, OWN),
        files={"sys/class/iscsi_connection/connection3:0/address": "10.0.9.7\n", "sys/class/iscsi_host/host2/ipaddress": "10.0.6.1\n"},
        links={"sys/class/block/sda": target, "sys/dev/block/99:1": target},
    ))
    assert set(guarded(host)) == {ROOT_DISK, NIC, VIRTIO}


@pytest.mark.parametrize("kind, options, expected", [
    ("nfs4", "clientaddr=10.0.6.1", {ROOT_DISK, NIC, VIRTIO}), ("nfs4", "clientaddr=0.0.0.0", {ROOT_DISK, NIC}),
    ("cifs", "srcaddr=10.0.6.1", {ROOT_DISK, NIC, VIRTIO}), ("cifs", "srcaddr=10.0.9.1", {ROOT_DISK, NIC}),
])
def test_a_mount_guards_the_interface_whose_address_it_comes_from_as_well(make_host, kind, options, expected):
    host = make_host(hosts.x86(
        mounts=(ON_VDA, f"30 25 0:50 / /x rw - {kind} //nas/x rw,{options},addr=10.0.9.7"), routes=(hosts.DEFAULT_ROUTE, LAN, OWN),
    ))
    assert set(guarded(host)) == expected


FC = "traddr=nn-0x200000109b000001:pn-0x100000109b000001,host_traddr=nn-0x20000090fa000001:pn-0x10000090FA000001"


def test_nvme_over_fibre_channel_guards_the_adapter_of_its_port_name(over):
    ports = controller("fc", FC)
    ports["files"].update({f"{CARD}/host7/fc_host/host7/port_name": "0x10000090fa000001\n",
                           f"sys/devices/pci0000:00/{EDU}/host8/fc_host/host8/port_name": "0x10000090fa000002\n"})
    ports["links"].update({"sys/class/fc_host/host7": f"{CARD}/host7/fc_host/host7",
                           "sys/class/fc_host/host8": f"sys/devices/pci0000:00/{EDU}/host8/fc_host/host8"})
    assert over("nvme5n1", FABRICS, **ports) == {NIC: [f"/x is on nvme5n1 over host7 on {NIC}"]}


@pytest.mark.parametrize("transport, address", [
    ("fc", FC), ("fc", "traddr=none"), ("loop", "traddr=x"), ("quic", "traddr=10.0.9.7"), (None, FC), (None, ""), ("", ""),
])
def test_a_transport_whose_end_is_not_told_may_be_any_disk_and_any_interface(over, transport, address):
    assert set(over("nvme5n1", FABRICS, **controller(transport, address))) > EVERY_INTERFACE | {NVME}


def test_a_multipath_namespace_guards_what_every_controller_is_reached_by(over):
    both = controller("tcp", "traddr=10.0.9.7")
    subsystem = "virtual/nvme-subsystem/nvme-subsys5"
    both["links"].update({
        f"sys/devices/{subsystem}/nvme5": f"sys/devices/{FABRICS}", f"sys/devices/{subsystem}/nvme0": f"sys/devices/pci0000:00/{NVME}",
    })
    both["files"][f"sys/devices/{subsystem}/nvme5n1/dev"] = "99:1\n"
    assert set(over("nvme5n1", subsystem, **both)) == {NIC, NVME}


SESSION = "platform/host2/session3/target2:0:0/2:0:0:0/block"


def test_an_iscsi_disk_guards_the_interface_that_its_host_is_tied_to_as_well(over):
    found = over("sda", SESSION, files={
        "sys/class/iscsi_connection/connection3:0/address": "10.0.9.7\n", "sys/class/iscsi_host/host2/netdev": "enp6s0\n",
    })
    assert set(found) == {NIC, VIRTIO}


@pytest.mark.parametrize("persistent, expected", [("10.0.6.7", {NIC, VIRTIO}), ("10.0.9.7", {NIC}), ("target.example", {NIC}), ("", {NIC})])
def test_an_iscsi_disk_guards_the_card_that_reaches_the_portal_that_it_was_redirected_from_as_well(make_host, persistent, expected):
    target = f"sys/devices/{SESSION}/sda"
    connection = "sys/class/iscsi_connection/connection3:0"
    host = make_host(hosts.x86(
        mounts=(ON_VDA, "30 25 99:1 / /x rw - ext4 /dev/sda rw"), routes=(hosts.DEFAULT_ROUTE, LAN, OWN),
        files={f"{connection}/address": "10.0.9.7\n", f"{connection}/persistent_address": persistent + "\n"},
        links={"sys/class/block/sda": target, "sys/dev/block/99:1": target},
    ))
    assert set(guarded(host)) == {ROOT_DISK, *expected}


@pytest.mark.parametrize("place", [
    f"{CARD[len('sys/devices/'):]}/net/enp2s0/ctlr_0/host9/rport-9:0-0/target9:0:0/9:0:0:0/block",
    "virtual/net/enp2s0.7/ctlr_0/host9/rport-9:0-0/target9:0:0/9:0:0:0/block",
])
def test_fibre_channel_over_ethernet_guards_the_card_of_its_interface(over, place):
    assert set(over("sdb", place, interfaces=(Stacked("enp2s0.7", ("enp2s0",)),))) == {NIC}


@pytest.mark.parametrize("name, place", [
    ("rbd0", "rbd/0/block"), ("sdb", "platform/vhci_hcd.0/usb3/3-1/3-1:1.0/host9/target9:0:0/9:0:0:0/block"),
])
def test_a_disk_that_is_reached_by_network_guards_every_interface_and_no_disk(over, name, place):
    found = set(over(name, place))
    assert found > EVERY_INTERFACE
    assert NVME not in found


@pytest.mark.parametrize("name, place", [
    ("nbd0", "virtual/block"), ("ublkb0", "virtual/block"), ("drbd0", "virtual/block"), ("neverheardof0", "virtual/block"),
    ("dm-9", "virtual/block"), ("loop9", "virtual/block"), ("zd0", "virtual/block"), ("sdb", "neverheardof/host9/block"),
    ("sdb", "tcm_loop_0/tcm_loop_adapter_0/host9/target9:0:1/9:0:1:0/block"), ("sdb", "platform/host9/target9:0:0/9:0:0:0/block"),
    ("pmem9", "platform/ACPI0017:00/root0/nvdimm-bridge0/ndbus1/region9/namespace9.0/block"),
])
def test_a_block_device_whose_lower_end_is_not_in_sysfs_may_be_any_disk_and_any_interface(over, name, place):
    found = over(name, place)
    assert set(found) > EVERY_INTERFACE | {NVME}
    assert found[NVME] == [f"/x is on {name} on what cannot be told, so every disk counts"]


def test_a_replicated_disk_guards_its_own_disk_and_every_interface(make_host):
    host = make_host(hosts.x86(
        mounts=(ON_VDA, "30 25 147:0 / /x rw - ext4 /dev/drbd0 rw"), blocks=(Stacked("drbd0", ("nvme0n1",), "147:0"),),
    ))
    assert set(guarded(host)) > EVERY_INTERFACE | {NVME}


@pytest.mark.parametrize("name, place", [
    ("ram9", "virtual/block"), ("zram9", "virtual/block"), ("nullb9", "virtual/block"), ("dasda", "css0/0.0.0001/0.0.0150/block"),
    ("pmem0", "LNXSYSTM:00/LNXSYBUS:00/ACPI0012:00/ndbus0/region0/namespace0.0/block"), ("xvda", "vbd-51712/block"),
    ("vdb", "virtio-mmio-cmdline/virtio-mmio.0/virtio0/block"),
    ("mmcblk0", "platform/soc/fe340000.mmc/mmc_host/mmc0/mmc0:0001/block"), ("sdb", "pseudo_0/adapter0/host9/target9:0:0/9:0:0:0/block"),
])
def test_memory_and_what_is_on_another_bus_guard_none(over, name, place):
    assert over(name, place) == {}


@pytest.mark.parametrize("backing, expected", [
    ("/dev/nvme0n1", {NVME}), ("/srv/a.img", set()), ("/srv/a.img (deleted)", set()),
])
def test_a_loop_device_guards_what_its_file_is_on(over, backing, expected):
    assert set(over("loop9", "virtual/block", files={"sys/devices/virtual/block/loop9/loop/backing_file": backing + "\n"})) == expected


@pytest.mark.parametrize("backing", ["/dev/gone", "/dev/nvme9n1 (deleted)"])
def test_a_loop_device_over_a_node_that_is_gone_may_be_on_any_disk(make_host, backing):
    host = make_host(hosts.x86(
        mounts=(ON_VDA, "28 25 0:6 / /dev rw - devtmpfs udev rw", "30 25 7:9 / /x rw - ext4 /dev/loop9 rw"),
        blocks=(Stacked("loop9", (), "7:9"),), files={"sys/devices/virtual/block/loop9/loop/backing_file": backing + "\n"},
    ))
    assert NVME in guarded(host)


def test_the_journal_of_a_file_system_guards_its_disk(make_host):
    host = make_host(hosts.x86(mounts=("25 1 254:1 / / rw - xfs /dev/vda1 rw,attr2,logdev=/dev/nvme0n1,noquota",)))
    assert set(guarded(host)) == {ROOT_DISK, NVME}


def test_btrfs_that_no_mount_leads_to_guards_its_members_all_the_same(make_host):
    host = make_host(hosts.x86(mounts=(ON_VDA,), files={"sys/fs/btrfs/1234/devices/nvme0n1": ""}))
    assert guarded(host)[NVME] == [f"the btrfs file system 1234 is on nvme0n1 on {NVME}"]


def test_btrfs_whose_source_has_another_name_by_now_guards_all_that_sysfs_has_open(make_host):
    host = make_host(hosts.x86(
        mounts=(ON_VDA, "30 25 0:42 / /x rw - btrfs /dev/renamed rw"), files={"sys/fs/btrfs/1234/devices/nvme0n1": ""},
    ))
    assert guarded(host)[NVME] == [f"/x is on nvme0n1 on {NVME}"]
    assert set(guarded(host)) == {ROOT_DISK, NVME}


def test_bcachefs_guards_every_member_that_sysfs_has_whatever_its_source_says(make_host):
    host = make_host(hosts.x86(
        mounts=("25 1 254:1 / / rw - bcachefs /dev/vda1 rw",), links={"sys/fs/bcachefs/1234/dev-1/block": f"sys/devices/{NVME}/nvme0n1"},
    ))
    assert set(guarded(host)) == {ROOT_DISK, NVME}


def test_the_lowest_layer_of_a_live_root_that_is_not_to_be_seen_any_more_may_be_anywhere(make_host):
    host = make_host(hosts.x86(mounts=(
        "25 1 0:30 / / rw - overlay overlay rw,lowerdir=/run/rootfsbase,upperdir=/run/up/d,workdir=/run/up/w",
        "26 25 0:31 / /run rw - tmpfs tmpfs rw",
    )))
    assert set(guarded(host)) > EVERY_INTERFACE | {NVME, ROOT_DISK}


def test_an_image_whose_own_file_system_hides_it_may_be_anywhere(make_host):
    host = make_host(hosts.x86(
        mounts=(ON_VDA, "30 25 7:9 / /srv rw - ext4 /dev/loop9 rw"), blocks=(Stacked("loop9", (), "7:9"),),
        files={"sys/devices/virtual/block/loop9/loop/backing_file": "/srv/a.img\n"},
    ))
    assert NVME in guarded(host)


def test_an_image_on_a_pool_of_zfs_of_which_it_may_be_a_member_ends(make_host):
    host = make_host(hosts.x86(
        mounts=("25 1 0:30 / / rw - zfs rpool/root rw", "30 25 7:9 / /srv rw - ext4 /dev/loop9 rw"), blocks=(Stacked("loop9", (), "7:9"),),
        files={"sys/devices/virtual/block/loop9/loop/backing_file": "/a.img\n", "proc/spl/kstat/zfs/rpool/state": "ONLINE\n"},
    ))
    assert {NVME, ROOT_DISK} <= set(guarded(host))


def test_a_node_that_is_called_as_a_disk_and_is_another_device_is_that(make_host):
    """Device mapper's nodes may have any name, and without udev they are no links."""
    host = make_host(hosts.x86(mounts=(ON_VDA,), swaps=("/dev/mapper/vda partition 1 0 -2",), blocks=(Stacked("dm-3", ("nvme0n1",), "253:3"),)))
    host.tree.put(host.tree.root / "dev/mapper/vda", "")
    host.tree.node("dev/mapper/vda", "block", "253:3")
    assert f"swap is on dm-3 on nvme0n1 on {NVME}" in guarded(host)[NVME]


@pytest.mark.parametrize("name, expected", [("nvme0n1", {NVME}), ("nvme0n1-8", set()), ("dm-7-8", set())])
def test_a_journal_on_a_disk_of_its_own_guards_that(make_host, name, expected):
    host = make_host(hosts.x86(mounts=(ON_VDA,), files={f"proc/fs/jbd2/{name}/info": "1 transactions\n"}))
    assert set(guarded(host)) == {ROOT_DISK} | expected


@pytest.mark.parametrize("kind, options, protocol, is_alone", [
    ("gfs2", "rw", "lock_dlm", False), ("gfs2", "rw", None, False), ("gfs2", "rw,lockproto=lock_nolock", "lock_nolock", True),
    ("ocfs2", "rw,_netdev,heartbeat=local", None, False), ("ocfs2", "rw,heartbeat=none,cluster_stack=pcmk", None, False),
    ("ocfs2", "rw,heartbeat=none", None, True), ("ext4", "rw", None, True),
])
def test_a_file_system_of_a_cluster_guards_its_disk_and_every_interface(make_host, kind, options, protocol, is_alone):
    files = {"sys/fs/gfs2/c:a/lock_module/proto_name": protocol + "\n"} if protocol else {}
    host = make_host(hosts.x86(mounts=(ON_VDA, f"30 25 259:0 / /x rw - {kind} /dev/nvme0n1 {options}"), files=files))
    assert (set(guarded(host)) == {ROOT_DISK, NVME}) if is_alone else (set(guarded(host)) > EVERY_INTERFACE | {ROOT_DISK, NVME})
