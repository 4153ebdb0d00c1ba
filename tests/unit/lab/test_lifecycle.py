# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses

import pytest
from virtlab import accel, boot, command, errors, host, image, kept, lifecycle, paths, process, record, slots, ssh


@pytest.fixture
def guest(description, tmp_path, monkeypatch):
    """A guest whose starts are played: ``outcomes`` are what each is, an exception or a run."""
    monkeypatch.setattr(paths, "state", lambda name: tmp_path)
    said = []
    found = lifecycle.Guest(host.parse("box", description), said.append)
    found.said, found.outcomes, found.starts = said, [], []

    def boot(*words, before=None):
        found.starts.append("resume" if words[5:] else "boot" if before is None else f"boot by port {before.port}")
        outcome = found.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(found, "_boot", boot)
    return found


def test_a_guest_whose_timer_stops_is_started_again(guest):
    guest.outcomes = [errors.TimerStopped("it stopped"), errors.TimerStopped("it stopped"), "a run"]
    assert guest._boot_patiently(None, "tcg", 1, None) == "a run"
    assert len(guest.said) == 2


def test_not_for_ever(guest):
    guest.outcomes = [errors.TimerStopped("it stopped")] * lifecycle.STARTS
    with pytest.raises(errors.TimerStopped):
        guest._boot_patiently(None, "tcg", 1, None)
    assert guest.outcomes == []


def test_another_failure_is_not_tried_again(guest):
    guest.outcomes = [errors.GuestDied("a panic"), "a run"]
    with pytest.raises(errors.GuestDied):
        guest._boot_patiently(None, "tcg", 1, None)


@pytest.mark.parametrize("line, stopped", [
    ("rcu: rcu_preempt kthread timer wakeup didn't happen for 5247 jiffies!", True),
    ("Kernel panic - not syncing: timer doesn't work through Interrupt-remapped IO-APIC", True),
    ("Kernel panic - not syncing: VFS: Unable to mount root fs", False),
])
def test_a_stopped_timer_is_known_by_what_the_kernel_says(guest, line, stopped):
    assert not guest._has_said(lifecycle.TIMER_STOPPED)
    guest.console.write_text("\n".join([line] + ["  call trace"] * 100), encoding="utf-8")
    assert guest._has_said(lifecycle.TIMER_STOPPED) is stopped


@pytest.fixture
def keeping(guest, monkeypatch, tmp_path):
    """The guest, whose image is there; and where it is kept, when it is."""
    place = tmp_path / "cache" / "box-0123456789ab"
    guest.host = dataclasses.replace(guest.host, devices=())
    monkeypatch.setattr(image, "ensure", lambda *dummy: tmp_path)
    monkeypatch.setattr(image, "key", lambda: tmp_path / "key")
    monkeypatch.setattr(accel, "candidates", lambda dummy: ("tcg",))
    monkeypatch.setattr(kept, "directory", lambda *dummy: place)
    monkeypatch.setattr(kept, "save", lambda qmp, place, *dummy: place.mkdir(parents=True))
    monkeypatch.setattr(guest, "qmp", contextlib.nullcontext)
    monkeypatch.setattr(guest, "_fresh_disk", lambda *dummy: None)
    return guest, place


RUN = record.Run(pid=0, port=0, accel="tcg")


def test_a_host_is_booted_once_and_resumed_ever_after(keeping):
    guest, place = keeping
    guest.outcomes = [RUN] * 3
    for dummy in range(2):
        guest.start(keep=False, timeout=1)
    assert guest.starts == ["boot", "resume", "resume"]
    assert place.is_dir()


@pytest.mark.parametrize("how", [{"keep": True}, {"keep": False, "boot": True}, {"keep": False, "append": ("quiet",)}])
def test_who_asks_for_a_boot_gets_one(keeping, how, monkeypatch):
    guest, place = keeping
    monkeypatch.setattr(record, "disk_image", lambda state: place)
    place.mkdir(parents=True)
    guest.outcomes = [RUN]
    assert guest.start(timeout=1, **how) == RUN
    assert guest.starts == ["boot"]


CONSOLE = host.Device(id="port", model="pci-serial", bus="slot2", options={"chardev": "console"})


