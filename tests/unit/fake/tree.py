# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files and links of a fake host, laid out as the kernel lays them out. No rule of the kernel's is in here."""

from __future__ import annotations

import shutil
from contextlib import suppress

from ansible_collections.vfio.host.plugins.module_utils._host.nodes import BLOCK, CHARACTER, Node
from ansible_collections.vfio.host.tests.unit.fake.configspace import configuration_space
from ansible_collections.vfio.host.tests.unit.fake.files import Files
from ansible_collections.vfio.host.tests.unit.fake.nodes import GROUP, PASSWD

_KINDS = ("vendor", "device", "subsystem_vendor", "subsystem_device")


class Tree(Files):
    """Writes the trees of /sys, /proc, /dev, /lib and /etc below ``root`` for a Spec."""

    def __init__(self, root, spec):
        super().__init__(root)
        self.spec = spec
        self.sys = self.root / "sys"
        self.pci = self.sys / "bus/pci"
        self._directories = {}
        self._indexes = {}
        self.nodes = {}  # path of a device node below the root -> its Node

    # What is installed, and outlives a boot.

    def install(self):
        """/lib/modules, /etc, pci.ids."""
        spec, modules = self.spec, self.root / "lib/modules" / self.spec.kernel
        loadable = [one for one in spec.modules if not one.builtin]
        builtin = [one for one in spec.modules if one.builtin and not one.nameless]
        self.put(
            modules / "modules.alias",
            "# Aliases extracted from modules themselves.\n"
            + "".join(f"alias {alias} {one.name}\n" for one in loadable for alias in one.aliases),
        )
        self.put(
            modules / "modules.dep",
            "".join(f"kernel/drivers/{one.file or one.name + '.ko.xz'}:\n" for one in loadable),
        )
        self.put(
            modules / "modules.builtin",
            "".join(f"kernel/drivers/{one.file or one.name + '.ko'}\n" for one in builtin),
        )
        self.put(
            modules / "modules.builtin.modinfo",
            "".join(f"{one.name}.alias={alias}\0" for one in builtin for alias in one.aliases),
        )
        for name, text in spec.modprobe_d.items():
            self.put(self.root / "etc/modprobe.d" / name, text)
        for path in spec.programs:
            self.put(self.root / path, "")
        if spec.pci_ids:
            self.put(self.root / "usr/share/misc/pci.ids", spec.pci_ids)
        (self.root / "etc/udev/rules.d").mkdir(parents=True, exist_ok=True)
        self.put(self.root / "etc/passwd", PASSWD)
        self.put(self.root / "etc/group", GROUP)

    # What a boot makes anew.

    def boot(self):
        """Empty /sys, /proc, /dev and /run, with what the kernel has before the first function shows."""
        for name in ("sys", "proc", "dev", "run"):
            shutil.rmtree(str(self.root / name), ignore_errors=True)
        self._directories, self.nodes = {}, {}
        for name in ("devices", "drivers"):
            (self.pci / name).mkdir(parents=True)
        for name in ("class/net", "class/block", "class/vfio", "dev/block", "devices/virtual/vfio", "kernel/iommu_groups", "module"):
            (self.sys / name).mkdir(parents=True)
        self.put(self.pci / "drivers_probe")
        if self.spec.opal:
            (self.sys / "firmware/opal").mkdir(parents=True)
        if self.spec.noiommu:
            self.put(self.sys / "module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n")
        if self.spec.udevd:
            self.put(self.root / "run/udev/control")
        (self.root / "dev").mkdir()
        self._boot_proc()

    def _boot_proc(self):
        spec, proc = self.spec, self.root / "proc"
        self.put(proc / "sys/kernel/osrelease", spec.kernel + "\n")
        self.put(proc / "sys/kernel/arch", spec.machine + "\n")
        self.put(proc / "cmdline", spec.cmdline + "\n")
        self.put(
            proc / "net/route",
            "\t".join(
                (
                    "Iface",
                    "Destination",
                    "Gateway",
                    "Flags",
                    "RefCnt",
                    "Use",
                    "Metric",
                    "Mask",
                    "MTU",
                    "Window",
                    "IRTT",
                )
            )
            + "\n"
            + "".join(line + "\n" for line in spec.routes),
        )
        self.put(proc / "iomem", spec.iomem)
        self.put(proc / "net/ipv6_route", "".join(line + "\n" for line in spec.routes6))
        self.put(proc / "self/mountinfo", "".join(line + "\n" for line in spec.mounts))
        self.put(
            proc / "swaps",
            "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
            + "".join(
                f"{path}    {'partition' if path.startswith('/dev/') else 'file'}\t\t1000\t\t0\t\t-2\n" for path in spec.swaps
            ),
        )

    def stack(self):
        """The virtual interfaces and block devices, over the real ones that are there."""
        for one in self.spec.interfaces:
            directory = self.sys / "devices/virtual/net" / one.name
            self.put(directory / "address", "02:00:00:00:00:01\n")
            self.link(self.sys / "class/net" / one.name, directory)
            for lower in one.lower:
                if (self.sys / "class/net" / lower).exists():
                    self.link(directory / f"lower_{lower}", (self.sys / "class/net" / lower).resolve())
        for one in self.spec.blocks:
            directory = self.sys / "devices/virtual/block" / one.name
            self._block(directory, one.number, one.partitions)
            for lower in one.lower:
                below = (self.sys / "class/block" / lower).resolve()
                self.link(directory / "slaves" / lower, below)
                if below.exists():
                    self.link(below / "holders" / one.name, directory)
            if one.mapper:
                self.link(self.root / "dev/mapper" / one.mapper, self.root / "dev" / one.name)
        for path, text in self.spec.files.items():
            self.put(self.root / path, text)
        for path, target in self.spec.links.items():
            self.link(self.root / path, self.root / target)

    # Functions.

    def directory(self, address):
        """The device directory of a function."""
        return self._directories[address]

    def add(self, function):
        """A function's directory, with what it has whatever driver serves it."""
        address = function.address
        above = self._directories.get(function.parent) or self.sys / "devices" / f"pci{address[:-5]}"
        if function.root:
            above /= f"pci{address.split(':')[0]}:{function.root}"
        directory = self._directories[address] = above / address
        bars = [f"0x{start:016x} 0x{end:016x} 0x{0x40200:016x}" for start, end in function.bars]
        nothing = " ".join([f"0x{0:016x}"] * 3)
        attributes = {
            **{kind: f"0x{value}\n" for kind, value in zip(_KINDS, function.id_parts)},
            "class": f"0x{function.pci_class}\n",
            "revision": f"0x{function.revision}\n",
            "modalias": function.modalias + "\n",
            "driver_override": "(null)\n",
            "uevent": f"PCI_SLOT_NAME={address}\n",
            "config": configuration_space(function),
            "power_state": function.power + "\n",
            "resource": "\n".join(bars + [nothing] * (13 - len(bars))) + "\n",
            **{key: value + "\n" for key, value in (function.zpci or {}).items()},
        }
        if function.header_type:
            attributes["secondary_bus_number"] = "1\n"
        if function.numa is not None:
            attributes["numa_node"] = function.numa + "\n"
        if function.shows_serial and function.dsn:
            attributes["serial_number"] = function.dsn + "\n"
        if function.reset:
            attributes["reset_method"] = function.reset + "\n"
        if function.pci_class.startswith("03"):
            attributes["boot_vga"] = "1\n" if function.boot_vga else "0\n"
        if function.sriov_total:
            attributes.update(sriov_totalvfs=f"{function.sriov_total}\n", sriov_numvfs="0\n", sriov_drivers_autoprobe="1\n")
        self.fill(directory, attributes)
        self.link(directory / "subsystem", self.pci)
        self.link(self.pci / "devices" / address, directory)
        if self.spec.iommu and function.group is not None:
            group = self.sys / "kernel/iommu_groups" / function.group
            self.link(directory / "iommu_group", group)
            self.link(group / "devices" / address, directory)
            # What x86 and arm64 print for every group (source: drivers/iommu/iommu.c iommu_group_show_resv_regions()).
            lines = (*self.spec.reserved.get(function.group, ()), self.spec.msi_window)
            self.put(group / "reserved_regions", "".join(f"{one}\n" for one in lines))
        if function.physfn:
            self._add_vf_links(function, directory)

    def _add_vf_links(self, function, directory):
        parent = self._directories[function.physfn]
        self.link(directory / "physfn", parent)
        number = sum(1 for one in parent.iterdir() if one.name.startswith("virtfn"))
        self.link(parent / f"virtfn{number}", directory)

    def remove(self, function):
        """A function without a driver goes away."""
        directory = self._directories.pop(function.address)
        if function.physfn:
            for one in self._directories[function.physfn].glob("virtfn*"):
                if one.resolve() == directory.resolve():
                    one.unlink()
        member = self.sys / "kernel/iommu_groups" / (function.group or "-") / "devices" / function.address
        if member.is_symlink():
            member.unlink()
            if not list(member.parent.iterdir()):
                shutil.rmtree(str(member.parent.parent))
        (self.pci / "devices" / function.address).unlink()
        shutil.rmtree(str(directory))

    # Drivers.

    def register(self, module):
        """A module's drivers appear."""
        if not module.nameless:
            (self.sys / "module" / module.name).mkdir(exist_ok=True)
        if not module.builtin:
            self.put(self.sys / "module" / module.name / "initstate", "live\n")
            self.put(self.sys / "module" / module.name / "refcnt", "0\n")
        for name in module.drivers:
            driver = self.pci / "drivers" / name
            for attribute in ("bind", "unbind", "new_id", "remove_id"):
                self.put(driver / attribute)
            if not module.nameless:
                self.link(driver / "module", self.sys / "module" / module.name)
                self.link(self.sys / "module" / module.name / "drivers" / f"pci:{name}", driver)

    def unregister(self, module):
        """A module that nothing uses goes, with its drivers."""
        for name in module.drivers:
            shutil.rmtree(str(self.pci / "drivers" / name))
        shutil.rmtree(str(self.sys / "module" / module.name))

    def bind_links(self, address, driver, is_bound=True):
        """The two links that say that a driver has a device, made or taken away."""
        directory = self.directory(address)
        if is_bound:
            self.link(directory / "driver", self.pci / "drivers" / driver)
            self.link(self.pci / "drivers" / driver / address, directory)
        else:
            (directory / "driver").unlink()
            (self.pci / "drivers" / driver / address).unlink()

    def attach(self, function, driver, is_vfio):
        """The links of a binding, and what the driver makes of the device."""
        directory = self.directory(function.address)
        self.bind_links(function.address, driver)
        if is_vfio:
            used = {one.name for one in self.sys.glob("class/vfio-dev/*")}
            name = next(f"vfio{number}" for number in range(1000) if f"vfio{number}" not in used)
            self.vfio_device(directory, name)
            if (directory / "iommu_group").exists():
                self.vfio_group(function.group)
            return
        for net in function.net:
            self._interface(net, directory / net.via / "net" / net.name)
        if function.nvme:
            self._attach_nvme(function.nvme, directory / "nvme" / function.nvme.name)
        for one in function.made:
            self.device(directory / one.path, one.subsystem, one.number, one.name)
        if function.disk:
            disk = function.disk
            self._block(directory / disk.via / disk.name, disk.number, disk.partitions)

    def _interface(self, net, place):
        # Of the real kernel's a new one each time; kept here, so that a host can be compared with what it was.
        index = self._indexes.setdefault(net.name, len(self._indexes) + 2)
        self.put(place / "address", net.mac + "\n")
        self.put(place / "flags", "0x1003\n" if net.is_up else "0x1002\n")
        self.put(place / "ifindex", f"{index}\n")
        # NET_ADDR_PERM or NET_ADDR_SET (source: net/core/dev.c dev_set_mac_address)
        self.put(place / "addr_assign_type", "3\n" if net.permanent or net.bonded else "0\n")
        if net.bonded:
            self.put(place / "bonding_slave/perm_hwaddr", (net.permanent or net.mac) + "\n")
        self.link(self.sys / "class/net" / net.name, place)

    def _attach_nvme(self, nvme, controller):
        self.put(controller / "serial", nvme.serial.ljust(20) + "\n")
        self.link(self.sys / "class/nvme" / nvme.name, controller)
        above = controller
        if nvme.subsystem:
            above = self.sys / "devices/virtual/nvme-subsystem" / nvme.subsystem
            self.link(above / nvme.name, controller)
            if not (self.sys / "class/nvme-subsystem" / nvme.subsystem).exists():
                self.link(self.sys / "class/nvme-subsystem" / nvme.subsystem, above)
        if nvme.disk and not (above / nvme.disk.name).exists():
            self._block(above / nvme.disk.name, nvme.disk.number, nvme.disk.partitions)

    def _block(self, directory, number, partitions):
        for name, one, is_part in [("", number, False)] + [part + (True,) for part in partitions]:
            place = directory / name
            self.device(place, "block", one, place.name)
            if is_part:
                self.put(place / "partition", "1\n")
            self.link(self.sys / "dev/block" / one, place)

    def device(self, directory, subsystem, number, name):
        """A device with a node, as the driver core shows it (source: drivers/base/core.c, device_add)."""
        kind = BLOCK if subsystem == "block" else CHARACTER
        self.put(directory / "dev", number + "\n")
        self.put(directory / "uevent", "MAJOR={0}\nMINOR={1}\nDEVNAME={2}\n".format(*number.split(":"), name))
        self.link(directory / "subsystem", self.sys / "class" / subsystem)
        if not (self.sys / "class" / subsystem / directory.name).exists():
            self.link(self.sys / "class" / subsystem / directory.name, directory)
        self.node(f"dev/{name}", kind, number)

    def node(self, path, kind, number):
        """A device node, somewhere below the root."""
        self.put(self.root / path)
        self.nodes[path] = Node(kind, number)

    def vfio_device(self, directory, name):
        """VFIO's own device below a function, which has a number and a node with VFIO_DEVICE_CDEV alone (source:
        drivers/vfio/device_cdev.c vfio_init_device_cdev()).
        """
        if self.spec.cdev:
            self.device(directory / "vfio-dev" / name, "vfio-dev", f"241:{name[len('vfio'):]}", f"vfio/devices/{name}")
        else:
            self.put(directory / "vfio-dev" / name / "uevent")
            self.link(directory / "vfio-dev" / name / "subsystem", self.sys / "class/vfio-dev")
            self.link(self.sys / "class/vfio-dev" / name, directory / "vfio-dev" / name)
        self.link(directory / "vfio-dev" / name / "device", directory)

    def vfio_group(self, name):
        """VFIO's group of a device, with its node (source: drivers/vfio/group.c); the number that it has."""
        directory = self.sys / "devices/virtual/vfio" / name
        if not directory.exists():
            self.device(directory, "vfio", f"242:{name[len('noiommu-'):] if name.startswith('noiommu-') else name}", f"vfio/{name}")
        return self.nodes[f"dev/vfio/{name}"]

    def detach(self, function, driver):
        """Undo ``attach``: everything that the driver had made goes."""
        directory = self.directory(function.address)
        self.bind_links(function.address, driver, is_bound=False)
        made = ["vfio-dev", "nvme", "net"] + [one.path.split("/")[0] for one in function.made] + [net.via.split("/")[0] for net in function.net if net.via]
        if function.disk:
            made.append(function.disk.via.split("/")[0])
        for name in made:
            shutil.rmtree(str(directory / name), ignore_errors=True)
        if function.group and not list(self.sys.glob(f"kernel/iommu_groups/{function.group}/devices/*/vfio-dev")):
            shutil.rmtree(str(self.sys / "devices/virtual/vfio" / function.group), ignore_errors=True)
        for place in ["dev/block"] + [f"class/{one.name}" for one in (self.sys / "class").iterdir()]:
            for entry in (self.sys / place).glob("*"):
                if entry.is_symlink() and not entry.exists():
                    entry.unlink()
        for path in [one for one in self.nodes if not self._is_shown(self.nodes[one])]:
            del self.nodes[path]
            with suppress(FileNotFoundError):
                (self.root / path).unlink()

    def _is_shown(self, node):
        """Whether a device with this number is still there."""
        return any(one.read_text().strip() == node.number for one in self.sys.glob("class/*/*/dev"))


__all__ = ("Tree",)
