# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes that have a VFIO file open, as the facts show them: by the numbers of devices, whatever a name says."""

from __future__ import annotations

import errno
import os

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import VfioHostError
from ansible_collections.vfio.host.plugins.module_utils._host.nodes import CHARACTER, NAMELESS, OTHER, Node
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, PAIR, PAIR2

GROUP = "/dev/vfio/14"
DEVICE = Node(NAMELESS, "0:0"), "anon_inode:[vfio-device]"


@pytest.fixture
def taken(host):
    """A device on VFIO."""
    host.take(NIC)
    return host


def holders(host, address=NIC):
    return [(one["pid"], one["command"]) for one in host.facts(address)["holders"]]


def test_no_process_holds_anything(taken):
    assert holders(taken) == []


def test_the_facts_show_who_holds_a_device(taken):
    taken.kernel.hold(NIC, 4242, "qemu-system-x86")
    assert taken.facts(NIC)["holders"] == [{"pid": 4242, "command": "qemu-system-x86"}]
    assert holders(taken, EDU) == []


def test_the_container_file_holds_no_device(taken):
    taken.kernel.process(1, "a")
    taken.kernel.open_file(1, 3, "/dev/vfio/vfio", Node(CHARACTER, "10:196"))
    assert holders(taken) == []


def test_one_process_is_named_once(taken):
    taken.kernel.hold(NIC, 1, "a")
    taken.kernel.open_file(1, 13, GROUP, taken.kernel.look(taken.root + GROUP))
    assert holders(taken) == [(1, "a")]


def test_what_python_takes_for_a_digit_is_no_process(taken):
    taken.kernel.hold(NIC, 1, "a")
    (taken.tree.root / "proc/\u00b2/fd").mkdir(parents=True)
    (taken.tree.root / "proc/1/task/\u00b9/fd").mkdir(parents=True)
    assert holders(taken) == [(1, "a")]


def test_a_process_that_ends_during_the_look_is_no_error(taken):
    (taken.tree.root / "proc/77").mkdir()
    assert holders(taken) == []


@pytest.mark.parametrize("text", ["/srv/chroot/dev/vfio/14", "/some/other/name", "/dev/null", "/dev/vfio/14 (deleted)"])
def test_a_holder_is_found_by_number_whatever_its_namespace_or_chroot_calls_the_node(taken, text):
    taken.kernel.process(9, "qemu")
    taken.kernel.open_file(9, 3, text, taken.kernel.look(taken.root + GROUP))
    assert holders(taken) == [(9, "qemu")]


@pytest.mark.parametrize("node", [Node(OTHER, "0:0"), Node(CHARACTER, "1:3"), Node("block", "242:0")])
def test_a_file_that_is_only_called_like_a_node_is_no_holder(taken, node):
    taken.kernel.process(999, "liar")
    taken.kernel.open_file(999, 3, GROUP, node)
    assert holders(taken) == []
    assert taken.release()["changed"]


def test_a_handle_that_only_names_a_node_is_no_holder(taken):
    """O_PATH needs no right to open the node."""
    taken.kernel.process(999, "liar")
    taken.kernel.open_file(999, 3, GROUP, taken.kernel.look(taken.root + GROUP), flags="012100000")
    assert holders(taken) == []
    assert taken.release()["changed"]


def too_long(monkeypatch, host, end):
    """Links that end so answer as the kernel does for a path longer than a page."""
    real = os.readlink

    def readlink(path, **more):
        if str(path).endswith(end):
            raise OSError(errno.ENAMETOOLONG, "no")
        return real(path, **more)

    monkeypatch.setattr(os, "readlink", readlink)


def test_a_path_longer_than_a_page_is_no_holder_and_stops_no_run(taken, monkeypatch):
    taken.kernel.process(999, "user")
    taken.kernel.open_file(999, 3, "/deep", Node(OTHER, "0:0"))
    too_long(monkeypatch, taken, "/999/fd/3")
    assert holders(taken) == []
    assert taken.release(check=True)["changed"] and taken.release()["changed"]


def test_a_node_with_a_path_longer_than_a_page_holds(taken, monkeypatch):
    taken.kernel.hold(NIC, 862, "qemu")
    too_long(monkeypatch, taken, "/862/fd/12")
    assert holders(taken) == [(862, "qemu")]
    with pytest.raises(VfioHostError, match="in use by process 862"):
        taken.release()


def refuse(host, monkeypatch, end, number):
    """A look at what ends so is refused."""
    real = host.kernel.look

    def look(path):
        if not path.endswith(end):
            return real(path)
        host.kernel.note(path, OSError(number, "no"))
        return None

    monkeypatch.setattr(host.kernel, "look", look)


def test_a_file_that_may_not_be_looked_at_may_be_any_device(taken, monkeypatch):
    taken.kernel.process(999, "odd")
    taken.kernel.open_file(999, 3, "/x", Node(OTHER, "0:0"))
    refuse(taken, monkeypatch, "/999/fd/3", errno.EPERM)
    ((pid, command),) = holders(taken)
    assert pid == 999 and command == "odd: what it has open cannot be read, so it may be this"
    assert holders(taken, EDU) == []
    with pytest.raises(VfioHostError, match="999"):
        taken.release()
    assert taken.driver(NIC) == "vfio-pci"


