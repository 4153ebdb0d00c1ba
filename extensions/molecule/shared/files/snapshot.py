# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run could touch, as JSON: PCI devices, files of /etc, /boot and udev's volatile rules, and VFIO's modules."""

import json
import os
import zlib

PCI = "/sys/bus/pci/devices"
PLACES = ("/boot", "/etc", "/run/udev/rules.d", "/run/systemd/system", "/run/modprobe.d", "/var/lib/vfio-host")


def link(path):
    return os.path.basename(os.readlink(path)) if os.path.islink(path) else None


def text(path):
    with open(path, "rb") as handle:
        return handle.read().decode("utf-8", "replace").strip()


def device(address):
    directory = os.path.join(PCI, address)
    return [link(directory + "/driver"), text(directory + "/driver_override")]


def fingerprint(path):
    if os.path.islink(path):
        return "-> " + os.readlink(path)
    status = os.stat(path)
    with open(path, "rb") as handle:
        # Emulated processors take ten times as long for SHA-256 of a kernel and its image, and nobody here makes up collisions.
        content = handle.read()
    return "{0:o} {1} {2} {3} {4:08x}".format(status.st_mode, status.st_uid, status.st_mtime_ns, len(content), zlib.crc32(content))


def command_lines():
    """Processes, by their command lines, that have this collection in their name; not the shell that was given this file."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getppid():
            continue
        try:
            words = text("/proc/{0}/cmdline".format(pid)).replace("\0", " ")
        except OSError:
            continue
        if "vfio" in words:
            found.append(words)
    return sorted(found)


print(json.dumps({
    "boot": text("/proc/sys/kernel/random/boot_id"),
    "command_line": text("/proc/cmdline"),
    "devices": {address: device(address) for address in sorted(os.listdir(PCI))},
    "files": {
        path: fingerprint(path)
        # In one order: a directory gives its names in another when one was added.
        for path in sorted(
            os.path.join(folder, name) for place in PLACES for folder, dummy, names in os.walk(place) for name in names
        )
    },
    "modules": sorted(line.split()[0] for line in text("/proc/modules").splitlines() if line.startswith("vfio")),
    "processes": command_lines(),
}))