@pytest.mark.parametrize("other", [{"machine": "powernv9"}, {"boot": "grub-efi"}, {"boot": "systemd-boot"}, {"devices": (CONSOLE,)}])
def test_a_host_that_does_not_resume_or_is_for_boots_is_booted(keeping, other):
    guest, place = keeping
    guest.host = dataclasses.replace(guest.host, **other)
    guest.outcomes = [RUN]
    assert guest.start(keep=False, timeout=1) == RUN
    assert guest.starts == ["boot"]
    assert not place.exists()


def test_a_host_that_cannot_be_resumed_is_booted_and_no_longer_kept(keeping):
    guest, place = keeping
    place.mkdir(parents=True)
    guest.outcomes = [errors.GuestDied("QEMU ended"), RUN]
    assert guest.start(keep=False, timeout=1) == RUN
    assert guest.starts == ["resume", "boot"]
    assert not place.exists()
    assert "cannot be resumed (QEMU ended)" in guest.said[0]


def test_a_resumed_host_reboots_in_a_new_qemu_with_what_is_plugged_in(keeping, description, monkeypatch, tmp_path):
    guest, dummy = keeping
    guest.host, ended = host.parse("box", description), []
    monkeypatch.setattr(guest, "run", lambda: dataclasses.replace(RUN, port=2222, resumed=True))
    monkeypatch.setattr(guest, "_shut_down", ended.append)
    monkeypatch.setattr(record, "disk_image", lambda state: tmp_path)
    monkeypatch.setattr(slots, "plugged", lambda qmp: {"disk-a"})
    guest.outcomes = [RUN]
    guest.reboot(timeout=1)
    assert len(ended) == 1
    assert guest.starts == ["boot by port 2222"]
    assert [device.id for device in guest.host.devices if device.present] == ["disk-a"]


@pytest.mark.parametrize("name", sorted(boot.BOOTS))
def test_a_host_that_starts_by_ipl_reboots_in_a_new_qemu_also_where_it_has_booted(keeping, monkeypatch, name):
    guest, dummy = keeping
    guest.host = dataclasses.replace(guest.host, boot=name)
    anew = []
    monkeypatch.setattr(guest, "run", lambda: RUN)
    monkeypatch.setattr(guest, "_boot_anew", lambda run, timeout: anew.append(run))
    monkeypatch.setattr(ssh, "boot_id", lambda *dummy: None)
    with contextlib.nullcontext() if name == "zipl" else pytest.raises(errors.LabError, match="does not answer"):
        guest.reboot(timeout=1)
    assert anew == ([RUN] if name == "zipl" else [])


def test_a_host_that_cannot_be_kept_runs_all_the_same(keeping, monkeypatch):
    guest, place = keeping

    def refuse(*dummy):
        raise errors.LabError("QEMU refuses migrate", "non-migratable device")

    monkeypatch.setattr(kept, "save", refuse)
    guest.outcomes = [RUN]
    assert guest.start(keep=False, timeout=1) == RUN
    assert guest.starts == ["boot"]
    assert "cannot be kept" in guest.said[0]


class PlayedMonitor:
    """QEMU's monitor, which tells of the machine's reset at the given one of the waits for it."""

    def __init__(self, told, resets_at):
        self._told, self._resets_at, self._waits = told, resets_at, 0

    def wait_event(self, name, dummy_data, dummy_timeout):
        self._waits += 1
        self._told.append(f"wait for {name}")
        return self._waits == self._resets_at


@pytest.fixture
def restarting(guest, monkeypatch):
    """A function that reboots a running guest of a machine and returns what was done: waits for its reset, questions by ssh."""
    told = []

    def reboot(machine, resets_at=1, says="", lives=True):
        guest.host = dataclasses.replace(guest.host, machine=machine)
        guest.console.write_text("Kernel panic - not syncing: an old one\n", encoding="utf-8")
        monkeypatch.setattr(guest, "run", lambda: RUN)
        monkeypatch.setattr(guest, "qmp", lambda: contextlib.nullcontext(PlayedMonitor(told, resets_at)))
        monkeypatch.setattr(process, "is_ours", lambda *dummy: lives)
        monkeypatch.setattr(ssh, "close", lambda *dummy: None)
        monkeypatch.setattr(ssh, "greets", lambda *dummy: told.append("greet") or True)
        monkeypatch.setattr(ssh, "boot_id", lambda *dummy: "new" if "greet" in told else "old")

        def run(dummy_base, command, dummy_timeout):
            with open(guest.console, "a", encoding="utf-8") as stream:
                stream.write(says)
            told.append(command.split()[0])

        monkeypatch.setattr(ssh, "run", run)
        guest.reboot(timeout=60)
        return told

    return reboot


