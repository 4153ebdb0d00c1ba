# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Kernel modules as they were when they were read: names, states, aliases, drivers, what modprobe.d says. Values: see control.py for the rest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._kernel import alias, modprobe
from ansible_collections.vfio.host.plugins.module_utils._kernel.parameters import Parameter

if TYPE_CHECKING:
    from typing import Callable, Collection, Iterable

    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

# Added to "has no module X" where no module is listed.
NO_TABLE = (
    ", and nothing lists its modules (modules.dep in /lib/modules): where its package was updated since the boot, reboot, else run depmod, "
    "then run again"
)
LOADED, BUILTIN, LOADABLE, ABSENT = "loaded", "builtin", "loadable", "absent"


_FILE = re.compile(rb"^(?:[^\n:]*/)?([A-Za-z0-9_-]+)\.ko(?:\.\w+)?(?::|$)", re.MULTILINE)
_TABLES = ("modules.alias", "modules.builtin", "modules.builtin.modinfo", "modules.dep")

# 'pci:v' and eight digits.
_TO_VENDOR = 13

normalize_module_name = modprobe.module_name


class Modules:
    """The kernel's modules at one moment. All is read when this is made, and nothing later; what is worked out of it is kept.

    ``with_loaded``: which of them are loaded from a file is wanted, for which each is looked at.
    """

    def __init__(self, fs: Sysfs, *, with_loaded: bool = True) -> None:
        self._texts = {name: fs.read_file(f"{fs.module_tree}/{name}") or b"" for name in _TABLES}
        # Once it is set, nothing takes it back but a boot (source: linux kernel/sysctl.c).
        self.is_closed = fs.read(f"{fs.proc}/sys/kernel/modules_disabled") == "1"
        self._there = frozenset(fs.names(fs.modules))
        initstates = (name for name in self._there if fs.exists(f"{fs.modules}/{name}/initstate"))
        self._loaded = frozenset(initstates) if with_loaded else None
        # A driver and its module show each other (source: drivers/base/module.c module_add_driver()).
        self._module_of = {driver: fs.link(f"{fs.pci_drivers}/{driver}/module") for driver in fs.names(fs.pci_drivers)}
        self._configured = modprobe.Configuration(_directives(fs))
        self._aliases: dict[str, list[alias.Alias]] = {}
        self._disabled: frozenset[str] | None = None
        self._competing: list[alias.Alias] | None = None
        self._declared: dict[str, list[alias.Alias]] = {}
        self._of_vendor: dict[str, list[alias.Alias]] = {}
        self._builtin_native: list[alias.Alias] | None = None
        self._names: list[str] | None = None

    def _text(self, name: str) -> bytes:
        return self._texts[name]

    def aliases(self, prefix: str) -> list[alias.Alias]:
        """The kernel's aliases of ``prefix``: those of module files first, then those of built-in modules."""
        if prefix not in self._aliases:
            table = alias.parse_modules_alias(alias.lines_of_prefixes(self._text("modules.alias"), (prefix,)), prefix)
            self._aliases[prefix] = table + alias.parse_builtin_modinfo(self._text("modules.builtin.modinfo"), prefix)
        return self._aliases[prefix]

    def native_aliases(self, modalias: str) -> list[alias.Alias]:
        """The kernel's ordinary aliases that can match a device, those of its vendor and of all, in the order of aliases()."""
        vendor = modalias[:_TO_VENDOR]
        if vendor not in self._of_vendor:
            prefixes = (vendor, alias.NATIVE + "v*")
            table = alias.lines_of_prefixes(self._text("modules.alias"), prefixes)
            if self._builtin_native is None:
                self._builtin_native = alias.parse_builtin_modinfo(self._text("modules.builtin.modinfo"), alias.NATIVE)
            self._of_vendor[vendor] = alias.parse_modules_alias(table, alias.NATIVE) + [
                one for one in self._builtin_native if one.pattern.startswith(prefixes)
            ]
        return self._of_vendor[vendor]

    def aliases_of(self, module: str) -> list[alias.Alias]:
        """The pci and vfio_pci aliases that one module carries."""
        name = normalize_module_name(module)
        if name not in self._declared:
            of_vfio = [one for one in self.aliases(alias.VFIO) if one.module == name]
            self._declared[name] = of_vfio + self._native_of({name}, {name})
        return self._declared[name]

    def takes_by_itself(self, module: str) -> bool:
        """Whether the module has ordinary pci aliases, so that it binds devices without a driver when it is loaded."""
        return any(one.pattern.startswith(alias.NATIVE) for one in self.aliases_of(module))

    def competing(self) -> list[alias.Alias]:
        """The ordinary pci aliases of modules that carry vfio_pci ones. A well-behaved VFIO driver has none."""
        if self._competing is None:
            carriers = self.aliases(alias.VFIO)
            self._competing = self._native_of(
                {one.module for one in carriers}, {one.module for one in carriers if one.source != "modules.alias"}
            )
        return self._competing

    def _native_of(self, modules: set[str], builtin: set[str]) -> list[alias.Alias]:
        """The ordinary pci aliases of some modules. aliases() would read thousands of lines for all modules."""
        table = alias.parse_modules_alias(alias.lines_of_modules(self._text("modules.alias"), modules), alias.NATIVE)
        blob = self._text("modules.builtin.modinfo") if builtin else b""
        return table + [one for one in alias.parse_builtin_modinfo(blob, alias.NATIVE) if one.module in builtin]

    @property
    def has_table(self) -> bool:
        """Whether this kernel's modules are listed at all: an update of its package may have removed them since the boot."""
        return bool(self._text("modules.dep"))

    def state(self, module: str) -> str:
        """'loaded', 'builtin', 'loadable' or 'absent'."""
        name = normalize_module_name(module)
        pattern = re.escape(name).replace("_", "[-_]").encode()
        if re.search(rb"/" + pattern + rb"\.ko\s", self._text("modules.builtin") + b"\n"):
            return BUILTIN
        if name in self._there:
            return LOADED
        if re.search(rb"/" + pattern + rb"\.ko(\.\w+)?:", self._text("modules.dep")):
            return LOADABLE
        return ABSENT

    def is_loadable(self, module: str) -> bool:
        """Whether the module has a file and is not loaded."""
        return self.state(module) == LOADABLE

    def kind(self, module: str) -> str:
        """'loadable' (loaded or not), 'builtin' or 'absent'. Code that is never a module is in no table, has no initstate, and counts as builtin."""
        name = normalize_module_name(module)
        state = self.state(name)
        if state == LOADED and not self.is_loaded(name) and name not in self.all_names():
            return BUILTIN
        return LOADABLE if state == LOADED else state

    def is_loaded(self, module: str) -> bool:
        """Whether a module from a file is loaded. A built-in module has no initstate. Raises LookupError where that was not read."""
        if self._loaded is None:
            raise LookupError("which modules are loaded was not read")
        return normalize_module_name(module) in self._loaded

    def drivers(self, module: str) -> list[str]:
        """The PCI drivers that a loaded or built-in module has registered."""
        name = normalize_module_name(module)
        return [driver for driver, owner in self._module_of.items() if owner == name]

    def driver_module(self, driver: str) -> str | None:
        """The module behind a registered PCI driver; None where it is built in without a name, or not registered."""
        return self._module_of.get(driver)

    def is_registered(self, driver: str) -> bool:
        """Whether the PCI bus knows a driver of exactly this name."""
        return driver in self._module_of

    def registered(self) -> list[str]:
        """The names of all PCI drivers that the bus knows."""
        return list(self._module_of)

    def disabled(self) -> frozenset[str]:
        """The modules that 'blacklist', 'install … /bin/false' or modprobe.blacklist= keep from loading by alias."""
        if self._disabled is None:
            configured = self.configured()
            has_glob = any(one.verb == "install" and set("*?[") & set(one.module) for one in configured.directives)
            self._disabled = configured.disabled(self.all_names() if has_glob else ())
        return self._disabled

    def disabling(self, module: str) -> list[str]:
        """Path and line of everything that keeps a module from loading."""
        return self.configured().disabling(module)

    def configured(self) -> modprobe.Configuration:
        """What modprobe.d and the command line say of modules, ours included."""
        return self._configured

    def settings(self, module: str) -> list[modprobe.Setting]:
        """Every setting of a module's options in modprobe.d and on the command line, in kmod's order."""
        return self.configured().settings(module, builtin=self.state(module) == BUILTIN)

    def all_names(self) -> list[str]:
        """The sorted names of all modules of this kernel, as a file or built in."""
        if self._names is None:
            self._names = sorted({
                normalize_module_name(name.decode())
                for table in ("modules.dep", "modules.builtin") for name in _FILE.findall(self._text(table))
            })
        return self._names

    def loaded_order(self, modules: Iterable[str]) -> list[str]:
        """``modules`` in an order in which each is behind its dependencies (source: modules.dep)."""
        depths = {module: len(self.dependencies(module)) for module in modules}
        return sorted(modules, key=lambda module: (depths[module], module))

    def dependencies(self, module: str) -> list[str]:
        """The modules that modprobe loads before this one."""
        pattern = normalize_module_name(module).replace("_", "[-_]").encode()
        line = re.search(
            rb"^(?:[^:\n]*/)?" + pattern + rb"\.ko(?:\.\w+)?:(.*)$", self._text("modules.dep"), re.MULTILINE
        )
        files = line.group(1).split() if line else ()
        return [normalize_module_name(one.rsplit(b"/", 1)[-1].split(b".ko")[0].decode()) for one in files]

    def builtin_parameters(self, module: str) -> dict[str, Parameter] | None:
        """Name -> Parameter, as modules.builtin.modinfo has them of a built-in module; None where this kernel has no such table."""
        if not self._text("modules.builtin.modinfo"):
            return None
        name = normalize_module_name(module)
        parameters: dict[str, Parameter] = {}
        for record in self._text("modules.builtin.modinfo").decode("utf-8", "replace").split("\0"):
            key, dummy, value = record.partition("=")
            module, dummy, field = key.rpartition(".")
            if field in ("parm", "parmtype") and normalize_module_name(module) == name:
                option, dummy, kind = value.partition(":")
                option = normalize_module_name(option)
                if field == "parmtype" or option not in parameters:
                    parameters[option] = Parameter(option, kind.strip() if field == "parmtype" else "")
        return parameters


