# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is there and cannot be read never means that a device is free."""

from __future__ import annotations

import builtins
import errno
import os
from functools import partial

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices import mounts
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, ROOT_DISK, TWIN, UPLINK, VGA
from ansible_collections.vfio.host.tests.unit.fake.model import Disk, Nvme, Stacked
from ansible_collections.vfio.host.tests.unit.fake.unread import Refusing

ERRNOS = [errno.EIO, errno.ENOMEM, errno.ENOTCONN, errno.ENAMETOOLONG, errno.EACCES, errno.ESTALE]
ON_VDA = "25 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw"


@pytest.fixture
def refuse(monkeypatch):
    """A function after which everything of a host whose path ends so answers an errno, whatever is asked of it."""

    def make(host, end, number=errno.EIO):
        def refusing(real):
            def call(path, *more, **named):
                if isinstance(path, str) and path.startswith(host.root) and path.endswith(end):
                    raise OSError(number, os.strerror(number))
                return real(path, *more, **named)

            return call

        for name in ("open", "readlink", "listdir", "scandir"):
            monkeypatch.setattr(os, name, refusing(getattr(os, name)))
        monkeypatch.setattr(builtins, "open", refusing(open))

    return make


@pytest.fixture
def unread(host, refuse):
    """The same of the host that a test has."""
    return partial(refuse, host)


def kinds(host, address):
    return {one["kind"] for one in host.survey().devices[address].guards}


@pytest.mark.parametrize("number", ERRNOS, ids=errno.errorcode.get)
@pytest.mark.parametrize("end", [
    "/proc/self/mountinfo", "/proc/swaps", "/proc/cmdline", "/etc/fstab", "/proc/spl/kstat/zfs", "/sys/class/block",
    "/etc/crypttab", "/etc/systemd/system", "/run/systemd/generator", "/ns/mnt", "/proc/4242/mountinfo", "/sys/class/block/vda/slaves", "/sys/dev/block/254:1",
])
def test_where_storage_cannot_be_read_every_disk_counts(host, unread, end, number):
    (host.tree.root / "proc/4242/ns").mkdir(parents=True)
    (host.tree.root / "proc/4242/ns/mnt").symlink_to("mnt:[4026531999]")
    assert "storage" not in kinds(host, NVME)
    unread(end, number)
    assert "storage" in kinds(host, NVME) & kinds(host, ROOT_DISK)


def test_a_table_that_is_roots_alone_makes_no_disk_count_for_another_user(host, unread):
    host.kernel.is_root = False
    unread("/etc/crypttab", errno.EACCES)
    assert "storage" not in kinds(host, NVME)


def test_a_process_that_has_ended_has_nothing_mounted(host, unread):
    (host.tree.root / "proc/4242/ns").mkdir(parents=True)
    (host.tree.root / "proc/4242/ns/mnt").symlink_to("mnt:[4026531999]")
    unread("/proc/4242/mountinfo", errno.EINVAL)
    assert "storage" not in kinds(host, NVME)


@pytest.mark.parametrize("number", ERRNOS, ids=errno.errorcode.get)
@pytest.mark.parametrize("end", [
    "/proc/net/route", "/proc/net/tcp", "/proc/net/tcp6", "/proc/net/fib_trie", "/sys/class/net", "/sys/class/net/enp2s0",
])
def test_where_the_network_cannot_be_read_every_card_counts(host, unread, end, number):
    assert "network" not in kinds(host, NIC)
    unread(end, number)
    assert "network" in kinds(host, NIC) & kinds(host, UPLINK)


def test_a_port_of_a_bond_that_cannot_be_read_hides_behind_no_other(make_host, monkeypatch):
    host = make_host(hosts.x86(
        routes=("bond0\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0",),
        interfaces=(Stacked("bond0", ("enp0s4", "enp2s0")),),
    ))
    real = os.readlink

    def readlink(path, **more):
        if str(path).endswith("/class/net/enp2s0"):
            raise OSError(errno.EIO, "no")
        return real(path, **more)

    monkeypatch.setattr(os, "readlink", readlink)
    assert "network" in kinds(host, NIC) & kinds(host, UPLINK)


