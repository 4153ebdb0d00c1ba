# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard 'storage' of file systems that no block device of this host has: what is not provably elsewhere counts."""

from __future__ import annotations

import os

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.guards.filesystems import servers
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.routes import parse_address, parse_server
from ansible_collections.vfio.host.plugins.module_utils._devices.mounts import Mount
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, ROOT_DISK, TWIN, UPLINK, VIRTIO

ON_VDA = "25 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw"
# 10.0.9.0/24 on enp2s0, 10.0.8.0/24 on enp3s0, 2001:db8:9::/64 on enp6s0.
LANS = (
    hosts.DEFAULT_ROUTE, "enp2s0\t0009000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0",
    "enp3s0\t0008000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0",
)
LAN6 = f"20010db80009{'0' * 20} 40 {'0' * 32} 00 {'0' * 32} 00000100 00000001 00000000 00000001   enp6s0"
EVERY_INTERFACE = {UPLINK, NIC, TWIN, VIRTIO}


def guarded(host):
    """Endpoints with the guard."""
    return {
        address for address, device in host.survey().devices.items()
        if not device.is_bridge and any(one["kind"] == "storage" for one in device.guards)
    }


@pytest.fixture
def mounted(make_host):
    """A function: what is guarded beside the disk of / where such a file system is mounted, too."""

    def make(kind, source, options="rw", number="0:50"):
        host = make_host(hosts.x86(
            mounts=(ON_VDA, f"30 25 {number} / /scratch rw,relatime shared:9 - {kind} {source} {options}"), routes=LANS, routes6=(LAN6,),
        ))
        return guarded(host) - {ROOT_DISK}

    return make


@pytest.mark.parametrize("kind, source, options, expected", [
    ("nfs4", "nas:/x", "rw,addr=10.0.9.7", {NIC}),
    ("nfs", "10.0.9.7,10.0.8.7:/x", "rw", {NIC, TWIN}),
    ("nfs4", "[2001:db8:9::7]:/x", "rw", {VIRTIO}),
    ("nfs4", "nas:/x", "rw,proto=tcp6,addr=2001:db8:9::7", {VIRTIO}),
    ("nfs4", "nas:/x", "rw,proto=tcp6,addr=::ffff:10.0.8.7", {TWIN}),
    ("nfs4", "[::ffff:10.0.8.7]:/x", "rw", {TWIN}),
    ("ceph", "[::ffff:10.0.8.7]:6789:/", "rw,name=a", {TWIN}),
    ("cifs", "//nas/x", "rw,addr=10.0.8.7", {TWIN}),
    ("cifs", "//10.0.8.7/x", "rw", {TWIN}),
    ("smb3", "//[2001:db8:9::7]/x", "rw", {VIRTIO}),
    ("ceph", "10.0.9.7:6789,10.0.8.7:6789:/", "rw,name=a", {NIC, TWIN}),
    ("ceph", "[2001:db8:9::7]:6789,10.0.8.7:6789:/x", "rw", {VIRTIO, TWIN}),
    ("ceph", "a@12-34.fs=/", "rw,mon_addr=10.0.9.7:3300/10.0.8.7:3300", {NIC, TWIN}),
    ("lustre", "10.0.9.7@tcp:/scratch", "rw", {NIC}),
    ("lustre", "10.0.9.7@tcp,10.0.8.7@o2ib1:/scratch", "rw", {NIC, TWIN}),
    ("lustre", "10.0.9.7@tcp:10.0.8.7@tcp:/scratch", "rw", {NIC, TWIN}),
    ("lustre", "2001:db8:9::7@tcp:10.0.8.7@tcp:/scratch", "rw", {VIRTIO, TWIN}),
    ("pvfs2", "tcp://10.0.9.7:3334/orangefs", "rw", {NIC}),
    ("wekafs", "10.0.9.7,10.0.8.7/fs", "rw", {NIC, TWIN}),
    ("fuse.glusterfs", "10.0.9.7:/vol", "rw,user_id=0,group_id=0", {NIC}),
    ("fuse.glusterfs", "10.0.9.7:vol", "rw,user_id=0,group_id=0", {NIC}),
    ("fuse.sshfs", "root@10.0.8.7:/x", "rw,user_id=0", {TWIN}),
    ("fuse", "https://10.0.8.7/dav", "rw,user_id=0", {TWIN}),
    ("9p", "10.0.9.7", "rw,trans=tcp", {NIC}),
])
def test_the_servers_that_a_mount_names_guard_the_cards_that_reach_them(mounted, kind, source, options, expected):
    assert mounted(kind, source, options) == expected


