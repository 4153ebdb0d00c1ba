# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random policies over random hosts: what a host was built upon is never taken, now or at a boot, unless its kind is forced."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass

import pytest

# ruff: noqa: E402
hypothesis = pytest.importorskip("hypothesis", reason="property tests run where hypothesis is installed")

from hypothesis import strategies as st

from ansible_collections.vfio.host.plugins.module_utils._host.errors import VfioHostError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import (
    EDU,
    NIC,
    NVME,
    PAIR,
    PAIR2,
    PF,
    ROOT_DISK,
    TWIN,
    UPLINK,
    VGA,
    VIRTIO,
)
from ansible_collections.vfio.host.tests.unit.fake.model import Disk, Nvme, Spec, Stacked

NICS = {"ens3": UPLINK, "enp1s0": PF, "enp2s0": NIC, "enp3s0": TWIN, "enp5s1": PAIR, "enp5s2": PAIR2, "enp6s0": VIRTIO}
DISKS = {"vda1": ROOT_DISK, "nvme0n1p1": NVME, "nvme1n1p1": EDU}
NUMBERS = {"vda1": "254:1", "nvme0n1p1": "259:1", "nvme1n1p1": "259:9"}


@dataclass(frozen=True)
class Built:
    """A host, and what it was built upon: address -> kinds."""

    spec: Spec
    needed: dict
    vfs: int


@st.composite
def networks(draw):
    """(interfaces, what of a Spec is the network's) with one way to be needed, over one stack."""
    ports = draw(st.lists(st.sampled_from(sorted(NICS)), min_size=1, max_size=2, unique=True))
    stack, top = [], ports[0]
    if len(ports) > 1 or draw(st.booleans()):
        stack.append(Stacked("bond0", tuple(ports)))
        top = "bond0"
    for name in draw(st.lists(st.sampled_from(["vlan7", "br0", "macvlan0"]), max_size=3, unique=True)):
        if name == "br0":
            stack.append(Stacked("vnet0", ()))
        stack.append(Stacked(name, (top, "vnet0") if name == "br0" else (top,)))
        top = name
    how = draw(st.sampled_from(["default", "default6", "connection"]))
    changes = {"interfaces": tuple(stack), "routes": (), "files": {}}
    if how == "default":
        changes["routes"] = (f"{top}\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0",)
    elif how == "default6":
        changes["routes6"] = (f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} 00000400 00000001 00000000 00000003 {top:>8}",)
    else:
        changes["routes"] = (f"{top}\t0009000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0",)
        changes["files"] = {
            "proc/self/stat": "42 (python3) S 40 42 1 0 -1", "proc/40/stat": "40 (sshd) S 1 42 1 0 -1",
            "proc/net/tcp": "head\n 0: 0509000A:0016 0909000A:B2C4 01 0:0 02:0 0 0 0 777 2 0 20\n",
        }
    return ports, changes


@st.composite
def storages(draw):
    """(partitions, what of a Spec is the root's)."""
    parts = draw(st.lists(st.sampled_from(sorted(DISKS)), min_size=1, max_size=3, unique=True))
    kind = draw(st.sampled_from(["plain", "mapped", "raid", "btrfs"]))
    if kind == "plain":
        parts = parts[:1]
        return parts, {"mounts": (f"25 1 {NUMBERS[parts[0]]} / / rw - ext4 /dev/{parts[0]} rw",)}
    if kind == "btrfs":
        return parts, {
            "mounts": (f"25 1 0:40 / / rw - btrfs /dev/{parts[0]} rw",),
            "files": {f"sys/fs/btrfs/1/devices/{name}": "" for name in parts},
        }
    blocks = [Stacked("md0", tuple(parts), "9:0")] if kind == "raid" else []
    blocks.append(Stacked("dm-0", ("md0",) if kind == "raid" else tuple(parts), "253:0", "root"))
    return parts, {"mounts": ("25 1 253:0 / / rw - xfs /dev/mapper/root rw",), "blocks": tuple(blocks)}


