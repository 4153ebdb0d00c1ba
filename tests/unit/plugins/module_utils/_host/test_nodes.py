# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Device nodes by number, on the kernel that runs the tests."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import threading
from pathlib import Path

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host import nodes
from ansible_collections.vfio.host.plugins.module_utils._host.nodes import BLOCK, CHARACTER, NAMELESS, OTHER, Node
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
from ansible_collections.vfio.host.plugins.module_utils._host.watched import Unfinished

NULL = Node(CHARACTER, "1:3")


@pytest.fixture(params=["function", "system call"])
def look(request, monkeypatch):
    """nodes.look(), by the C library's function and by the system call's number."""
    nodes._statx.cache_clear()
    if request.param == "system call":
        if os.uname().machine not in nodes._SYSCALLS:
            pytest.skip(f"the number of the system call is not known on {os.uname().machine}")
        real = ctypes.CDLL

        class Old:
            def __init__(self, name, **more):
                self.syscall = real(name, **more).syscall

        monkeypatch.setattr(ctypes, "CDLL", Old)
    yield nodes.look
    nodes._statx.cache_clear()


def test_a_node_is_known_by_its_number_through_links(look, tmp_path):
    (tmp_path / "link").symlink_to("/dev/null")
    assert look("/dev/null") == look(str(tmp_path / "link")) == NULL


def test_what_is_no_device_is_none_whatever_it_is_called(look, tmp_path):
    (tmp_path / "null").write_text("")
    assert look(str(tmp_path / "null")) == look(str(tmp_path)) == Node(OTHER, "0:0")
    with pytest.raises(FileNotFoundError):
        look(str(tmp_path / "absent"))


def test_what_a_process_has_open_is_known_by_its_handle(look, tmp_path):
    with socket.socket() as line, open("/dev/null", "rb") as null, open(tmp_path / "a", "w", encoding="ascii") as plain:
        poll = select.epoll()
        found = [look(f"/proc/self/fd/{one.fileno()}").kind for one in (line, null, plain, poll)]
        poll.close()
    assert found == [OTHER, CHARACTER, OTHER, NAMELESS]


def test_a_file_that_was_removed_under_a_path_longer_than_a_page_is_looked_at(look, tmp_path):
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        for dummy in range(40):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        handle = os.open("file", os.O_CREAT | os.O_RDONLY, 0o600)
    finally:
        os.chdir(here)
    try:
        with pytest.raises(OSError) as caught:
            os.readlink(f"/proc/self/fd/{handle}")
        assert caught.value.errno == errno.ENAMETOOLONG
        assert look(f"/proc/self/fd/{handle}") == Node(OTHER, "0:0")
    finally:
        os.close(handle)


def asking(monkeypatch, answers):
    """A kernel that answers so: mask -> errno or 0."""

    def ask(path, mask):
        if answers[mask]:
            raise OSError(answers[mask], "no")
        return bytes(256)

    monkeypatch.setattr(nodes, "_statx", lambda: ask)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_a_file_that_its_server_took_away_is_no_device(monkeypatch, number):
    asking(monkeypatch, {3: number, 0: number})
    assert nodes.look("/x") == Node(OTHER, "0:0")


def test_a_file_of_another_users_fuse_is_no_device(monkeypatch):
    asking(monkeypatch, {3: errno.EACCES, 0: 0})
    assert nodes.look("/x") == Node(OTHER, "0:0")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENOSYS])
def test_a_file_that_the_kernel_refuses_to_tell_of_may_be_one(monkeypatch, tmp_path, number):
    asking(monkeypatch, {3: number, 0: number})
    fs = Sysfs(str(tmp_path))
    assert fs.look("/x") is None and fs.refusal("/x") == number


def test_where_nothing_can_ask_the_kernel_that_is_told(monkeypatch, tmp_path):
    nodes._statx.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda name, **more: object())
    monkeypatch.setattr(nodes, "_SYSCALLS", {})
    fs = Sysfs(str(tmp_path))
    assert fs.look("/dev/null") is None and fs.refusal("/dev/null") == errno.ENOSYS
    nodes._statx.cache_clear()


@pytest.fixture
def root():
    """A test that makes nodes."""
    if os.geteuid():
        pytest.skip("only root makes device nodes")


@pytest.mark.usefixtures("root")
def test_a_disk_that_is_not_there_answers_so_and_leaves_no_node(tmp_path):
    fs = Sysfs(str(tmp_path))
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/odd").symlink_to("/dev/null")  # called like the disk, and another device
    answer = fs.claim("259:1048575", "odd")
    assert answer in (errno.ENXIO, errno.EACCES, errno.EPERM), errno.errorcode.get(answer)
    assert os.listdir(tmp_path / "dev") == ["odd"]


def test_a_disk_that_does_not_answer_is_not_waited_for(monkeypatch, tmp_path):
    class Never:
        def call(self, words, timeout):
            assert words == ("8:0", f"{tmp_path}/dev", f"{tmp_path}/dev/cciss/c0d0", f"{tmp_path}/dev/block/8:0")
            raise Unfinished(1)

    fs = Sysfs(str(tmp_path))
    fs._claimer = Never()
    assert fs.claim("8:0", "cciss!c0d0") == errno.ETIMEDOUT


def test_numbers_of_block_devices_are_told_from_those_of_character_devices(look):
    blocks = [str(one) for one in Path("/dev").glob("*") if one.is_block_device()]
    if not blocks:
        pytest.skip("no block device in /dev")
    status = os.stat(blocks[0])
    assert look(blocks[0]) == Node(BLOCK, f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}")


# CLONE_FILES and CLONE_FS: include/uapi/linux/sched.h
OWN = {nodes.FILES: 0x400, nodes.VIEW: 0x200}


def of_thread(what, has_own):
    """Whether a thread of this process, which has ``what`` of its own or not, shares it."""
    ready, done, told = threading.Event(), threading.Event(), []

    def live():
        if has_own:
            assert ctypes.CDLL(None).unshare(OWN[what]) == 0
        told.append(threading.get_native_id())
        ready.set()
        done.wait(10)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        assert ready.wait(10)
        return f"/proc/{os.getpid()}/task/{told[0]}" not in Sysfs().threads(str(os.getpid()), own=what)
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("what", OWN, ids=("files", "view"))
def test_a_thread_with_something_of_its_own_is_told_from_the_others(what):
    if nodes._kcmp() is None or nodes._kcmp()(os.getpid(), os.getpid(), what):
        pytest.skip("this kernel, or who runs the tests, does not let kcmp(2) be asked")
    assert of_thread(what, has_own=False)
    assert not of_thread(what, has_own=True)


@pytest.mark.parametrize("call", [lambda pid, thread, what: -1, None])
def test_where_the_kernel_does_not_tell_each_thread_may_have_something_of_its_own(monkeypatch, call):
    monkeypatch.setattr(nodes, "_kcmp", lambda: call)
    assert not nodes.shares(os.getpid(), os.getpid(), what=nodes.FILES)


def test_a_node_that_is_not_there_has_no_access_and_one_that_cannot_be_told_raises(tmp_path):
    (tmp_path / "file").write_text("")
    assert nodes.access("/dev/null").number == "1:3"
    assert [nodes.access(str(path)) for path in (tmp_path / "none", tmp_path / "file/below", tmp_path / "file")] == [None] * 3
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OSError) as caught:
        nodes.access(str(loop / "below"))
    assert caught.value.errno == errno.ELOOP