@pytest.mark.parametrize("kind, source, options", [
    ("nfs4", "nas:/x", "rw"), ("nfs", "10.0.9.7,nas:/x", "rw"), ("beegfs", "beegfs_nodev", "rw,cfgFile=/etc/beegfs/x.conf"),
    ("lustre", "mgs@tcp:/scratch", "rw"), ("wekafs", "backend/fs", "rw"), ("afs", "#root.cell.", "rw"), ("ceph", "a@1.fs=/", "rw"),
    ("fuse.glusterfs", "gluster:/vol", "rw,user_id=0"), ("fuse.ceph-fuse", "ceph-fuse", "rw,user_id=0"), ("davfs", "https://dav/", "rw"),
    ("nfs4", "127.0.0.1:/", "rw,addr=127.0.0.1"), ("nfs4", "[::1]:/", "rw,addr=::1"),
    ("cifs", "//nas/x", "rw,multichannel,addr=10.0.8.7"), ("smb3", "//nas/x", "rw,addr=10.0.8.7,witness"), ("smbfs", "//nas/x", "rw"),
])
def test_servers_that_cannot_be_told_may_be_reached_over_any_interface(mounted, kind, source, options):
    found = mounted(kind, source, options)
    assert found > EVERY_INTERFACE
    assert NVME not in found


@pytest.mark.parametrize("kind, source, options", [
    ("gpfs", "gpfs0", "rw"), ("neverheardoffs", "pool", "rw"), ("neverheardoffs", "/dev/vda1", "rw"), ("fuse.whatever", "x", "rw"),
    ("fuse", "/dev/fuse", "rw,user_id=0"), ("9p", "x", "rw,trans=fd"), ("ubifs", "ubi0:rootfs", "rw"), ("fuse.tmpfs", "tmpfs", "rw"),
    ("aufs", "none", "rw,si=1"), ("orangutanfs", "10.0.9.7:/x", "rw"), ("lustre", "/dev/mapper/gone", "rw"), ("exfat", "none", "rw"),
])
def test_what_nobody_has_heard_of_may_be_on_any_disk_and_over_any_interface(mounted, kind, source, options):
    assert mounted(kind, source, options) > EVERY_INTERFACE | {NVME}


def test_a_number_that_sysfs_does_not_know_is_named_with_its_source(make_host):
    host = make_host(hosts.x86(mounts=(ON_VDA, "30 25 8:17 / /x rw - ext4 /dev/sdb1 rw"), routes=LANS))
    assert guarded(host) > EVERY_INTERFACE | {NVME}
    reasons = [one["reason"] for one in host.survey().devices[NVME].guards]
    assert reasons == ["/x is on 8:17 (/dev/sdb1) on what cannot be told, so every disk counts"]


@pytest.mark.parametrize("kind, source, options", [
    ("sysfs", "sysfs", "rw"), ("autofs", "systemd-1", "rw"), ("tmpfs", "tmpfs", "rw"), ("fuse.lxcfs", "lxcfs", "rw,user_id=0"),
    ("fuse.gvfsd-fuse", "gvfsd-fuse", "rw,user_id=1000"), ("fuse.mergerfs", "a:b", "rw,user_id=0"),
    # Words of users.
    ("mqueue", "/dev/nvme0n1", "rw"), ("tmpfs", "/dev/nvme0n1", "rw"), ("proc", "nas:/x", "rw"), ("fuse.sshfs", "u@nas:/", "rw,user_id=1000"),
    ("fuse.evil", "/dev/nvme0n1", "rw,user_id=1000,group_id=1000"), ("devpts", "10.0.9.7:/x", "rw"),
])
def test_views_of_the_kernel_memory_and_what_users_mount_guard_none(mounted, kind, source, options):
    assert mounted(kind, source, options) == set()


def test_the_cluster_file_system_of_proxmox_guards_none(make_host):
    host = make_host(hosts.x86(mounts=(ON_VDA, "30 25 0:50 / /etc/pve rw - fuse /dev/fuse rw,user_id=0,group_id=0")))
    assert guarded(host) == {ROOT_DISK}


def test_a_server_of_lustre_guards_its_disk(make_host):
    spec = hosts.x86(mounts=(ON_VDA, "30 25 0:50 / /ost rw - lustre /dev/nvme0n1 rw"), routes=LANS)
    assert guarded(make_host(spec)) == {ROOT_DISK, NVME}