@st.composite
def built_hosts(draw):
    ports, network = draw(networks())
    parts, storage = draw(storages())
    spec = hosts.x86(**dict(network, **dict(storage, files=dict(network["files"], **storage.get("files", {})))), cmdline="")
    spec = hosts.changed(spec, NVME, nvme=Nvme("nvme0", "NV01", Disk("nvme0n1", "259:0", "", (("nvme0n1p1", "259:1"),))))
    spec = hosts.changed(
        spec, EDU, pci_class="010802", nvme=Nvme("nvme1", "NV02", Disk("nvme1n1", "259:8", "", (("nvme1n1p1", "259:9"),)))
    )
    spec = hosts.changed(spec, VGA, boot_vga=draw(st.booleans()))
    needed = {VGA: {"console"}}
    for name in ports:
        needed.setdefault(NICS[name], set()).add("network")
    for name in parts:
        needed.setdefault(DISKS[name], set()).add("storage")
    vfs = draw(st.integers(0, 2))
    if PF in needed:
        needed.update({hosts.vf(number).address: {"network"} for number in range(vfs)})
    return Built(spec, needed, vfs)


BROAD = st.sampled_from(
    [{"class": one} for one in ("01", "02", "03", "0200", "0108")]
    + [{"vendor": one} for one in ("8086", "1af4", "1b36", "1234")]
    + [{"net": "enp*"}, {"driver": "e1000e"}, {"physfn": PF}, {"address": "0000:0[1-6]:*"}, {"serial": "NV0*"}]
)
FORCES = st.just(()) | st.lists(st.sampled_from(["network", "storage", "console"]), max_size=2, unique=True)


def policies(addresses):
    """Policies of which most are after one device, so that nothing but its own guards refuses it."""
    entries = st.fixed_dictionaries({"match": st.sampled_from(addresses).map(lambda one: {"address": one}) | BROAD}, optional={
        "driver": st.sampled_from(["auto", "vfio-pci"]),
        "iommu_group": st.sampled_from(["refuse", "extend", "ignore"]),
        "optional": st.booleans(),
    })
    one = st.sampled_from(addresses).map(lambda address: {"a": [{"match": {"address": address}, "iommu_group": "ignore"}]})
    return one | one | st.dictionaries(st.sampled_from(["a", "b"]), st.lists(entries, min_size=1, max_size=2), min_size=1)


@st.composite
def tasks(draw):
    """A host, and tasks one after the other: (policies, force, now)."""
    built = draw(built_hosts())
    others = sorted({*NICS.values(), *DISKS.values()} - set(built.needed))
    task = st.tuples(policies(sorted(built.needed) * 2 + others), FORCES, st.booleans())
    return built, draw(st.lists(task, min_size=2, max_size=4))


@pytest.mark.exhaustive
def test_no_random_policy_takes_what_a_random_host_needs(make_host):
    taken = set()

    @hypothesis.settings(max_examples=100, deadline=None, derandomize=True)
    @hypothesis.given(tasks())
    def check(what):
        built, runs = what
        host = make_host(built.spec)
        if built.vfs:
            host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", str(built.vfs))
        before, given_up = host.drivers(), set()
        for address in built.needed:
            with pytest.raises(VfioHostError, match=f"{address} .*is needed by this host: "):
                host.take({"match": {"address": address}, "iommu_group": "ignore"})
        for wanted, force, now in runs:
            given_up.update(force)
            kept = [address for address, kinds in built.needed.items() if not kinds <= given_up]
            with suppress(VfioHostError):
                host.run(wanted, now=now, force=tuple(force))
            _compare(host, kept, before, built)
            taken.update(one for one, driver in host.drivers().items() if driver == "vfio-pci" and one not in built.needed)
        host.reboot()
        _compare(host, kept, before, built)
        shutil.rmtree(host.root)

    check()
    # Not all was refused.
    assert len(taken) > 5


def _compare(host, kept, before, built):
    after = host.drivers()
    for address in kept:
        assert after.get(address, before[address]) == before[address], (address, built.needed[address])
