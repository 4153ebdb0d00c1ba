# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who has a device open that a native driver serves: refused before the first write, in check mode as in the run."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.nodes import BLOCK, CHARACTER, OTHER, Node
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME
from ansible_collections.vfio.host.tests.unit.fake.model import Disk, Function, Made, Module, Nvme, Stacked, alias

SOUND, GPU, XHCI, CARD = "0000:00:1b.0", "0000:00:1c.0", "0000:00:1d.0", "0000:00:1e.0"
CONTROL = "snd/controlC0"
RAW = Node(BLOCK, "259:0")


def native(address, pci_class, driver, *made, **more):
    """A function with a native driver that makes device nodes."""
    device = f"{int(address[8:10], 16):04x}"
    function = Function(address, f"8086:{device}", pci_class, group=str(20 + int(address[8:10], 16)), made=made, **more)
    return function, Module(driver, (driver,), (alias("8086", device),), initramfs=True)


DEVICES = (
    native(SOUND, "040300", "snd_hda_intel", Made("sound/card0/controlC0", "sound", "116:5", CONTROL)),
    native(
        GPU, "030200", "amdgpu", Made("drm/card1", "drm", "226:1", "dri/card1"),
        Made("drm/renderD128", "drm", "226:128", "dri/renderD128"),
    ),
    native(
        XHCI, "0c0330", "xhci_hcd", Made("usb1/1-1/input/input5/event5", "input", "13:69", "input/event5"),
        Made("usb1/1-2", "usb", "189:4", "bus/usb/001/005"), Made("usb1/1-3/host6/6:0:0:0/scsi_generic/sg0", "scsi_generic", "21:0", "sg0"),
    ),
    native(
        CARD, "020000", "mlx5_core", Made("infiniband_verbs/uverbs0", "infiniband_verbs", "231:192", "infiniband/uverbs0"),
        Made("mlx5_core.sf.2/vdpa0/vhost-vdpa-0", "char", "511:0", "vhost-vdpa-0"), Made("ptp/ptp0", "ptp", "248:0", "ptp0"),
        Made("tty/ttyS4", "tty", "4:68", "ttyS4"), Made("odd/odd0", "odd", "499:0", "odd0"),
    ),
)


def spec(**changes):
    plain = hosts.x86()
    modules = tuple(module for dummy, module in DEVICES)
    return replace(plain, functions=plain.functions + tuple(one for one, dummy in DEVICES), modules=modules + plain.modules, **changes)


@pytest.fixture
def busy(make_host):
    """A host with sound, graphics, USB and a card with many nodes."""
    return make_host(spec())


def refused(host, *entries, **options):
    """The message that check mode and the run both end with, before anything is written."""
    before, messages = host.snapshot(), []
    for check in (True, False):
        host.faults.reset()
        with pytest.raises(PlanError) as caught:
            host.take(*entries, check=check, **options)
        messages.append("; ".join(caught.value.messages))
        assert not [one for one in host.faults.log if one[:2] != ("command", "udevadm settle --timeout=5")]
        assert host.snapshot() == before
    assert messages[0] == messages[1]
    return messages[0]


def test_an_open_sound_control_is_named_before_the_first_write(busy):
    busy.kernel.use(SOUND, 862, "pipewire", CONTROL, waits=True)
    message = refused(busy, SOUND)
    assert message.startswith(f"{SOUND} (Intel Corporation")
    assert "is in use by process 862 (pipewire), which has /dev/snd/controlC0 (116:5) open" in message
    assert message.endswith("the kernel would wait for ever to unbind it; stop that process, then run again")


@pytest.mark.parametrize("address, name, effect", [
    (GPU, "dri/card1", "take it away"), (GPU, "dri/renderD128", "take it away"), (CARD, "infiniband/uverbs0", "wait for ever"),
    (CARD, "vhost-vdpa-0", "wait for ever"), (CARD, "ptp0", "take it away"), (CARD, "ttyS4", "take it away"),
    (CARD, "odd0", "take it away"), (XHCI, "sg0", "take it away"), (NVME, "nvme0n1", "take it away"),
])
def test_any_open_node_below_a_device_is_named(busy, address, name, effect):
    busy.kernel.use(address, 862, "somebody", name)
    message = refused(busy, address)
    assert f"process 862 (somebody), which has /dev/{name} (" in message and effect in message


