# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One fake host to hold in the hand: kernel, configuration files and udev together."""

from __future__ import annotations

import os

from ansible_collections.vfio.host.plugins.module_utils._core.area import report, run_areas
from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
from ansible_collections.vfio.host.plugins.module_utils._devices.area import DeviceArea
from ansible_collections.vfio.host.plugins.module_utils._devices.plan import Request
from ansible_collections.vfio.host.plugins.module_utils._devices.state import survey
from ansible_collections.vfio.host.tests.unit.fake.faults import FakeFiles, Faults
from ansible_collections.vfio.host.tests.unit.fake.kernel import FakeKernel
from ansible_collections.vfio.host.tests.unit.fake.tree import Tree
from ansible_collections.vfio.host.tests.unit.fake.udev import Udev


class FakeHost:
    """A Spec, installed below ``root`` and booted."""

    def __init__(self, root, spec):
        self.root = str(root)
        self.spec = spec
        self.faults = Faults()
        self.tree = Tree(root, spec)
        self.kernel = FakeKernel(self.tree, self.faults)
        self.files = FakeFiles(self.root, self.faults)
        self.udev = Udev(self.kernel, [self.files.boot_rules, self.files.volatile_rules])
        self.kernel.on_settle = self.udev.catch_up
        self.kernel.on_reload = self.udev.reload
        self.kernel.on_uevent = self._on_uevent
        self.kernel.on_node = self._on_node
        self.area = DeviceArea(self.kernel, self.files)
        self._udev_runs = False
        self.tree.install()
        self.reboot()

    def reboot(self):
        """What a boot does: /run is empty, overrides are gone, native drivers come first, then the rules of /etc."""
        self._udev_runs = False
        self.kernel.boot(on_add=self._on_add, on_bind=self._on_bind, on_change=self._on_change)
        for module in self.spec.modules:
            if module.initramfs:
                self.kernel.load(module)
        self._udev_runs = self.spec.udevd
        self.udev.reload()
        self.udev.add_module("kernel")
        for address in sorted(self.kernel.functions):
            self.udev.add(address)
        self.udev.all_nodes()
        for name in self.spec.modules_load:
            self.kernel.modprobe(name)
        self.tree.stack()
        self.faults.reset()

    def _on_add(self, address):
        if self._udev_runs:
            self.udev.reload()
            self.udev.add(address)

    def _on_bind(self, address):
        if self._udev_runs:
            self.udev.bind(address)

    def _on_change(self, address):
        if self._udev_runs:
            self.udev.change(address)

    def _on_node(self, directory, action):
        if self._udev_runs:
            self.udev.node(directory, action)

    def _on_uevent(self, address, words):
        if self._udev_runs:
            self.udev.send(address, words)

    def plug(self, function):
        """Hot-plug a function."""
        self.kernel.appear(function)

    def unplug(self, address):
        """Pull one out."""
        self.kernel.disappear(address)

    def survey(self):
        """The survey of this host."""
        return survey(self.kernel)

    def facts(self, address):
        """The facts of one function."""
        return self.survey().facts()["devices"][address]

    def run(self, policies, check=False, timeout=1, **wishes):
        """One task over ``policies`` (name -> device list), as the modules run it; its result."""
        wish = self.area, Request(policies=policies, timeout=timeout, **wishes)
        plans = list(run_areas({"devices": wish}, check, open_journal=lambda: Journal(self.kernel, self.files, timeout=timeout)).values())
        result = report(plans)
        for plan in plans:
            result.update(plan.result())
        return result

    def take(self, *entries, **options):
        """One task over the policy 'p'; an entry that is a text is an address."""
        devices = [{"match": {"address": one}} if isinstance(one, str) else one for one in entries]
        return self.run({"p": devices}, **options)

    def release(self, policy="p", **options):
        """Give a policy back."""
        return self.run({policy: None}, present=False, **options)

    def driver(self, address):
        """The driver that a function has now."""
        return self.kernel.driver_of(address)

    def drivers(self):
        """Address -> driver, of all functions."""
        return {address: self.kernel.driver_of(address) for address in sorted(self.kernel.functions)}

    def override(self, address):
        """The override that a function has now."""
        return self.kernel.override_of(address)

    def node(self, path):
        """'owner:group mode' of a node, by numbers: '0:993 0660'; None where there is none."""
        found = self.kernel.nodes.access(path.lstrip("/"))
        return None if found is None else f"{found.uid}:{found.gid} {found.mode:04o}"

    def group_node(self, address):
        """The path of the node of a function's IOMMU group."""
        return f"/dev/vfio/{self.kernel.functions[address].group}"

    def rules(self, policy="p", volatile=False):
        """The text of a policy's rules file; None where there is none."""
        directory = self.files.volatile_rules if volatile else self.files.boot_rules
        return self.files.read(f"{directory}/60-vfio-host-{policy}.rules")

    def snapshot(self, *but):
        """Every file and link of the host with its content, less the places whose path begins with one of ``but``."""
        found, folders = {}, [self.root]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    short = entry.path[len(self.root) :]
                    is_wanted = not short.startswith(tuple(but))
                    if entry.is_symlink():
                        if is_wanted:
                            found[short] = "-> " + os.readlink(entry.path)
                    elif entry.is_dir():
                        folders.append(entry.path)
                        if is_wanted and short.startswith("/sys"):
                            found[short] = "directory"
                    elif is_wanted and entry.is_file():
                        with open(entry.path, "rb", 0) as stream:
                            found[short] = stream.read()
        return found


__all__ = ("FakeHost",)