@pytest.mark.parametrize("line, expected", [
    ("10.0.9.7:/x /x nfs defaults 0 0", {NIC}), ("10.0.9.7:/x /x nfs noauto 0 0", set()), ("//10.0.8.7/x /x cifs defaults 0 0", {TWIN}),
    ("nas:/x /x nfs defaults 0 0", set()), ("10.0.9.7:/x /x glusterfs _netdev 0 0", {NIC}), ("u@10.0.9.7:/x /x neverheardof 0 0", {NIC}),
    ("sshfs#u@10.0.9.7:/x /x fuse 0 0", {NIC}), ("http://10.0.9.7:8080/x /x davfs 0 0", {NIC}), ("mfs#10.0.9.7:9421 /x fuse 0 0", {NIC}),
    ("a@.fs=/ /x ceph mon_addr=10.0.9.7:6789/10.0.8.7:6789 0 0", {NIC, TWIN}), ("//nas/x /x cifs ip=10.0.9.7 0 0", {NIC}),
    ("LABEL=10.0.9.7 /x ext4 defaults 0 0", set()), ("/srv/10.0.9.7:x /x none bind 0 0", set()), ("tmpfs /x tmpfs size=10.0.9.7 0 0", set()),
])
def test_servers_of_fstab_guard_the_cards_that_reach_them_without_a_mount_too(make_host, line, expected):
    host = make_host(hosts.x86(mounts=(ON_VDA,), routes=LANS, files={"etc/fstab": line + "\n"}))
    assert guarded(host) - {ROOT_DISK} == expected


@pytest.mark.parametrize("words, expected", [
    ("root=/dev/nfs nfsroot=10.0.9.7:/x ip=dhcp", {NIC}), ("netroot=iscsi:@10.0.9.7::3260::iqn.2026-01.x:y", {NIC}),
    ("root=live:http://10.0.9.7/root.img", {NIC}), ("rd.nvmf.discover=tcp,10.0.9.7,,4420", {NIC}), ("nbdroot=10.0.9.7,10.0.8.7", {NIC, TWIN}),
    ("never.heard=[2001:db8:9::7]:/x", {VIRTIO}), ("ip=10.0.9.2::10.0.9.1:255.255.255.0:host::none nameserver=10.0.8.1", set()),
    ("BOOT_IMAGE=/vmlinuz-6.1.0.9-13 x=255.255.255.0 y=127.0.0.1 z=1.10.0.9.7 pci=0000:00:1f.2 w=[fe,1]", set()),
])
def test_servers_of_the_kernels_command_line_guard_the_cards_that_reach_them(make_host, words, expected):
    """Such as of a root that was copied to memory, and of whatever an image knows."""
    six = f"20010db80009{'0' * 20} 40 {'0' * 32} 00 {'0' * 32} 00000100 00000001 00000000 00000001   enp6s0"
    host = make_host(hosts.x86(mounts=(ON_VDA,), routes=LANS, routes6=(six,), cmdline=f"quiet {words}"))
    assert guarded(host) - {ROOT_DISK} == expected


def test_an_adapter_without_an_interface_may_carry_what_cannot_be_told(make_host):
    host = make_host(hosts.x86(
        mounts=(ON_VDA, "30 25 0:50 / /x rw - beegfs beegfs_nodev rw"), routes=LANS, files={
            f"sys/devices/pci0000:00/{EDU}/infiniband/hfi1_0/ports/1/state": "4: ACTIVE\n",
        }, links={"sys/class/infiniband/hfi1_0": f"sys/devices/pci0000:00/{EDU}/infiniband/hfi1_0"},
    ))
    assert EDU in guarded(host)
    host.tree.put(host.tree.root / f"sys/devices/pci0000:00/{EDU}/infiniband/hfi1_0/ports/1/state", "1: DOWN\n")
    assert EDU not in guarded(host)


SOCKETS = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
TO_SERVER = "   0: 0509000A:02BF {0}:0801 {1} 00000000:00000000 02:000A7D4B 00000000 {2:>5}        0 777 2 0 20\n"
# As kernel 6.12 prints one that any user has closed, for a minute.
CLOSED = "   9: 0509000A:E95E 0709000A:0801 06 00000000:00000000 03:0000176B 00000000     0        0 0 3 00000000548b3dc1\n"


