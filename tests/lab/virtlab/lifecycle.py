# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting, rebooting, cutting off and stopping a host."""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Callable, Collection, Container, Iterable, Iterator, List, Optional, Tuple

from . import accel, bytecode, command, image, kept, paths, process, record, slots, ssh
from .boot import BOOTS
from .errors import GuestDied, LabError, TimerStopped
from .host import Device, Host
from .machine import MACHINES
from .qmp import Qmp

QEMU_START = 120
# A kernel under KVM has spoken long before; here and there KVM opens and its guests die without a word.
KVM_FIRST_WORD = 8
KVM_UP = 120
SHUTDOWN = 90
SETTLE = 60
PLUGGED = 60
# Seconds for ssh's first word. Each connection costs an emulated host seconds of its processor, also one that nobody waits for any
# more: whoever asks again and again in less time than an answer takes never gets one.
FIRST_WORD = 3.0
LONGEST_FIRST_WORD = 30.0
# Whoever is resumed answers in seconds, or never.
RESUMED = 180
CONSOLE_TAIL = 25
# What a kernel says whose emulated timer has stopped, as it does now and then on a busy machine without KVM.
TIMER_STOPPED = ("timer doesn't work through", "kthread timer wakeup didn't happen")
STARTS = 3
# What a guest prints last when it will never come up.
DEAD_ENDS = ("Kernel panic - not syncing", "\n(initramfs) ", "grub> ", "grub rescue> ")


