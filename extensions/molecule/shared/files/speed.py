# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times converge.yml with nothing to do against a play of one ping, by turns, over one open connection.

Usage: speed.py ROUNDS INVENTORY... Prints seconds and the ratio of the medians.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

PING = "- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.ping:\n"

rounds = int(sys.argv[1])
sources = [word for source in sys.argv[2:] for word in ("--inventory", source)]
environment = dict(os.environ, ANSIBLE_PIPELINING="1")


def seconds(playbook):
    begin = time.monotonic()
    done = subprocess.run(
        ["ansible-playbook", *sources, playbook], env=environment, check=False, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )
    took = time.monotonic() - begin
    if done.returncode or "changed=0 " not in done.stdout:
        sys.exit(done.stdout)
    return took


with tempfile.TemporaryDirectory() as directory:
    ping = pathlib.Path(directory) / "ping.yml"
    ping.write_text(PING, encoding="utf-8")
    plays = {"ping": str(ping), "converge": "vfio.host.converge"}
    for playbook in plays.values():
        seconds(playbook)  # opens the connection, fills caches
    times = {name: [] for name in plays}
    for dummy in range(rounds):
        for name, playbook in plays.items():
            times[name].append(seconds(playbook))

for name, found in times.items():
    print("{0}: {1} s".format(name, " ".join("{0:.1f}".format(one) for one in found)))
print("converge with nothing to do, against a ping: {0:.2f} by median, {1:.2f} by minimum".format(
    statistics.median(times["converge"]) / statistics.median(times["ping"]), min(times["converge"]) / min(times["ping"]),
))
