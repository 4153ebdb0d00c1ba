# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command as a named phase, with a clock, so that a person sees that it goes on.

    -- [00:07] packages
    -- [00:22] packages: 15 s so far: Unpacking zstd (1.5.4+dfsg2-5) ...
    -- [00:31] packages: ok, 24 s

The output of the command goes through as it comes. Where nothing came for some seconds, a line says how long the phase has
taken, and the last line that the command printed, or that came into a log. The clock starts with the outermost phase, or
where VFIO_HOST_BEGAN says, in seconds since 1970. Its lines go to stderr. The exit status is the command's.

The command has a process group of its own, and reads no terminal. SIGINT, SIGTERM and SIGHUP go on to that group, and
whoever started the phase takes it along when he ends. A phase that had a signal ends when that group is gone.

Runs before there is a virtualenv: the standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import glob
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from typing import BinaryIO, Dict, Iterable, List, Optional

CLOCK = "VFIO_HOST_BEGAN"
DEPTH = "VFIO_HOST_PHASES"
# Below the 15 seconds that are promised. A phase in a phase speaks a second earlier, and so alone.
SILENCE = 14
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# How long a command may take to end after a signal. Then it is killed.
GRACE = 60
POLL = 0.1
PR_SET_PDEATHSIG = 1
# Readings that empty a pipe.
DRAIN = 4
TAIL = 4096
WIDTH = 100


