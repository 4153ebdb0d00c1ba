# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import time

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host import sysfs as module
from ansible_collections.vfio.host.plugins.module_utils._host.errors import KernelRefusal
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs


@pytest.fixture
def fs(tmp_path):
    return Sysfs(str(tmp_path))


def failing(number):
    def fail(*dummy_args):
        raise OSError(number, os.strerror(number))

    return fail


def test_every_place_hangs_from_the_root(fs, tmp_path):
    places = [value for value in vars(fs).values() if isinstance(value, str)] + fs.modprobe_d + fs.pci_ids
    assert all(place.startswith(str(tmp_path)) for place in places)


def test_the_real_root_adds_nothing():
    assert Sysfs().pci_devices == "/sys/bus/pci/devices"


def test_a_host_that_is_only_read_starts_no_program(fs):
    assert fs.run(["modprobe", "vfio-pci"]) == (127, "", "modprobe cannot be started: this host is only read")


def test_an_attribute_reads_without_its_newline(fs, tmp_path):
    (tmp_path / "a").write_text("0x8086\n")
    assert fs.read(str(tmp_path / "a")) == "0x8086"


def test_an_empty_attribute_is_not_an_absent_one(fs, tmp_path):
    (tmp_path / "a").write_text("\n")
    assert fs.read(str(tmp_path / "a")) == ""
    assert fs.read(str(tmp_path / "b")) is None


@pytest.mark.parametrize("number", sorted(errno.errorcode), ids=errno.errorcode.get)
def test_what_cannot_be_read_is_none_whatever_it_answers(fs, tmp_path, monkeypatch, number):
    (tmp_path / "a").write_text("x")
    with monkeypatch.context() as patch:
        for call in ("read", "readlink", "listdir"):
            patch.setattr(module.os, call, failing(number))
        assert fs.read(str(tmp_path / "a")) is None
        assert fs.target(str(tmp_path / "b")) is None
        assert fs.names(str(tmp_path)) == []
    absent = number in (errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.ESRCH)
    paths = [str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path)]
    assert [fs.refusal(path) for path in paths] == [None if absent else number] * 3
    fs.read(paths[0]), fs.target(paths[1]), fs.names(paths[2])
    assert [fs.refusal(path) for path in paths] == [None] * 3


@pytest.mark.parametrize("name", ["a\0b", "a\ud800", "a" * 5000])
def test_a_path_that_no_file_can_have_reads_as_absent(fs, tmp_path, name):
    path = f"{tmp_path}/{name}"
    assert (fs.read(path), fs.target(path), fs.names(path), fs.read_file(path), fs.exists(path)) == (None, None, [], None, False)
    assert (fs.inode(path), fs.is_writable(path)) == (None, False)


def test_white_space_of_other_scripts_belongs_to_a_value(fs, tmp_path):
    (tmp_path / "a").write_bytes("\u2028name\u00a0\n".encode())
    assert fs.read(str(tmp_path / "a")) == "\u2028name\u00a0"


def test_a_large_file_is_read_whole(fs, tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 200000)
    assert len(fs.read_file(str(tmp_path / "a"))) == 200000
    assert fs.read_file(str(tmp_path / "b")) is None


def test_bytes_that_are_no_text_do_not_break_a_read(fs, tmp_path):
    (tmp_path / "a").write_bytes(b"\xff\n")
    assert fs.read(str(tmp_path / "a")) == "\udcff"


def test_names_of_an_absent_directory_are_none(fs, tmp_path):
    assert fs.names(str(tmp_path / "absent")) == []


def test_a_link_gives_its_last_component(fs, tmp_path):
    (tmp_path / "driver").symlink_to("../../bus/pci/drivers/e1000e")
    assert fs.link(str(tmp_path / "driver")) == "e1000e"
    assert fs.target(str(tmp_path / "driver")) == "../../bus/pci/drivers/e1000e"
    assert fs.link(str(tmp_path / "absent")) is None


def test_a_devices_directory_is_its_real_path(host):
    assert host.kernel.device_directory("0000:02:00.0") == (
        host.root + "/sys/devices/pci0000:00/0000:00:06.0/0000:02:00.0"
    )


def test_an_absent_devices_directory_is_the_buss_name_for_it(host):
    assert host.kernel.device_directory("0000:ff:00.0").endswith("/sys/bus/pci/devices/0000:ff:00.0")


def test_a_binary_attribute_is_read_at_offsets(fs, tmp_path):
    (tmp_path / "config").write_bytes(bytes(range(64)))
    with fs.opened(str(tmp_path / "config")) as read_at:
        assert read_at(2, 10) == b"\x0a\x0b"
        assert read_at(4, 64) == b""


def test_an_absent_binary_attribute_reads_empty(fs, tmp_path):
    with fs.opened(str(tmp_path / "absent")) as read_at:
        assert read_at(4, 0) == b""


def test_a_write_is_one_write_of_the_exact_text(fs, tmp_path, monkeypatch):
    calls = []
    (tmp_path / "a").write_text("old")
    write = os.write
    monkeypatch.setattr(module.os, "write", lambda handle, data: (calls.append(data), write(handle, data)))
    fs.write(str(tmp_path / "a"), "\n")
    assert calls == [b"\n"]


def test_a_refused_write_names_the_errno(fs, tmp_path, monkeypatch):
    (tmp_path / "bind").write_text("")
    monkeypatch.setattr(module.os, "write", failing(errno.EBUSY))
    with pytest.raises(KernelRefusal, match="EBUSY") as caught:
        fs.write(str(tmp_path / "bind"), "x")
    assert caught.value.errno == errno.EBUSY


def test_a_write_creates_no_file(fs, tmp_path):
    with pytest.raises(KernelRefusal, match="ENOENT"):
        fs.write(str(tmp_path / "absent"), "x")
    assert os.listdir(str(tmp_path)) == []


def test_kernel_and_machine_come_from_the_kernel(host):
    assert host.kernel.kernel == "6.12.107+deb13-amd64"
    assert host.kernel.machine == "x86_64"
    assert host.kernel.module_tree == host.root + "/lib/modules/6.12.107+deb13-amd64"


def test_kernel_and_machine_fall_back_to_uname(fs):
    assert fs.kernel == os.uname().release
    assert fs.machine == os.uname().machine


def test_root_is_who_has_user_id_0(fs, monkeypatch):
    monkeypatch.setattr(module.os, "geteuid", lambda: 0)
    assert fs.is_root
    monkeypatch.setattr(module.os, "geteuid", lambda: 1000)
    assert not fs.is_root


def test_a_pause_takes_its_time(fs):
    start = time.monotonic()
    fs.pause(0.01)
    assert time.monotonic() - start >= 0.01


def test_the_running_kernel_counts_the_directories_of_one_of_sysfs():
    """Those that it shows, and those of other network namespaces, where there are any (source: fs/kernfs/inode.c kernfs_refresh_inode())."""
    for path in ("/sys/devices", "/sys/class", "/sys/devices/virtual/net"):
        if os.path.isdir(path):
            assert Sysfs().count_directories(path) >= len(Sysfs().directories(path))
    assert Sysfs().count_directories("/sys/nowhere") is None