def test_what_the_kernel_unplugs_cleanly_is_a_named_warning(busy):
    for number, name in enumerate(("input/event5", "bus/usb/001/005")):
        busy.kernel.use(XHCI, 862 + number, "logind", name)
    for check in (True, False):
        result = busy.take(XHCI, check=check)
        assert [one for one in result["warnings"] if "process 862 (logind), which has /dev/input/event5 (13:69) open" in one]
        assert [one for one in result["warnings"] if "process 863" in one and "as if it were unplugged" in one]
    assert busy.driver(XHCI) == "vfio-pci"


def test_a_raw_disk_in_a_containers_namespace_is_found_by_its_number(busy):
    busy.kernel.process(900, "ceph-osd")
    busy.kernel.open_file(900, 30, "/var/lib/ceph/osd/block", RAW)
    assert "process 900 (ceph-osd), which has /dev/nvme0n1 (259:0) open" in refused(busy, NVME)


def test_an_open_partition_holds_its_disks_controller(make_host):
    disk = Disk("nvme0n1", "259:0", "", (("nvme0n1p1", "259:1"),))
    host = make_host(hosts.changed(spec(), NVME, nvme=Nvme("nvme0", "NV01", disk)))
    host.kernel.use(NVME, 900, "spdk", "nvme0n1p1")
    assert "/dev/nvme0n1p1 (259:1)" in refused(host, NVME)


def test_a_namespace_of_a_multipath_subsystem_holds_its_controller(make_host):
    disk = Disk("nvme0n1", "259:0", "")
    host = make_host(hosts.changed(spec(), NVME, nvme=Nvme("nvme0", "NV01", disk, subsystem="nvme-subsys0")))
    host.kernel.use(NVME, 900, "qemu", "nvme0n1")
    assert "/dev/nvme0n1 (259:0)" in refused(host, NVME)


@pytest.mark.parametrize("node", [Node(OTHER, "0:0"), Node(CHARACTER, "259:0"), Node(BLOCK, "116:5"), Node(BLOCK, "259:99")])
def test_a_fake_node_holds_nothing(busy, node):
    busy.kernel.process(999, "liar")
    busy.kernel.open_file(999, 3, "/dev/nvme0n1", node)
    busy.kernel.open_file(999, 4, f"/dev/{CONTROL}", node)
    assert busy.take(NVME, SOUND, check=True)["changed"] and busy.take(NVME, SOUND)["changed"]


def test_a_process_that_may_not_be_looked_into_may_have_any_node_open(busy, monkeypatch):
    busy.kernel.process(1, "init")
    busy.kernel.open_file(1, 0, "/dev/x", Node(OTHER, "0:0"))
    real = busy.kernel.look

    def look(path):
        if not path.endswith("/1/fd/0"):
            return real(path)
        busy.kernel.note(path, OSError(errno.EACCES, "no"))
        return None

    monkeypatch.setattr(busy.kernel, "look", look)
    message = refused(busy, NVME)
    assert "in use by process 1 (init: what it has open cannot be read, so it may be this); stop that process, or run on" in message
    assert busy.take(EDU)["changed"]


def test_an_o_path_handle_holds_nothing(busy):
    busy.kernel.process(999, "user")
    busy.kernel.open_file(999, 3, "/dev/nvme0n1", RAW, flags="010000000")
    assert busy.take(NVME)["changed"]


def test_a_device_that_nobody_would_unbind_needs_no_look(busy):
    busy.kernel.use(SOUND, 862, "pipewire", CONTROL, waits=True)
    assert busy.take(SOUND, now=False)["changed"]
    assert busy.take(EDU)["changed"]
    assert busy.kernel.claims == []


# What the kernel itself does with a disk.


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


