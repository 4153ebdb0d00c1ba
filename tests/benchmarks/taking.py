# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare a run that takes 11 devices, and the run after it, with those of another checkout: processor time on the unit tests' fake host.

What the fake host takes to play the kernel and udev is left out; the journal's part is told by itself. Both checkouts take turns,
in processes that have loaded all before.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from run import enter_collection, memory_directory

DEVICES = 11
WHAT = ("take", "nothing to do", "the journal of the take")


def main() -> int:
    """Measure in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, required=True, help="a checkout that lies at …/ansible_collections/vfio/host")
    parser.add_argument("--rounds", type=int, default=25, help="default: %(default)s")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work()
    enter_collection(__file__)
    here = Path(__file__).resolve().parents[2]
    workers = [start(one) for one in (options.against.resolve(), here)]
    rounds = [[ask(one) for one in workers] for dummy in range(options.rounds + 1)][1:]
    for worker in workers:
        worker.stdin.close()
        worker.wait()
    for number, what in enumerate(WHAT):
        then, now = ([one[side][number] for one in rounds] for side in (0, 1))
        told = f"{what:24} {DEVICES} devices: {median(then) * 1000:.2f} -> {median(now) * 1000:.2f} ms of processor"
        if all(then):
            ratios = [after / before for before, after in zip(then, now)]
            told += f", ratio {median(ratios):.2f} (median of {len(ratios)} pairs), of minimums {min(now) / min(then):.2f}"
        else:
            # The other checkout has none: what it adds to the whole of that one.
            shares = [one[1][number] / one[0][0] for one in rounds]
            told += f", {median(shares):.1%} of the other's take (median of {len(shares)} pairs)"
        print(told)
    return 0


def start(checkout: Path) -> subprocess.Popen:
    """A process that measures one checkout whenever it is asked."""
    if checkout.parts[-3:] != ("ansible_collections", "vfio", "host"):
        sys.exit(f"{checkout} does not end in ansible_collections/vfio/host")
    return subprocess.Popen(
        [sys.executable, __file__, "--against", str(checkout), "--worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={"PYTHONPATH": str(checkout.parents[2]), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )


def ask(worker: subprocess.Popen) -> list[float]:
    """Seconds of each of WHAT, in one round."""
    worker.stdin.write("\n")
    worker.stdin.flush()
    answer = worker.stdout.readline().split()
    if len(answer) != len(WHAT):
        sys.exit("measurement failed: the worker died")
    return list(map(float, answer))


def work() -> int:
    """Measure once for each line of input."""
    for dummy in sys.stdin:
        with tempfile.TemporaryDirectory(prefix="vfio-host-bench-", dir=memory_directory()) as directory:
            print(*measure(Path(directory)), flush=True)
    return 0


class Clock:
    """Seconds of processor that some functions took."""

    def __init__(self) -> None:
        self.seconds, self._depth = 0.0, 0

    def wrap(self, call):
        """The same, timed; what it calls of its like is in its time."""

        def timed(*given, **named):
            if self._depth:
                return call(*given, **named)
            self._depth, before = 1, time.process_time()
            try:
                return call(*given, **named)
            finally:
                self._depth = 0
                self.seconds += time.process_time() - before

        return timed


@functools.lru_cache(maxsize=None)
def journal_clock() -> Clock:
    """The time of all that a run does for its journal; none in a checkout that has no journal."""
    clock = Clock()
    try:
        from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
        from ansible_collections.vfio.host.plugins.module_utils._devices import apply
    except ImportError:
        return clock
    Journal.drop = clock.wrap(Journal.drop)
    Journal.remember = clock.wrap(Journal.remember)
    apply.remember = clock.wrap(apply.remember)
    return clock


def measure(directory: Path) -> list[float]:
    """Take the devices of a new host, then declare them again."""
    from dataclasses import replace

    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
    from ansible_collections.vfio.host.tests.unit.fake import hosts
    from ansible_collections.vfio.host.tests.unit.fake.host import FakeHost

    spec = hosts.x86()
    card = next(one for one in spec.functions if one.address == hosts.NIC)
    more = [
        replace(card, address=f"0000:{0x40 + number:02x}:00.0", group=str(100 + number), net=(), parent=None) for number in range(DEVICES)
    ]
    host = FakeHost(directory / "host", replace(spec, functions=(*spec.functions, *more)))
    # Nothing is held here, so what the fake host looks at before each read is left out.
    host.kernel.read_bytes = functools.partial(Sysfs.read_bytes, host.kernel)
    played, journal = Clock(), journal_clock()
    for name in ("write", "write_watched", "opened", "access", "give", "pause", "run", "modprobe", "load", "on_settle", "on_reload", "react"):
        if hasattr(host.kernel, name):
            setattr(host.kernel, name, played.wrap(getattr(host.kernel, name)))
    found, journal.seconds = [], 0.0
    for status in ("bound", "unchanged"):
        played.seconds, before = 0.0, time.process_time()
        result = host.take(*(one.address for one in more))
        found.append(time.process_time() - before - played.seconds)
        if [one["status"] for one in result["devices"]] != [status] * DEVICES:
            sys.exit(f"measurement failed: {result['devices']}")
    # A run with nothing to do has no journal.
    return found + [journal.seconds]


if __name__ == "__main__":
    sys.exit(main())
