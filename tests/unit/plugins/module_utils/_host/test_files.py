# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import stat
import struct
from types import SimpleNamespace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host import files as module
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.files import Files


@pytest.fixture
def files(tmp_path):
    return Files(str(tmp_path))


def test_a_new_file_comes_with_its_directories(files, tmp_path):
    files.put(str(tmp_path / "a/b/c.conf"), "text\n")
    assert (tmp_path / "a/b/c.conf").read_text() == "text\n"


@pytest.mark.parametrize("data", [b"a\r\nb\r\n", b"a\rb", b"\xff\n", "a\u2028b\x0cc".encode()])
def test_what_was_read_is_put_back_to_the_byte(files, tmp_path, data):
    path = tmp_path / "c.conf"
    path.write_bytes(data)
    text = files.read(str(path))
    files.put(str(path), "other\n")
    files.put(str(path), text)
    assert path.read_bytes() == data


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)], ids=["fifo", "device"])
def test_what_has_no_end_is_not_read(files, tmp_path, make):
    make(tmp_path / "x")
    with pytest.raises(PlanError, match="/x is no file: remove it"):
        files.read(str(tmp_path / "x"))


def test_a_file_that_is_masked_is_empty(files, tmp_path):
    (tmp_path / "x").symlink_to(os.devnull)
    assert files.read(str(tmp_path / "x")) == ""


def test_a_directory_that_cannot_be_listed_is_an_error_that_names_it(files, tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(PlanError, match="a cannot be read: ENOTDIR"):
        files.names(str(tmp_path / "a"))


def test_a_directory_goes_when_nothing_is_in_it(files, tmp_path):
    files.put(str(tmp_path / "a/b"), "text\n")
    files.drop_directory(str(tmp_path / "a"))
    assert (tmp_path / "a/b").exists()
    files.put(str(tmp_path / "a/b"), None)
    for dummy in range(2):
        files.drop_directory(str(tmp_path / "a"))
        assert not (tmp_path / "a").exists()


def test_a_directory_that_cannot_go_is_named(files, tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(ApplyError, match="a cannot be removed: ENOTDIR"):
        files.drop_directory(str(tmp_path / "a"))


# A user and a mask beside owner, group and others: version 2, then (tag, permissions, id) each (source: include/uapi/linux/posix_acl_xattr.h).
ACCESS = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry) for entry in ((1, 6, 2**32 - 1), (2, 6, 65534), (4, 4, 2**32 - 1), (0x10, 6, 2**32 - 1), (0x20, 4, 2**32 - 1))
)


@pytest.mark.parametrize("write", ["put", "rewrite", "swap"])
def test_what_a_person_has_added_to_a_file_stays(files, tmp_path, write):
    path = tmp_path / "grub"
    path.write_text("old\n")
    kept = {"user.note": b"ours", "system.posix_acl_access": ACCESS}
    try:
        for name, value in kept.items():
            os.setxattr(path, name, value)
    except OSError as error:
        pytest.skip(f"{tmp_path} keeps no extended attributes: {error}")
    mode = stat.S_IMODE(path.stat().st_mode)
    if write == "swap":
        (tmp_path / "new").write_text("new\n")
        files.swap(str(tmp_path / "new"), str(path))
    elif write == "rewrite":
        files.rewrite(str(path), "new\n")
    else:
        files.put(str(path), "new\n", mode=mode)
    assert path.read_text() == "new\n"
    assert {name: os.getxattr(path, name) for name in kept} == kept
    assert stat.S_IMODE(path.stat().st_mode) == mode
    files.put(str(path), "new\n", mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_attribute_that_is_of_the_content_goes_with_it(files, tmp_path):
    path = tmp_path / "grub"
    path.write_text("old\n")
    try:
        os.setxattr(path, "trusted.hash", b"of old")
    except OSError as error:
        pytest.skip(f"{tmp_path} keeps no trusted attributes: {error}")
    files.put(str(path), "new\n")
    assert os.listxattr(path) == []


def test_a_file_whose_directory_is_a_file_by_now_is_gone(files, tmp_path):
    (tmp_path / "a").write_text("a file")
    files.put(str(tmp_path / "a/b"), None)
    assert (tmp_path / "a").read_text() == "a file"


def test_a_file_is_for_all_to_read_whatever_the_umask(files, tmp_path):
    before = os.umask(0o077)
    try:
        files.put(str(tmp_path / "c.conf"), "text\n")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "c.conf").stat().st_mode) == 0o644


