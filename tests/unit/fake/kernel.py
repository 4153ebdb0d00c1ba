# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's reactions: what happens in the tree when an attribute is written, and with which errno it is refused.

The rules come from the kernel's sources (drivers/base/bus.c, drivers/base/dd.c, drivers/pci/pci-driver.c,
drivers/vfio/pci), stated here on their own and not by the code under test.
"""

from __future__ import annotations

import errno
import functools
import os
from fnmatch import fnmatchcase

from ansible_collections.vfio.host.plugins.module_utils._host.errors import KernelRefusal
from ansible_collections.vfio.host.tests.unit.fake.holding import Blocked, Holding
from ansible_collections.vfio.host.tests.unit.fake.model import Module
from ansible_collections.vfio.host.tests.unit.fake.nodes import Nodes
from ansible_collections.vfio.host.tests.unit.fake.vfs import VfInfo

_PAGE_SIZE = 4096
_HARMLESS = ("pcieport", "pci-stub")
# vfio-pci's denylist: Intel QAT and DSA (source: drivers/vfio/pci/vfio_pci.c, vfio_pci_dev_in_denylist).
_DENIED = ("8086:19e2", "8086:19e3", "8086:37c8", "8086:37c9", "8086:0435", "8086:0443", "8086:0b25")
# Built in, and without a module's name: the drivers that every host has.
_PORT_DRIVER = Module("pcieport", ("pcieport",), ("pci:v*d*sv*sd*bc06sc04i*",), builtin=True, nameless=True)


class FakeKernel(Holding):
    """Sysfs over a Tree, in which writes do what they do on a host. Time is virtual: ``now`` grows by ``pause``."""

    is_root = True

    def __init__(self, tree, faults):
        super().__init__(tree, run=self._command)
        self.spec = tree.spec
        self.faults = faults
        self.nodes = Nodes(tree, faults)
        self.vfs = VfInfo(self)
        self.told_systemd = 0  # how often it was told to read its units again
        self.on_node = lambda directory, action: None  # user space hears of a node of VFIO's, or of /dev/iommu
        self.now = 0.0
        self.functions = {}
        self.refusals = {}  # (driver, address) -> errno that its probe answers
        self.deferrals = {}  # (driver, address) -> seconds until it binds by itself, after EAGAIN
        self.slow = {}  # (driver, address) -> seconds until the driver link shows after a bind that succeeded
        self.fewer = {}  # PF -> how many VFs it makes at most, whatever it is asked for
        self.all_or_none = False  # a PF's driver makes all VFs, whatever it is asked for
        self.on_settle = lambda: None  # somebody waits for udev
        self.on_reload = lambda: None  # somebody has udev read its rules again
        self.woken = []  # functions that somebody has woken
        self.asynchronous = False  # a freshly loaded module probes in a moment, not at once
        self._later = []
        self._dynamic_ids = {}
        self._modules = {}
        self._on_add = self._on_bind = self._on_change = lambda address: None
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
            number = self.spec.name_service.get((words[1], words[2]))
            return (2, "", "") if number is None else (0, f"{words[2]}:x:{number}:\n", "")
        if words == ["systemctl", "daemon-reload"]:
            self.told_systemd += 1
            return 0, "", ""
        if words[:4] == ["systemctl", "show", "--property=MainPID", "--value"]:
            return 0, f"{self.spec.services.get(words[-1], (0,))[0]}\n", ""
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

    def _attach_all(self, driver):
        for address in sorted(self.functions):
            if self._matches(driver, address) and self.driver_of(address) is None:
                self._probe(driver, address)

    def _register(self, module):
        self._modules[module.name] = module
        self.tree.register(module)

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

    def _bind(self, driver, address):
        self._present(address)
        if not self._matches(driver, address):
            raise OSError(errno.ENODEV, "no match")
        if self.driver_of(address):
            raise OSError(errno.EBUSY, "bound already")
        seconds = self.deferrals.pop((driver, address), None)
        if seconds is not None:
            self._later.append((self.now + seconds, lambda: self._probe(driver, address)))
            raise OSError(errno.EAGAIN, "deferred")
        seconds = self.slow.pop((driver, address), None)
        if seconds is not None:
            self._later.append((self.now + seconds, lambda: self._probe(driver, address)))
            return
        refusal = self._probe(driver, address)
        if refusal:
            raise OSError(refusal, "probe")

    def _unbind(self, driver, address):
        self._present(address)
        if self.driver_of(address) != driver:
            raise OSError(errno.ENODEV, "not bound to it")
        self._detach(address)

    def _drivers_probe(self, address):
        self._present(address)
        if self.driver_of(address) is None and self._attach_any(address) == errno.EBUSY:
            raise OSError(errno.EINVAL, "the group is user space's")

    def _new_id(self, driver, value):
        words = value.split()
        if len(words) < 2:
            raise OSError(errno.EINVAL, "vendor and device")
        self._dynamic_ids.setdefault(driver, []).append(":".join(words[:2]))
        self._attach_all(driver)

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

    # Drivers and devices.

    def driver_of(self, address):
        """The driver that a function is bound to, or None."""
        return self.link(f"{self.pci_devices}/{address}/driver")

    def override_of(self, address):
        """The override of a function, or None."""
        value = self._get(address, "driver_override")
        return None if value == "(null)" else value

    def _present(self, address):
        if address in self._blocked:
            raise Blocked(address)
        if address not in self.functions:
            raise OSError(errno.ENODEV, "absent")

    def _get(self, address, name):
        with open(f"{self.tree.directory(address)}/{name}", "rb", 0) as stream:
            return stream.read().decode(errors="surrogateescape").rstrip("\n")

    def _put(self, address, name, value):
        self.tree.put(f"{self.tree.directory(address)}/{name}", value + "\n")

    def _module_of(self, driver):
        return next(one for one in self._modules.values() if driver in one.drivers)

    def _matches(self, driver, address):
        """The kernel's pci_match_device: an override beats every table; without one, ids and tables speak."""
        override = self.override_of(address)
        if override is not None:
            return override == driver
        function = self.functions[address]
        if ":".join(function.id_parts[:2]) in self._dynamic_ids.get(driver, ()):
            return True
        return any(fnmatchcase(function.modalias, alias) for alias in self._module_of(driver).aliases)

    def _attach_any(self, address):
        """The kernel's device_attach: drivers in order of registration, until one keeps it; the last group refusal."""
        refusal = None
        for module in list(self._modules.values()):
            for driver in module.drivers:
                if self._matches(driver, address) and self.driver_of(address) is None:
                    answer = self._probe(driver, address)
                    refusal = errno.EBUSY if answer == errno.EBUSY and not module.is_vfio else refusal
        return refusal

    def _probe(self, driver, address):
        """The errno that keeps a driver from a function, or 0 and it is bound."""
        if address not in self.functions or self.driver_of(address):
            return errno.ENODEV
        function, module = self.functions[address], self._module_of(driver)
        if function.physfn and self._get(function.physfn, "sriov_drivers_autoprobe") == "0":
            if self.override_of(address) is None:
                return errno.ENODEV  # whoever asks: pci_device_can_probe
        refusal = self.refusals.get((driver, address), 0)
        if module.is_vfio:
            refusal = refusal or self._vfio_refusal(function)
        elif driver not in _HARMLESS and self._is_given_away(function.group):
            refusal = errno.EBUSY
        if not refusal:
            before = set(self._node_directories())
            self.tree.attach(function, driver, module.is_vfio)
            for directory in self._node_directories():
                if directory not in before:
                    self.on_node(directory, "add")
            self._on_bind(address)
        return refusal

    def _vfio_refusal(self, function):
        if function.header_type != 0 or ":".join(function.id_parts[:2]) in _DENIED:
            return errno.EINVAL
        if function.sriov_total and self._get(function.address, "sriov_numvfs") != "0":
            return errno.EBUSY
        has_group = self.spec.iommu and function.group is not None
        return 0 if has_group or self.spec.noiommu else errno.EINVAL

    def _is_given_away(self, group):
        return group is not None and any(
            self.functions[address].group == group for address in self._held.values() if address in self.functions
        )

    def _detach(self, address):
        holders = self.waited_for(address)
        if holders:
            raise Blocked(address, f"this would block for ever: it is held by {holders}")
        self._drop_vfs(address)
        self.tree.detach(self.functions[address], self.driver_of(address))
        self.nodes.forget_gone()

    def _node_directories(self):
        """The directories in sysfs of VFIO's groups and devices, and of /dev/iommu."""
        places = [f"{self.tree.sys}/class/{place}" for place in ("vfio", "vfio-dev", "misc")]
        found = [f"{place}/{name}" for place in places if os.path.isdir(place) for name in sorted(os.listdir(place))]
        return [os.path.realpath(one) for one in found]

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