def last_line(data: bytes) -> str:
    """The last line with anything to read in it, without what terminals interpret."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b.", "", data.decode("utf-8", "replace"))
    for line in reversed(re.split(r"[\r\n]+", text)):
        readable = "".join(letter for letter in line if letter.isprintable()).strip()
        if readable:
            return readable[:WIDTH]
    return ""


def log_tail(patterns: Iterable[str], since: float) -> str:
    """The last line of the file that was written last, if it was since then."""
    with contextlib.suppress(OSError, ValueError):
        found = max((path for pattern in patterns for path in glob.glob(pattern)), key=os.path.getmtime)
        with open(found, "rb") as log:
            if os.fstat(log.fileno()).st_mtime >= since:
                log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL))
                return last_line(log.read())
    return ""


def group_lives(group: int) -> bool:
    """Whether a process of the group runs. Zombies do not: who should have reaped them may never do it."""
    for path in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            with open(path, encoding="utf-8", errors="replace") as stat:
                # After the name, which may hold anything: state, parent, group.
                state, dummy, found = stat.read().rpartition(")")[2].split()[:3]
            if int(found) == group and state not in "ZX":
                return True
    return False


def end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Phase:
    """One run of one command."""

    def __init__(self, options: argparse.Namespace, heard: List[signal.Signals]) -> None:
        self.options = options
        self.heard = heard
        self.begin = self.spoken = time.monotonic()
        self.began = int(time.time())
        self.epoch = float(os.environ.get(CLOCK) or self.began)
        self.depth = int(os.environ.get(DEPTH) or 0)
        self.every = max(1.0, options.every - self.depth)
        self.tail = b""
        self.line_is_open = False
        self.reader_left = False
        self.signal: Optional[int] = None
        self.deadline = 0.0
        self.rest_told = False
        self.kept: Optional[BinaryIO] = None
        self.child: subprocess.Popen[bytes]

    def run(self) -> int:
        with contextlib.ExitStack() as stack:
            if self.options.into:
                self.kept = stack.enter_context(open(self.options.into, "wb"))
            elif self.options.quiet:
                self.kept = stack.enter_context(tempfile.TemporaryFile())
            if not self.options.bare:
                self.say("")
            status = self.watch()
            if status and self.options.quiet and self.kept is not None:
                self.kept.seek(0)
                self.write(1, self.kept.read())
            if not self.options.bare:
                self.say(f": {f'FAILED ({status})' if status else 'ok'}, {self.seconds()}")
        return status

    def watch(self) -> int:
        try:
            pipes = self.start()
        except OSError as error:
            self.write(2, f"phase: {self.options.command[0]}: {error.strerror}\n".encode())
            return 127
        with selectors.DefaultSelector() as selector:
            for descriptor in pipes:
                selector.register(descriptor, selectors.EVENT_READ)
            while self.child.poll() is None or (self.signal and group_lives(self.child.pid)):
                self.read(selector, pipes, POLL)
                self.pass_on()
                self.end_rest()
                if time.monotonic() - self.spoken >= self.every:
                    self.heartbeat()
            # What it wrote last. Not up to the end of the pipe, which one who stays in the background may keep open.
            for dummy in range(DRAIN):
                self.read(selector, pipes, 0)
        status = self.child.returncode
        return 128 - status if status < 0 else status

    def start(self) -> Dict[int, int]:
        """Start the command; give the pipes that it writes to, and where each goes on to."""
        # What is one stream here stays one, in its order.
        one = self.kept is not None or os.path.samestat(os.fstat(1), os.fstat(2))

        def prepare() -> None:
            os.setpgid(0, 0)
            end_with_parent()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self.heard)

        self.child = subprocess.Popen(
            self.options.command, stdin=subprocess.DEVNULL if os.isatty(0) else None, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if one else subprocess.PIPE, preexec_fn=prepare,
            env={**os.environ, CLOCK: f"{self.epoch:.0f}", DEPTH: str(self.depth + 1)},
        )
        return {pipe.fileno(): to for to, pipe in ((1, self.child.stdout), (2, self.child.stderr)) if pipe}

    def read(self, selector: selectors.BaseSelector, pipes: Dict[int, int], wait: float) -> None:
        """Give on what the command has written."""
        if not selector.get_map():
            time.sleep(wait)
            return
        for key, dummy in selector.select(wait):
            data = os.read(key.fd, 65536)
            if not data:
                selector.unregister(key.fd)
                continue
            self.tail = (self.tail + data)[-TAIL:]
            if self.kept is not None:
                self.kept.write(data)
                self.kept.flush()
            else:
                self.write(pipes[key.fd], data)
                self.line_is_open = not data.endswith(b"\n")
                self.spoken = time.monotonic()

    def pass_on(self) -> None:
        """Give the signals that came on to the command's group. No reader any more: that ends it as well."""
        for number in self.heard:
            if signal.sigtimedwait([number], 0):
                self.signal = self.signal or number
                self.send(number)
        if self.reader_left and not self.signal:
            self.signal = signal.SIGTERM
            self.send(signal.SIGTERM)

    def end_rest(self) -> None:
        """After a signal: end who did not hear it, and at last who did not heed it."""
        if not self.signal:
            return
        now = time.monotonic()
        self.deadline = self.deadline or now + GRACE
        if self.signal != signal.SIGTERM and self.child.returncode is not None and not self.rest_told:
            # What a shell has in the background ignores SIGINT.
            self.rest_told = True
            self.send(signal.SIGTERM)
        if now > self.deadline:
            self.send(signal.SIGKILL)

    def send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, number)

    def heartbeat(self) -> None:
        said = log_tail(self.options.log, self.began) or last_line(self.tail)
        self.say(f": {self.seconds()} so far" + (f": {said}" if said else ""))

    def say(self, text: str) -> None:
        elapsed = int(time.time() - self.epoch)
        line = f"-- [{elapsed // 60:02}:{elapsed % 60:02}] {self.options.name}{text}\n"
        self.write(2, (("\n" if self.line_is_open else "") + line).encode())
        self.line_is_open = False
        self.spoken = time.monotonic()

    def seconds(self) -> str:
        return f"{time.monotonic() - self.begin:.0f} s"

    def write(self, descriptor: int, data: bytes) -> None:
        try:
            while data and not self.reader_left:
                data = data[os.write(descriptor, data):]
        except BrokenPipeError:
            self.reader_left = True


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="phase", description="Run a command as a named phase, with a clock.")
    parser.add_argument("--log", metavar="FILE", action="append", default=[],
                        help="say its last line in a silence, not the command's; a glob, or more than one: the newest's")
    parser.add_argument("--every", metavar="SECONDS", type=float, default=SILENCE, help="of silence, then a line; default %(default)s")
    parser.add_argument("--bare", action="store_true", help="print no line at the begin and at the end")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--quiet", action="store_true", help="print the command's output only if it fails")
    output.add_argument("--into", metavar="FILE", help="write the command's output there, and print none")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if not options.command:
        parser.error("there is no command")
    return options


def main() -> int:
    options = parse()
    end_with_parent()
    # Looked at where nothing can be lost between two steps; a command gets them unblocked. What nohup, or a shell in the
    # background, has ignored stays so.
    heard = [number for number in PASSED_ON if signal.getsignal(number) != signal.SIG_IGN]
    signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    phase = Phase(options, heard)
    status = phase.run()
    if phase.signal:
        # As one who did not handle it: so a shell that waits ends as well.
        signal.signal(phase.signal, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, heard)
        os.kill(os.getpid(), phase.signal)
    return status


if __name__ == "__main__":
    sys.exit(main())
