# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Takes back a change that nobody has confirmed in its time: what a host's timer runs, with nothing but this room beside it."""

from __future__ import annotations

import json
import os
import subprocess
import time

from ansible_collections.vfio.host.plugins.module_utils._host.errors import VfioHostError
from ansible_collections.vfio.host.plugins.module_utils._host.lock import Busy, one_at_a_time
from ansible_collections.vfio.host.plugins.module_utils._host.udevd import reload_rules
from ansible_collections.vfio.host.plugins.module_utils._host.undo import tried

NAME = "vfio.host, taking back what nobody confirmed"
RECORD, OUTCOME, CODE = "record.json", "taken-back.json", "code"
_PATIENCE = 10  # seconds for a driver to let go, and between two attempts where a run goes on
_CLEAR = "\n"  # an empty write is a no-op


def run(words):
    """Start a command: (exit status, stdout, stderr)."""
    try:
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        return 127, "", str(error)
    with process:
        output, complaint = process.communicate()
    return process.returncode, output.decode("utf-8", "replace"), complaint.decode("utf-8", "replace")


def wait_and_revert(fs, files):
    """Take the change back when its time is over; nothing where it was confirmed meanwhile."""
    left = 0
    while left is not None:
        time.sleep(left)
        try:
            with one_at_a_time(files.lock, NAME, _PATIENCE):
                left = revert_if_due(fs, files)
        except Busy:
            left = 0  # a run goes on, and with its end the time begins again


def revert_if_due(fs, files):
    """None when there is nothing to wait for any more, else how many seconds are left."""
    text = files.read(f"{files.confirm}/{RECORD}")
    if text is None:
        return None
    record = json.loads(text)
    left = record["deadline"] - time.monotonic()
    if left > 0:
        return left
    outcome = {"task": record["task"], "seconds": record["seconds"], "time": time.strftime("%Y-%m-%d %H:%M:%S %z")}
    outcome["problems"] = WayBack(fs, files).go(record)
    files.put(f"{files.confirm}/{OUTCOME}", json.dumps(outcome), 0o600)
    files.put(f"{files.confirm}/{RECORD}", None)
    return None


class WayBack:
    """Back to what a record says: files, then numbers of VFs, then drivers, then options of modules."""

    def __init__(self, fs, files):
        self._fs = fs
        self._files = files
        self._problems = []

    def go(self, record):
        """All of it; a sentence for each that could not be put back."""
        for path, text in record["files"].items():
            self._try(f"{path} could not be put back", self._files.put, path, text)
        self._try("rules", reload_rules, self._fs)
        for name in record["modules"]:
            self._try(f"module {name} could not be loaded again", self._load, name)
        for pf in record["pfs"]:
            self._try(f"{pf['address']} could not be put back to {pf['number']} VFs", self._number, pf)
        for device in record["devices"] + [vf for pf in record["pfs"] for vf in pf["vfs"]]:
            goal = f"{device['address']} could not be put back to driver {device['driver']} and override {device['override']}"
            self._try(goal, self._device, device)
        for pf in record["pfs"]:
            self._try(f"{pf['address']}: autoprobe could not be put back", self._autoprobe, pf["address"], pf["autoprobe"])
        for module, option, value in record["options"]:
            path = f"{self._fs.modules}/{module}/parameters/{option}"
            self._try(f"module {module}: option {option} could not be put back", self._fs.write, path, value)
        return self._problems

    def _try(self, what, call, *arguments):
        self._problems += [f"{what}: {message}" for message in tried(call, *arguments)]

    def _load(self, name):
        status, dummy, complaint = self._fs.run(["modprobe", name])
        if status:
            raise VfioHostError(complaint.strip())

    def _number(self, pf):
        directory = f"{self._fs.pci_devices}/{pf['address']}"
        now = sum(1 for name in self._fs.names(directory) if name.startswith("virtfn"))
        if now == pf["number"]:
            return
        self._autoprobe(pf["address"], False)
        for number in (0, pf["number"]):
            if number != now:
                self._write(f"{directory}/sriov_numvfs", str(number), pf["address"])
                now = number

    def _autoprobe(self, address, wanted):
        self._write(f"{self._fs.pci_devices}/{address}/sriov_drivers_autoprobe", str(int(wanted)), address)

    def _device(self, device):
        address, driver, override = device["address"], device["driver"], device["override"]
        if self._fs.link(f"{self._fs.pci_devices}/{address}/driver") != driver:
            self._rebind(address, driver, override)
        else:
            self._override(address, override)

    def _rebind(self, address, driver, override):
        now = self._fs.link(f"{self._fs.pci_devices}/{address}/driver")
        # While it is bound by its name, no other driver takes it, and a VF needs it where its PF keeps drivers off.
        self._override(address, driver or override)
        if now is not None:
            self._write(f"{self._fs.pci_drivers}/{now}/unbind", address, address)
        if driver is not None and self._fs.link(f"{self._fs.pci_devices}/{address}/driver") != driver:
            self._write(f"{self._fs.pci_drivers}/{driver}/bind", address, address)
        self._override(address, override)

    def _override(self, address, value):
        self._write(f"{self._fs.pci_devices}/{address}/driver_override", value or _CLEAR, address)

    def _write(self, path, value, address):
        # Any of them waits for the device's lock where somebody's unbind is stuck, and this has the lock of all runs.
        self._fs.write_watched(path, value, _PATIENCE, address)


def main(fs, files):
    """What the timer runs; nothing is left of it but what it has to say."""
    wait_and_revert(fs, files)
    remove_code(files)


def remove_code(files):
    """Remove the copy of this room, and the directories where nothing else is in them."""
    top = f"{files.confirm}/{CODE}"
    for folder, folders, names in os.walk(top, topdown=False):
        for name in names:
            files.put(f"{folder}/{name}", None)
        for name in folders:
            files.drop_directory(f"{folder}/{name}")
    for directory in (top, files.confirm, os.path.dirname(files.confirm)):
        files.drop_directory(directory)


__all__ = ("CODE", "OUTCOME", "RECORD", "main", "remove_code", "revert_if_due", "run", "wait_and_revert")
