# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times taking devices by the collection, by bare writes of a shell, by driverctl and by virsh, by turns, on this host.

Usage: taking.py ADDRESS...; below /run/taking are AnsiballZ files of driver_override: to take, and to give back.
Prints seconds and ratios. Fails where a way of taking does not leave every device on vfio-pci, or, by virsh, on a variant.

Of the collection only what it does itself is compared: from where a module has its arguments to where it hands its result to
Ansible. The start of Python and Ansible before it, and Ansible's way out after it, are the same whatever a module does, and are
most of a call on an emulated processor.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROUNDS = 5
NOTHING_TO_DO, AROUND = ", nothing to do", "Python and Ansible around it"
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

# Appended to the collection's module_utils/_core/task.py, as it was sent.
TIMED = """

import time as _time

_run_task = run_task


def run_task(module, *rest):
    begin, leave = _time.perf_counter(), module.exit_json
    module.exit_json = lambda **result: leave(seconds=_time.perf_counter() - begin, **result)
    _run_task(module, *rest)
"""


def run(*words):
    done = subprocess.run(words, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit("{0} failed: {1}".format(" ".join(words[:4]), done.stdout))
    return done.stdout


def unpacked(kind):
    """The AnsiballZ file of a kind, told to run what it unpacks to, with the clock in it."""
    files = list(PAYLOADS.glob(kind + "/*/AnsiballZ_*.py"))
    if len(files) != 1:
        sys.exit("{0} files of {1} below {2}".format(len(files), kind, PAYLOADS))
    run("/usr/bin/python3", str(files[0]), "explode")
    (task,) = files[0].parent.glob("debug_dir/ansible_collections/vfio/host/plugins/module_utils/_core/task.py")
    task.write_text(task.read_text(encoding="utf-8") + TIMED, encoding="utf-8")
    # -B: sources that come in an archive are compiled in every call.
    return ["/usr/bin/python3", "-B", str(files[0]), "execute"]


def each(*words):
    for address in addresses:
        run(*(word.format(address=address, name="pci_" + address.replace(":", "_").replace(".", "_")) for word in words))


def changed(kind, wanted):
    """Run the module, and give the seconds that it took itself."""
    done = subprocess.run(CALLS[kind], check=False, stdout=subprocess.PIPE, text=True)
    result = json.loads(done.stdout)
    if result.get("changed") is not wanted or result.get("failed"):
        sys.exit("{0}: {1}".format(kind, result))
    return result["seconds"]


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
    """(The seconds that it took, of them those that it does not count as its own.)"""
    begin = time.monotonic()
    own = act()
    took = time.monotonic() - begin
    return (took, 0) if not isinstance(own, float) else (own, took - own)


# A line as long as a rule, for each; and what every way that lasts over a boot has to do.
KEEP = """
rules=/etc/udev/rules.d/99-taking.rules
for address in "$@"; do
    echo "ACTION==\\"add\\", SUBSYSTEM==\\"pci\\", KERNEL==\\"$address\\", ATTR{driver_override}=\\"vfio-pci\\""
done > $rules
sync $rules
udevadm control --reload
"""
FORGET = """
rm /etc/udev/rules.d/99-taking.rules
udevadm control --reload
"""
WAYS = {
    "shell": (lambda: run("sh", "-ec", TAKE, "sh", *addresses), None, lambda: run("sh", "-ec", GIVE_BACK, "sh", *addresses)),
    "shell that keeps it": (
        lambda: run("sh", "-ec", KEEP + TAKE, "sh", *addresses), None,
        lambda: run("sh", "-ec", FORGET + GIVE_BACK, "sh", *addresses),
    ),
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

CALLS = {kind: unpacked(kind) for kind in ("take", "give_back")}
times = {}
before = drivers()
for turn in range(ROUNDS + 1):
    found = {}
    for name, (take, again, give_back) in WAYS.items():
        forget_ids()
        found[name], dummy = seconds(take)
        now = drivers()
        others = [one for one in addresses if now[one] != "vfio-pci"]
        # libvirt takes the variant where one is installed.
        if not all(name == "virsh" and (PCI / "devices" / one / "vfio-dev").exists() for one in others):
            sys.exit("{0} left {1}".format(name, now))
        if again:
            found[name + NOTHING_TO_DO], around = seconds(again)
            if around:
                found[AROUND] = around
        give_back()
        run("udevadm", "settle")
        if drivers() != before:
            sys.exit("{0} gave back {1}, not {2}".format(name, drivers(), before))
    # The first turn loads modules and starts daemons.
    for what, took in found.items() if turn else ():
        times.setdefault(what, []).append(took)


def ratio(what, against):
    return "{0:.2f} by median, {1:.2f} by minimum".format(
        *(reduce(times[what]) / reduce(times[against]) for reduce in (statistics.median, min))
    )


print("{0} devices".format(len(addresses)))
for what, found in times.items():
    print("{0}: {1} s".format(what, " ".join("{0:.2f}".format(one) for one in found)))
for other in ("shell", "shell that keeps it", "driverctl", "virsh"):
    print("taking them, against {0}: {1}".format(other, ratio("collection", other)))
print("nothing to do, against driverctl: " + ratio("collection" + NOTHING_TO_DO, "driverctl" + NOTHING_TO_DO))
