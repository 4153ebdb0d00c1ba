# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's reactions: what happens in the tree when an attribute is written, and with which errno it is refused.

The rules come from the kernel's sources (drivers/pci/pci-sysfs.c, drivers/pci/iov.c and what is named below), stated here on
their own and not by the code under test. Which driver has a function is in drivers.py.
"""

from __future__ import annotations

import errno
import functools
import os
from fnmatch import fnmatchcase

from ansible_collections.vfio.host.plugins.module_utils._host.errors import KernelRefusal
from ansible_collections.vfio.host.tests.unit.fake.drivers import Drivers
from ansible_collections.vfio.host.tests.unit.fake.holding import Blocked
from ansible_collections.vfio.host.tests.unit.fake.model import Module
from ansible_collections.vfio.host.tests.unit.fake.nodes import Nodes
from ansible_collections.vfio.host.tests.unit.fake.vfs import VfInfo

_PAGE_SIZE = 4096
# Built in, and without a module's name: the drivers that every host has.
_PORT_DRIVER = Module("pcieport", ("pcieport",), ("pci:v*d*sv*sd*bc06sc04i*",), builtin=True, nameless=True)


class FakeKernel(Drivers):
    """Sysfs over a Tree, in which writes do what they do on a host. Time is virtual: ``now`` grows by ``pause``."""

    is_root = True

    def __init__(self, tree, faults):
        super().__init__(tree, run=self._command)
        self.faults = faults
        self.nodes = Nodes(tree, faults)
        self.vfs = VfInfo(self)
        self.told_systemd = 0  # how often it was told to read its units again
        self.fewer = {}  # PF -> how many VFs it makes at most, whatever it is asked for
        self.all_or_none = False  # a PF's driver makes all VFs, whatever it is asked for
        self.on_settle = lambda: None  # somebody waits for udev
        self.on_reload = lambda: None  # somebody has udev read its rules again
        self.woken = []  # functions that somebody has woken
        self.asynchronous = False  # a freshly loaded module probes in a moment, not at once
        self._on_add = self._on_change = lambda address: None
        self.on_uevent = lambda address, words: None  # somebody writes to a function's uevent

    # Life of a host.

    def boot(self, on_add, on_bind=lambda address: None, on_change=lambda address: None):
        """All of it, up to where user space starts. ``on_add`` hears of each function that is plugged later, ``on_bind`` of
        each that a driver binds, ``on_change`` of each whose VFs have come.
        """
        self.tree.boot()
        self.nodes.boot()
        self.functions, self._dynamic_ids, self._later, self._modules = {}, {}, [], {}
        self.hold_nothing()
        self._on_add = self._on_bind = self._on_change = lambda address: None
        for unit, (pid, soft, hard) in self.spec.services.items():
            self.process(pid, unit)
            # source: fs/proc/base.c proc_pid_limits()
            line = f"Max locked memory         {soft:<20} {hard:<20} bytes     \n"
            self.tree.put(self.tree.root / f"proc/{pid}/limits", "Limit  Soft Limit  Hard Limit  Units\n" + line)
        for module in (_PORT_DRIVER,) + self.spec.modules:
            if module.builtin:
                self._register(module)
        for function in self.spec.functions:
            self.appear(function)
        self._on_add, self._on_bind, self._on_change = on_add, on_bind, on_change

    def appear(self, function):
        """A function is found: drivers that are registered probe it, then user space hears of it."""
        self.tree.add(function)
        self.functions[function.address] = function
        self._attach_any(function.address)
        self._on_add(function.address)

    def disappear(self, address):
        """A function is pulled out: its driver lets go, its VFs go with it."""
        if self.driver_of(address):
            self._detach(address)
        self.tree.remove(self.functions.pop(address))

    # The edges that the code under test calls.

    def write(self, path, value):
        """One write(2) to an attribute, with what the kernel does on it."""
        try:
            self.faults.step("write", path[len(self.root) :], value)
            self.react(path, value)
        except OSError as error:
            raise KernelRefusal(path, value, error=error) from error

    def pause(self, seconds):
        """Virtual time passes, and what is due in it happens."""
        self.now += seconds
        due = [one for one in self._later if one[0] <= self.now]
        self._later = [one for one in self._later if one[0] > self.now]
        for dummy, action in due:
            action()

    def die(self, address):
        """A function stops to answer: its configuration space reads all ones (source: drivers/pci/access.c)."""
        path = self.tree.directory(address) / "config"
        self.tree.put(path, b"\xff" * len(path.read_bytes()))

    def opened(self, path):
        """Without root, the kernel shows 64 bytes of the configuration space. What is in D3cold is resumed for it (source:
        drivers/pci/pci.c, pci_config_pm_runtime_get).
        """
        address = os.path.basename(os.path.dirname(path))
        if path.endswith("/config") and self._get(address, "power_state") == "D3cold":
            self.woken.append(address)
            self._put(address, "power_state", "D0")
        context = super().opened(path)
        if self.is_root:
            return context
        return _Truncated(context)

    def permanent_addresses(self):
        """What the kernel tells by netlink: of each interface that has one (source: net/core/rtnetlink.c rtnl_fill_ifinfo)."""
        found = {}
        for function in self.functions.values():
            for net in function.net:
                index = self.number(f"{self.net}/{net.name}/ifindex")
                if index is not None and net.told:
                    found[index] = net.mac, net.permanent or net.mac
        return found

    def read_vfs(self, index):
        """As the kernel's netlink answers."""
        return self.vfs.read(index)

    def write_vf(self, index, *, name, vf, group, values):
        """As the kernel's netlink takes it."""
        self.vfs.write(index, name, vf, group, values)

    # Commands.

    def _command(self, words):
        try:
            self.faults.step("command", " ".join(words))
        except OSError as error:
            return 1, "", error.strerror
        if words[:2] == ["udevadm", "control"]:
            self.on_reload()
            return 0, "", ""
        if words[:2] == ["udevadm", "settle"]:
            self.on_settle()
            return 0, "", ""
        if words[0] == "getent":
            found = self.spec.name_service.get((words[1], words[2]))
            # A directory may find an account by another name than its own.
            name, number = found if isinstance(found, tuple) else (words[2], found)
            return (2, "", "") if number is None else (0, f"{name}:x:{number}:\n", "")
        if words == ["systemctl", "daemon-reload"]:
            self.told_systemd += 1
            return 0, "", ""
        if words[:4] == ["systemctl", "show", "--property=Id", "--property=MainPID"]:
            # As systemd 257 prints it: a name is told of whether it runs or not, of a pattern what is in memory.
            names = [one for one in self.spec.services if fnmatchcase(one, words[-1])] if "*" in words[-1] else [words[-1]]
            return 0, "\n".join(f"MainPID={self.spec.services.get(one, (0,))[0]}\nId={one}\n" for one in names), ""
        if words[0] == "rmmod":
            self.tree.unregister(self._modules.pop(words[-1]))
            return 0, "", ""
        if words[0] == "modprobe":
            return self.modprobe(words[-1], "--use-blacklist" in words)
        raise AssertionError(f"no fake of the command {words}")

    def modprobe(self, name, use_blacklist=False):
        """Load by name or by modalias, as (status, stdout, stderr)."""
        if ":" in name:
            found = [one for one in self.spec.modules if any(fnmatchcase(name, alias) for alias in one.aliases)]
        else:
            found = [one for one in self.spec.modules if one.name == name.replace("-", "_")]
        if use_blacklist:
            found = [one for one in found if one.name not in self.spec.blacklist]
        if not found:
            return 1, "", f"modprobe: FATAL: Module {name} not found in directory {self.module_tree}\n"
        for module in found:
            self.load(module)
        return 0, "", ""

    def load(self, module):
        """A module registers its drivers, and these take what nobody has."""
        if module.name in self._modules:
            return
        self._register(module)
        for driver in module.drivers:
            if self.asynchronous:
                self._later.append((self.now + 0.1, lambda driver=driver: self._attach_all(driver)))
            else:
                self._attach_all(driver)

    # Attributes.

    def react(self, path, value):
        """What a write does; OSError where it is refused."""
        directory, name = os.path.split(path)
        directory = os.path.realpath(directory)
        if not os.path.exists(f"{directory}/{name}"):
            raise OSError(errno.ENOENT, path)
        pci = os.path.realpath(self.pci)
        if (directory, name) == (pci, "drivers_probe"):
            return self._drivers_probe(value)
        owner = os.path.basename(directory)
        if os.path.dirname(directory) == f"{pci}/drivers":
            return {"bind": self._bind, "unbind": self._unbind, "new_id": self._new_id}[name](owner, value)
        attributes = {
            "driver_override": self._override,
            "sriov_numvfs": self._numvfs,
            "sriov_drivers_autoprobe": self._auto,
            "uevent": self._uevent,
        }
        return attributes[name](owner, value)

    def _override(self, address, value):
        if address in self._blocked:
            raise Blocked(address)
        if len(value) >= _PAGE_SIZE - 1:
            raise OSError(errno.EINVAL, "too long")
        if value:  # nothing written is nothing done
            self._put(address, "driver_override", value.split("\n")[0] or "(null)")

    def _auto(self, address, value):
        self._put(address, "sriov_drivers_autoprobe", value.strip())

    def _uevent(self, address, words):
        if address in self.functions:
            self.on_uevent(address, words)
        else:
            (directory,) = [one for one in self.tree.sys.glob(f"class/*/{address}") if one.parent.name in ("vfio", "vfio-dev", "misc")]
            self.on_node(str(directory.resolve()), words)

    def access(self, path):
        """The Access of the node at a path."""
        return self.nodes.access(path[len(self.root) + 1:])

    def give(self, path, wanted):
        """Give a node away."""
        self.faults.step("give", path[len(self.root):], wanted)
        self.nodes.give(path[len(self.root) + 1:], wanted)

    def _numvfs(self, address, value):
        function, driver = self.functions[address], self.driver_of(address)
        now = int(self._get(address, "sriov_numvfs"))
        if not value.strip().isdigit():
            raise OSError(errno.EINVAL, "no number")
        wanted = int(value)
        if wanted > function.sriov_total:
            raise OSError(errno.ERANGE, "too many")
        if wanted == now:
            return
        if driver is None or driver.endswith("vfio-pci"):
            raise OSError(errno.ENOENT, "no driver that can")
        if now and wanted:
            raise OSError(errno.EBUSY, "write 0 first")
        if not wanted:
            self._drop_vfs(address)
            return
        if driver in ("bnxt_en", "bnx2x") and not any(net.is_up for net in function.net):
            # source: bnxt_sriov.c bnxt_sriov_configure(), bnx2x_sriov.c bnx2x_sriov_configure()
            if driver == "bnx2x":
                raise OSError(errno.EINVAL, "down")
            return
        if self.all_or_none:
            wanted = function.sriov_total  # source: drivers/crypto/intel/qat adf_sriov.c adf_enable_sriov()
        self._put(address, "sriov_numvfs", str(wanted))
        self._probe_vfs(address, False)
        self.vfs.made(address, min(wanted, self.fewer.get(address, wanted)))
        for vf in function.vfs[:min(wanted, self.fewer.get(address, wanted))]:
            if self.spec.machine == "s390x":
                # By an event of the platform, after the write (source: pdev->no_vf_scan in arch/s390/pci/pci.c, pci_event.c).
                self._later.append((self.now + 0.3, functools.partial(self.appear, vf)))
            else:
                self.appear(vf)
        self._on_change(address)  # source: drivers/pci/iov.c sriov_enable()

    def _drop_vfs(self, address):
        function = self.functions[address]
        for vf in function.vfs:
            if vf.address in self.functions:
                self.disappear(vf.address)
        if function.sriov_total:
            if self._get(address, "sriov_numvfs") != "0":
                self._probe_vfs(address, True)
            self._put(address, "sriov_numvfs", "0")
            self.vfs.made(address, 0)

    def _probe_vfs(self, address, is_on):
        # A POWER guest's kernel decides it (source: arch/powerpc/platforms/pseries/pci.c pseries_pci_sriov_enable(), _disable()).
        if self.spec.machine == "ppc64le" and not self.spec.opal:
            self._put(address, "sriov_drivers_autoprobe", str(int(is_on)))


class _Truncated:
    """A reader of which 64 bytes may be read."""

    def __init__(self, context):
        self._context = context

    def __enter__(self):
        read_at = self._context.__enter__()
        return lambda length, offset: read_at(max(0, min(length, 64 - offset)), offset)

    def __exit__(self, *error):
        return self._context.__exit__(*error)


__all__ = ("FakeKernel",)