def test_a_symbolic_link_is_replaced_and_not_followed(files, tmp_path):
    (tmp_path / "victim").write_text("untouched")
    (tmp_path / "c.conf").symlink_to(tmp_path / "victim")
    files.put(str(tmp_path / "c.conf"), "new")
    assert (tmp_path / "victim").read_text() == "untouched"
    assert not (tmp_path / "c.conf").is_symlink()


def test_removing_a_link_leaves_its_target(files, tmp_path):
    (tmp_path / "victim").write_text("untouched")
    (tmp_path / "c.conf").symlink_to(tmp_path / "victim")
    files.put(str(tmp_path / "c.conf"), None)
    assert sorted(os.listdir(str(tmp_path))) == ["victim"]


def test_no_text_means_no_file(files, tmp_path):
    (tmp_path / "c.conf").write_text("old")
    files.put(str(tmp_path / "c.conf"), None)
    files.put(str(tmp_path / "c.conf"), None)
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize("moment", ["fsync", "rename"])
def test_a_write_that_breaks_off_leaves_the_old_file_and_no_rest(files, tmp_path, monkeypatch, moment):
    (tmp_path / "c.conf").write_text("old")

    def fail(*dummy_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, moment, fail)
    with pytest.raises(ApplyError, match=r"c\.conf cannot be written: ENOSPC"):
        files.put(str(tmp_path / "c.conf"), "new")
    assert (tmp_path / "c.conf").read_text() == "old"
    assert os.listdir(str(tmp_path)) == ["c.conf"]


def test_what_an_earlier_boot_left_unfinished_goes_and_what_this_one_does_stays(files, tmp_path):
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text("1a2b3c4d-0000-0000-0000-000000000000\n")
    for name in (".vfio-host-tmp-99999999-abc", ".vfio-host-tmp-1a2b3c4d-abc", "c.conf.old"):
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / name).write_text("half")
    files.put(str(tmp_path / "a/c.conf"), "text\n")
    assert sorted(os.listdir(tmp_path / "a")) == [".vfio-host-tmp-1a2b3c4d-abc", "c.conf", "c.conf.old"]


def test_the_text_is_on_disk_before_the_name_points_to_it(files, tmp_path, monkeypatch):
    order = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(module.os, "fsync", lambda handle: (order.append("fsync"), fsync(handle)))
    monkeypatch.setattr(module.os, "rename", lambda old, new: (order.append("rename"), rename(old, new)))
    files.put(str(tmp_path / "c.conf"), "new")
    assert order == ["fsync", "rename", "fsync", "fsync"]


def test_on_fat_the_old_file_keeps_its_blocks_until_the_new_one_s_place_is_on_disk(files, tmp_path, monkeypatch):
    path, seen = tmp_path / "c.conf", []
    path.write_text("old")
    fsync = os.fsync

    def watched(handle):
        held = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
        seen.append((os.readlink(f"/proc/self/fd/{handle}"), f"{path} (deleted)" in held))
        fsync(handle)

    monkeypatch.setattr(module.os, "fsync", watched)
    files.put(str(path), "new")
    assert seen[1:] == [(str(tmp_path), True), (str(path), True)]
    assert f"{path} (deleted)" not in [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]


def test_reading_gives_the_text_or_none(files, tmp_path):
    (tmp_path / "c.conf").write_bytes(b"text \xff\n")
    assert files.read(str(tmp_path / "c.conf")) == "text \udcff\n"
    assert files.read(str(tmp_path / "absent")) is None


