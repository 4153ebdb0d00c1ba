# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a playbook on a host of the lab, cuts the power where stop_here.py stops it, and boots the host again.

Usage: cut.py LAB HOST --playbook NAME --inventory SOURCE... --address FILE --points POINT...

FILE is written anew, since each boot makes the host answer at another port. Prints JSON: the point, null where the run
came to its end without one; what snapshot.py sees; and how many seconds the run and the boot took.
"""

import argparse
import contextlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("lab")
parser.add_argument("host")
parser.add_argument("--playbook", required=True)
parser.add_argument("--inventory", nargs="+", required=True)
parser.add_argument("--address", type=pathlib.Path, required=True)
parser.add_argument("--points", nargs="*", required=True)
options = parser.parse_args()
lab, host, points = options.lab, options.host, options.points

STOPPED = re.compile(rb"stopped at point (\d+)\.")
LONGEST = 1800


def ask(*words, text=None):
    done = subprocess.run([lab, *words], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, input=text)
    if done.returncode:
        sys.exit("{0} failed:\n{1}".format(" ".join(words[:3]), done.stdout))
    return done.stdout


def play(log):
    words = [str(pathlib.Path(sys.executable).with_name("ansible-playbook")), options.playbook]
    sources = [word for source in options.inventory for word in ("--inventory", source)]
    return subprocess.Popen(words + sources, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)


def wait(process, log):
    """Fail where the run failed: what an earlier cut left was in its way. One that stops has planned everything before."""
    if process.wait(LONGEST):
        log.seek(0)
        sys.exit("the run failed:\n" + log.read())


def watch(process, log, console, start):
    """The point that the host says it stopped at; None where the run ended."""
    begin = time.monotonic()
    while time.monotonic() - begin < LONGEST:
        found = STOPPED.search(console.read_bytes()[start:])
        if found:
            return points[int(found.group(1))]
        if process.poll() is not None:
            wait(process, log)
            return None
        time.sleep(0.05)
    process.kill()
    sys.exit("the run neither stopped nor ended")


def look():
    snapshot = pathlib.Path(__file__).with_name("snapshot.py").read_text(encoding="utf-8")
    return json.loads(ask("ssh", host, "--", "python3 -", text=snapshot))


with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
    ask("ssh", host, "--", "cat > /run/stop-here.json", text=json.dumps(points))
    console = pathlib.Path(re.search(r"^console: (.*)$", ask("status", host), re.MULTILINE).group(1))
    begin, start = time.monotonic(), console.stat().st_size
    process = play(log)
    point = watch(process, log, console, start)
    ran = time.monotonic() - begin
    if point is None:
        ask("ssh", host, "--", "rm /run/stop-here.json")
        booted = ran
    else:
        ask("power-cut", host)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()
        ask("start", "--keep", "--timeout", "900", host)
        booted = time.monotonic() - begin
        options.address.write_text(ask("inventory", host), encoding="utf-8")

print(json.dumps({"point": point, "ran": round(ran), "booted": round(booted - ran), "snapshot": look()}))
