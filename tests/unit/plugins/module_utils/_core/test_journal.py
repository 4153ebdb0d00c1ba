# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal: what it remembers is put back by goal, in one order, and one thing that fails keeps no other."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
from ansible_collections.vfio.host.plugins.module_utils._core.resources import (
    KINDS,
    Binding,
    Commands,
    File,
    Image,
    Loaded,
    NodeAccess,
    Option,
    VfAttributes,
    Vfs,
)
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, KernelRefusal, PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, PF
from ansible_collections.vfio.host.tests.unit.fake.sriov import SMALL, VFS, vf_drivers
from ansible_collections.vfio.host.tests.unit.fake.unread import Refusing

ADDRESSES = (NIC, NVME, EDU)


@pytest.fixture
def journal(host):
    return Journal(host.kernel, host.files, task="test")


def bindings(host):
    return [Binding(one, host.driver(one), host.override(one)) for one in ADDRESSES]


def test_what_was_remembered_first_counts(host, journal):
    path = host.files.modprobe_conf
    journal.remember(files=[path])
    host.files.put(path, "first\n")
    journal.remember(files=[path])
    host.files.put(path, "second\n")
    assert journal.restore() == []
    assert host.files.read(path) is None


def test_a_file_comes_back_with_its_mode_and_its_directory_goes_where_it_was_not_there(host, journal):
    there, absent = host.root + "/etc/there", host.root + "/etc/new/absent"
    host.files.put(there, "a\r\nb\udce9\n", mode=0o640)
    journal.remember(files=[there, absent])
    host.files.put(there, "other\n")
    host.files.put(absent, "new\n")
    assert journal.restore() == []
    assert host.files.read(there) == "a\r\nb\udce9\n"
    assert os.stat(there).st_mode & 0o777 == 0o640
    assert not os.path.exists(host.root + "/etc/new")


def test_all_directories_that_were_not_there_go_and_those_that_were_stay(host, journal):
    os.makedirs(host.root + "/etc/one")
    paths = [host.root + "/etc/one/two/three/file", host.root + "/etc/one/other"]
    journal.remember(files=paths)
    for path in paths:
        host.files.put(path, "new\n")
    assert journal.restore() == []
    assert os.listdir(host.root + "/etc/one") == []


def test_an_option_of_a_module_that_somebody_has_unloaded_has_nothing_to_be_put_back(host, journal):
    directory = host.kernel.modules + "/lab_card"
    path = directory + "/parameters/depth"
    host.tree.put(path, "4\n")
    journal.remember(Option(path, "4"))
    os.unlink(path)
    assert "ENOENT" in journal.restore()[0]  # a module that is there and does not show it
    os.rmdir(directory + "/parameters")
    os.rmdir(directory)
    assert journal.restore() == []


@pytest.mark.parametrize("target", ["mine", "../etc/mine", "gone"])
def test_a_link_comes_back_as_a_link_and_its_target_is_not_touched(host, journal, target):
    path = host.root + "/etc/there"
    host.tree.put(host.root + "/etc/mine", "mine\n")
    os.symlink(target, path)
    before = host.snapshot("/run")
    journal.remember(files=[path])
    host.files.put(path, "ours\n")
    other = Journal(host.kernel, host.files)
    assert other.load() and other.restore() == []
    assert host.snapshot("/run") == before


def test_what_a_tool_wrote_through_a_link_is_put_back_through_it(host, journal):
    path, mine = host.root + "/etc/there", host.root + "/etc/mine"
    host.files.put(mine, "before\n", mode=0o600)
    os.symlink("mine", path)
    before = host.snapshot("/run")
    journal.remember(files=[path])
    host.files.put(mine, "after\n")
    assert journal.restore() == []
    assert (host.snapshot("/run"), os.stat(mine).st_mode & 0o777) == (before, 0o600)


def test_what_is_as_it_was_is_not_written(host, journal):
    path = host.root + "/etc/there"
    host.files.put(path, "same\n")
    journal.remember(*bindings(host), files=[path])
    host.faults.reset()
    assert journal.restore() == []
    assert host.faults.log == []


def test_one_thing_that_cannot_be_put_back_keeps_no_other(host, journal):
    journal.remember(*bindings(host))
    host.take(NIC, NVME, EDU)
    host.kernel.refusals["nvme", NVME] = errno.EIO
    (problem,) = journal.restore()
    assert problem.startswith(f"{NVME} could not be put back to driver nvme and override None: ")
    assert (host.driver(NIC), host.driver(EDU)) == ("e1000e", None)