def test_a_disk_that_rnbds_server_has_for_its_clients_is_named(busy):
    busy.tree.link(busy.tree.sys / "class/rnbd-server/ctl/devices/nvme0n1/block_dev", busy.tree.directory(NVME) / "nvme/nvme0/nvme0n1")
    assert "in use by the kernel: RNBD's server has for its clients, as nvme0n1, nvme0n1" in refused(busy, NVME)


def test_an_image_in_memory_that_was_removed_is_on_no_disk(busy):
    busy.tree.put(busy.tree.sys / "class/block/loop0/loop/backing_file", "/dev/shm/x.img (deleted)\n")
    assert busy.take(NVME)["changed"]


def test_a_thread_with_other_files_by_the_same_numbers_is_looked_at(busy):
    busy.kernel.process(900, "server")
    busy.kernel.open_file(900, 3, "/dev/null", Node(CHARACTER, "1:3"))
    link = busy.tree.root / "proc/900/task/901/fd/3"
    link.parent.mkdir(parents=True)
    link.symlink_to("/dev/nvme0n1")
    busy.kernel._files[str(link)] = RAW
    assert "process 900 (server), which has /dev/nvme0n1 (259:0) open" in refused(busy, NVME)


def device_link(host, supplier, consumer, status):
    link = host.tree.sys / f"devices/virtual/devlink/pci:{supplier}--pci:{consumer}"
    host.tree.put(link / "status", status + "\n")
    host.tree.link(host.tree.directory(supplier) / f"consumer:pci:{consumer}", link)
    host.tree.link(host.tree.directory(consumer) / f"supplier:pci:{supplier}", link)


def test_who_has_a_function_open_that_is_unbound_together_with_it_is_named(busy):
    device_link(busy, XHCI, NVME, "active")
    busy.kernel.use(NVME, 900, "qemu", "nvme0n1")
    assert "process 900 (qemu), which has /dev/nvme0n1 (259:0) open" in refused(busy, XHCI)


def test_a_function_that_is_not_unbound_together_with_it_holds_nothing(busy):
    device_link(busy, XHCI, NVME, "not tracked")
    busy.kernel.use(NVME, 900, "qemu", "nvme0n1")
    assert busy.take(XHCI)["changed"]


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


def test_a_target_that_is_not_enabled_uses_nothing(busy):
    place = busy.tree.root / "sys/kernel/config/nvmet/subsystems/nqn/namespaces/1"
    busy.tree.put(place / "device_path", "/dev/nvme0n1\n")
    busy.tree.put(place / "enable", "0\n")
    assert busy.take(NVME)["changed"]


# What has no device node in sysfs, or no process.


def nvidia(host, minor="Device Minor: \t 0", devices="Character devices:\n195 nvidia\n"):
    host.tree.put(host.tree.root / f"proc/driver/nvidia/gpus/{GPU}/information", f"Model: \t\t X\n{minor}\nGPU Excluded:\t No\n")
    host.tree.put(host.tree.root / "proc/devices", devices)


@pytest.mark.parametrize("devices", ["195 nvidia\n", "195 nvidia-frontend\n236 nvidia-uvm\n", "236 nvidia-uvm\n"])
def test_a_node_that_only_the_vendors_driver_tells_of_is_known(busy, devices):
    nvidia(busy, devices="Character devices:\n  1 mem\n" + devices)
    busy.kernel.process(900, "python3")
    busy.kernel.open_file(900, 3, "/dev/nvidia0", Node(CHARACTER, "195:0"))
    message = refused(busy, GPU)
    assert "process 900 (python3), which has /dev/nvidia0 (195:0) open: the kernel would wait for ever" in message


def test_the_nodes_of_all_cards_together_hold_none(busy):
    nvidia(busy)
    busy.kernel.process(900, "python3")
    busy.kernel.open_file(900, 3, "/dev/nvidiactl", Node(CHARACTER, "195:255"))
    busy.kernel.open_file(900, 4, "/dev/nvidia1", Node(CHARACTER, "195:1"))
    assert busy.take(GPU)["changed"]


