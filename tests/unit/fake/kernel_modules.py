# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host of real files below a temporary root, whose modprobe and rmmod change /sys/module as the kernel does."""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil

from ansible_collections.vfio.host.plugins.module_utils._core.area import run_areas
from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
from ansible_collections.vfio.host.plugins.module_utils._devices.needed import modules_needed
from ansible_collections.vfio.host.plugins.module_utils._host.errors import KernelRefusal
from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
from ansible_collections.vfio.host.plugins.module_utils._kernel import modprobe as conf
from ansible_collections.vfio.host.plugins.module_utils._modules.area import KernelArea, Request

RELEASE = "6.12.0-test"

# name -> (dependencies, {parameter: (type, default, mode; 0 is not shown)})
MODULES = {
    "vfio": ((), {"enable_unsafe_noiommu_mode": ("bool", "N", 0o644)}),
    "vfio_iommu_type1": (("vfio",), {
        "allow_unsafe_interrupts": ("bool", "N", 0o644), "dma_entry_limit": ("uint", "65535", 0o644),
    }),
    "vfio_pci_core": (("vfio",), {}),
    "vfio_pci": (("vfio_pci_core", "vfio"), {
        "ids": ("string", "", 0), "disable_vga": ("bool", "N", 0o444), "nointxmask": ("bool", "N", 0o644),
        "enable_sriov": ("bool", "N", 0o644),
    }),
    "nvme": ((), {"poll_queues": ("uint", "0", 0o644)}),
    "e1000e": ((), {}),
    "r8169": ((), {}),
    "nouveau": ((), {}),
}
BUILTIN = {"zswap": {"max_pool_percent": ("uint", "20", 0o644), "enabled": ("bool", "N", 0o444)}, "ahci": {}}


class FakeSysfs(Sysfs):
    """Refuses to write where a mode says so: the tests run as root, for whom every file opens."""

    refuses = ()

    @property
    def is_root(self):
        return True

    def write(self, path, value):
        if path.rsplit("/", 1)[-1] in self.refuses or not os.stat(path).st_mode & 0o200:
            raise KernelRefusal(path, value, error=OSError(errno.EIO, "refused"))
        with open(path) as stream:
            is_bool = stream.read().strip() in ("Y", "N")
        with open(path, "w") as stream:
            stream.write((("Y" if value[0] in "yY1" else "N") if is_bool else value) + "\n")


