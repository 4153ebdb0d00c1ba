# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fake hosts to start from: one of each platform. Tests change them with dataclasses.replace."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.vfio.host.tests.unit.fake.model import Disk, Function, Module, Net, Nvme, Spec, alias

PF, VF = "0000:01:00.0", "0000:01:10.0"
NIC, TWIN = "0000:02:00.0", "0000:03:00.0"
PAIR, PAIR2, PAIR_BRIDGE = "0000:05:01.0", "0000:05:02.0", "0000:04:00.0"
VIRTIO = "0000:06:00.0"
NVME = "0000:00:09.0"
EDU = "0000:00:10.0"
VGA, UPLINK, ROOT_DISK = "0000:00:01.0", "0000:00:03.0", "0000:00:04.0"
ROOT_PORT, SLOT = "0000:00:06.0", "0000:00:0c.0"

BASE = Module("vfio_pci", ("vfio-pci",), (alias(bus="vfio_pci"),), file="vfio/pci/vfio-pci.ko.xz")
VARIANT = Module(
    "virtio_vfio_pci",
    ("virtio_vfio_pci",),
    (alias("1af4", "1041", bus="vfio_pci"),),
    file="vfio/pci/virtio/virtio-vfio-pci.ko.xz",
)
# The driver's name is not the module's.
XE_VARIANT = Module("xe_vfio_pci", ("xe-vfio-pci",), (alias("8086", "e20b", bus="vfio_pci"),))

MODULES = (
    Module("virtio_pci", ("virtio-pci",), (alias("1af4"),), initramfs=True),
    Module("nvme", ("nvme",), (alias(pci_class="010802"),), initramfs=True),
    Module("e1000e", ("e1000e",), (alias("8086", "10d3"),)),
    Module("e1000", ("e1000",), (alias("8086", "100e"),)),
    Module("igb", ("igb",), (alias("8086", "10c9"),)),
    Module("igbvf", ("igbvf",), (alias("8086", "10ca"),)),
    Module("bochs", ("bochs-drm",), (alias("1234", "1111"),)),
    BASE,
)

PCI_IDS = """\
# A comment
1234  Technical Corp.
\t11e8  QEMU Virtual Machine Device
8086  Intel Corporation
\t10c9  82576 Gigabit Network Connection
\t10d3  82574L Gigabit Network Connection
\t\t8086 0001  Gigabit CT2 Desktop Adapter
ffff  Illegal Vendor ID

C 02  Network controller
\t00  Ethernet controller
"""

DEFAULT_ROUTE = "ens3\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0"
LAN_ROUTE = "enp2s0\t0000A8C0\t00000000\t0001\t0\t0\t100\t0000FFFF\t0\t0\t0"
ROOT_MOUNT = "25 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw"
PROC_MOUNT = "26 25 0:23 / /proc rw,nosuid shared:5 - proc proc rw"


def vf(number):
    """A virtual function of the card at PF."""
    return Function(
        f"0000:01:{0x10 + number // 4:02x}.{2 * number % 8}",
        "8086:10ca:8086:a03c",
        "020000",
        group=str(20 + number),
        parent="0000:00:05.0",
        physfn=PF,
        net=(Net(f"enp1s0v{number}", f"52:54:00:00:02:0{number}"),),
        reset="flr",
    )


def e1000e(address, group, parent, number):
    """One of the two alike cards, in a slot of its own."""
    return Function(
        address,
        "8086:10d3:8086:0000",
        "020000",
        group=group,
        parent=parent,
        reset="bus",
        dsn=f"52-54-00-ff-ff-00-03-0{number}",
        net=(Net(f"enp{number}s0", f"52:54:00:00:03:0{number}"),),
    )


def root_port(address, group):
    """A PCI Express root port."""
    return Function(address, "1b36:000c", "060400", group=group, header_type=1)


def x86(**changes):
    """The lab's x86 host: a card with VFs, two alike, two behind one bridge, NVMe, virtio, edu, and its own."""
    spec = Spec(
        functions=(
            Function("0000:00:00.0", "8086:29c0", "060000", group="0"),
            Function(VGA, "1234:1111:1af4:1100", "030000", group="1", boot_vga=True),
            Function(
                UPLINK, "1af4:1000:1af4:0001", "020000", group="2", net=(Net("ens3", "52:54:00:00:00:03", "virtio0"),)
            ),
            Function(
                ROOT_DISK,
                "1af4:1001:1af4:0002",
                "010000",
                group="3",
                disk=Disk("vda", "254:0", "virtio1/block", (("vda1", "254:1"),)),
            ),
            root_port("0000:00:05.0", "4"),
            root_port(ROOT_PORT, "5"),
            root_port("0000:00:08.0", "6"),
            Function(
                NVME,
                "1b36:0010:1af4:1100",
                "010802",
                group="7",
                reset="flr bus",
                nvme=Nvme("nvme0", "NV01", Disk("nvme0n1", "259:0", "")),
            ),
            # QEMU's has no reset at all; this one is to be had without a word about that.
            Function(EDU, "1234:11e8:1af4:1100", "00ff00", group="8", revision="10", reset="pm"),
            root_port("0000:00:0a.0", "10"),
            root_port("0000:00:0b.0", "11"),
            root_port(SLOT, "12"),
            Function(
                PF,
                "8086:10c9:8086:a03c",
                "020000",
                group="13",
                parent="0000:00:05.0",
                reset="flr bus",
                revision="01",
                sriov_total=7,
                vfs=tuple(vf(number) for number in range(7)),
                net=(Net("enp1s0", "52:54:00:00:02:00"),),
            ),
            e1000e(NIC, "14", ROOT_PORT, 2),
            e1000e(TWIN, "15", "0000:00:08.0", 3),
            Function(PAIR_BRIDGE, "1b36:000e", "060400", group="9", parent="0000:00:0a.0", header_type=1),
            Function(
                PAIR,
                "8086:100e:1af4:1100",
                "020000",
                group="9",
                parent=PAIR_BRIDGE,
                net=(Net("enp5s1", "52:54:00:00:05:01"),),
            ),
            Function(
                PAIR2,
                "8086:100e:1af4:1100",
                "020000",
                group="9",
                parent=PAIR_BRIDGE,
                net=(Net("enp5s2", "52:54:00:00:05:02"),),
            ),
            Function(
                VIRTIO,
                "1af4:1041:1af4:1100",
                "020000",
                group="16",
                parent="0000:00:0b.0",
                net=(Net("enp6s0", "52:54:00:00:06:00", "virtio2"),),
            ),
        ),
        modules=MODULES,
        routes=(DEFAULT_ROUTE, LAN_ROUTE),
        mounts=(ROOT_MOUNT, PROC_MOUNT),
        pci_ids=PCI_IDS,
    )
    spec = replace(spec, **changes)
    if "routes" in changes:
        return spec
    # A route goes with the card that it is over.
    names = {net.name for function in spec.functions for net in function.net}
    return replace(spec, routes=tuple(route for route in spec.routes if route.split()[0] in names))


