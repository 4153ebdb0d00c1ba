# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reboots a host of the lab. Says when its login prompt was on the console, and when each given device was taken.

Usage: reboot.py LAB HOST ADDRESS... Prints JSON, in seconds since the reboot was asked for; null for a prompt that had not come by then.
"""

import json
import pathlib
import re
import subprocess
import sys
import threading
import time

lab, host, *addresses = sys.argv[1:]

# devtmpfs makes a group's node when a VFIO driver has bound the device. Its birth tells: udev touches it later.
LOOK = "for a in {0}; do stat -c %.3W /dev/vfio/$(basename $(readlink /sys/bus/pci/devices/$a/iommu_group)); done"


def ask(*words):
    return subprocess.run([lab, *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def watch(console, start, seen):
    while "login" not in seen:
        if b" login:" in console.read_bytes()[start:]:
            seen["login"] = time.time()
        time.sleep(0.1)


path = pathlib.Path(re.search(r"^console: (.*)$", ask("status", host), re.MULTILINE).group(1))
seen = {}
watcher = threading.Thread(target=watch, args=(path, path.stat().st_size, seen), daemon=True)
begin = time.time()
watcher.start()
ask("reboot", "--timeout", "900", host)
# On a machine too busy the getty gives up waiting for the serial port, and nothing of ours depends on a prompt.
watcher.join(60)
# The guest's clock is not this machine's.
before = time.time()
guest = float(ask("ssh", host, "--", "date +%s.%N"))
ahead = guest - (before + time.time()) / 2
taken = ask("ssh", host, "--", LOOK.format(" ".join(addresses))).split()
print(json.dumps({
    "login": round(seen["login"] - begin, 2) if "login" in seen else None,
    "taken": {address: round(float(when) - ahead - begin, 2) for address, when in zip(addresses, taken)},
}))