def test_a_driver_whose_module_was_removed_meanwhile_is_loaded_again(host, journal):
    journal.remember(*bindings(host))
    host.take(NIC)
    host.kernel.run(["rmmod", "e1000e"])
    assert journal.restore() == []
    assert (host.driver(NIC), host.override(NIC)) == ("e1000e", None)


def test_a_driver_that_has_another_name_than_its_module_is_loaded_by_the_device_alias(make_host):
    modules = tuple(replace(one, name="lab_card") if one.name == "e1000e" else one for one in hosts.MODULES)
    host = make_host(hosts.x86(modules=modules))
    journal = Journal(host.kernel, host.files, task="test")
    journal.remember(*bindings(host))
    host.take(NIC)
    host.kernel.run(["rmmod", "lab_card"])
    assert journal.restore() == []
    assert host.driver(NIC) == "e1000e"


def test_a_driver_that_does_not_load_is_named_and_the_next_attempt_loads_it(host, journal):
    journal.remember(*bindings(host))
    host.take(NIC, EDU)
    host.kernel.run(["rmmod", "e1000e"])
    others, host.kernel.run = host.kernel.run, lambda words: (1, "", "Error running install command '/bin/false' for module e1000e")
    (problem,) = journal.restore()
    assert problem.startswith(f"{NIC} could not be put back to driver e1000e and override None: driver e1000e is not loaded any more: ")
    assert problem.endswith(": modprobe failed with status 1: Error running install command '/bin/false' for module e1000e")
    # Whoever loads it has the device back.
    assert (host.driver(NIC), host.override(NIC), host.driver(EDU)) == (None, "e1000e", None)
    host.kernel.run = others
    assert journal.restore() == []
    assert (host.driver(NIC), host.override(NIC)) == ("e1000e", None)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_kind_whose_restoring_fails_is_named_and_the_rest_is_restored(host, journal, monkeypatch, kind):
    restored, texts = [], {"File": ["/x", None], "Image": ["/i", {}, []], "Vfs": [PF, False, []], "Commands": [[["true"]]]}
    texts["VfAttributes"] = [PF, "enp1s0", 7, []]
    texts.update({"Reread": [["true"]], "NodeAccess": ["/dev/vfio/14", "242:14", 0, 0, 0o600, "/sys/class/vfio/14/uevent"]})
    for one in KINDS:
        fields = texts.get(one.__name__) or [f"{one.__name__}-name", None, None][: 1 if one.__name__ == "Unloaded" else 3]
        if one.__name__ in ("Autoprobe", "Option"):
            fields = fields[:2]

        def restore(self, dummy, one=one):
            if one is kind:
                raise ApplyError("no")
            restored.append(one)

        monkeypatch.setattr(one, "restore", restore)
        journal.remember(one(*fields))
    (problem,) = journal.restore()
    assert problem.endswith(": no") and "put back" in problem
    assert set(restored) == set(KINDS) - {kind}


def test_files_come_before_devices_and_what_a_boot_loader_keeps_comes_last(host, journal, monkeypatch):
    order = []
    for kind in (File, Vfs, Binding, Option, Commands, Image):
        monkeypatch.setattr(kind, "restore", lambda self, dummy: order.append(self.what.split(" ")[0]))
    journal.remember(
        File("record", "before", is_last=True), Commands([["zipl"]]), Option("option", "1"), Binding("device", None, None),
        Vfs("pf", True, []), File("early", None), File("late", None),
    )
    assert journal.restore() == []
    assert order == ["late", "early", "pf", "device", "option", "what", "record"]


def test_a_record_that_knows_both_states_is_written_first_and_restored_last(host, journal):
    path = host.root + "/etc/record"
    seen = []
    journal.remember(File(path, "before\n", meanwhile="both\n", is_last=True), Commands([["true"]]))
    host.files.put(path, "after\n")
    host.kernel.run = lambda words: seen.append(host.files.read(path)) or (0, "", "")
    assert journal.restore() == []
    assert (seen, host.files.read(path)) == (["both\n"], "before\n")


def test_a_command_that_fails_keeps_no_other_from_being_run(host, journal):
    ran = []
    host.kernel.run = lambda words: ran.append(words[0]) or (int(words[0] == "zipl"), "", "no space")
    journal.remember(Commands([["zipl"], ["proxmox-boot-tool"]]))
    assert journal.restore() == ["what the boot loader boots was not put back: zipl failed with status 1: no space"]
    assert ran == ["zipl", "proxmox-boot-tool"]


def test_a_tool_that_does_not_say_what_it_has_is_told_nothing(host, journal):
    ran = []
    host.kernel.run = lambda words: ran.append(words) or (1, "", "busy")
    journal.remember(Commands([["rpm-ostree", "kargs", "--append=quiet"]], ["rpm-ostree", "kargs"], "quiet"))
    assert journal.restore() == ["what the boot loader boots was not put back: rpm-ostree failed with status 1: busy"]
    assert ran == [["rpm-ostree", "kargs"]]


