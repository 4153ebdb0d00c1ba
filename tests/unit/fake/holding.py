# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes that hold devices, and the calls that the kernel blocks until they let go.

The rules come from the kernel's sources (drivers/vfio/vfio_main.c, drivers/base/dd.c), stated here on their own.
"""

from __future__ import annotations

import os
import shutil

from ansible_collections.vfio.host.plugins.module_utils._host.errors import KernelStuck
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_LOCKED = ("driver_override", "uevent", "sriov_numvfs")  # reading these takes the device's lock, at least on 6.1


class Blocked(AssertionError):
    """A call that would block for ever, in state D. Nothing under test may make it, but in a process that it can leave behind."""


class Holding(Sysfs):
    """Sysfs over a Tree, in which devices are held. What is derived from it has ``functions``, ``driver_of``, ``react``,
    ``_detach``, and ends what it does to a device that is held with Blocked.
    """

    def __init__(self, tree, run):
        super().__init__(str(tree.root), run=run)
        self.tree = tree
        self.hold_nothing()

    def hold_nothing(self):
        """As at boot."""
        self._held = {}  # process -> the address of what it holds
        self._blocked = {}  # address -> the driver that was told to let go of it
        self._later_on = []  # what waits behind that

    def hold(self, address, pid, command, node=None):
        """A process opens the VFIO file of a function's group, or another ``node`` below /dev/vfio."""
        self._held[pid] = address
        node = node or self.functions[address].group
        self.tree.put(self.tree.root / f"dev/vfio/{node}")
        (self.tree.root / f"proc/{pid}/fd").mkdir(parents=True)
        (self.tree.root / f"proc/{pid}/fd/0").symlink_to("/dev/null")
        (self.tree.root / f"proc/{pid}/fd/12").symlink_to(f"/dev/vfio/{node}")
        self.tree.put(self.tree.root / f"proc/{pid}/comm", command + "\n")

    def let_go(self, pid):
        """A process closes what it holds; an unbind that waited for that ends, in whatever process it is."""
        address = self._held.pop(pid)
        shutil.rmtree(self.tree.root / f"proc/{pid}")
        driver = self._blocked.pop(address, None)
        if driver is not None:
            self.tree.bind_links(address, driver)
            self._detach(address)
            shutil.rmtree(self.tree.root / f"proc/{self._waiting(address)}")
            for note in self.names(self.stuck):
                if self.read(f"{self.stuck}/{note}").split()[0] == str(self._waiting(address)):
                    os.unlink(f"{self.stuck}/{note}")  # the process's last deed
            for then in self._later_on:
                then()
            self._later_on = []

    def wait_for_release(self, address, then=None):
        """Somebody writes to ``unbind`` for a function that is held; the process that waits in the kernel from now on. ``then``:
        what happens at the end where another unbind waits already.
        """
        pid, driver = self._waiting(address), self.driver_of(address)
        if address in self._blocked:
            self._later_on.append(then)
            return pid
        self.tree.bind_links(address, driver, is_bound=False)
        self._blocked[address] = driver
        self.tree.put(self.tree.root / f"proc/{pid}/stat", f"{pid} (a ) b) D {' '.join(map(str, range(4, 53)))}\n")
        self.tree.put(self.tree.root / f"proc/{pid}/comm", "python3\n")
        self.tree.put(self.tree.root / f"proc/{pid}/task/{pid + 1}/wchan", "vfio_unregister_group_dev")
        return pid

    def _waiting(self, address):
        return 70000 + 2 * sorted(self.functions).index(address)

    def read_bytes(self, path, limit=65536):
        """Reading what takes the lock of a blocked function blocks, too."""
        directory, name = os.path.split(path)
        if self._blocked and name in _LOCKED and os.path.basename(os.path.realpath(directory)) in self._blocked:
            raise Blocked(path)
        return super().read_bytes(path, limit)

    def write_watched(self, path, value, timeout, address):
        """What blocks goes on in another process, and virtual time passes."""
        try:
            self.write(path, value)
        except Blocked as blocked:
            self.pause(timeout)
            pid = self.wait_for_release(blocked.args[0], lambda: self.react(path, value))
            if path.endswith("/sriov_numvfs"):  # the other VFs go behind the one that is held
                self._later_on.append(lambda: self.react(path, value))
            self.remember_stuck(address, pid)
            raise KernelStuck(path, value, timeout, pid) from blocked


__all__ = ("Blocked", "Holding")
