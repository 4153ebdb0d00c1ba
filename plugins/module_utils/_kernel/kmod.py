# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Kernel modules as the running kernel knows them: names, states, aliases, drivers, and what modprobe.d forbids."""

from __future__ import annotations

import re

from ansible_collections.vfio.host.plugins.module_utils._device import alias
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError

LOADED, BUILTIN, LOADABLE, ABSENT = "loaded", "builtin", "loadable", "absent"


def normalize_module_name(name):
    """'vfio_pci' for 'vfio-pci': the kernel and kmod hold '-' and '_' for one."""
    return name.replace("-", "_")


class Modules:
    """What one survey knows of the kernel's modules. Each file is read when first asked for, and once."""

    def __init__(self, fs):
        self._fs = fs
        self._texts = {}
        self._aliases = {}
        self._disabled = None

    def _text(self, name):
        if name not in self._texts:
            data = self._fs.read_file(f"{self._fs.module_tree}/{name}") or b""
            self._texts[name] = data
        return self._texts[name]

    def aliases(self, prefix):
        """The kernel's aliases of ``prefix``: those of module files first, then those of built-in modules."""
        if prefix not in self._aliases:
            table = alias.parse_modules_alias(self._text("modules.alias").decode("utf-8", "replace"), prefix)
            self._aliases[prefix] = table + alias.parse_builtin_modinfo(self._text("modules.builtin.modinfo"), prefix)
        return self._aliases[prefix]

    def declared_by(self, module):
        """The pci and vfio_pci aliases that one module carries."""
        name = normalize_module_name(module)
        return [one for prefix in (alias.VFIO, alias.NATIVE) for one in self.aliases(prefix) if one.module == name]

    def state(self, module):
        """'loaded', 'builtin', 'loadable' or 'absent'."""
        name = normalize_module_name(module)
        pattern = name.replace("_", "[-_]").encode()
        if re.search(rb"/" + pattern + rb"\.ko\s", self._text("modules.builtin") + b"\n"):
            return BUILTIN
        if self._fs.exists(f"{self._fs.modules}/{name}"):
            return LOADED
        if re.search(rb"/" + pattern + rb"\.ko(\.\w+)?:", self._text("modules.dep")):
            return LOADABLE
        return ABSENT

    def drivers(self, module):
        """The PCI drivers that a loaded or built-in module has registered (source: /sys/module/M/drivers)."""
        directory = f"{self._fs.modules}/{normalize_module_name(module)}/drivers"
        return [name[len("pci:"):] for name in self._fs.names(directory) if name.startswith("pci:")]

    def driver_module(self, driver):
        """The module behind a registered PCI driver; None where it is built in without a name, or not registered."""
        return self._fs.link(f"{self._fs.pci_drivers}/{driver}/module")

    def is_registered(self, driver):
        """Whether the PCI bus knows a driver of exactly this name now."""
        return self._fs.exists(f"{self._fs.pci_drivers}/{driver}")

    def disabled(self):
        """The modules that 'blacklist', 'install … /bin/false' or modprobe.blacklist= keep from loading by alias."""
        if self._disabled is None:
            self._disabled = frozenset(self._read_disabled())
        return self._disabled

    def _read_disabled(self):
        seen = set()
        for directory in self._fs.modprobe_d:
            for name in self._fs.names(directory):
                if not name.endswith(".conf") or name in seen:
                    continue
                seen.add(name)
                text = (self._fs.read_file(f"{directory}/{name}") or b"").decode("utf-8", "replace")
                for line in text.replace("\\\n", " ").splitlines():
                    words = line.split()
                    if len(words) >= 2 and words[0] == "blacklist":
                        yield normalize_module_name(words[1])
                    elif len(words) >= 3 and words[0] == "install" and words[2].split("/")[-1] in ("false", "true"):
                        yield normalize_module_name(words[1])
        for word in (self._fs.read(f"{self._fs.proc}/cmdline") or "").split():
            key, dummy, value = word.partition("=")
            if key in ("modprobe.blacklist", "module_blacklist"):
                for module in value.split(","):
                    yield normalize_module_name(module)

    def load(self, module):
        """Load a module by its name. Raises ApplyError with modprobe's words."""
        status, dummy, complaint = self._fs.run(["modprobe", "--", module])
        if status:
            raise ApplyError(f"module {module} does not load: modprobe says: {complaint.strip()}")

    def load_native(self, modalias):
        """Load what the kernel would load for a device, blacklists respected; no such module is no error."""
        self._fs.run(["modprobe", "--use-blacklist", "--quiet", "--", modalias])


__all__ = ("ABSENT", "BUILTIN", "LOADABLE", "LOADED", "Modules", "normalize_module_name")