def test_a_process_whose_files_cannot_be_listed_may_hold_any_device(taken, monkeypatch):
    taken.kernel.process(999, "odd")
    real = os.listdir

    def listdir(path):
        if str(path).endswith("/999/fd"):
            raise OSError(errno.EIO, "no")
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    assert [pid for pid, dummy in holders(taken)] == [999]


@pytest.mark.parametrize("command, shown", [
    (b"caf\xe9", "caf\\xe9"), (b"a\nb", "a\\nb"), (b"\x1b[2J", "\\x1b[2J"), ("größe".encode(), "größe"),
])
def test_a_command_that_is_no_text_is_left_escaped(taken, command, shown):
    taken.kernel.hold(NIC, 5, "a")
    taken.tree.put(taken.tree.root / "proc/5/comm", command + b"\n")
    assert holders(taken) == [(5, shown)]
    shown.encode("utf-8")


def test_a_thread_with_open_files_of_its_own_is_looked_at_too(taken):
    taken.kernel.process(5, "a")
    for thread in ("5", "6"):
        (taken.tree.root / f"proc/5/task/{thread}/fd").mkdir(parents=True)
    link = taken.tree.root / "proc/5/task/6/fd/3"
    link.symlink_to(GROUP)
    taken.kernel._files[str(link)] = taken.kernel.look(taken.root + GROUP)
    assert holders(taken) == [(5, "a")]


def test_who_holds_a_group_holds_each_member(host):
    host.take(PAIR, PAIR2)
    host.kernel.hold(PAIR, 4242, "qemu")
    assert host.facts(PAIR2)["holders"] == [{"pid": 4242, "command": "qemu"}]


def test_a_character_device_holds_its_device_alone(host):
    host.take(PAIR, PAIR2)
    (name,) = host.kernel.names(host.kernel.device_directory(PAIR2) + "/vfio-dev")
    host.kernel.hold(PAIR2, 4242, "qemu", node=f"devices/{name}")
    assert host.facts(PAIR)["holders"] == []
    assert host.facts(PAIR2)["holders"] == [{"pid": 4242, "command": "qemu"}]


def test_without_an_iommu_the_holder_is_found_by_its_noiommu_node(make_host):
    host = make_host(hosts.x86(iommu=False, noiommu=True))
    host.take(EDU)
    (name,) = host.kernel.names(host.kernel.device_directory(EDU) + "/vfio-dev")
    host.kernel.hold(EDU, 5, "dpdk", node=f"devices/{name}")
    assert host.facts(EDU)["holders"] == [{"pid": 5, "command": "dpdk"}]


def received(host, device, pid=5):
    """A process has a device's VFIO file, which another process opened through the group and sent it."""
    host.kernel.process(pid, "vfio-user")
    node, text = DEVICE
    host.kernel.open_file(pid, 7, text, node)
    if device:
        path = host.kernel.device_directory(device)[len(host.root):]
        with open(f"{host.root}/proc/{pid}/fdinfo/7", "a", encoding="utf-8") as stream:
            stream.write(f"vfio-device-syspath: {path}\n")


def test_a_device_file_that_another_process_sent_holds_the_device_that_the_kernel_names(host):
    host.take(NIC, EDU)
    received(host, NIC)
    assert holders(host) == [(5, "vfio-user")] and holders(host, EDU) == []
    with pytest.raises(VfioHostError, match=f"{NIC} .* in use by process 5"):
        host.release()


def test_a_device_file_of_which_the_kernel_does_not_say_whose_it_is_may_be_any(host):
    host.take(NIC, EDU)
    received(host, None)
    assert holders(host) == holders(host, EDU) == [(5, "vfio-user")]


def test_a_device_file_beside_its_group_is_of_that_group(host):
    host.take(NIC, EDU)
    host.kernel.hold(NIC, 5, "qemu")
    host.kernel.open_file(5, 14, DEVICE[1], DEVICE[0])
    assert holders(host) == [(5, "qemu")] and holders(host, EDU) == []


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES], ids=errno.errorcode.get)
@pytest.mark.parametrize("name", ["vfio", "vfio-dev"])
def test_where_a_class_of_vfio_cannot_be_read_every_device_is_asked_for_its_nodes(host, monkeypatch, name, number):
    host.take(NIC)
    (own,) = host.kernel.names(host.kernel.device_directory(NIC) + "/vfio-dev")
    host.kernel.hold(NIC, 7, "a", node=None if name == "vfio" else f"devices/{own}")
    listdir = os.listdir

    def refuse(path):
        if path == f"{host.root}/sys/class/{name}":
            raise OSError(number, os.strerror(number))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)
    assert holders(host) == [(7, "a")]


def test_devices_that_vfio_does_not_have_are_not_asked_for_its_nodes(taken, monkeypatch):
    asked, listdir = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: asked.append(path) or listdir(path))
    taken.survey()
    directories = [path for path in asked if path.endswith("/vfio-dev") and "/sys/devices/" in path]
    assert [path.split("/")[-2] for path in directories] == [NIC]