@pytest.mark.parametrize("socket, expected", [
    ("", {NIC, TWIN}), (TO_SERVER.format("0709000A", "01", 0), {NIC}), (TO_SERVER.format("0709000A", "02", 0), {NIC}),
    (TO_SERVER.format("0809000A", "01", 0), {NIC, TWIN}), (TO_SERVER.format("0709000A", "01", 1000), {NIC, TWIN}),
    (CLOSED, {NIC, TWIN}), ("junk " * 12, {NIC, TWIN}),
])
@pytest.mark.parametrize("name", ["tcp", "tcp6"])
def test_a_server_that_this_network_namespace_has_no_connection_to_may_be_reached_over_a_card_of_another_one(make_host, name, socket, expected):
    if name == "tcp6":
        socket = socket.replace("0709000A", f"{'0' * 16}FFFF00000709000A")
    spec = hosts.changed(hosts.x86(
        mounts=(ON_VDA, "30 25 0:50 / /home rw - nfs4 10.0.9.7:/x rw,addr=10.0.9.7"), routes=LANS, files={f"proc/net/{name}": SOCKETS + socket},
    ), TWIN, net=())
    host = make_host(spec)
    assert guarded(host) - {ROOT_DISK} == expected
    reasons = [one["reason"] for one in host.survey().devices[TWIN].guards]
    assert reasons == ([f"/home is on 10.0.9.7:/x over e1000e, whose interface is not to be seen here, on {TWIN}"] if TWIN in expected else [])


def test_a_server_that_only_the_next_boot_mounts_is_reached_from_no_other_network_namespace(make_host):
    spec = hosts.changed(hosts.x86(mounts=(ON_VDA,), routes=LANS, files={"etc/fstab": "10.0.9.7:/x /x nfs defaults 0 0\n"}), TWIN, net=())
    assert guarded(make_host(spec)) - {ROOT_DISK} == {NIC}


LOCAL6 = tuple(f"fe80{'0' * 28} 40 {'0' * 32} 00 {'0' * 32} 00000100 00000001 00000000 00000001 {name:>8}" for name in ("enp2s0", "enp3s0"))


@pytest.mark.parametrize("scope, expected", [("enp2s0", {NIC}), ("gone", {NIC, TWIN}), ("999999", {NIC, TWIN}), ("", {NIC, TWIN})])
@pytest.mark.parametrize("line", [
    "30 25 0:50 / /home rw - nfs4 nas:/x rw,addr=fe80::1{0}", "30 25 0:50 / /home rw - nfs4 [fe80::1{0}]:/x rw",
    "30 25 0:50 / /home rw - cifs //nas/x rw,addr=fe80::1{0}",
])
def test_a_link_local_server_is_reached_over_the_interface_that_its_scope_names(make_host, line, scope, expected):
    host = make_host(hosts.x86(mounts=(ON_VDA, line.format(f"%{scope}" if scope else "")), routes6=LOCAL6))
    assert guarded(host) - {ROOT_DISK} == expected


@pytest.mark.parametrize("address", ["fe80::1", "2001:db8::1"])
def test_a_scope_may_be_a_number_and_is_one_of_link_local_addresses_alone(make_host, address):
    """As the kernel prints the address of a server of NFS (source: net/sunrpc/addr.c rpc_ntop6()), and of one of SMB (fs/smb/client/cifsfs.c)."""
    wide = f"20010db8{'0' * 24} 20 {'0' * 32} 00 {'0' * 32} 00000100 00000001 00000000 00000001   enp3s0"
    host = make_host(hosts.x86(mounts=(ON_VDA, "30 25 0:50 / /home rw - nfs4 nas:/x rw,addr=fe80::9"), routes6=(*LOCAL6, wide)))
    index = host.kernel.read(f"{host.kernel.net}/enp2s0/ifindex")
    path = host.tree.root / "proc/self/mountinfo"
    path.write_text(path.read_text().replace("fe80::9", f"{address}%{index}"))
    assert guarded(host) - {ROOT_DISK} == ({NIC} if address == "fe80::1" else {TWIN})


def test_the_servers_in_a_source_are_read_to_the_last():
    def found(source, options="rw"):
        return servers(Mount("0:1", "/x", "nfs", source, options))

    one, two = parse_address("10.0.9.7"), parse_address("fe80::1")
    assert found("10.0.9.7:/x") == [one]
    assert found("[fe80::1%eth0]:/x,y") == [parse_server("fe80::1%eth0")] != [two]
    assert found("10.0.9.7;[fe80::1]:3334;nas/x") == [one, two, None]
    assert found("x", "rw,addr=10.0.9.7") == [one]
    assert found("") == [None]


# What a user can do.