def test_a_copy_of_an_image_that_cannot_be_put_back_keeps_no_other(host, journal):
    for path, text in (("/boot/image", "new"), ("/boot/efi/image", "new"), ("/var/tmp/0", "before"), ("/var/tmp/1", "before")):
        host.tree.put(host.root + path, text)
    os.makedirs(host.root + "/boot/.vfio-host-new-image")  # nothing can be written beside it
    os.link(host.root + "/boot/image", host.root + "/boot/.vfio-host-old-image")
    olds = {host.root + "/boot/image": host.root + "/var/tmp/0", host.root + "/boot/efi/image": host.root + "/var/tmp/1"}
    journal.remember(Image(host.root + "/boot/image", olds, [["zipl"]]))
    ran = []
    host.kernel.run = lambda words: ran.append(words) or (0, "", "")
    (problem,) = journal.restore()
    assert problem.startswith(f"{host.root}/boot/image was not put back: ")
    assert host.files.read(host.root + "/boot/efi/image") == "before" and ran == [["zipl"]]
    assert os.path.exists(host.root + "/boot/.vfio-host-old-image")
    os.rmdir(host.root + "/boot/.vfio-host-new-image")
    assert journal.restore() == []
    assert host.files.read(host.root + "/boot/image") == "before"
    assert not os.path.exists(host.root + "/boot/.vfio-host-old-image")


def test_what_is_restored_since_a_mark_can_be_remembered_again(host, journal):
    path = host.root + "/etc/a"
    journal.remember(files=[host.root + "/etc/b"])
    mark = journal.mark()
    journal.remember(files=[path])
    host.files.put(path, "x\n")
    host.files.put(host.root + "/etc/b", "y\n")
    assert journal.restore(mark) == []
    assert (host.files.read(path), host.files.read(host.root + "/etc/b")) == (None, "y\n")
    journal.remember(files=[path])
    host.files.put(path, "x\n")
    assert journal.restore() == []
    assert (host.files.read(path), host.files.read(host.root + "/etc/b")) == (None, None)


def test_another_process_restores_from_disk(host, journal):
    journal.remember(*bindings(host), files=[host.files.modprobe_conf])
    before = [host.driver(one) for one in ADDRESSES]
    host.take(*ADDRESSES)
    host.files.put(host.files.modprobe_conf, "x\n")
    journal._write()  # the run in between has its own
    other = Journal(host.kernel, host.files)
    assert other.load() and other.task == "test"
    assert other.restore() == []
    assert [host.driver(one) for one in ADDRESSES] == before
    assert host.files.read(host.files.modprobe_conf) is None


def test_what_is_read_again_is_equal_to_what_was_remembered(host, journal):
    path = host.root + "/etc/there"
    host.files.put(path, "x\n")
    rows = [Vfs(PF, True, [("0000:01:10.0", None, "vfio-pci")]), Loaded("e1000e", 7, [("debug", "1")]), File.now(host.files, path)]
    journal.remember(*rows)
    other = Journal(host.kernel, host.files)
    assert other.load()
    assert other._resources == rows


@pytest.mark.parametrize("kind, fields", [
    ("Vfs", {"address": PF, "autoprobe": True, "vfs": [["0000:01:10.0"]]}),
    ("Vfs", {"address": PF, "autoprobe": True, "vfs": [[None, "igbvf", None]]}),
    ("Vfs", {"address": PF, "autoprobe": True, "vfs": ["0000:01:10.0"]}),
    ("Loaded", {"module": "e1000e", "instance": 1, "options": [["debug"]]}),
    ("File", {"path": "/etc/x", "text": "x", "owner": [0]}),
])
def test_a_journal_with_a_damaged_row_is_refused_before_anything_is_restored(host, journal, kind, fields):
    head = {"v": 1, "task": "x", "time": "y"}
    host.files.put(host.files.journal + "/journal.json", json.dumps({**head, "resources": [[kind, fields]]}))
    with pytest.raises(PlanError, match=f"cannot be read .ValueError: .* of {kind} is .*: remove it"):
        journal.load()


def test_a_journal_that_cannot_be_written_remembers_nothing(make_host):
    host = make_host(hosts.x86())
    journal = Journal(host.kernel, host.files)
    host.faults.reset()
    host.faults.fail_at(0, errno.ENOSPC)
    with pytest.raises(ApplyError, match="journal.json cannot be written: ENOSPC"):
        journal.remember(files=[host.files.modprobe_conf])
    assert journal.mark() == 0
    journal.remember(files=[host.files.modprobe_conf])
    assert journal.mark() == 1


