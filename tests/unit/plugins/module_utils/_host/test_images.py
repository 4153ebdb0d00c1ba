# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gc
import os
import stat

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError
from ansible_collections.vfio.host.plugins.module_utils._host.images import ImageFiles


@pytest.fixture
def images(tmp_path):
    for directory in ("boot", "var/tmp"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "boot/initrd").write_bytes(b"old")
    (tmp_path / "new").write_bytes(b"new")
    return ImageFiles(str(tmp_path))


def test_an_image_is_replaced_in_one_step_and_on_disk_before(images, tmp_path, monkeypatch):
    order = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "rename", lambda old, new: (order.append("rename"), rename(old, new)))
    images.replace(str(tmp_path / "boot/initrd"), str(tmp_path / "new"))
    assert (tmp_path / "boot/initrd").read_bytes() == b"new"
    assert order == ["fsync", "rename", "fsync", "fsync"]


def test_it_has_the_mode_that_its_tool_gave_it(images, tmp_path):
    os.chmod(tmp_path / "new", 0o600)
    images.replace(str(tmp_path / "boot/initrd"), str(tmp_path / "new"))
    assert stat.S_IMODE((tmp_path / "boot/initrd").stat().st_mode) == 0o600


def test_it_stays_the_image_of_whom_it_was(images, tmp_path, monkeypatch):
    image, real = tmp_path / "boot/initrd", os.fstat
    given = []
    monkeypatch.setattr(os, "fchown", lambda handle, *owner: given.append((os.readlink(f"/proc/self/fd/{handle}"), owner)))
    images.replace(str(image), str(tmp_path / "new"))
    assert given == []  # FAT refuses a change of owner, also to the one that it has for all
    monkeypatch.setattr(os, "fstat", lambda handle: os.stat_result([*real(handle)[:5], 7, *real(handle)[6:]]))
    images.replace(str(image), str(tmp_path / "new"))
    assert given == [(str(tmp_path / "boot/.vfio-host-new-initrd"), (os.geteuid(), image.stat().st_gid))]


def test_a_full_file_system_leaves_the_old_image_and_no_rest(images, tmp_path, monkeypatch):
    def full(dummy):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ApplyError, match="initrd cannot be written: ENOSPC"):
        images.replace(str(tmp_path / "boot/initrd"), str(tmp_path / "new"))
    assert os.listdir(tmp_path / "boot") == ["initrd"]
    assert (tmp_path / "boot/initrd").read_bytes() == b"old"


def test_the_old_image_keeps_its_blocks_until_it_is_dropped(images, tmp_path):
    path = str(tmp_path / "boot/initrd")
    before = os.stat(path).st_ino
    images.keep_old(path)
    images.replace(path, str(tmp_path / "new"))
    assert images.is_kept(path)
    assert before in {os.stat(tmp_path / "boot" / name).st_ino for name in os.listdir(tmp_path / "boot")}
    images.drop_old(path)
    assert not images.is_kept(path) and os.listdir(tmp_path / "boot") == ["initrd"]


def test_the_first_old_image_is_kept_over_a_run_that_broke_off(images, tmp_path):
    path = str(tmp_path / "boot/initrd")
    images.keep_old(path)
    images.replace(path, str(tmp_path / "new"))
    images.keep_old(path)
    assert (tmp_path / "boot/.vfio-host-old-initrd").read_bytes() == b"old"


def test_a_file_system_without_links_is_no_obstacle(images, tmp_path, monkeypatch):
    def refuse(*dummy):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    images.keep_old(str(tmp_path / "boot/initrd"))
    assert not images.is_kept(str(tmp_path / "boot/initrd"))


def test_a_program_that_fails_is_an_error_with_its_words(images, tmp_path):
    words = ["sh", "-c", "echo broken >&2; exit 3"]
    with pytest.raises(OSError, match="sh failed with status 3: broken"), images.piped(words, str(tmp_path / "new"), offset=0):
        pass


def test_a_program_reads_from_the_offset_on(images, tmp_path):
    with images.piped(["cat"], str(tmp_path / "new"), offset=1) as stream:
        assert stream.read() == b"ew"


def test_the_spool_is_root_s_alone_and_goes_with_its_owner(images, tmp_path):
    spool = images.spool()
    assert stat.S_IMODE(os.stat(spool).st_mode) == 0o700
    fresh = ImageFiles(str(tmp_path))
    place = fresh.spool()
    del fresh
    gc.collect()
    assert not os.path.exists(place) and os.path.exists(spool)


def test_the_spool_stays_where_its_run_has_left_a_journal(tmp_path):
    os.makedirs(tmp_path / "var/tmp")
    images = ImageFiles(str(tmp_path))
    place = images.spool()
    os.makedirs(tmp_path / "run/vfio-host/journal")
    del images
    gc.collect()
    assert os.path.exists(place)


def test_kernels_are_those_with_modules(images, tmp_path):
    (tmp_path / "lib/modules/6.1").mkdir(parents=True)
    (tmp_path / "lib/modules/README").touch()
    (tmp_path / "boot/vmlinuz-6.1").touch()
    (tmp_path / "boot/vmlinuz-5.0").touch()
    assert images.kernels() == ["6.1"]
    assert images.kernel_files(["6.1", "6.2"]) == {"6.1": str(tmp_path / "boot/vmlinuz-6.1")}


def test_the_spool_of_a_run_that_a_power_cut_ended_goes(images, tmp_path):
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text("1a2b3c4d-0000-0000-0000-000000000000\n")
    for name in ("vfio-host-99999999-abc", "vfio-host-1a2b3c4d-abc", "systemd-private-abc"):
        (tmp_path / "var/tmp" / name).mkdir(parents=True)
        (tmp_path / "var/tmp" / name / "0-new").write_text("half")
    spool = os.path.basename(images.spool())
    assert sorted(os.listdir(tmp_path / "var/tmp")) == sorted(["systemd-private-abc", "vfio-host-1a2b3c4d-abc", spool])
