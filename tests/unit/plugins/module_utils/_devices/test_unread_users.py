# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A device whose users the kernel would tell, and cannot, is in use: whatever it is that cannot be read."""

from __future__ import annotations

import errno
import os

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.holders import UNTOLD, Usage
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.nodes import BLOCK, Node
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NVME
from ansible_collections.vfio.host.tests.unit.fake.model import Disk, Nvme, Stacked
from ansible_collections.vfio.host.tests.unit.fake.unread import Refusing

CONFIGFS, MASS = "sys/kernel/config", "usb_gadget/g/functions/mass_storage.0"
NAMESPACE = f"{CONFIGFS}/nvmet/subsystems/s/namespaces/1"
# What has the disk, and by which block device a process has it open, where that is in between.
USERS = {
    "raw": ({}, "259:0"),
    "subsystem": ({}, "259:0"),
    "md": ({"blocks": (Stacked("md0", ("nvme0n1",), "9:0"),)}, "9:0"),
    "loop": ({
        "blocks": (Stacked("loop9", (), "7:9"),), "files": {"sys/devices/virtual/block/loop9/loop/backing_file": "/dev/nvme0n1\n"},
    }, "7:9"),
    "nvmet": ({"files": {f"{NAMESPACE}/device_path": "/dev/nvme0n1\n", f"{NAMESPACE}/enable": "1\n"}}, None),
    "lio": ({"files": {f"{CONFIGFS}/target/core/fileio_0/d/info": "Status: ACTIVATED\n        File: /dev/nvme0n1  Size: 1\n"}}, None),
    "gadget": ({"files": {f"{CONFIGFS}/{MASS}/lun.0/file": "/dev/nvme0n1\n"}}, None),
    "ocfs2": ({"files": {f"{CONFIGFS}/cluster/c/heartbeat/AB/dev": "nvme0n1p1\n"}}, None),
    "scst": ({"files": {"sys/kernel/scst_tgt/devices/d/filename": "/dev/nvme0n1\n[key]\n"}}, None),
    "rnbd": ({"links": {"sys/class/rnbd-server/ctl/devices/x/block_dev": f"sys/devices/pci0000:00/{NVME}/nvme/nvme0/nvme0n1"}}, None),
}


@pytest.fixture
def in_use(make_host):
    """A function: the host in which the disk of NVME has this user."""

    def make(name):
        changes, number = USERS[name]
        disk = Disk("nvme0n1", "259:0", "", (("nvme0n1p1", "259:1"),))
        nvme = Nvme("nvme0", "NV01", disk, subsystem="nvme-subsys0" if name == "subsystem" else None)
        spec = hosts.x86(mounts=("25 1 254:1 / / rw - ext4 /dev/vda1 rw",), **changes)
        host = make_host(hosts.changed(spec, NVME, nvme=nvme))
        if number:
            host.kernel.process(900, "somebody")
            host.kernel.open_file(900, 30, "/y", Node(BLOCK, number))
        return host

    return make


# What the fake's own disks and processes are made from.
OF_FAKE = ("/proc/swaps",)


@pytest.mark.parametrize("name", USERS)
def test_whatever_cannot_be_read_the_disk_stays_in_use(in_use, name):
    host = in_use(name)
    device = host.survey().devices[NVME]

    def ask():
        return Usage(host.kernel).of(device, False).uses

    assert ask()
    refusing = Refusing(host.kernel)
    count = 0
    for path, uses in refusing.one_by_one(ask, lambda path: path not in OF_FAKE):
        assert uses, path
        count += 1
    assert count > 25


def test_what_cannot_be_read_is_named_with_its_errno_and_nothing_was_written(in_use):
    host = in_use("raw")
    refusing = Refusing(host.kernel)
    host.survey()
    refusing.victim = ("read_bytes", f"{host.root}/sys/devices/pci0000:00/{NVME}/nvme/nvme0/nvme0n1/dev")
    before = host.snapshot()
    with pytest.raises(PlanError) as caught:
        host.take(NVME)
    assert caught.value.messages[0].endswith(
        f"is in use by somebody who cannot be told, since /sys/devices/pci0000:00/{NVME}/nvme/nvme0/nvme0n1/dev (EIO) cannot be read; see what "
        "the kernel log says of that, and run again when it can be read"
    )
    assert host.snapshot() == before