def in_namespace(host, pid, line, mnt, user=None, root=None):
    proc = host.tree.root / "proc" / pid
    host.tree.put(proc / "mountinfo", line + "\n")
    (proc / "ns").mkdir()
    os.symlink(f"mnt:[{mnt}]", str(proc / "ns/mnt"))
    for name, target in (("ns/user", user), ("root", root)):
        if target:
            os.symlink(target, str(proc / name))


@pytest.fixture
def host_with_users(make_host):
    host = make_host(hosts.x86(mounts=(ON_VDA,), routes=LANS))
    in_namespace(host, "1", ON_VDA, 1, "user:[1]", "/")
    for name, target in (("mnt", "mnt:[1]"), ("user", "user:[1]")):
        (host.tree.root / "proc/self/ns").mkdir(exist_ok=True)
        os.symlink(target, str(host.tree.root / "proc/self/ns" / name))
    os.symlink("/", str(host.tree.root / "proc/self/root"))
    return host


@pytest.mark.parametrize("line", [
    "9 1 0:77 / /x rw - fuse.evil /dev/nvme0n1 rw,user_id=0", "9 1 0:77 / /x rw - overlay overlay rw,lowerdir=a:b,upperdir=c",
    "9 1 0:77 / /x rw - shiftfs /x rw", "9 1 0:77 / /x rw - shiftfs nowhere rw,mark",  # Ubuntu's up to 23.04 (source: its fs/shiftfs.c)
    "9 1 0:77 / /x rw - mqueue /dev/nvme0n1 rw", "9 1 0:77 / /x\u2028y\v rw - tmpfs /dev/nvme0n1 rw", "9 1 0:77 / /x rw - fuse nas:/ rw",
    "1 1 0:5 / / ro - nullfs nullfs rw",  # from Linux 7.1 on a namespace may begin with nothing (source: fs/nullfs.c, UNSHARE_EMPTY_MNTNS)
])
def test_what_a_user_mounts_in_a_namespace_of_his_own_guards_none(host_with_users, line):
    in_namespace(host_with_users, "4242", line, 2, "user:[2]", "/")
    assert guarded(host_with_users) == {ROOT_DISK}


@pytest.mark.parametrize("user", ["user:[1]", "user:[2]"])
def test_what_a_container_has_mounted_of_a_server_is_guarded_whatever_its_user_namespace(host_with_users, user):
    in_namespace(host_with_users, "4242", "9 1 0:77 / /x rw - nfs4 nas:/ rw,addr=10.0.9.7", 2, user, "/")
    assert guarded(host_with_users) == {ROOT_DISK, NIC}


def test_a_process_in_a_chroot_hides_nothing_of_its_namespace(host_with_users):
    in_namespace(host_with_users, "4242", "", 2, "user:[1]", "/var/empty")
    in_namespace(host_with_users, "4243", "9 1 0:77 / /x rw - nfs4 nas:/ rw,addr=10.0.9.7", 2, "user:[1]", "/")
    assert guarded(host_with_users) == {ROOT_DISK, NIC}


def test_a_name_that_is_no_utf8_takes_no_mount_away(make_host):
    host = make_host(hosts.x86(mounts=(ON_VDA,), routes=LANS))
    line = b"\n30 25 0:50 / /caf\xe9\x0c\xe2\x80\xa8\x85 rw - nfs4 n\xe9:/x rw,addr=10.0.9.7\n"
    host.tree.put(host.tree.root / "proc/self/mountinfo", ON_VDA.encode() + line)
    assert guarded(host) == {ROOT_DISK, NIC}


def test_no_mount_point_is_ever_looked_at(host_with_users, monkeypatch):
    """A file system of a user's process, or of a server that is gone, may never answer."""
    host, touched = host_with_users, []
    host.tree.put(host.tree.root / "proc/self/mountinfo", "\n".join([
        ON_VDA, "30 25 0:50 / /hung rw - nfs4 nas:/x rw,addr=10.0.9.7", "31 25 0:51 / /unanswering rw - fuse.evil /hung/x rw,user_id=1000",
        "32 25 0:52 / /over rw - overlay overlay rw,lowerdir=/hung/a,upperdir=/unanswering/b,workdir=/unanswering/w", "",
    ]))

    def watching(real):
        def call(path, *more, **named):
            touched.append(str(path))
            return real(path, *more, **named)

        return call

    for name in ("stat", "lstat", "open", "readlink", "listdir"):
        monkeypatch.setattr(os, name, watching(getattr(os, name)))
    assert NIC in guarded(host)
    assert touched
    assert [path for path in touched if "/hung" in path or "/unanswering" in path or path.endswith("/over")] == []