def test_what_was_read_is_written_back_byte_for_byte(files, tmp_path):
    (tmp_path / "c.conf").write_bytes(b"text \xff\n")
    files.put(str(tmp_path / "d.conf"), files.read(str(tmp_path / "c.conf")))
    assert (tmp_path / "d.conf").read_bytes() == b"text \xff\n"


def test_names_are_sorted_and_an_absent_directory_is_empty(files, tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).touch()
    assert files.names(str(tmp_path)) == ["a", "b"]
    assert files.names(str(tmp_path / "absent")) == []


def test_what_a_tool_made_is_on_disk_before_it_takes_the_old_ones_place_and_mode(files, tmp_path, monkeypatch):
    (tmp_path / "grub.cfg").write_text("old")
    (tmp_path / "grub.cfg").chmod(0o444)
    (tmp_path / "made").write_text("new")
    order = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(module.os, "fsync", lambda handle: (order.append("fsync"), fsync(handle)))
    monkeypatch.setattr(module.os, "rename", lambda old, new: (order.append("rename"), rename(old, new)))
    files.swap(str(tmp_path / "made"), str(tmp_path / "grub.cfg"))
    assert order == ["fsync", "rename", "fsync", "fsync"]
    assert (tmp_path / "grub.cfg").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "grub.cfg").stat().st_mode) == 0o444
    assert os.listdir(str(tmp_path)) == ["grub.cfg"]


def test_what_a_tool_wrote_in_its_place_is_synced_there(files, tmp_path, monkeypatch):
    (tmp_path / "grub.cfg").write_text("new")
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(module.os, "fsync", lambda handle: (synced.append(os.fstat(handle).st_ino), fsync(handle)))
    files.swap(str(tmp_path / "made"), str(tmp_path / "grub.cfg"))
    assert synced == [(tmp_path / "grub.cfg").stat().st_ino, tmp_path.stat().st_ino]
    assert (tmp_path / "grub.cfg").read_text() == "new"


def test_where_a_link_leads_to_the_old_one_that_is_replaced(files, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/grub.cfg").write_text("old")
    (tmp_path / "grub.cfg").symlink_to("real/grub.cfg")
    (tmp_path / "made").write_text("new")
    files.swap(str(tmp_path / "made"), str(tmp_path / "grub.cfg"))
    assert (tmp_path / "grub.cfg").is_symlink()
    assert (tmp_path / "real/grub.cfg").read_text() == "new"


def test_what_cannot_take_the_place_is_one_error(files, tmp_path):
    with pytest.raises(ApplyError, match=r"grub\.cfg cannot be written: ENOENT"):
        files.swap(str(tmp_path / "made"), str(tmp_path / "grub.cfg"))


@pytest.mark.parametrize("what", ["a directory", "a link to itself"])
def test_what_is_there_and_cannot_be_read_is_an_error_that_names_it(files, tmp_path, what):
    path = tmp_path / "c.conf"
    path.mkdir() if what == "a directory" else path.symlink_to(path)
    with pytest.raises(PlanError, match="c.conf cannot be read: E"):
        files.read(str(path))


def test_what_is_below_a_file_is_absent(files, tmp_path):
    (tmp_path / "c.conf").write_text("")
    assert files.read(str(tmp_path / "c.conf/d")) is None


def test_a_directory_of_ours_goes_with_all_that_is_in_it_and_need_not_be_there(tmp_path):
    files = Files(str(tmp_path))
    files.put(str(tmp_path / "a/b/c"), "x")
    files.put(str(tmp_path / "a/d"), "x")
    files.drop_tree(str(tmp_path / "a"))
    files.drop_tree(str(tmp_path / "a"))
    assert os.listdir(tmp_path) == []


def refusing(monkeypatch, name, number, wanted):
    """Have ``os.NAME`` answer with this errno for paths that hold ``wanted``."""
    real = getattr(os, name)

    def refuse(path, *more, **named):
        if wanted in str(path):
            raise OSError(number, os.strerror(number), path)
        return real(path, *more, **named)

    monkeypatch.setattr(os, name, refuse)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE, errno.ELOOP, errno.ENOMEM])
