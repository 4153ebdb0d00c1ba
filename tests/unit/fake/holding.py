# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes that hold devices, and the calls that the kernel blocks until they let go.

The rules come from the kernel's sources (drivers/vfio/vfio_main.c, drivers/base/dd.c), stated here on their own.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from ansible_collections.vfio.host.plugins.module_utils._host.errors import KernelStuck
from ansible_collections.vfio.host.plugins.module_utils._host.nodes import CHARACTER, OTHER, Node
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
        self.claimed = set()  # numbers of disks with another exclusive user, such as ZFS
        self.claims = []  # numbers of the disks that somebody wanted to be the only user of
        self.hold_nothing()

    def hold_nothing(self):
        """As at boot."""
        self._held = {}  # process -> the address of what it holds
        self._waited_for = {}  # process -> the address of what it has open through a native driver that waits
        self._files = {}  # link in /proc -> the Node that is open, whatever the link's text says
        self._blocked = {}  # address -> the driver that was told to let go of it
        self._later_on = []  # what waits behind that

    def hold(self, address, pid, command, node=None):
        """A process opens the VFIO file of a function's group, or another ``node`` below /dev/vfio."""
        self._held[pid] = address
        node = node or self.functions[address].group
        if not node.startswith("devices/"):
            found = self.tree.vfio_group(node)
        else:  # a kernel with VFIO_DEVICE_CDEV
            name = node[len("devices/"):]
            if f"dev/vfio/{node}" not in self.tree.nodes:
                directory, number = self.tree.directory(address) / "vfio-dev" / name, f"241:{name[len('vfio'):]}"
                if directory.exists():
                    self.tree.put(directory / "dev", number + "\n")
                    self.tree.put(directory / "uevent", "MAJOR={}\nMINOR={}\nDEVNAME={}\n".format(*number.split(":"), f"vfio/{node}"))
                    self.tree.node(f"dev/vfio/{node}", CHARACTER, number)
                else:
                    self.tree.device(directory, "vfio-dev", number, f"vfio/{node}")
            found = self.tree.nodes[f"dev/vfio/{node}"]
        self.process(pid, command)
        self.open_file(pid, 0, "/dev/null", Node(CHARACTER, "1:3"))
        self.open_file(pid, 12, f"/dev/vfio/{node}", found)

    def process(self, pid, command):
        """A process with nothing open."""
        (self.tree.root / f"proc/{pid}/fd").mkdir(parents=True)
        self.tree.put(self.tree.root / f"proc/{pid}/comm", command + "\n")

    def open_file(self, pid, number, text, node, flags="0100002"):
        """A process opens ``node`` as its file ``number``; ``text``: its path as /proc shows it, in whatever namespace."""
        link = self.tree.root / f"proc/{pid}/fd/{number}"
        link.symlink_to(text)
        self.tree.put(self.tree.root / f"proc/{pid}/fdinfo/{number}", f"pos:\t0\nflags:\t{flags}\nmnt_id:\t26\nino:\t1\n")
        self._files[str(link)] = node

    def use(self, address, pid, command, name, waits=False):
        """A process opens the node ``name`` below /dev, of a function with a native driver. ``waits``: an unbind waits for it."""
        self.process(pid, command)
        self.open_file(pid, 3, f"/dev/{name}", self.tree.nodes[f"dev/{name}"])
        if waits:
            self._waited_for[pid] = address

    def waited_for(self, address):
        """The processes that an unbind of a function waits for."""
        return [pid for held in (self._held, self._waited_for) for pid, one in held.items() if one == address]

    def look(self, path):
        """What is behind a path: for an open file the kernel does not read its name, nor does this."""
        short = path[len(self.root) + 1:]
        if short in self.tree.nodes:
            return self.tree.nodes[short]
        if short.startswith("proc/") and os.path.islink(path):
            return self._files.get(path, Node(OTHER, "0:0"))
        return None if not os.path.exists(path) else Node(OTHER, "0:0")

    def claim(self, number, name):
        """EBUSY for a disk that is mounted, in whatever namespace, that has swap, or that something is built on; so for its parts.

        Source: block/bdev.c, bd_may_claim.
        """
        self.claims.append(number)
        directory = os.path.realpath(f"{self.dev_block}/{number}")
        if not os.path.isdir(directory):
            return errno.ENXIO
        parts = [directory] + [f"{directory}/{one}" for one in self.names(directory) if os.path.exists(f"{directory}/{one}/partition")]
        numbers = {self.read(f"{part}/dev") for part in parts} | {self.read(f"{self.block}/{name}/dev")}
        mounted = {
            line.split()[2] for one in Path(self.proc).glob("*/mountinfo") for line in one.read_text().splitlines()
        }
        swaps = {line.split()[0] for line in self.read(f"{self.proc}/swaps").splitlines()[1:]}
        used = numbers & mounted or any(self.names(f"{part}/holders") for part in parts)
        used = used or swaps.intersection(f"/dev/{os.path.basename(part)}" for part in parts) or numbers & self.claimed
        return errno.EBUSY if used else 0

    def let_go(self, pid):
        """A process closes what it holds; an unbind that waited for that ends, in whatever process it is."""
        address = self._held.pop(pid, None) or self._waited_for.pop(pid)
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
        wchan = "vfio_unregister_group_dev" if address in self._held.values() else "snd_card_free"
        self.tree.put(self.tree.root / f"proc/{pid}/task/{pid + 1}/wchan", wchan)
        return pid

    def _waiting(self, address):
        return 70000 + 2 * sorted(self.functions).index(address)

    def read_bytes(self, path, limit=65536):
        """Reading what takes the lock of a blocked function blocks, too."""
        directory, name = os.path.split(path)
        if self._blocked and name in _LOCKED and os.path.basename(os.path.realpath(directory)) in self._blocked:
            raise Blocked(path)
        return super().read_bytes(path, limit)

    def write_watched(self, path, value, *, timeout, address):
        """What blocks goes on in another process, and virtual time passes."""
        try:
            self.write(path, value)
        except Blocked as blocked:
            self.pause(timeout)
            pid = self.wait_for_release(blocked.args[0], lambda: self.react(path, value))
            if path.endswith("/sriov_numvfs"):  # the other VFs go behind the one that is held
                self._later_on.append(lambda: self.react(path, value))
            self.remember_stuck(address, pid)
            raise KernelStuck(path, value, timeout=timeout, pid=pid) from blocked


__all__ = ("Blocked", "Holding")