def test_an_iscsi_session_that_recovers_stops_no_run_and_every_card_may_reach_the_target(make_host, monkeypatch):
    disk = "sys/devices/platform/host2/session3/target2:0:0/2:0:0:0/block/sda"
    host = make_host(hosts.x86(
        mounts=("25 1 8:0 / / rw - ext4 /dev/sda rw",), links={"sys/class/block/sda": disk, "sys/dev/block/8:0": disk},
        files={"sys/class/iscsi_connection/connection3:0/address": "10.0.9.7\n"},
    ))
    real = os.open

    def opened(path, *more, **named):
        if str(path).endswith("/connection3:0/address"):
            raise OSError(errno.ENOTCONN, "no")
        return real(path, *more, **named)

    monkeypatch.setattr(os, "open", opened)
    assert "storage" in kinds(host, NIC) & kinds(host, UPLINK)


def test_a_display_that_does_not_say_whether_it_is_the_firmwares_counts_as_it(host, unread):
    unread(f"{VGA}/boot_vga")
    assert kinds(host, VGA) == {"console"}


@pytest.mark.parametrize("name", ["driver", "driver_override", "iommu_group", "physfn", "sriov_totalvfs", "modalias"])
def test_a_device_that_does_not_say_what_it_is_is_left_out_and_named(host, unread, name):
    unread(f"{EDU}/{name}", errno.ENOMEM)
    survey = host.survey()
    assert EDU not in survey.devices
    assert f"{EDU} is left out, since what it is or what has it cannot be read: {name}: ENOMEM" in " ".join(survey.warnings)
    with pytest.raises(PlanError, match="matches no"):
        host.take(EDU)


@pytest.mark.parametrize("where", ["fstab", "cmdline"])
@pytest.mark.parametrize("label, is_told", [
    (b"d\xe9j\xe0", True), (b"a\0b", False), (b"a" * 3000, False), ("\u2028".encode(), True),
], ids=["latin-1", "NUL", "long", "line separator"])
def test_any_label_of_the_next_boot_is_understood_or_counts_everywhere(make_host, where, label, is_told):
    line = b"LABEL=" + label
    files = {"etc/fstab": line + b" /srv ext4 defaults 0 0\n"} if where == "fstab" else {}
    nvme = Nvme("nvme0", "NV01", Disk("nvme0n1", "259:0", "", (("nvme0n1p1", "259:1"),)))
    host = make_host(hosts.changed(hosts.x86(files=files, mounts=(ON_VDA,)), NVME, nvme=nvme))
    if where == "cmdline":
        host.tree.put(host.tree.root / "proc/cmdline", b"quiet root=" + line + b"\n")
    if is_told:
        odd = "\u2028" if label[:1] == b"\xe2" else "d\\xe9j\\xe0"  # source: systemd src/shared/device-nodes.c encode_devnode_name()
        host.tree.link(host.tree.root / "dev/disk/by-label" / odd, host.tree.root / "dev/nvme0n1p1")
    (guard,) = host.survey().devices[NVME].guards
    assert (guard["kind"], "cannot be told" in guard["reason"]) == ("storage", not is_told)


@pytest.mark.parametrize("odd", ["\u2028", "\v", "\f", "\x85", "\x1c", "\u00a0"])
def test_a_line_of_proc_ends_at_a_newline_only(odd):
    (mount,) = mounts.parse_mountinfo(f"25 1 254:1 / /srv/a{odd}b rw shared:1 - ext4 /dev/vda1 rw\n")
    assert mount.point == f"/srv/a{odd}b"
    assert mounts.parse_swaps(f"Filename Type\n/srv/a{odd}b    file 1 0 -2\n") == [(f"/srv/a{odd}b", True)]
    assert mounts.parse_fstab(f"/dev/a{odd}b /srv/{odd} ext4 defaults 0 0\r\n") == [(f"/dev/a{odd}b", f"/srv/{odd}", "ext4")]