def test_a_guest_that_must_not_be_spoken_to_while_it_restarts_is_not_asked_before_its_reset(restarting):
    assert restarting("powernv9", resets_at=3) == ["systemctl", *["wait for RESET"] * 3, "greet", "udevadm"]


def test_other_guests_are_asked_at_once_and_what_they_said_before_does_not_count(restarting):
    assert restarting("q35") == ["systemctl", "greet", "udevadm"]


@pytest.mark.parametrize("machine", ["powernv9", "q35"])
def test_a_guest_that_dies_while_it_restarts_is_not_waited_for(restarting, machine):
    with pytest.raises(errors.GuestDied, match="cannot boot") as caught:
        restarting(machine, resets_at=0, says="Kernel panic - not syncing: Unrecoverable Machine Check exception\n")
    assert caught.value.detail.endswith("Unrecoverable Machine Check exception") and "an old one" not in caught.value.detail


def test_what_qemu_said_as_it_ended_is_told(restarting, guest):
    command.qemu_log(guest.state).write_text("qemu-system-x86_64: Assertion failed\n", encoding="utf-8")
    with pytest.raises(errors.GuestDied, match="has ended") as caught:
        restarting("q35", says="[ 1.2] PCI host bridge\n", lives=False)
    assert "PCI host bridge" in caught.value.detail and "Assertion failed" in caught.value.detail


class PlayedClock:
    """Time that passes only where somebody waits."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def answering(guest, monkeypatch):
    """A function that waits for a guest whose ssh takes so many seconds to its first word, and returns how long it was asked each time."""
    clock, asked = PlayedClock(), []
    monkeypatch.setattr(lifecycle, "time", clock)
    monkeypatch.setattr(process, "is_ours", lambda *dummy: True)
    monkeypatch.setattr(ssh, "boot_id", lambda *dummy: "a boot")
    monkeypatch.setattr(ssh, "run", lambda *dummy: "")

    def wait(seconds, refuses=0):
        def greets(dummy_port, timeout):
            asked.append(timeout)
            if len(asked) <= refuses:
                return False
            clock.sleep(min(timeout, seconds))
            return seconds < timeout

        monkeypatch.setattr(ssh, "greets", greets)
        guest._wait(RUN, 600, before=None)
        return asked

    return wait


def test_a_guest_whose_answer_takes_long_is_asked_with_more_patience_each_time(answering):
    asked = answering(12)
    assert asked == sorted(set(asked)) and len(asked) < 6


def test_a_guest_that_refuses_at_once_is_asked_with_the_same_patience(answering):
    assert set(answering(1, refuses=50)) == {lifecycle.FIRST_WORD}


def test_nobody_is_waited_for_longer_than_it_was_told(answering):
    with pytest.raises(errors.GuestDied, match="did not answer by ssh within 600 s"):
        answering(3600)


def test_a_host_that_was_resumed_and_does_not_answer_is_booted_with_the_whole_time(keeping, monkeypatch):
    guest, place = keeping
    place.mkdir(parents=True)
    waits = []
    monkeypatch.setattr(guest, "_resume", lambda dummy_place, dummy_base, timeout: waits.append(timeout) or fail())
    monkeypatch.setattr(guest, "_boot_patiently", lambda dummy_base, dummy_choice, timeout, dummy_initrd: waits.append(timeout) or RUN)

    def fail():
        raise errors.GuestDied("it did not answer")

    assert guest.start(keep=False, timeout=900) == RUN
    assert waits == [lifecycle.RESUMED, 900] and not place.exists()
