# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel itself does with a device: mounts, stacks, targets, algorithms; refused before the first write."""

from __future__ import annotations

import errno

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.nodes import BLOCK, Node
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NVME
from ansible_collections.vfio.host.tests.unit.fake.model import Stacked
from ansible_collections.vfio.host.tests.unit.plugins.module_utils._devices.using import CARD, XHCI, refused, spec


def mounted(host, pid, number, point="/data"):
    host.kernel.process(pid, "pause")
    host.tree.link(host.tree.root / f"proc/{pid}/ns/mnt", host.tree.root / f"mnt:[{pid}]")
    host.tree.put(host.tree.root / f"proc/{pid}/mountinfo", f"90 80 {number} / {point} rw - ext4 /dev/x rw\n")


@pytest.fixture
def unguarded(monkeypatch):
    """A host of which nothing says why it needs a device, as where a guard does not know a kind of use."""
    monkeypatch.setattr("ansible_collections.vfio.host.plugins.module_utils._devices.guards.registry.guards", lambda *dummy, **more: {})


@pytest.mark.usefixtures("unguarded")
def test_a_disk_that_is_mounted_in_another_namespace_is_named_with_its_mount(busy):
    mounted(busy, 900, "259:0")
    message = refused(busy, NVME)
    assert "in use by the kernel: /dev/nvme0n1 is mounted at /data of process 900 (pause)" in message
    assert "say force: [storage]" in message
    assert busy.take(NVME, force=("storage",))["changed"]


def test_a_disk_with_an_exclusive_user_that_nothing_names_is_refused(busy):
    busy.kernel.claimed.add("259:0")
    assert "the kernel: /dev/nvme0n1 has an exclusive user, such as" in refused(busy, NVME)


@pytest.mark.parametrize("answer", [errno.ETIMEDOUT, errno.EPERM, errno.EIO])
def test_a_disk_of_which_the_kernel_does_not_tell_is_refused(busy, monkeypatch, answer):
    monkeypatch.setattr(busy.kernel, "claim", lambda number, name: answer)
    assert "whether /dev/nvme0n1 has an exclusive user cannot be told: " in refused(busy, NVME)


@pytest.mark.parametrize("answer", [errno.ENXIO, errno.ENOMEDIUM])
def test_a_disk_that_is_gone_or_without_its_medium_has_no_user(busy, monkeypatch, answer):
    monkeypatch.setattr(busy.kernel, "claim", lambda number, name: answer)
    assert busy.take(NVME)["changed"]


@pytest.mark.usefixtures("unguarded")
def test_a_disk_that_a_thread_alone_has_mounted_is_named_with_its_mount(busy):
    busy.kernel.process(900, "pause")
    for place in ("self", "900"):
        busy.tree.link(busy.tree.root / f"proc/{place}/ns/mnt", busy.tree.root / "mnt:[1]")
    busy.tree.link(busy.tree.root / "proc/900/task/901/ns/mnt", busy.tree.root / "mnt:[2]")
    busy.tree.put(busy.tree.root / "proc/900/task/901/mountinfo", "90 80 259:0 / /data rw - ext4 /dev/x rw\n")
    assert "/dev/nvme0n1 is mounted at /data of process 900 (pause)" in refused(busy, NVME)


@pytest.mark.usefixtures("unguarded")
def test_what_is_built_on_a_disk_is_named_and_who_has_that_open(make_host):
    host = make_host(spec(blocks=(Stacked("dm-0", ("nvme0n1",), number="253:0"),)))
    host.tree.put(host.tree.sys / "class/block/dm-0/dm/name", "vg-guest\n")
    host.kernel.process(900, "qemu")
    host.kernel.open_file(900, 3, "/dev/dm-0", Node(BLOCK, "253:0"))
    message = refused(host, NVME)
    assert "dm-0 (vg-guest) is built on nvme0n1" in message
    assert "process 900 (qemu), which has /dev/dm-0 (253:0) open" in message


@pytest.mark.parametrize("path, attributes, text", [
    ("sys/kernel/config/nvmet/subsystems/nqn/namespaces/1", {"device_path": "/dev/nvme0n1", "enable": "1"}, "NVMe target"),
    ("sys/kernel/config/target/core/fileio_0/disk", {"info": "TCM FILEIO ID: 0        File: /dev/nvme0n1  Size: 1"}, "SCSI target"),
    ("sys/kernel/config/usb_gadget/g1/functions/mass_storage.0/lun.0", {"file": "/dev/nvme0n1"}, "USB gadget"),
    ("sys/class/block/loop0", {"loop/backing_file": "/dev/nvme0n1", "dev": "7:0"}, "loop device loop0 is set up over"),
])
def test_what_the_kernel_has_open_without_an_exclusive_claim_is_named(busy, path, attributes, text):
    for name, value in attributes.items():
        busy.tree.put(busy.tree.root / path / name, value + "\n")
    message = refused(busy, NVME)
    assert f"in use by the kernel: {text}" in message and message.count("nvme0n1") == 1