def test_an_octal_escape_is_a_byte():
    assert mounts.unescape("/caf\\303\\251\\040\\351") == "/café " + b"\xe9".decode("utf-8", "surrogateescape")


# What names a function by something else than a mount or a route: it names none, or any of its kind.

EDUS = f"sys/devices/pci0000:00/{EDU}"
SUBSYSTEM, FABRICS = "sys/devices/virtual/nvme-subsystem/nvme-subsys5", "sys/devices/virtual/nvme-fabrics/ctl/nvme5"
ISCSI = "sys/devices/platform/host2/session3/target2:0:0/2:0:0:0/block/sda"
LAN = "enp2s0\t0009000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0"
ON_NVME5 = "30 25 99:1 / /x rw - ext4 /dev/nvme5n1 rw"
NVME5 = {
    "files": {
        f"{FABRICS}/address": "traddr=10.0.9.7,trsvcid=4420\n", f"{FABRICS}/transport": "tcp\n", f"{SUBSYSTEM}/nvme5n1/dev": "99:1\n",
    },
    "links": {
        f"{SUBSYSTEM}/nvme5": FABRICS, "sys/class/nvme/nvme5": FABRICS, f"{SUBSYSTEM}/nvme0": f"sys/devices/pci0000:00/{NVME}",
        "sys/class/block/nvme5n1": f"{SUBSYSTEM}/nvme5n1", "sys/dev/block/99:1": f"{SUBSYSTEM}/nvme5n1",
    },
}
NETCONSOLE = {f"sys/kernel/config/netconsole/a/{name}": text for name, text in (("enabled", "1\n"), ("dev_name", "enp2s0\n"))}
FRAMEBUFFER = {"sys/class/graphics/fb0": "sys/devices/platform/simple-framebuffer.0/graphics/fb0"}
REGION = {f"sys/bus/cxl/devices/region0/{name}": text for name, text in (("commit", "1\n"), ("target0", "decoder5.0\n"), ("target1", "decoder6.0\n"))}
ENDPOINT = "sys/devices/platform/ACPI0017:00/root0/port1/endpoint6"
CARD = {"sys/bus/cxl/devices/decoder6.0": f"{ENDPOINT}/decoder6.0", f"{ENDPOINT}/uport": f"sys/devices/pci0000:00/{NVME}/mem0"}


