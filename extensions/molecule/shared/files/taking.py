# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times taking devices by the collection, by bare writes of a shell, by driverctl and by virsh, by turns, on this host.

Usage: taking.py ADDRESS...; below /run/taking are AnsiballZ files of driver_override: to take, to give back, and one that it refuses.
Prints seconds and ratios. Fails where a way of taking does not leave every device on vfio-pci.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROUNDS = 3
PCI = pathlib.Path("/sys/bus/pci")
PAYLOADS = pathlib.Path("/run/taking")
addresses = sys.argv[1:]

TAKE = """
for address in "$@"; do
    cd "/sys/bus/pci/devices/$address"
    echo vfio-pci > driver_override
    if [ -e driver ]; then echo "$address" > driver/unbind; fi
    echo "$address" > /sys/bus/pci/drivers_probe
done
"""
GIVE_BACK = """
for address in "$@"; do
    cd "/sys/bus/pci/devices/$address"
    echo > driver_override
    if [ -e driver ]; then echo "$address" > driver/unbind; fi
    echo "$address" > /sys/bus/pci/drivers_probe
done
"""


def run(*words):
    done = subprocess.run(words, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit("{0} failed: {1}".format(" ".join(words[:4]), done.stdout))
    return done.stdout


def payload(kind):
    files = list(PAYLOADS.glob(kind + "/*/AnsiballZ_*.py"))
    if len(files) != 1:
        sys.exit("{0} files of {1} below {2}".format(len(files), kind, PAYLOADS))
    done = subprocess.run(
        ["/usr/bin/python3", str(files[0])], check=False, stdout=subprocess.PIPE, text=True,
    )
    return json.loads(done.stdout)


def each(*words):
    for address in addresses:
        run(*(word.format(address=address, name="pci_" + address.replace(":", "_").replace(".", "_")) for word in words))


def changed(kind, wanted):
    result = payload(kind)
    if result.get("changed") is not wanted or result.get("failed"):
        sys.exit("{0}: {1}".format(kind, result))


def start():
    if "policy" not in payload("start").get("msg", ""):
        sys.exit("the module did not refuse its arguments")


def drivers():
    return {
        address: os.path.basename(os.path.realpath(str(link))) if link.exists() else None
        for address, link in ((one, PCI / "devices" / one / "driver") for one in addresses)
    }


def forget_ids():
    """driverctl writes new_id, by which vfio-pci takes every device like those, from then on and from everybody."""
    run("modprobe", "-r", "vfio-pci")
    run("modprobe", "vfio-pci")


def seconds(act):
    begin = time.monotonic()
    act()
    return time.monotonic() - begin


WAYS = {
    "shell": (lambda: run("sh", "-ec", TAKE, "sh", *addresses), None, lambda: run("sh", "-ec", GIVE_BACK, "sh", *addresses)),
    "collection": (
        lambda: changed("take", True), lambda: changed("take", False), lambda: changed("give_back", True),
    ),
    "driverctl": (
        lambda: each("driverctl", "set-override", "{address}", "vfio-pci"),
        lambda: each("driverctl", "set-override", "{address}", "vfio-pci"),
        lambda: each("driverctl", "unset-override", "{address}"),
    ),
    "virsh": (lambda: each("virsh", "nodedev-detach", "{name}"), None, lambda: each("virsh", "nodedev-reattach", "{name}")),
}

times = {}
before = drivers()
for turn in range(ROUNDS + 1):
    found = {"module start": seconds(start)}
    for name, (take, again, give_back) in WAYS.items():
        forget_ids()
        found[name] = seconds(take)
        now = drivers()
        if set(now.values()) != {"vfio-pci"}:
            sys.exit("{0} left {1}".format(name, now))
        if again:
            found[name + ", nothing to do"] = seconds(again)
        give_back()
        run("udevadm", "settle")
        if drivers() != before:
            sys.exit("{0} gave back {1}, not {2}".format(name, drivers(), before))
    # The first turn loads modules and starts daemons.
    for what, took in found.items() if turn else ():
        times.setdefault(what, []).append(took)


def ratio(what, against, less=None):
    figures = []
    for reduce in (statistics.median, min):
        net = reduce(times[what]) - (reduce(times[less]) if less else 0)
        figures.append(net / reduce(times[against]))
    return "{0:.2f} by median, {1:.2f} by minimum".format(*figures)


print("{0} devices".format(len(addresses)))
for what, found in times.items():
    print("{0}: {1} s".format(what, " ".join("{0:.2f}".format(one) for one in found)))
START, NOTHING = "module start", "collection, nothing to do"
print("taking them, module start apart, against bare writes: " + ratio("collection", "shell", START))
print("taking them, module start apart, against driverctl: " + ratio("collection", "driverctl", START))
print("taking them, module start apart, against virsh: " + ratio("collection", "virsh", START))
print("nothing to do, module start apart, against driverctl: " + ratio(NOTHING, "driverctl, nothing to do", START))
print("nothing to do, module start and all, against driverctl: " + ratio(NOTHING, "driverctl, nothing to do"))
