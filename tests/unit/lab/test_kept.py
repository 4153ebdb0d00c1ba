# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from virtlab import errors, host, kept, paths

IMAGE = Path("/cache/images/trixie")


class Monitor:
    """A QEMU that answers as the real one does: ``migrate`` returns at once, ``query-migrate`` says how far it is."""

    def __init__(self, statuses=("setup", "active", "completed")):
        self.statuses = list(statuses)
        self.said = []

    def execute(self, command, arguments=None):
        self.said.append(command)
        if command in ("migrate", "migrate-incoming"):
            path = Path(arguments["uri"].partition("file:")[2])
            if command == "migrate":
                path.write_bytes(b"memory")
            assert path.read_bytes() == b"memory"
        if command == "query-migrate":
            status = self.statuses.pop(0)
            return {"status": status, **({"error-desc": "no space"} if status == "failed" else {})}
        return {}


@pytest.fixture(autouse=True)
def qemu(monkeypatch, tmp_path):
    version = ["QEMU emulator version 10.0.2"]
    monkeypatch.setattr(kept, "run", lambda argv, timeout: version[0] + "\nCopyright")
    monkeypatch.setattr(paths, "cache", lambda: tmp_path)
    return version


@pytest.fixture
def box(tmp_path):
    """What a guest has when it is kept: its console and its disk; and the place where it goes."""
    (tmp_path / "console.log").write_text("login:", encoding="utf-8")
    (tmp_path / "overlay.qcow2").write_bytes(b"disk")
    return tmp_path / "kept" / "box-0123456789ab"


def keep(monitor, place, end=lambda: None):
    kept.save(monitor, place, end, place.parent.parent / "console.log", place.parent.parent / "overlay.qcow2")


def test_the_same_host_has_the_same_place(description):
    found = [kept.directory(host.parse("box", description), IMAGE) for dummy in range(2)]
    assert found[0] == found[1]
    assert found[0].name.startswith("box-")


def test_another_image_qemu_device_or_argument_is_another_place(description, qemu):
    box = host.parse("box", description)
    places = {kept.directory(box, IMAGE), kept.directory(box, Path("/cache/images/sid"))}
    qemu[0] = "QEMU emulator version 10.1.0"
    places.add(kept.directory(box, IMAGE))
    description["devices"][0]["mac"] = "52:54:00:76:0f:0f"
    places.add(kept.directory(host.parse("box", description), IMAGE))
    description["kernel_args"].append("iommu=pt")
    places.add(kept.directory(host.parse("box", description), IMAGE))
    assert len(places) == 5


def test_another_image_is_another_place_also_where_the_disk_alone_is_of_it(description):
    box = host.parse("box", dict(description, boot="grub-efi"))
    assert kept.directory(box, IMAGE) != kept.directory(box, Path("/cache/images/sid"))


def test_an_nvme_that_is_there_at_start_is_plugged_in_later(description):
    assert kept.plugged_later(host.parse("box", description)) == ()
    description["devices"][1]["present"] = True
    assert [device.id for device in kept.plugged_later(host.parse("box", description))] == ["disk-a"]


def test_so_is_every_function_on_s390():
    found = host.load("s390")
    assert kept.plugged_later(found) == found.devices


def test_what_is_kept_is_memory_console_and_disk(box):
    monitor, ended = Monitor(), []
    keep(monitor, box, lambda: ended.append(True))
    assert {path.name: path.read_bytes() for path in box.iterdir()} == {
        "memory": b"memory", "console.log": b"login:", "disk.qcow2": b"disk"}
    assert ended == [True]
    assert monitor.said[:3] == ["stop", "migrate-set-capabilities", "migrate"]
    assert [path.name for path in box.parent.iterdir()] == [box.name]


def test_a_guest_that_cannot_be_saved_goes_on_and_leaves_nothing(box):
    monitor, ended = Monitor(["active", "failed"]), []
    with pytest.raises(errors.LabError, match="QEMU's migrate is failed: no space"):
        keep(monitor, box, lambda: ended.append(True))
    assert monitor.said[-1] == "cont"
    assert ended == []
    assert list(box.parent.iterdir()) == []


def test_what_is_kept_is_loaded_before_the_guest_goes_on(box):
    keep(Monitor(), box)
    monitor = Monitor()
    kept.load(monitor, box)
    assert monitor.said == ["migrate-set-capabilities", "migrate-incoming", *["query-migrate"] * 3, "cont"]


def test_what_no_start_has_used_for_days_is_dropped_and_nothing_of_other_hosts(box):
    names = ["box-aaaaaaaaaaaa", "box-bbbbbbbbbbbb", "box-two-aaaaaaaaaaaa"]
    for name in names:
        (box.parent / name).mkdir(parents=True)
    for name in (names[0], names[2]):
        old = time.time() - (kept.UNUSED + 1) * 86400
        os.utime(box.parent / name, (old, old))
    keep(Monitor(), box)
    assert sorted(path.name for path in box.parent.iterdir()) == sorted([box.name, *names[1:]])
