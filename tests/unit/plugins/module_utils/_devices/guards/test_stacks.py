# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random stacks of storage: what they were built upon is guarded and not taken, and nothing else is refused.

Each part of a stack is made together with what it needs, so the test knows the answer without the code that it tests. The seed of
a host is its number.
"""

from __future__ import annotations

import os
import random
import shutil

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, PAIR, PAIR2, PF, ROOT_DISK, TWIN, UPLINK, VIRTIO
from ansible_collections.vfio.host.tests.unit.fake.model import Disk, Nvme, Stacked

# 500 hosts of 200 tables of mounts are 100,000.
HOSTS, TABLES = (500, 200) if os.environ.get("VFIO_HOST_LONG") else (6, 10)
DISKS, CARDS = frozenset((ROOT_DISK, NVME, EDU)), frozenset((UPLINK, NIC, TWIN, VIRTIO, PF, PAIR, PAIR2))
ANYTHING, NOTHING = DISKS | CARDS, frozenset()
PARTS = {"vda1": ("254:1", ROOT_DISK), "nvme0n1p1": ("259:1", NVME), "nvme0n1p2": ("259:2", NVME), "nvme1n1p1": ("259:9", EDU)}
# Servers, and the card that reaches each.
SERVERS = {"10.0.9.7": NIC, "10.0.8.7": TWIN, "2001:db8:9::7": VIRTIO}
ROUTES = (
    "enp2s0\t0009000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0", "enp3s0\t0008000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0",
)
ROUTES6 = (f"20010db80009{'0' * 20} 40 {'0' * 32} 00 {'0' * 32} 00000100 00000001 00000000 00000001   enp6s0",)
SCSI = "target9:0:0/9:0:0:0/block"


class Built:
    """Block devices, with what each needs: ``devices``: name -> (number, endpoints)."""

    def __init__(self, chance):
        self.chance = chance
        self.devices = {name: (number, frozenset((end,))) for name, (number, end) in PARTS.items()}
        self.files, self.links, self.blocks = {}, {}, []
        self.always = NOTHING  # of what is assembled, or open in btrfs, without any mount
        for number in range(chance.randint(1, 4)):
            self.add_leaf(number)
        for number in range(chance.randint(0, 4)):
            self.add_stack(number)
        if chance.random() < 0.3:
            self.add_btrfs()

    def add(self, name, number, place, needs):
        target = f"sys/devices/{place}/{name}"
        self.links.update({f"sys/class/block/{name}": target, f"sys/dev/block/{number}": target})
        self.devices[name] = (number, needs)

    def add_leaf(self, number):
        name, dev = f"sd{'bcdefg'[number]}", f"8:{16 * number + 16}"
        server = self.chance.choice(sorted(SERVERS))
        kind = self.chance.choice(["iscsi", "tcp", "fc", "lost fc", "usbip", "tcm", "dasd", "virtual", "memory", "fcoe", "scsi"])
        if kind == "iscsi":
            self.add(name, dev, f"platform/host{number}/session{number}/{SCSI}", frozenset((SERVERS[server],)))
            self.files[f"sys/class/iscsi_connection/connection{number}:0/address"] = server + "\n"
            self.always |= {SERVERS[server]}  # the host is connected to it
        elif kind in ("tcp", "fc", "lost fc"):
            self.add_fabrics(number, kind, server)
        elif kind == "virtual":
            name = self.chance.choice(["nbd", "ublkb", "xyz", "dm-9", "loop"]) + str(number)
            self.add(name, f"240:{number}", "virtual/block", ANYTHING)
        elif kind == "memory":
            self.add(self.chance.choice(["zram", "ram", "nullb"]) + str(number), f"241:{number}", "virtual/block", NOTHING)
        else:
            place, needs = {
                "usbip": ("platform/vhci_hcd.0/usb9/9-1/9-1:1.0/host9/", CARDS), "tcm": ("tcm_loop_0/tcm_loop_adapter_0/host9/", ANYTHING),
                "dasd": ("css0/0.0.0001/0.0.0150/", NOTHING), "fcoe": ("virtual/net/enp3s0.7/ctlr_0/host9/rport-9:0-0/", frozenset((TWIN,))),
                "scsi": (f"pci0000:00/0000:00:06.0/{NIC}/host9/", frozenset((NIC,))),
            }[kind]
            self.add(name, dev, place + SCSI, needs)

    def add_fabrics(self, number, kind, server):
        controller = f"sys/devices/virtual/nvme-fabrics/ctl/nvme{number + 5}"
        self.links[f"sys/class/nvme/nvme{number + 5}"] = controller
        port, traddr = f"0x1000000000000{number:03x}", f"traddr={server},trsvcid=4420"
        needs = frozenset((SERVERS[server],))
        if kind != "tcp":
            traddr = f"traddr=nn-0x1:pn-0x2,host_traddr=nn-0x3:pn-{port}"
            needs = ANYTHING
        if kind == "fc":
            adapter = f"sys/devices/pci0000:00/0000:00:08.0/{TWIN}/host{number}/fc_host/host{number}"
            self.links[f"sys/class/fc_host/host{number}"] = adapter
            self.files[f"{adapter}/port_name"] = port.upper().replace("X", "x") + "\n"
            needs = frozenset((TWIN,))
        self.files.update({f"{controller}/address": traddr + "\n", f"{controller}/transport": kind[-3:].strip() + "\n"})
        self.add(f"nvme{number + 5}n1", f"259:{number + 50}", controller[len("sys/devices/"):], needs)
        self.always |= needs

    def add_stack(self, number):
        lower = self.chance.sample(sorted(self.devices), self.chance.randint(1, 2))
        name = self.chance.choice(["dm-", "md", "bcache", "drbd"]) + str(number)
        below = frozenset().union(*(self.devices[one][1] for one in lower))
        self.blocks.append(Stacked(name, tuple(lower), f"25{number}:0"))
        self.devices[name] = (f"25{number}:0", below | CARDS if name.startswith("drbd") else below)
        self.always |= below

    def add_btrfs(self):
        members = self.chance.sample(sorted(self.devices), self.chance.randint(1, 2))
        self.files.update({f"sys/fs/btrfs/12-34/devices/{name}": "" for name in members})
        self.devices["btrfs"] = (members, frozenset().union(*(self.devices[one][1] for one in members)))
        self.always |= self.devices["btrfs"][1]

    def spec(self):
        spec = hosts.x86(
            routes=ROUTES, routes6=ROUTES6, cmdline="quiet", files=self.files, links=self.links, blocks=tuple(self.blocks),
            interfaces=(Stacked("enp3s0.7", ("enp3s0",)),),
        )
        parts = (("nvme0n1p1", "259:1"), ("nvme0n1p2", "259:2"))
        spec = hosts.changed(spec, NVME, nvme=Nvme("nvme0", "NV01", Disk("nvme0n1", "259:0", "", parts)))
        nvme = Nvme("nvme1", "NV02", Disk("nvme1n1", "259:8", "", (("nvme1n1p1", "259:9"),)))
        return hosts.changed(spec, EDU, pci_class="010802", nvme=nvme)

    def mount(self, number):
        """(line of mountinfo, what it needs)."""
        head, one, two = f"{number} 25 0:{number + 100} / /m{number} rw,relatime shared:9 -", *self.chance.sample(sorted(SERVERS), 2)
        shown = [f"[{server}]" if ":" in server else server for server in (one, two)]
        cards, names = frozenset((SERVERS[one], SERVERS[two])), [name for name in self.devices if name != "btrfs"]
        name = self.chance.choice(sorted(names))
        lie = self.chance.choice([f"/dev/{name}", f"{shown[0]}:/x", "nas:/x", "x\u2028y\v"])
        kind = self.chance.choice(["block"] * 6 + ["servers", "names", "unknown", "memory", "users", "btrfs", "gone", "loopback"])
        if kind == "block":
            dev, needs = self.devices[name]
            return f"{number} 25 {dev} / /m{number} rw,relatime - {self.chance.choice(['ext4', 'xfs', 'vfat', 'fuseblk', 'new'])} {lie} rw", needs
        if kind == "btrfs" and "btrfs" in self.devices:
            return f"{head} btrfs /dev/{self.devices['btrfs'][0][0]} rw", self.devices["btrfs"][1]
        if kind == "servers":
            return self.chance.choice([
                f"{head} nfs {shown[0]},{shown[1]}:/x rw", f"{head} nfs4 nas:/x rw,addr={one},mountaddr={two}",
                f"{head} ceph {shown[0]}:6789,{shown[1]}:6789:/ rw", f"{head} ceph a@1.f=/ rw,mon_addr={shown[0]}:3300/{shown[1]}:3300",
                f"{head} lustre {one}@tcp,{two}@o2ib:/x rw", f"{head} fuse.glusterfs {shown[0]},{shown[1]}:/x rw,user_id=0",
            ]), cards
        if kind == "names":
            return f"{head} {self.chance.choice(['nfs4', 'beegfs', 'afs', 'wekafs', 'fuse.sshfs', 'cifs'])} nas:/x rw,user_id=0", CARDS
        if kind == "loopback":
            return f"{head} nfs4 nas:/x rw,addr={self.chance.choice(['127.0.0.1', '::1', '127.9.9.9'])}", CARDS
        if kind == "memory":
            return f"{head} {self.chance.choice(['tmpfs', 'mqueue', 'proc', 'autofs', 'fuse.lxcfs', 'cgroup2'])} {lie} rw", NOTHING
        if kind == "users":
            return f"{head} {self.chance.choice(['fuse.evil', 'fuse', 'fuse.sshfs'])} {lie} rw,user_id=1000,group_id=1000", NOTHING
        if kind == "gone":
            return f"{number} 25 77:{number} / /m{number} rw - ext4 {lie} rw", ANYTHING
        return f"{head} {self.chance.choice(['gpfs', 'xyz', 'aufs', 'fuse.xyz', 'ubifs'])} {lie} rw", ANYTHING


def guarded(survey):
    return {
        address for address, device in survey.devices.items()
        if not device.is_bridge and any(one["kind"] == "storage" for one in device.guards)
    }


@pytest.mark.parametrize("seed", range(HOSTS))
def test_what_random_stacks_are_built_upon_is_guarded_and_nothing_else(make_host, seed):
    chance = random.Random(seed)
    built = Built(chance)
    host = make_host(built.spec())
    for table in range(TABLES):
        lines = [built.mount(number) for number in range(30, 30 + chance.randint(0, 4))]
        root = chance.choice(sorted(PARTS))
        text = "".join(line + "\n" for line, dummy in lines) + f"25 1 {PARTS[root][0]} / / rw - ext4 /dev/{root} rw\n"
        (host.tree.root / "proc/self/mountinfo").write_text(text, encoding="utf-8")
        needed = built.always.union({PARTS[root][1]}, *(needs for dummy, needs in lines))
        survey = host.survey()
        assert guarded(survey) == needed, (seed, table, text, built.blocks, built.links)
        address = chance.choice(sorted(ANYTHING))
        try:
            host.run({"p": [{"match": {"address": address}, "iommu_group": "ignore"}]}, check=True)
            is_free = True
        except PlanError as error:
            is_free = not any("is needed by this host" in message for message in error.messages)
        assert is_free == (not survey.devices[address].guards), (seed, table, address)
    shutil.rmtree(host.root)