def test_a_node_that_is_another_s_by_now_is_left_alone(host, journal):
    host.take(NIC)
    path = host.root + host.group_node(NIC)
    found = host.kernel.access(path)
    journal.remember(NodeAccess(path, "242:9999", 5, 5, 0o640, host.kernel.vfio_groups + "/14/uevent"))
    assert journal.restore() == []
    assert host.kernel.access(path) == found


def test_a_node_comes_back_with_owner_and_mode(host, journal):
    host.take(NIC)
    path = host.root + host.group_node(NIC)
    found = host.kernel.access(path)
    journal.remember(NodeAccess(path, found.number, found.uid, found.gid, found.mode, host.kernel.vfio_groups + "/14/uevent"))
    host.kernel.give(path, found._replace(uid=5, mode=0o660))
    assert journal.restore() == []
    assert host.kernel.access(path) == found


@pytest.fixture
def two_vfs(make_host):
    """A host whose PF has two VFs with MACs, its journal, and the name and number of the PF's interface."""
    host = make_host(SMALL)
    (name,) = host.kernel.names(f"{host.kernel.pci_devices}/{PF}/net")
    index = host.kernel.number(f"{host.kernel.net}/{name}/ifindex")
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "2")
    return host, Journal(host.kernel, host.files, task="test"), (name, index)


def test_attributes_of_vfs_go_to_the_interface_that_the_pf_has_by_then(two_vfs):
    host, journal, (name, index) = two_vfs
    journal.remember(VfAttributes(PF, name, index, [(1, {"mac": "52:54:00:00:00:07"})]))
    host.tree.put(os.path.realpath(f"{host.kernel.net}/{name}") + "/ifindex", "77\n")  # as after a bind
    assert journal.restore() == []
    assert host.kernel.read_vfs(77).vfs[1]["mac"] == "52:54:00:00:00:07"


def test_a_vf_whose_attributes_are_refused_gets_no_driver_and_the_others_do(two_vfs, monkeypatch):
    host, journal, interface = two_vfs
    rows = [(index, {"mac": f"52:54:00:00:00:0{index}"}) for index in range(3)]
    journal.remember(Vfs(PF, True, [(vf, "igbvf", None) for vf in VFS[:3]], interface, rows))
    real = host.kernel.write_vf

    def write_vf(index, *, name, vf, group, values):
        if vf == 1:
            raise KernelRefusal("VF 1", "mac", error=OSError(errno.EBUSY, "no"))
        real(index, name=name, vf=vf, group=group, values=values)

    with monkeypatch.context() as patch:
        patch.setattr(host.kernel, "write_vf", write_vf)
        (problem,) = journal.restore()
    assert problem.endswith("writing 'mac' to VF 1: EBUSY (Device or resource busy)")
    assert vf_drivers(host) == ["igbvf", None, "igbvf"]
    assert journal.restore() == []
    assert vf_drivers(host) == ["igbvf"] * 3
    assert host.kernel.read_vfs(interface[1]).vfs[1]["mac"] == "52:54:00:00:00:01"


def test_whatever_cannot_be_read_a_device_is_back_or_it_is_said(host):
    """One thing after the other that restoring reads."""
    device = host.survey().devices[EDU]
    remembered = Binding(EDU, device.driver, device.driver_override, modalias=device.modalias)

    refusing = Refusing(host.kernel)

    def restored(victim):
        host.take(EDU)
        assert host.driver(EDU) == "vfio-pci"
        journal = Journal(host.kernel, host.files, task="test")
        journal.remember(remembered)
        refusing.read.clear()
        refusing.victim = victim
        problems = journal.restore()
        refusing.victim = None
        return problems, (host.driver(EDU), host.override(EDU)) == (device.driver, device.driver_override)

    assert restored(None) == ([], True)
    victims = sorted(refusing.read)
    for victim in victims:
        problems, is_back = restored(victim)
        assert problems or is_back, victim
    assert len([path for dummy, path in victims if EDU in path]) > 2


def test_a_node_that_cannot_be_looked_at_is_said(host, monkeypatch):
    def access(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    monkeypatch.setattr(host.kernel, "access", access)
    journal = Journal(host.kernel, host.files, task="test")
    journal.remember(NodeAccess("/dev/vfio/8", "243:8", 0, 0, 0o600, "/sys/class/vfio/8/uevent"))
    assert journal.restore() == ["/dev/vfio/8 was not put back to owner 0:0 and mode 0600: /dev/vfio/8: EIO (Input/output error)"]