def mediated(host):
    """A mediated device of the GPU, in an IOMMU group of its own, on VFIO."""
    directory = host.tree.directory(GPU) / "c0f2"
    host.tree.link(directory / "mdev_type", host.tree.sys / "type")
    host.tree.link(directory / "iommu_group", host.tree.sys / "kernel/iommu_groups/77")
    host.tree.vfio_group("77")


def test_the_parent_of_a_mediated_device_that_a_guest_has_is_in_use(busy):
    mediated(busy)
    busy.kernel.process(900, "qemu")
    busy.kernel.open_file(900, 3, "/dev/vfio/77", busy.tree.nodes["dev/vfio/77"])
    message = refused(busy, GPU)
    assert "process 900 (qemu), which has /dev/vfio/77 (242:" in message
    assert "has mediated devices, which would go with its driver amdgpu: c0f2; remove them first" in message


def test_a_guest_over_macvtap_has_the_interface_below(busy):
    busy.tree.put(busy.tree.sys / "devices/virtual/net/macvtap0/address", "x")
    busy.tree.device(busy.tree.sys / "devices/virtual/net/macvtap0/tap7", "macvtap", "236:7", "tap7")
    busy.tree.link(busy.tree.sys / "class/net/macvtap0", busy.tree.sys / "devices/virtual/net/macvtap0")
    busy.tree.link(busy.tree.directory(NIC) / "net/enp2s0/upper_macvtap0", busy.tree.sys / "devices/virtual/net/macvtap0")
    busy.kernel.process(900, "qemu")
    busy.kernel.open_file(900, 3, "/dev/tap7", Node(CHARACTER, "236:7"))
    assert "process 900 (qemu), which has /dev/tap7 (236:7) open" in refused(busy, NIC, force=("network",))


@pytest.mark.parametrize("check", [True, False])
def test_udev_that_looks_at_a_new_disk_is_waited_for(busy, check):
    busy.kernel.process(900, "(udev-worker)")
    busy.kernel.open_file(900, 30, "/dev/nvme0n1", RAW)
    busy.kernel.claimed.add("259:0")
    busy.kernel.on_settle = lambda: (busy.kernel._files.clear(), busy.kernel.claimed.clear())
    assert busy.take(NVME, check=check)["changed"]


class TestLate:
    """A process opens a node between the check and the unbind."""

    def opens(self, host, address, name):
        step = host.faults.step

        def watch(*what):
            if what[0] == "write" and what[1].endswith("/unbind") and what[2] == address and not host.kernel.waited_for(address):
                host.kernel.use(address, 862, "pipewire", name, waits=True)
            step(*what)

        host.faults.step = watch

    def test_the_message_names_it_although_the_driver_has_removed_the_node(self, busy):
        self.opens(busy, SOUND, CONTROL)
        with pytest.raises(ApplyError) as caught:
            busy.take(SOUND, timeout=5)
        assert "did not let go of it in 5 seconds: process 862 (pipewire) holds it" in caught.value.messages[0]

    def test_where_nobody_is_found_the_message_says_where_was_looked(self, busy):
        self.opens(busy, SOUND, CONTROL)
        real = busy.kernel.use
        busy.kernel.use = lambda address, pid, *rest, **more: (real(address, pid, *rest, **more), busy.kernel._files.clear())
        with pytest.raises(ApplyError) as caught:
            busy.take(SOUND, timeout=5)
        assert "no process has a node of it among its open files, as far as /proc shows; a memory mapping" in caught.value.messages[0]


@pytest.mark.parametrize("others", [0, 1])
def test_processes_are_looked_at_once_a_plan_and_only_for_what_would_be_unbound(busy, monkeypatch, others):
    for pid in range(100, 110):
        busy.kernel.process(pid, "idle")
        busy.kernel.open_file(pid, 0, "/dev/null", Node(CHARACTER, "1:3"))
    looks = []
    real = busy.kernel.look
    monkeypatch.setattr(busy.kernel, "look", lambda path: looks.append(path) or real(path))
    if others:
        busy.take(SOUND, NVME, check=True)
        assert len([one for one in looks if one.endswith("/100/fd/0")]) == 1
    else:
        busy.take(EDU, check=True)
        assert looks == []
