# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who has a device open that a native driver serves: refused before the first write, in check mode as in the run."""

from __future__ import annotations

import errno
import os

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError
from ansible_collections.vfio.host.plugins.module_utils._host.nodes import BLOCK, CHARACTER, OTHER, Node
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME
from ansible_collections.vfio.host.tests.unit.fake.model import Disk, Nvme
from ansible_collections.vfio.host.tests.unit.plugins.module_utils._devices.using import CARD, CONTROL, GPU, RAW, SOUND, XHCI, refused, spec


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


@pytest.mark.parametrize("place", ["net", "mlx5_core.sf.2/net"])
def test_an_interface_of_another_network_namespace_that_goes_is_a_named_warning(busy, place):
    """The kernel shows those of one namespace, and the directory of the others' (source: drivers/base/core.c cleanup_glue_dir())."""
    said = "another network namespace, which has an interface of it, loses that, as if it were unplugged"
    assert not [one for one in busy.take(CARD, check=True)["warnings"] if said in one]
    (busy.tree.directory(CARD) / place).mkdir(parents=True, exist_ok=True)
    for check in (True, False):
        assert [one for one in busy.take(CARD, check=check)["warnings"] if said in one and CARD in one]
    assert busy.driver(CARD) == "vfio-pci"


def test_one_of_two_interfaces_that_is_in_another_network_namespace_is_named(busy, monkeypatch):
    directory = str(busy.tree.directory(NIC) / "net")
    monkeypatch.setattr(busy.kernel, "count_directories", lambda path: 2 if os.path.realpath(path) == directory else None, raising=False)
    said = "another network namespace, which has an interface of it, loses that, as if it were unplugged"
    assert [one for one in busy.take(NIC, check=True)["warnings"] if said in one and NIC in one]


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


@pytest.fixture
def of_major(busy):
    """A function: the host where a process has a node open whose major number is of the GPU's driver, and ``links`` in /sys/dev/char."""

    def make(number="500:3", devices="500 amdgpu\n", links=()):
        busy.tree.put(busy.tree.root / "proc/devices", "Character devices:\n  1 mem\n" + devices)
        busy.kernel.process(900, "fabricmanager")
        busy.kernel.open_file(900, 3, "/dev/whatever", Node(CHARACTER, number))
        for path, target in dict(links).items():
            busy.tree.link(busy.tree.root / path, busy.tree.root / target)
        return busy

    return make


@pytest.mark.parametrize("devices", ["500 amdgpu\n", "500 amdgpu\n\nBlock devices:\n  8 sd\n"])
def test_a_node_that_is_nowhere_in_sysfs_is_known_by_its_drivers_major(of_major, devices):
    """As those of NVIDIA's switches (source: kernel-open/nvidia/linux_nvswitch.c nvswitch_init())."""
    assert "process 900 (fabricmanager), which has /dev/amdgpu3 (500:3) open" in refused(of_major(devices=devices), GPU)


def test_a_node_that_is_no_functions_in_sysfs_is_known_by_its_drivers_major(of_major):
    """As those of Omni-Path (source: drivers/infiniband/hw/hfi1/device.c hfi1_cdev_init(), device_create() without a parent)."""
    host = of_major(links={"sys/dev/char/500:3": "sys/devices/virtual/hfi1_user/hfi1_0"})
    assert "process 900 (fabricmanager), which has /dev/hfi1_0 (500:3) open" in refused(host, GPU)


@pytest.mark.parametrize("given", [
    {"number": "500:255"}, {"devices": "500 amdgpu_ctl\n"}, {"devices": "\nBlock devices:\n500 amdgpu\n"}, {"number": "501:3"},
    {"links": {"sys/dev/char/500:3": f"sys/devices/pci0000:00/{XHCI}/x/x3"}}, {"links": {"sys/dev/char/500:9": "sys/devices/virtual/x/x9"}},
    {"number": "226:5", "devices": "226 amdgpu\n"}, {"links": {
        "sys/dev/char/500:3": "sys/devices/virtual/hfi1_user/hfi1_0", "sys/class/infiniband/hfi1_0": f"sys/devices/pci0000:00/{XHCI}/infiniband/hfi1_0",
    }},
])
def test_a_node_of_another_function_or_of_all_together_holds_none(of_major, given):
    assert of_major(**given).take(GPU)["changed"]


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