def read_configuration(fs: Sysfs, ours: Collection[str] = ()) -> modprobe.Configuration:
    """What modprobe.d, modules-load.d and the command line say; the files ``ours`` are left out."""
    loads: dict[str, str] = modprobe.parse_cmdline_load(_decoded(fs, f"{fs.proc}/cmdline"))
    sure: set[str] = set()
    # systemd reads no /etc/modules but by a link to it; other systems give what follows a name to the module.
    has_systemd = fs.exists(fs.systemd)
    for path in _paths(fs, fs.modules_load_d, [], ours=ours) + [fs.etc_modules]:
        text = _decoded(fs, path)
        for module, where in modprobe.parse_load(text, path).items():
            loads.setdefault(module, where)
        if path != fs.etc_modules or not has_systemd:
            sure.update(modprobe.parse_load(text, path, is_alone=has_systemd))
    return modprobe.Configuration(_directives(fs, ours), loads, frozenset(sure))


def _directives(fs: Sysfs, ours: Collection[str] = ()) -> tuple[modprobe.Directive, ...]:
    directives = []
    tables = [("modules.softdep", f"{fs.module_tree}/modules.softdep")]
    # Of a directory, and of a link to nothing, kmod says so, and takes a namesake further on; systemd takes none.
    for path in _paths(fs, fs.modprobe_d, tables, ours=ours, endings=(".conf", ".alias"), counts=lambda path: fs.exists(path) and not fs.is_directory(path)):
        directives += modprobe.parse_conf(_decoded(fs, path), path)
    return tuple(directives + modprobe.parse_cmdline(_decoded(fs, f"{fs.proc}/cmdline")))


def _paths(
    fs: Sysfs, directories: Iterable[str], first: Iterable[tuple[str, str]], *, ours: Collection[str], endings: tuple[str, ...] = (".conf",),
    counts: Callable[[str], bool] = lambda path: True,
) -> list[str]:
    """The paths of the files that count, in the order of their names, with ``first``, (name, path) each; ``counts``: whether what has a
    path does.

    Of modprobe.d kmod reads what ends in .alias, too (source: kmod libkmod/libkmod-config.c conf_files_filter_out()).
    """
    by_name = dict(first)
    for directory in directories:
        for name in fs.names(directory):
            path = f"{directory}/{name}"
            if name.endswith(endings) and not name.startswith(".") and path not in ours and counts(path):
                by_name.setdefault(name, path)
    return [path for dummy, path in sorted(by_name.items())]


def _decoded(fs: Sysfs, path: str) -> str:
    return (fs.read_file(path) or b"").decode("utf-8", "replace")


__all__ = ("ABSENT", "BUILTIN", "LOADABLE", "LOADED", "Modules", "NO_TABLE", "normalize_module_name", "read_configuration")