def test_where_it_cannot_be_told_whether_a_tool_has_made_a_file_it_is_not_taken_for_absent(files, tmp_path, monkeypatch, number):
    (tmp_path / "grub.cfg").write_text("old")
    (tmp_path / "made").write_text("new")
    refusing(monkeypatch, "lstat", number, "/made")
    with pytest.raises(ApplyError, match=f"cannot be written: {errno.errorcode[number]}"):
        files.swap(str(tmp_path / "made"), str(tmp_path / "grub.cfg"))
    assert (tmp_path / "grub.cfg").read_text() == "old"


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_where_it_cannot_be_told_whether_a_file_is_a_link_its_state_is_not_known(files, tmp_path, monkeypatch, number):
    (tmp_path / "target").write_text("x")
    os.symlink("target", tmp_path / "c.conf")
    refusing(monkeypatch, "lstat", number, "/c.conf")
    with pytest.raises(PlanError, match=r"c\.conf cannot be read: " + errno.errorcode[number]):
        files.state(str(tmp_path / "c.conf"))


def test_where_it_cannot_be_told_whether_directories_are_there_the_state_is_not_known(files, tmp_path, monkeypatch):
    refusing(monkeypatch, "lstat", errno.EIO, "/a")
    with pytest.raises(PlanError, match="cannot be read: EIO"):
        files.state(str(tmp_path / "a/b/c.conf"))


def test_a_link_that_cannot_be_put_in_its_place_leaves_no_rest(files, tmp_path, monkeypatch):
    refusing(monkeypatch, "rename", errno.EIO, "vfio-host-tmp")
    with pytest.raises(ApplyError, match=r"c\.conf cannot be made a link: EIO"):
        files.put_link(str(tmp_path / "c.conf"), "target")
    assert os.listdir(tmp_path) == []


def test_a_rest_that_cannot_be_removed_is_told_beside_what_broke_off(files, tmp_path, monkeypatch):
    (tmp_path / "c.conf").write_text("old")
    refusing(monkeypatch, "rename", errno.ENOSPC, "vfio-host-tmp")
    refusing(monkeypatch, "unlink", errno.EIO, "vfio-host-tmp")
    with pytest.raises(ApplyError, match=r"c\.conf cannot be written: ENOSPC .*; .*/\.vfio-host-tmp-\S+ cannot be removed: EIO"):
        files.put(str(tmp_path / "c.conf"), "new")


def test_a_directory_of_ours_that_cannot_be_looked_at_is_an_error(files, tmp_path, monkeypatch):
    files.put(str(tmp_path / "a/b/c"), "x")
    refusing(monkeypatch, "lstat", errno.EIO, "/a/b")
    with pytest.raises(ApplyError, match="/a/b cannot be removed: EIO"):
        files.drop_tree(str(tmp_path / "a"))


def test_a_place_on_a_read_only_file_system_is_known_before_it_is_there(tmp_path, monkeypatch):
    (tmp_path / "boot").mkdir()
    real = os.statvfs

    def statvfs(path):
        found = real(path)
        flags = found.f_flag & ~os.ST_RDONLY | (os.ST_RDONLY if str(path).startswith(f"{tmp_path}/boot") else 0)
        return SimpleNamespace(f_flag=flags)

    monkeypatch.setattr(os, "statvfs", statvfs)
    files = Files(str(tmp_path))
    assert files.is_read_only(f"{tmp_path}/boot/grub/grub.cfg") and files.is_read_only(f"{tmp_path}/boot")
    assert not files.is_read_only(f"{tmp_path}/etc/kernel/cmdline")
