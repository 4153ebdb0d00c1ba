# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process opens a device between the check and the unbind: the run ends in its time, and so does the next."""

from __future__ import annotations

import errno
import os

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME

QEMU = 862


@pytest.fixture
def taken(host):
    """Three devices on VFIO, and a process that opens the second as soon as its override is written."""
    host.take(NVME, NIC, EDU)
    host.faults.reset()
    return host


def opens_before(host, address):
    """Have the unbind of ``address`` be preceded by a process that opens it."""
    step = host.faults.step

    def watch(*what):
        if what[0] == "write" and what[1].endswith("/unbind") and what[2] == address and QEMU not in host.kernel._held:
            host.kernel.hold(address, QEMU, "qemu-system-x86")
        step(*what)

    host.faults.step = watch


def stuck(host, timeout=5):
    opens_before(host, NIC)
    begin = host.kernel.now
    with pytest.raises(ApplyError) as caught:
        host.release(timeout=timeout)
    assert timeout <= host.kernel.now - begin <= timeout + 1  # one second for the override
    return caught.value.messages


def test_the_task_ends_in_its_time_and_says_who_has_the_device_and_what_comes(taken):
    messages = stuck(taken)
    assert messages[0].startswith(f"{NIC} (Intel Corporation 82574L Gigabit Network Connection): driver vfio-pci did not")
    assert "in 5 seconds: process 862 (qemu-system-x86) holds it" in messages[0]
    assert "When the device is let go, it will be without a driver; then run again" in messages[0]


def test_all_that_can_be_put_back_is_and_the_rest_is_named(taken):
    rules = taken.rules()
    messages = stuck(taken)
    assert (taken.driver(NVME), taken.driver(EDU)) == ("vfio-pci", "vfio-pci")
    assert (taken.rules(), taken.rules(volatile=True)) == (rules, None)
    assert len(messages) == 2
    assert messages[1].startswith(f"{NIC} (Intel Corporation 82574L Gigabit Network Connection) could not be put back to")
    assert messages[1].endswith("still waits for its driver to let go")


def test_the_next_survey_touches_nothing_that_blocks_and_says_so(taken):
    stuck(taken)
    found = taken.survey()
    assert (found.devices[NIC].driver, found.devices[NIC].driver_override) == (None, None)
    assert found.devices[NIC].holders == [{"pid": QEMU, "command": "qemu-system-x86"}]
    assert list(found.stuck) == [NIC]
    assert "process 862 (qemu-system-x86) has it open" in found.stuck[NIC]
    assert found.stuck[NIC] in found.warnings


@pytest.mark.parametrize("run", ["release", "take", "native"])
def test_the_next_run_is_refused_before_it_touches_anything(taken, run):
    stuck(taken)
    before = taken.snapshot()
    act = {
        "release": taken.release,
        "take": lambda: taken.take(NVME, NIC, EDU),
        "native": lambda: taken.take(NVME, EDU, {"match": {"address": NIC}, "driver": "native"}),
    }[run]
    with pytest.raises(PlanError, match=f"{NIC} .* is stuck: .* process 862"):
        act()
    assert taken.snapshot() == before


def test_a_run_about_other_devices_is_not_refused(taken):
    stuck(taken)
    assert taken.run({"other": [{"match": {"address": "0000:03:00.0"}}]})["changed"]


def test_when_the_device_is_let_go_the_next_run_ends_as_declared(taken):
    stuck(taken)
    taken.kernel.let_go(QEMU)
    assert taken.driver(NIC) is None
    assert not taken.survey().stuck
    taken.release()
    assert taken.driver(NIC) == "e1000e"
    assert not taken.release()["changed"]


def test_an_unbind_that_somebody_else_has_started_is_seen_too(taken):
    taken.kernel.hold(NIC, QEMU, "qemu-system-x86")
    pid = taken.kernel.wait_for_release(NIC)
    assert f"by process {pid}, and process 862" in taken.survey().stuck[NIC]
    with pytest.raises(PlanError, match="is stuck"):
        taken.release()


def test_a_note_of_a_process_that_is_gone_means_nothing(taken):
    stuck(taken)
    taken.tree.put(f"{taken.kernel.stuck}/{NVME}", "1 77\n")
    taken.tree.put(f"{taken.kernel.stuck}/{EDU}", "999999 22\n")
    assert list(taken.survey().stuck) == [NIC]


@pytest.mark.parametrize("text", ["", "86", "862 ", "862 12x\n", '{"v": 2, "by": "1.4.0", "pid": 1}\n', '# vfio.host {"v": 2, "by": "1.4.0"}\n1 77\n', "\0"])
def test_a_note_that_does_not_tell_its_process_counts(taken, text):
    path = f"{taken.kernel.stuck}/{NIC}"
    taken.tree.put(path, text)
    found = taken.survey()
    assert found.stuck[NIC].startswith(f"{NIC} (Intel Corporation 82574L Gigabit Network Connection) counts as stuck: {path} says")
    assert (found.devices[NIC].driver_override, found.stuck[NIC] in found.warnings) == (None, True)
    before = taken.snapshot()
    with pytest.raises(PlanError, match="Update the collection on the controller; or, where no process waits, remove that file, then run again"):
        taken.release()
    assert taken.snapshot() == before
    os.unlink(path)
    assert taken.release()["changed"]


def test_a_run_that_has_no_room_for_its_note_knows_of_the_process_all_the_same(taken, monkeypatch):
    real = os.makedirs

    def full(path, **more):
        if path == taken.kernel.stuck:
            raise OSError(errno.ENOSPC, "no")
        real(path, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "makedirs", full)
        messages = stuck(taken)
    assert messages[1].endswith("still waits for its driver to let go")
    assert not os.path.exists(taken.kernel.stuck)