@pytest.mark.parametrize("end, kind, address, pci_class, spec", [
    ("/sys/class/graphics", "console", EDU, "038000", {"links": FRAMEBUFFER}),
    ("/proc/iomem", "console", EDU, "038000", {"links": FRAMEBUFFER}),
    ("/graphics/fb0", "console", EDU, "038000", {"links": FRAMEBUFFER}),
    ("/console/active", "console", EDU, "070002", {"files": {"sys/class/tty/console/active": "ttyS4\n"}}),
    ("/console/active", "console", EDU, "ff0000", {
        "files": {"sys/class/tty/console/active": "ttyS4\n"}, "links": {"sys/class/tty/ttyS4": f"{EDUS}/tty/ttyS4"},
    }),
    ("/tty/ttyS4", "console", EDU, "070002", {"files": {"sys/class/tty/console/active": "ttyS4\n"}, "links": {"sys/class/tty/ttyS4": EDUS}}),
    ("/parameters/kgdboc", "console", EDU, "070002", {"files": {"sys/module/kgdboc/parameters/kgdboc": "ttyS4\n"}}),
    ("/drivers/virtio_console", "console", EDU, "078000", {
        "files": {"sys/class/tty/console/active": "hvc0\n"}, "links": {"sys/bus/virtio/drivers/virtio_console/virtio9": f"{EDUS}/virtio9"},
    }),
    ("/config/netconsole", "console", NIC, "020000", {"files": NETCONSOLE}),
    ("/netconsole/a/enabled", "console", NIC, "020000", {"files": {**NETCONSOLE, "sys/kernel/config/netconsole/a/enabled": "0\n"}}),
    ("/netconsole/a/dev_name", "console", TWIN, "020000", {"files": NETCONSOLE}),
    ("/sys/firmware", "storage", NVME, "010802", {}),
    ("/sys/firmware/ibft", "network", NIC, "020000", {"files": {"sys/firmware/ibft/initiator/flags": "1\n"}}),
    ("/ethernet0/device", "network", NIC, "020000", {"links": {"sys/firmware/ibft/ethernet0/device": EDUS}}),
    ("/int13_dev80/pci_dev", "storage", NVME, "010802", {"links": {"sys/firmware/edd/int13_dev80/pci_dev": EDUS}}),
    ("/iscsi_host/host4", "storage", NIC, "020000", {
        "files": {"sys/firmware/iscsi_boot4/target0/flags": "3\n"}, "links": {"sys/class/iscsi_host/host4": EDUS},
    }),
    ("/sys/fs/btrfs", "storage", NVME, "010802", {"files": {"sys/fs/btrfs/12/label": "x\n"}}),
    ("/btrfs/12/devices", "storage", NVME, "010802", {"files": {"sys/fs/btrfs/12/label": "x\n"}}),
    ("/proc/fs/jbd2", "storage", NVME, "010802", {}),
    ("/sys/power/resume", "storage", NVME, "010802", {"files": {"sys/power/resume": "0:0\n"}}),
    ("/etc/kdump.conf", "storage", NVME, "010802", {"files": {"etc/kdump.conf": "path /\n"}}),
    ("/class/nvme/nvme5", "storage", NIC, "020000", dict(NVME5, mounts=(ON_VDA, ON_NVME5))),
    ("/iscsi_host/host2/netdev", "storage", TWIN, "020000", {
        "mounts": ("25 1 8:0 / / rw - ext4 /dev/sda rw",), "links": {"sys/class/block/sda": ISCSI, "sys/dev/block/8:0": ISCSI}, "files": {
            "sys/class/iscsi_connection/connection3:0/address": "10.0.9.7\n", "sys/class/iscsi_host/host2/netdev": "<NULL>\n",
        },
    }),
    ("/fs/bcachefs", "storage", NVME, "010802", {"mounts": ("25 1 254:1 / / rw - bcachefs /dev/vda1 rw",)}),
    ("/sys/bus/cxl/devices", "storage", EDU, "050210", {}),
    ("/region0/target0", "storage", EDU, "050210", {"files": REGION, "links": CARD}),
    ("/net/port0/uevent", "network", TWIN, "020000", {
        "routes": ("br0\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0",), "files": {"sys/devices/virtual/net/port0/uevent": "IFINDEX=9\n"},
        "interfaces": (Stacked("port0", ()), Stacked("br0", ("enp2s0", "port0"))),
    }),
    ("/mlx5_0/ports", "storage", EDU, "0c0600", {
        "mounts": (ON_VDA, "30 25 0:50 / /x rw - beegfs beegfs_nodev rw"),
        "links": {"sys/class/infiniband/mlx5_0": f"{EDUS}/infiniband/mlx5_0"}, "files": {f"{EDUS}/infiniband/mlx5_0/ports/1/state": "1: DOWN\n"},
    }),
    (f"{NVME}/nvme", "storage", NVME, "010802", {"mounts": (ON_VDA, "30 25 0:50 / /x rw - beegfs beegfs_nodev rw")}),
    ("/enp2s0/address", "network", NIC, "020000", {"cmdline": "BOOTIF=01-52-54-00-00-99-99"}),
    ("/sunrpc/xprt-switches", "storage", TWIN, "020000", {"mounts": (ON_VDA, "30 25 0:50 / /x rw - nfs4 nas:/x rw,addr=10.0.9.7")}),
    ("/xprt-0-tcp/dstaddr", "storage", TWIN, "020000", {
        "mounts": (ON_VDA, "30 25 0:50 / /x rw - nfs4 nas:/x rw,addr=10.0.9.7"),
        "files": {"sys/kernel/sunrpc/xprt-switches/switch-0/xprt-0-tcp/dstaddr": "10.0.9.7\n"},
    }),
])
def test_what_may_name_a_function_and_cannot_be_read_names_each_of_its_kind(make_host, refuse, end, kind, address, pci_class, spec):
    spec = {"mounts": (ON_VDA,), "routes": (hosts.DEFAULT_ROUTE, LAN), **spec}
    host = make_host(hosts.changed(hosts.x86(**spec), address, pci_class=pci_class))
    (host.tree.root / "proc/fs/jbd2").mkdir(parents=True)
    refuse(host, end)
    assert kind in kinds(host, address)