class Guest:
    """One virtual host of this user: its description, and its state directory."""

    def __init__(self, host: Host, say: Callable[[str], None]) -> None:
        self.host = host
        self.state = paths.state(host.name)
        self._say = say
        self._append: Tuple[str, ...] = ()

    @property
    def console(self) -> Path:
        return self.state / "console.log"

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with paths.locked(self.state / "lock", f"host {self.host.name}", 600):
            yield

    def run(self) -> record.Run:
        run = record.running(self.state)
        if run is None:
            raise LabError(f"host {self.host.name} does not run", f"start it: vlab start {self.host.name}")
        return run

    def ssh(self, run: record.Run) -> List[str]:
        return ssh.argv(self.state, self.host.name, run.port, image.key())

    def qmp(self) -> Qmp:
        self.run()
        return Qmp(self.state / "qmp.sock")

    def start(self, *, keep: bool, timeout: float, boot: bool = False, initrd: Optional[Path] = None,
              append: Tuple[str, ...] = ()) -> record.Run:
        """Start the host and wait until it answers: from a fresh copy of its image, or from the disk it had.

        Without KVM a host with a direct boot boots from its image once. It is kept as it is then, and resumed in place of
        later boots; not so with ``boot``, ``initrd``, which takes the place of the image's own initramfs, and ``append``,
        kernel arguments after all others.
        """
        self._append = append
        if append and BOOTS[self.host.boot].loader_script:
            raise LabError("this host boots with the command line of its own disk", "leave --append out")
        if initrd is not None and not initrd.is_file():
            raise LabError(f"there is no file {initrd}", "copy it out of the guest first: vlab ssh HOST -- cat PATH")
        base = image.ensure(self.host, self._say)
        with self._alone():
            if record.running(self.state):
                raise LabError(f"host {self.host.name} runs already", f"stop it first: vlab stop {self.host.name}")
            if keep:
                base = record.disk_image(self.state)
            choices = accel.candidates(self.host)
            for index, choice in enumerate(choices):
                last = index == len(choices) - 1
                try:
                    if choice == "tcg" and self._is_resumable and not (keep or boot or initrd or append):
                        return self._resume_or_boot(base, timeout)
                    if not keep:
                        self._fresh_disk(base)
                    run = self._boot_patiently(base, choice, timeout if last else min(timeout, KVM_UP), initrd)
                except LabError:
                    if last:
                        raise
                    self._say("no usable KVM here: emulating (TCG)")
                    continue
                # Only a guest that came up proves anything: a host that boots by neither says nothing about KVM.
                if len(choices) > 1:
                    accel.remember(kvm=choice == "kvm")
                return run
        raise AssertionError("there is always one accelerator to try")

    @property
    def _is_resumable(self) -> bool:
        # One with a console on PCI was resumed and did not answer.
        return (MACHINES[self.host.machine].resumes and not BOOTS[self.host.boot].is_looked_at
                and not command.has_own_console(self.host))

    def _resume_or_boot(self, base: Path, timeout: float) -> record.Run:
        place = kept.directory(self.host, base)
        place.parent.mkdir(parents=True, exist_ok=True)
        with paths.locked(place.with_suffix(".lock"), f"the first boot of host {self.host.name}", timeout):
            if not place.is_dir():
                later = kept.plugged_later(self.host)
                self._fresh_disk(base)
                run = self._boot_patiently(base, "tcg", timeout, None, {device.id for device in later})
                try:
                    with self.qmp() as qmp:
                        ssh.close(self.ssh(run), self.state)
                        kept.save(qmp, place, lambda: self._quit(run), self.console, self.state / "disk.qcow2")
                except LabError as error:
                    self._say(f"host {self.host.name} cannot be kept: {error}")
                    self._plug_in(run, later)
                    return run
        try:
            return self._resume(place, base, min(timeout, RESUMED))
        except LabError as error:
            self._say(f"host {self.host.name} cannot be resumed ({error}): booting it")
            shutil.rmtree(place)
            self._fresh_disk(base)
            return self._boot_patiently(base, "tcg", timeout, None)

    def _resume(self, place: Path, base: Path, timeout: float) -> record.Run:
        later = kept.plugged_later(self.host)
        self._fresh_disk(base, place / "disk.qcow2")
        run = self._boot(base, "tcg", timeout, None, {device.id for device in later}, place)
        try:
            # Its clock stands where it was kept.
            ssh.run(self.ssh(run), f"date --utc --set=@{time.time():.3f}", 60)
            self._plug_in(run, later)
        except BaseException:
            self._quit(run)
            raise
        return run

    def _plug_in(self, run: record.Run, devices: Collection[Device]) -> None:
        """Plug devices in, and wait until the guest has them and their drivers."""
        if not devices:
            return
        count = "ls /sys/bus/pci/devices | wc -l"
        wanted = int(ssh.run(self.ssh(run), count, 60) or 0) + len(devices)
        with self.qmp() as qmp:
            for device in devices:
                slots.add(qmp, device, self.state)
        have = ssh.run(self.ssh(run), f"for attempt in $(seq {PLUGGED * 5}); do test $({count}) -ge {wanted} && break; sleep 0.2; done; "
                       f"udevadm settle --timeout={SETTLE}; {count}", PLUGGED + SETTLE + 30)
        if have != str(wanted):
            raise LabError(f"host {self.host.name} has {have} PCI functions of {wanted} after {PLUGGED} s",
                           "look at its console", self.tail())

    def _fresh_disk(self, base: Path, below: Optional[Path] = None) -> None:
        overlay = self.state / "disk.qcow2"
        overlay.unlink(missing_ok=True)
        process.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b",
                     str(below or base / "disk.qcow2"), str(overlay)], timeout=60)
        for device in self.host.devices:
            if device.size is not None:
                medium = command.kept_media(device, self.state)
                medium.unlink(missing_ok=True)
                process.run(["qemu-img", "create", "-q", "-f", "raw", str(medium), device.size], timeout=60)
        record.save_disk(self.state, base)

    def _boot_patiently(self, base: Path, choice: str, timeout: float, initrd: Optional[Path],
                        without: Container[str] = ()) -> record.Run:
        for dummy in range(STARTS - 1):
            try:
                return self._boot(base, choice, timeout, initrd, without)
            except TimerStopped:
                self._say(f"the emulated timer of {self.host.name} stopped: starting it again")
        return self._boot(base, choice, timeout, initrd, without)

    def _boot(self, base: Path, choice: str, timeout: float, initrd: Optional[Path], without: Container[str],
              resumed: Optional[Path] = None, before: Optional[record.Run] = None) -> record.Run:
        """Start QEMU and wait until the host answers: once it has booted, or goes on from where it was kept.

        ``before``: the run that this one takes the place of, with its port and its console.
        """
        for name in ("qemu.pid", "qmp.sock", "ssh.sock"):
            (self.state / name).unlink(missing_ok=True)
        if not before:
            self.console.unlink(missing_ok=True)
        if resumed:
            shutil.copyfile(resumed / "console.log", self.console)
        key = (base / "host-key.pub").read_text(encoding="utf-8")
        (self.state / "known_hosts").write_text(f"{self.host.name} {key}", encoding="utf-8")
        port = before.port if before else _free_port()
        try:
            process.run(command.command(host=self.host, accel=choice, image=base, overlay=self.state / "disk.qcow2",
                                        state=self.state, ssh_port=port, initrd=initrd, append=self._append,
                                        without=without, incoming=resumed is not None),
                        timeout=QEMU_START)
            run = record.Run(pid=self._pid(), port=port, accel=choice, resumed=resumed is not None)
            run.save(self.state)
            if resumed:
                with self.qmp() as qmp:
                    kept.load(qmp, resumed)
            self._wait(run, timeout, before=None)
            if choice == "tcg" and not before and not bytecode.install(self.ssh(run)):
                self._say(f"modules will take twice as long on {self.host.name}: its Python cannot be told to keep what it compiles")
        except BaseException:
            # Also when the user interrupts: nothing that was started here outlives a failed start.
            pid = self._written_pid()
            if pid is not None:
                process.kill(pid, record.mark(self.state))
            record.Run.forget(self.state)
            raise
        return run

    def _said(self) -> str:
        """All that the guest printed."""
        with contextlib.suppress(OSError):
            return self.console.read_text(encoding="utf-8", errors="replace")
        return ""

    def _qemu_said(self) -> str:
        """What QEMU itself printed since it runs in the background."""
        with contextlib.suppress(OSError):
            return command.qemu_log(self.state).read_text(encoding="utf-8", errors="replace")
        return ""

    def _has_said(self, signs: Iterable[str]) -> bool:
        text = self._said()
        return any(sign in text for sign in signs)

    def _written_pid(self) -> Optional[int]:
        with contextlib.suppress(OSError, ValueError):
            return int((self.state / "qemu.pid").read_text(encoding="ascii"))
        return None

    def _pid(self) -> int:
        pid = self._written_pid()
        if pid is None:
            raise GuestDied("QEMU ended as it started", "try vlab start once more")
        return pid

    def _check_life(self, run: record.Run, since: int) -> None:
        """An error where the host will not come up any more, by its process and by its console after ``since`` characters."""
        if not process.is_ours(run.pid, record.mark(self.state)):
            raise GuestDied(f"QEMU of host {self.host.name} has ended", "look at its console", f"{self.tail()}\n{self._qemu_said()}")
        if any(sign in self.tail(since) for sign in DEAD_ENDS):
            raise GuestDied(f"host {self.host.name} cannot boot", "look at its console", self.tail(since))

    def _wait(self, run: record.Run, timeout: float, before: Optional[str], since: int = 0) -> None:
        """Wait until the host answers with a boot id; with another one than before, where one is given.

        ``since``: how many characters its console had when this boot was asked for.
        """
        base = self.ssh(run)
        # A connection made while the old system goes down must not become the shared one.
        probe = base if before is None else [base[0], "-o", "ControlPath=none", *base[1:]]
        begin, patience = time.monotonic(), FIRST_WORD
        while time.monotonic() - begin < timeout:
            waited = time.monotonic() - begin
            if before is None and self._has_said(TIMER_STOPPED):
                raise TimerStopped(f"the emulated timer of host {self.host.name} stopped", "start it again", self.tail())
            self._check_life(run, since)
            if run.accel == "kvm" and waited > KVM_FIRST_WORD and not self.tail():
                raise GuestDied(f"host {self.host.name} printed nothing for {KVM_FIRST_WORD} s",
                                "try another accelerator")
            asked = time.monotonic()
            if ssh.greets(run.port, patience):
                now = ssh.boot_id(probe, 60)
                if now and now != before:
                    # ssh is up before every device has met its driver; who looks now must not see half of them.
                    ssh.run(base, f"udevadm settle --timeout={SETTLE}", SETTLE + 30)
                    return
            elif time.monotonic() - asked > patience / 2:  # not refused at once
                patience = min(1.5 * patience, LONGEST_FIRST_WORD)
            time.sleep(0.3)
        raise GuestDied(f"host {self.host.name} did not answer by ssh within {timeout:.0f} s",
                        "look at its console, or give it more: --timeout", self.tail())

    def tail(self, since: int = 0) -> str:
        """The last lines that the guest printed, after ``since`` characters."""
        return "\n".join(self._said()[since:].splitlines()[-CONSOLE_TAIL:])

    def reboot(self, *, timeout: float) -> None:
        """Have the guest reboot itself, and wait for its new boot.

        A host that was resumed shuts down, and a new QEMU boots its disk with the devices that are plugged in: QEMU 10.0 loses
        interrupts of processors that were resumed and then reset, and these stand still in that boot, or the next.
        So does a host whose QEMU ends where it reboots by itself.
        """
        with self._alone():
            run = self.run()
            base = self.ssh(run)
            if run.resumed or BOOTS[self.host.boot].ends_with_reboot:
                self._boot_anew(run, timeout)
                return
            before = ssh.boot_id(base, 60)
            if before is None:
                raise LabError(f"host {self.host.name} does not answer by ssh", "power-cut it and start it with --keep")
            since, begin = len(self._said()), time.monotonic()
            with self._hearing_of_reset() as is_reset:
                ssh.run(base, "systemctl --no-block reboot", 60)
                ssh.close(base, self.state)
                while not is_reset():
                    self._check_life(run, since)
                    if time.monotonic() - begin >= timeout:
                        raise GuestDied(f"host {self.host.name} did not restart within {timeout:.0f} s", "look at its console", self.tail())
            self._wait(run, timeout - (time.monotonic() - begin), before, since)

    @contextlib.contextmanager
    def _hearing_of_reset(self) -> Iterator[Callable[[], bool]]:
        """A function that waits a moment for QEMU to say that the machine was reset; at once True where that need not be known."""
        if not MACHINES[self.host.machine].restarts_unheard:
            yield lambda: True
            return
        with self.qmp() as qmp:
            yield lambda: qmp.wait_event("RESET", {}, 1)

    def _boot_anew(self, run: record.Run, timeout: float) -> None:
        with self.qmp() as qmp:
            present = slots.plugged(qmp)
        self._shut_down(run)
        self.host = replace(self.host, devices=tuple(
            replace(device, present=device.id in present) for device in self.host.devices))
        self._boot(record.disk_image(self.state), run.accel, timeout, None, (), before=run)

    def power_cut(self) -> None:
        """End QEMU as a power failure ends a machine; the disk stays as it is."""
        with self._alone():
            run = self.run()
            process.kill(run.pid, record.mark(self.state))
            self._clean(run)

    def stop(self, *, now: bool) -> bool:
        """Shut the guest down, or have QEMU quit; False where it did not run."""
        with self._alone():
            run = record.running(self.state)
            if run is None:
                return False
            if now:
                self._quit(run)
            else:
                self._shut_down(run)
            return True

    def _shut_down(self, run: record.Run) -> None:
        if ssh.greets(run.port, LONGEST_FIRST_WORD):
            ssh.run(self.ssh(run), "systemctl --no-block poweroff", 30)
            process.wait_gone(run.pid, record.mark(self.state), SHUTDOWN)
        self._quit(run)

    def _quit(self, run: record.Run) -> None:
        if process.is_ours(run.pid, record.mark(self.state)):
            with contextlib.suppress(LabError, OSError), self.qmp() as qmp:
                qmp.execute("quit")
            process.wait_gone(run.pid, record.mark(self.state), 10)
        process.kill(run.pid, record.mark(self.state))
        self._clean(run)

    def _clean(self, run: record.Run) -> None:
        ssh.close(self.ssh(run), self.state)
        (self.state / "qmp.sock").unlink(missing_ok=True)
        record.Run.forget(self.state)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


__all__ = ("Guest",)