def test_what_nothing_is_refused_of_is_free(make_host):
    host = make_host(hosts.x86())
    with host.kernel.refused() as refused:
        assert host.take(NVME, EDU)["changed"]
    assert not refused


def test_the_file_of_a_loop_device_that_is_too_long_for_the_kernel_to_tell_holds_no_disk(in_use):
    """Any user may have such a file, and no node has such a path."""
    host = in_use("loop")
    device = host.survey().devices[NVME]
    refusing = Refusing(host.kernel, errno.ENAMETOOLONG)
    refusing.victim = ("read_bytes", f"{host.root}/sys/class/block/loop9/loop/backing_file")
    assert Usage(host.kernel).of(device, False).uses == ()


def test_the_threads_of_a_process_that_cannot_be_listed_may_have_anything_open(make_host):
    host = make_host(hosts.x86())
    host.kernel.process(900, "somebody")
    (host.tree.root / "proc/900/task").mkdir()
    device = host.survey().devices[NVME]
    refusing = Refusing(host.kernel)
    assert Usage(host.kernel).of(device, False).uses == ()
    refusing.victim = ("names", f"{host.root}/proc/900/task")
    assert [(use.pid, use.effect) for use in Usage(host.kernel).of(device, False).uses] == [(900, UNTOLD)]


def test_algorithms_that_cannot_be_read_may_be_in_use(make_host):
    host = make_host(hosts.x86(files={"proc/crypto": "name         : aes\nmodule       : kernel\nrefcnt       : 1\n"}))
    device = host.survey().devices[NVME]
    refusing = Refusing(host.kernel)
    refusing.victim = ("read_file", f"{host.root}/proc/crypto")
    (use,) = Usage(host.kernel).of(device, False).uses
    assert use.text == "somebody who cannot be told, since /proc/crypto (EIO) cannot be read"


def test_what_is_refused_is_heard_by_the_innermost_that_listens(make_host):
    kernel = make_host(hosts.x86()).kernel
    paths = [f"{kernel.root}/sys/{name}" for name in "abc"]
    with kernel.refused() as outer:
        kernel.note(paths[0], OSError(errno.EIO, os.strerror(errno.EIO)))
        with kernel.refused() as inner:
            kernel.note(paths[1], OSError(errno.EACCES, os.strerror(errno.EACCES)))
            kernel.note(paths[2], OSError(errno.ENOENT, os.strerror(errno.ENOENT)))
            kernel.note(f"{kernel.root}/dev/x", OSError(errno.EIO, os.strerror(errno.EIO)))
    assert (outer, inner) == ({paths[0]: errno.EIO}, {paths[1]: errno.EACCES})


@pytest.mark.parametrize("call", ["directories", "walk"])
def test_a_directory_that_was_refused_once_and_is_read_again_is_refused_no_more(make_host, monkeypatch, call):
    kernel = make_host(hosts.x86()).kernel
    path, real = f"{kernel.root}/sys/class/net", os.scandir

    def look():
        return list(getattr(kernel, call)(path))

    def refuse(dummy):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "scandir", refuse)
    look()
    assert kernel.refusal(path) == errno.EIO
    monkeypatch.setattr(os, "scandir", real)
    look()
    assert kernel.refusal(path) is None


def test_a_host_whose_bus_cannot_be_read_has_not_no_devices(make_host):
    host = make_host(hosts.x86())
    host.take(NVME)
    refusing = Refusing(host.kernel)
    refusing.victim = ("names", host.kernel.pci_devices)
    message = f"which devices this host has cannot be told: {host.kernel.pci_devices}: EIO (Input/output error)"
    for act in (lambda: host.take(NVME), host.release, host.survey):
        with pytest.raises(PlanError) as caught:
            act()
        assert caught.value.messages == [message]
    refusing.victim = None
    assert host.driver(NVME) == "vfio-pci"