def test_where_nothing_is_refused_none_of_these_is_needed(make_host):
    """What the test above refuses one by one, in one host."""
    files = {
        "sys/class/tty/console/active": "tty0\n", "sys/module/kgdboc/parameters/kgdboc": "\n", "sys/firmware/ibft/initiator/flags": "1\n",
        **NETCONSOLE, "sys/kernel/config/netconsole/a/enabled": "0\n", "sys/power/resume": "0:0\n", "etc/kdump.conf": "path /\n",
    }
    host = make_host(hosts.changed(hosts.x86(files=files, mounts=(ON_VDA,), routes=(hosts.DEFAULT_ROUTE, LAN)), EDU, pci_class="070002"))
    assert [kinds(host, address) for address in (EDU, NIC, NVME, TWIN)] == [set()] * 4


def _is_asked_of_the_host(path):
    """Not what a function says of itself, without which it is left out, nor the tables of modules."""
    return not path.startswith(("/sys/bus/pci/devices", "/sys/bus/pci/drivers", "/sys/devices/pci", "/lib/modules", "/sys/module/", "/usr/"))


def test_whatever_is_refused_each_need_stays_or_everything_of_its_kind_counts(make_host):
    """Of what is read of a host with much in use, one thing after the other."""
    files = {
        **NVME5["files"], **NETCONSOLE, "sys/class/tty/console/active": "tty0 ttyS4\n", "sys/fs/btrfs/12/devices/nvme0n1": "",
        "sys/class/iscsi_connection/connection3:0/address": "10.0.9.7\n", "sys/class/iscsi_host/host2/netdev": "enp5s1\n",
        "proc/fs/jbd2/nvme0n1/info": "", "etc/fstab": "UUID=AB /srv ext4 defaults 0 0\n",
    }
    links = {
        **NVME5["links"], "sys/class/block/sda": ISCSI, "sys/dev/block/8:0": ISCSI, "dev/disk/by-uuid/AB": "dev/nvme0n1",
        "sys/class/tty/ttyS4": f"{EDUS}/tty/ttyS4", "sys/firmware/ibft/ethernet0/device": f"sys/devices/pci0000:00/0000:00:08.0/{TWIN}",
    }
    host = make_host(hosts.changed(hosts.x86(
        mounts=(ON_VDA, ON_NVME5, "31 25 8:0 / /y rw - ext4 /dev/sda rw", "32 25 0:50 / /n rw - nfs4 nas:/ rw,addr=10.0.9.7"),
        swaps=("/dev/dm-3 partition 1 0 -2",), files=files, links=links,
        routes=("br0\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0", LAN),
        interfaces=(Stacked("bond0", ("ens3", "enp1s0")), Stacked("br0", ("bond0",))),
        blocks=(Stacked("dm-3", ("md0",), "253:3"), Stacked("md0", ("nvme0n1",), "9:0")),
    ), EDU, pci_class="070002"))

    def ask():
        found = [one for one in host.survey().devices.values() if not one.is_bridge]
        return {(one.address, guard["kind"]): {each["reason"] for each in one.guards} for one in found for guard in one.guards}

    usual, count = ask(), 0
    for path, now in Refusing(host.kernel).one_by_one(ask, _is_asked_of_the_host):
        for (address, kind), reasons in usual.items():
            assert (address, kind) in now, (path, address)
            # Either for the same reasons, or for another one as well.
            assert reasons <= now[address, kind] or now[address, kind] - reasons, (path, address, reasons)
        count += 1
    assert count > 60