def s390(**changes):
    """Functions of a mainframe: no bus to speak of, one group each, names by UID."""

    def zpci(uid, function_id, pft):
        return {
            "uid": uid,
            "uid_is_unique": "1",
            "function_id": function_id,
            "pchid": "0x0000",
            "pft": pft,
            "pfgid": "0xff",
            "vfn": "0x0000",
            "port": "0",
        }

    spec = Spec(
        machine="s390x",
        kernel="6.12.107+deb13-s390x",
        functions=(
            Function(
                "0002:00:00.0",
                "1b36:0010:1af4:1100",
                "010802",
                group="1",
                numa=None,
                zpci=zpci("0x2", "0x00000012", "0x0b"),
                nvme=Nvme("nvme0", "Z02"),
            ),
            Function(
                "1234:00:00.0", "15b3:1016", "020000", group="2", numa=None, zpci=zpci("0x1234", "0x00000005", "0x0a")
            ),
        ),
        modules=(Module("nvme", ("nvme",), (alias(pci_class="010802"),)), BASE),
        mounts=("25 1 0:24 / / rw - tmpfs tmpfs rw",),
    )
    return replace(spec, **changes)


def p9(**changes):
    """A POWER9 bare-metal host: domains of their own, root ports without a group."""
    spec = Spec(
        machine="ppc64le",
        kernel="6.12.107+deb13-powerpc64le",
        opal=True,
        functions=(
            Function("0001:00:00.0", "1014:04c1", "060400", header_type=1, numa="0"),
            Function("0001:01:00.0", "8086:10d3:8086:0000", "020000", group="3", parent="0001:00:00.0", numa="0"),
        ),
        modules=(Module("e1000e", ("e1000e",), (alias("8086", "10d3"),)), BASE),
        mounts=("25 1 0:20 / / rw - tmpfs tmpfs rw",),
    )
    return replace(spec, **changes)


def arm64(**changes):
    """An arm64 host behind an SMMUv3, which ACPI describes: a card, an NVMe, and the window in which MSIs are mapped.

    Source: drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.c arm_smmu_get_resv_regions(), MSI_IOVA_BASE and MSI_IOVA_LENGTH.
    """
    spec = Spec(
        machine="aarch64",
        kernel="6.12.107+deb13-arm64",
        cmdline="BOOT_IMAGE=/vmlinuz root=/dev/vda2 ro",
        functions=(
            # The host bridge has none.
            Function("0000:00:00.0", "1b36:0008:1af4:1100", "060000"),
            root_port("0000:00:06.0", "1"),
            root_port("0000:00:07.0", "2"),
            e1000e("0000:02:00.0", "3", "0000:00:06.0", 2),
            Function(
                "0000:03:00.0", "1b36:0010:1af4:1100", "010802", group="4", parent="0000:00:07.0", reset="flr",
                nvme=Nvme("nvme0", "NV01"),
            ),
        ),
        modules=MODULES,
        msi_window="0x0000000008000000 0x00000000080fffff msi",
        mounts=("25 1 0:20 / / rw - tmpfs tmpfs rw",),
    )
    return replace(spec, **changes)


def changed(spec, address, **changes):
    """The spec with one function changed."""
    return replace(
        spec, functions=tuple(replace(one, **changes) if one.address == address else one for one in spec.functions)
    )


def with_modules(spec, *modules):
    """The spec with more modules, before those of the spec."""
    return replace(spec, modules=tuple(modules) + spec.modules)


__all__ = (
    "BASE",
    "EDU",
    "NIC",
    "NVME",
    "PAIR",
    "PAIR2",
    "PAIR_BRIDGE",
    "PF",
    "ROOT_DISK",
    "ROOT_PORT",
    "SLOT",
    "TWIN",
    "UPLINK",
    "VARIANT",
    "VF",
    "VGA",
    "VIRTIO",
    "XE_VARIANT",
    "arm64",
    "changed",
    "e1000e",
    "p9",
    "s390",
    "vf",
    "with_modules",
    "x86",
)