@pytest.mark.parametrize("path, attributes, text", [
    ("sys/kernel/config/cluster/web/heartbeat/0123ABCD", {"dev": "nvme0n1"}, "OCFS2's heartbeat cluster/web/heartbeat/0123ABCD is on nvme0n1"),
    ("sys/kernel/config/nvmet/subsystems/nqn/passthru", {"device_path": "/dev/nvme0", "enable": "1"}, "NVMe target nvmet/subsystems/nqn/passthru serves nvme0"),
    ("sys/class/block/loop0", {"loop/backing_file": "/dev/data", "dev": "7:0"},
     "loop device loop0 is set up over /dev/data, which is not to be seen here and may be nvme0n1"),
    ("sys/class/block/loop0", {"loop/backing_file": "/dev/nvme9n1 (deleted)", "dev": "7:0"}, "loop device loop0 is set up over /dev/nvme9n1 (deleted), which"),
])
def test_a_user_in_the_kernel_that_names_its_device_otherwise_is_named(busy, path, attributes, text):
    busy.tree.device(busy.tree.directory(NVME) / "nvme/nvme0", "nvme", "240:0", "nvme0")
    for name, value in attributes.items():
        busy.tree.put(busy.tree.root / path / name, value + "\n")
    assert f"in use by the kernel: {text}" in refused(busy, NVME)
    assert busy.take(EDU)["changed"]


@pytest.mark.parametrize("enable, hba, is_used", [("1", "pscsi_0", True), ("0", "pscsi_0", False), ("1", "iblock_0", False)])
def test_a_tape_that_a_target_passes_on_as_it_is_is_named(busy, enable, hba, is_used):
    """Nothing claims it; it is told by the path that the target was given (source: drivers/target/target_core_pscsi.c)."""
    place = busy.tree.root / f"sys/kernel/config/target/core/{hba}/tape"
    for name, value in (("info", "Status: ACTIVATED"), ("udev_path", "/dev/sg0"), ("enable", enable)):
        busy.tree.put(place / name, value + "\n")
    if is_used:
        assert f"in use by the kernel: SCSI target target/core/{hba}/tape serves sg0" in refused(busy, XHCI)
    else:
        assert busy.take(XHCI)["changed"]


def test_a_disk_that_rnbds_server_has_for_its_clients_is_named(busy):
    busy.tree.link(busy.tree.sys / "class/rnbd-server/ctl/devices/nvme0n1/block_dev", busy.tree.directory(NVME) / "nvme/nvme0/nvme0n1")
    assert "in use by the kernel: RNBD's server has for its clients, as nvme0n1, nvme0n1" in refused(busy, NVME)


def test_an_image_in_memory_that_was_removed_is_on_no_disk(busy):
    busy.tree.put(busy.tree.sys / "class/block/loop0/loop/backing_file", "/dev/shm/x.img (deleted)\n")
    assert busy.take(NVME)["changed"]


def algorithms(*modules, count=2):
    """What /proc/crypto has of an algorithm of each module (source: crypto/proc.c c_show())."""
    return "\n".join(
        f"name         : xts(aes)\ndriver       : {one}_aes\nmodule       : {one}\npriority     : 1\nrefcnt       : {count}\n"
        "selftest     : passed\n" for one in modules
    )


@pytest.mark.parametrize("module", ["mlx5_core", "chcr"])
def test_a_function_whose_algorithms_the_kernel_uses_is_in_use(busy, module):
    busy.tree.put(busy.tree.root / "proc/crypto", algorithms("aesni_intel", module))
    busy.tree.put(busy.tree.sys / "module/mlx5_core/holders/chcr/x")
    message = refused(busy, CARD)
    assert f"in use by the kernel: its algorithm xts(aes) of {module} is in use, as by an encrypted disk; " in message
    assert "aesni" not in message
    assert busy.take(CARD, force=("storage",))["changed"]


@pytest.mark.parametrize("pci_class, is_used", [("108000", True), ("0b4000", True), ("120000", True), ("020000", False)])
def test_what_an_accelerators_module_needs_may_register_for_it(make_host, pci_class, is_used):
    host = make_host(hosts.changed(spec(), CARD, pci_class=pci_class))
    host.tree.put(host.tree.root / "proc/crypto", algorithms("intel_qat"))
    host.tree.put(host.tree.sys / "module/intel_qat/holders/mlx5_core/x")
    if is_used:
        assert "its algorithm xts(aes) of intel_qat is in use" in refused(host, CARD)
    else:
        assert host.take(CARD)["changed"]


def test_algorithms_that_nothing_uses_hold_nothing(busy):
    busy.tree.put(busy.tree.root / "proc/crypto", algorithms("mlx5_core", count=1) + "\n" + algorithms("other"))
    assert busy.take(CARD)["changed"]


def channel(host, users, user=None):
    """A channel of the DMA engine (source: drivers/dma/dmaengine.c __dma_async_device_channel_register(), DMA_SLAVE_NAME)."""
    directory = host.tree.directory(CARD)
    host.tree.put(directory / "dma/dma0chan0/in_use", f"{users}\n")
    if user:
        host.tree.link(directory / "dma/dma0chan0/slave", user)


def test_a_function_whose_dma_channel_something_else_has_is_in_use(busy):
    for user in (None, busy.tree.directory(NVME)):
        channel(busy, 1, user)
        message = refused(busy, CARD)
        assert "in use by the kernel: its DMA channel dma0chan0 is in use, as by a RAID or an NTB; " in message
    assert busy.take(CARD, force=("storage",))["changed"]


@pytest.mark.parametrize("users, is_own", [(0, False), (1, True)])
def test_a_dma_channel_that_nobody_else_has_holds_nothing(busy, users, is_own):
    channel(busy, users, busy.tree.directory(CARD) / "serial" if is_own else None)
    assert busy.take(CARD)["changed"]


def test_a_target_that_is_not_enabled_uses_nothing(busy):
    place = busy.tree.root / "sys/kernel/config/nvmet/subsystems/nqn/namespaces/1"
    busy.tree.put(place / "device_path", "/dev/nvme0n1\n")
    busy.tree.put(place / "enable", "0\n")
    assert busy.take(NVME)["changed"]