class ModuleHost:
    """One host below ``root``."""

    def __init__(self, root, machine="x86_64", cmdline="quiet", config=None, modules=None, builtin=None):
        self.root = str(root)
        self.modules = MODULES if modules is None else modules
        self.builtin = BUILTIN if builtin is None else builtin
        self.commands = []
        self.fails = {}  # (command, module) -> complaint
        self._inodes = itertools.count(1000)
        self.write("proc/sys/kernel/osrelease", RELEASE + "\n")
        self.write("proc/sys/kernel/arch", machine + "\n")
        self.write("proc/cmdline", cmdline + "\n")
        os.makedirs(f"{self.root}/sys/module")
        self._tables()
        if config is not None:
            self.write(f"boot/config-{RELEASE}", config)
        for name, parameters in self.builtin.items():
            self._appear(name, parameters, {}, builtin=True)
        self.kernel = FakeSysfs(self.root, self.run)
        self.files = Files(self.root)

    def _tables(self):
        tree = f"lib/modules/{RELEASE}"
        self.write(f"{tree}/modules.dep", "".join(
            f"kernel/{self._file(name)}.xz: {' '.join(f'kernel/{self._file(one)}.xz' for one in needs)}\n"
            for name, (needs, dummy) in self.modules.items()
        ))
        self.write(f"{tree}/modules.builtin", "".join(f"kernel/{self._file(name)}\n" for name in self.builtin))
        self.write(f"{tree}/modules.builtin.modinfo", "".join(
            f"{name}.parm={option}:Some text\0{name}.parmtype={option}:{kind}\0"
            for name, parameters in self.builtin.items() for option, (kind, dummy, dummy) in parameters.items()
        ) + "zswap.license=GPL\0")
        self.write(f"{tree}/modules.softdep", "# from the modules\nsoftdep r8169 pre: realtek\n")

    @staticmethod
    def _file(name):
        return name.replace("_", "-") + ".ko"

    def path(self, name):
        return f"{self.root}/{name}"

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as stream:
            stream.write(text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text)

    def read(self, name):
        try:
            with open(self.path(name), encoding="utf-8") as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    def parameter(self, module, name):
        text = self.read(f"sys/module/{module}/parameters/{name}")
        return None if text is None else text.strip()

    @property
    def loaded(self):
        return sorted(one for one in os.listdir(self.path("sys/module")) if one not in self.builtin)

    def _appear(self, name, parameters, options, builtin=False):
        base = f"sys/module/{name}"
        if not builtin:
            self.write(f"{base}/initstate", "live\n")
            self.write(f"{base}/refcnt", "0\n")
            os.makedirs(self.path(f"{base}/holders"))
            os.makedirs(self.path(f"{base}/drivers"))
        for option, (kind, default, mode) in parameters.items():
            if mode:
                value = options.get(option) or default
                if kind == "bool":
                    value = "Y" if value[0] in "yY1" else "N"
                self.write(f"{base}/parameters/{option}", value + "\n")
                os.chmod(self.path(f"{base}/parameters/{option}"), mode)

    def load(self, name, **options):
        for one in self.modules[name][0]:
            if one not in self.loaded:
                self.load(one)
        self._appear(name, self.modules[name][1], options)
        for one in self.modules[name][0]:
            self.write(f"sys/module/{one}/holders/{name}", "")
            self._count(one)

    def _count(self, name):
        self.write(f"sys/module/{name}/refcnt", f"{len(os.listdir(self.path(f'sys/module/{name}/holders')))}\n")

    def bind(self, name, device):
        driver = f"sys/bus/pci/drivers/{name}"
        os.makedirs(self.path(driver))
        os.symlink(f"../../../../devices/{device}", self.path(f"{driver}/{device}"))
        os.symlink(f"../../../../module/{name}", self.path(f"{driver}/module"))
        os.symlink(self.path(driver), self.path(f"sys/module/{name}/drivers/pci:{name}"))

    def run(self, words):
        self.commands.append(words)
        if words[0] == "modinfo":
            return self._modinfo(words[-1])
        name = words[2].replace("-", "_")
        if (words[0], name) in self.fails:
            return 1, "", self.fails[words[0], name]
        if words[0] == "rmmod":
            if self.read(f"sys/module/{name}/refcnt") != "0\n":
                return 1, "", "ERROR: Module is in use"
            shutil.rmtree(self.path(f"sys/module/{name}"))
            for one in self.modules[name][0]:
                os.unlink(self.path(f"sys/module/{one}/holders/{name}"))
                self._count(one)
            return 0, "", ""
        assert words[:2] == ["modprobe", "--"], words
        if name not in self.modules:
            return 1, "", f"FATAL: Module {name} not found"
        if name not in self.loaded:
            self.load(name, **self._options(name, words[3:]))
        return 0, "", ""

    def _options(self, name, words):
        found = {}
        directory = self.path("etc/modprobe.d")
        for one in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
            for line in conf.parse_conf(self.read(f"etc/modprobe.d/{one}"), one):
                if line.verb == "options" and line.module == name:
                    found.update(conf.split_options(line.rest))
        found.update(word.split("=", 1) for word in words)
        return found

    def _modinfo(self, name):
        if name not in self.modules:
            return 1, "", "modinfo: ERROR: Module not found"
        return 0, "".join(
            f"{option}:Some text (with (brackets)) ({kind})\0"
            for option, (kind, dummy, dummy) in self.modules[name][1].items()
        ), ""

    def plan(self, **request):
        area = KernelArea(self.kernel, self.files, modules_needed)
        wish = Request(**request)
        return area.plan(area.read(wish), wish)

    def apply(self, *modules, **request):
        """Plan and apply, and give (plan, area) back."""
        wish = KernelArea(self.kernel, self.files, modules_needed), Request(modules=list(modules), **request)
        return run_areas({"modules": wish}, False, open_journal=lambda: Journal(self.kernel, self.files))["modules"], wish[0]

    def snapshot(self):
        """Every file's text, but for inode numbers."""
        found = {}
        for directory, dummy, names in os.walk(self.root):
            for name in names:
                path = os.path.join(directory, name)
                if not os.path.islink(path):
                    with open(path, "rb") as stream:
                        found[os.path.relpath(path, self.root)] = stream.read()
        return found


def words_of(text):
    """The words of every line that is no comment."""
    return [re.split(r"\s+", line) for line in (text or "").splitlines() if line and not line.startswith("#")]
