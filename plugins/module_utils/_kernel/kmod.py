# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Kernel modules as the running kernel knows them: names, states, aliases, drivers, parameters, users."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError
from ansible_collections.vfio.host.plugins.module_utils._kernel import alias, modprobe
from ansible_collections.vfio.host.plugins.module_utils._kernel.parameters import Parameter

if TYPE_CHECKING:
    from typing import Collection, Iterable

    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

LOADED, BUILTIN, LOADABLE, ABSENT = "loaded", "builtin", "loadable", "absent"


_FILE = re.compile(rb"^(?:[^\n:]*/)?([A-Za-z0-9_-]+)\.ko(?:\.\w+)?(?::|$)", re.MULTILINE)
_PARAMETER = re.compile(r"([A-Za-z0-9_.-]+):(?:.*\(([a-z ]+)\))?", re.DOTALL)
# How a parameter shows one word out of several: 'default [performance] powersave'.
_CHOICE = re.compile(r"(?:^|\s)\[(\w+)\](?:\s|$)")

# 'pci:v' and eight digits.
_TO_VENDOR = 13

normalize_module_name = modprobe.module_name


@dataclass(frozen=True)
class Users:
    """What keeps a loaded module from being unloaded. ``references`` is None where the kernel cannot unload at all."""

    references: int | None
    holders: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()  # what would tell of more of them, and cannot be read


class Modules:
    """The kernel's modules. Each file is read at its first use, and once."""

    def __init__(self, fs: Sysfs) -> None:
        self._fs = fs
        self._texts: dict[str, bytes] = {}
        self._aliases: dict[str, list[alias.Alias]] = {}
        self._parameters: dict[str, dict[str, Parameter] | None] = {}
        self._all_directives: tuple[modprobe.Directive, ...] | None = None
        self._disabled: frozenset[str] | None = None
        self._competing: list[alias.Alias] | None = None
        self._declared: dict[str, list[alias.Alias]] = {}
        self._of_vendor: dict[str, list[alias.Alias]] = {}
        self._builtin_native: list[alias.Alias] | None = None
        self._names: list[str] | None = None

    def _text(self, name: str) -> bytes:
        if name not in self._texts:
            data = self._fs.read_file(f"{self._fs.module_tree}/{name}") or b""
            self._texts[name] = data
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

    def declared_by(self, module: str) -> list[alias.Alias]:
        """The pci and vfio_pci aliases that one module carries."""
        name = normalize_module_name(module)
        if name not in self._declared:
            of_vfio = [one for one in self.aliases(alias.VFIO) if one.module == name]
            self._declared[name] = of_vfio + self._native_of({name}, {name})
        return self._declared[name]

    def takes_by_itself(self, module: str) -> bool:
        """Whether the module has ordinary pci aliases, so that it binds devices without a driver when it is loaded."""
        return any(one.pattern.startswith(alias.NATIVE) for one in self.declared_by(module))

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

    def state(self, module: str) -> str:
        """'loaded', 'builtin', 'loadable' or 'absent'."""
        name = normalize_module_name(module)
        pattern = re.escape(name).replace("_", "[-_]").encode()
        if re.search(rb"/" + pattern + rb"\.ko\s", self._text("modules.builtin") + b"\n"):
            return BUILTIN
        if self._fs.exists(f"{self._fs.modules}/{name}"):
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

    def drivers(self, module: str) -> list[str]:
        """The PCI drivers that a loaded or built-in module has registered (source: /sys/module/M/drivers)."""
        directory = f"{self._fs.modules}/{normalize_module_name(module)}/drivers"
        return [name[len("pci:"):] for name in self._fs.names(directory) if name.startswith("pci:")]

    def driver_module(self, driver: str) -> str | None:
        """The module behind a registered PCI driver; None where it is built in without a name, or not registered."""
        return self._fs.link(f"{self._fs.pci_drivers}/{driver}/module")

    def is_registered(self, driver: str) -> bool:
        """Whether the PCI bus knows a driver of exactly this name now."""
        return self._fs.exists(f"{self._fs.pci_drivers}/{driver}")

    def registered(self) -> list[str]:
        """The names of all PCI drivers that the bus knows now."""
        return self._fs.names(self._fs.pci_drivers)

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
        return modprobe.Configuration(self._read_directives())

    def settings(self, module: str) -> list[modprobe.Setting]:
        """Every setting of a module's options in modprobe.d and on the command line, in kmod's order."""
        return self.configured().settings(module, builtin=self.state(module) == BUILTIN)

    def _read_directives(self) -> tuple[modprobe.Directive, ...]:
        if self._all_directives is None:
            self._all_directives = self._directives()
        return self._all_directives

    def configuration(self, ours: Collection[str] = ()) -> modprobe.Configuration:
        """What modprobe.d, modules-load.d and the command line say; the files ``ours`` are left out."""
        loads: dict[str, str] = modprobe.parse_cmdline_load(self._decoded(f"{self._fs.proc}/cmdline"))
        for path in self._paths(self._fs.modules_load_d, [], ours=ours) + [self._fs.etc_modules]:
            for module, where in modprobe.parse_load(self._decoded(path), path).items():
                loads.setdefault(module, where)
        return modprobe.Configuration(self._directives(ours), loads)

    def _directives(self, ours: Collection[str] = ()) -> tuple[modprobe.Directive, ...]:
        directives = []
        tables = [("modules.softdep", f"{self._fs.module_tree}/modules.softdep")]
        for path in self._paths(self._fs.modprobe_d, tables, ours=ours, endings=(".conf", ".alias")):
            directives += modprobe.parse_conf(self._decoded(path), path)
        return tuple(directives + modprobe.parse_cmdline(self._decoded(f"{self._fs.proc}/cmdline")))

    def _paths(
        self, directories: Iterable[str], first: Iterable[tuple[str, str]], *, ours: Collection[str], endings: tuple[str, ...] = (".conf",),
    ) -> list[str]:
        """The paths of the files that count, in the order of their names, with ``first``, (name, path) each.

        Of modprobe.d kmod reads what ends in .alias, too (source: kmod libkmod/libkmod-config.c conf_files_filter_out()).
        """
        by_name = dict(first)
        for directory in directories:
            for name in self._fs.names(directory):
                path = f"{directory}/{name}"
                if name.endswith(endings) and not name.startswith(".") and path not in ours:
                    by_name.setdefault(name, path)
        return [path for dummy, path in sorted(by_name.items())]

    def _decoded(self, path: str) -> str:
        return (self._fs.read_file(path) or b"").decode("utf-8", "replace")

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

    def parameters(self, module: str) -> dict[str, Parameter] | None:
        """Name -> Parameter of all parameters of a module. None where neither kernel tables nor modinfo have them."""
        name = normalize_module_name(module)
        if name not in self._parameters:
            self._parameters[name] = self._read_parameters(name)
        return self._parameters[name]

    def _read_parameters(self, name: str) -> dict[str, Parameter] | None:
        shown = self._fs.names(f"{self._fs.modules}/{name}/parameters")
        parameters = {normalize_module_name(option): Parameter(normalize_module_name(option)) for option in shown}
        if self.kind(name) == BUILTIN:
            told = self._builtin_parameters(name) if shown or self._text("modules.builtin.modinfo") else None
        else:
            told = self._modinfo_parameters(name)
        if told is None:
            return None
        parameters.update(told)
        return parameters

    def _builtin_parameters(self, name: str) -> dict[str, Parameter]:
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

    def _modinfo_parameters(self, name: str) -> dict[str, Parameter] | None:
        status, text, dummy = self._fs.run(["modinfo", "-0", "-F", "parm", name])
        if status:
            return None
        entries = text.split("\0") if "\0" in text else text.split("\n")
        matches = [_PARAMETER.match(one.strip()) for one in entries]
        return {
            normalize_module_name(one.group(1)): Parameter(normalize_module_name(one.group(1)), one.group(2) or "")
            for one in matches if one
        }

    def live(self, module: str, parameter: str) -> tuple[str | None, bool]:
        """(present value, whether it is writable) of a loaded or built-in module's parameter. (None, False): sysfs does not show it."""
        path = self.parameter_path(module, parameter)
        if path is None:
            return None, False
        value = self._fs.read(path)
        choice = _CHOICE.search(value or "")
        return (choice.group(1) if choice else value), self._fs.is_writable(path)

    def parameter_path(self, module: str, parameter: str) -> str | None:
        """The path of a loaded module's parameter in sysfs; None where sysfs does not show it."""
        directory = f"{self._fs.modules}/{normalize_module_name(module)}/parameters"
        names = [name for name in self._fs.names(directory) if normalize_module_name(name) == parameter]
        return f"{directory}/{names[0]}" if names else None

    def set_live(self, module: str, parameter: str, *, value: str) -> None:
        """Write a parameter of a loaded module. Raises KernelRefusal, and ApplyError where the module has left the kernel."""
        path = self.parameter_path(module, parameter)
        if path is None:
            raise ApplyError(f"module {module}: its option {parameter} is not in sysfs any more, so the module was unloaded meanwhile: run again")
        self._fs.write(path, value)

    def is_loaded(self, module: str) -> bool:
        """Whether a module from a file is loaded. A built-in module has no initstate."""
        return self._fs.exists(f"{self._fs.modules}/{normalize_module_name(module)}/initstate")

    def instance(self, module: str) -> int | None:
        """The module's inode in sysfs, which differs for each load of it; None where it is not loaded."""
        return self._fs.inode(f"{self._fs.modules}/{normalize_module_name(module)}")

    def users(self, module: str) -> Users:
        """The present Users of a loaded module."""
        directory = f"{self._fs.modules}/{normalize_module_name(module)}"
        references = self._fs.read(f"{directory}/refcnt")
        devices, paths = [], [f"{directory}/drivers", f"{directory}/holders", f"{directory}/refcnt"]
        for driver in self._fs.names(paths[0]):
            path = f"{directory}/drivers/{driver}"
            paths.append(path)
            devices += [
                name for name in self._fs.names(path)
                if name != "module" and self._fs.target(f"{path}/{name}") is not None
            ]
        holders = tuple(self._fs.names(f"{directory}/holders"))
        unread = [path for path in paths if self._fs.refusal(path) is not None]
        count = int(references) if references and references.isdigit() and not unread else None
        return Users(count, holders, tuple(sorted(devices)), tuple(unread))

    def load(self, module: str, options: Iterable[tuple[str, str]] = ()) -> None:
        """Load a module by its name, with ``options``, (name, value) each. Raises ApplyError with modprobe's words."""
        words = [f"{name}={value}" for name, value in options]
        status, dummy, complaint = self._fs.run(["modprobe", "--", module] + words)
        if status:
            raise ApplyError("module {0} does not load: modprobe says: {1}".format(module, complaint.strip()))

    def unload(self, module: str) -> None:
        """Unload a module, and no other. Raises ApplyError with rmmod's words."""
        status, dummy, complaint = self._fs.run(["rmmod", "--", module])
        if status:
            raise ApplyError(f"module {module} does not unload: rmmod says: {complaint.strip()}")

    def load_native(self, modalias: str) -> None:
        """Load what the kernel would load for a device, blacklists respected; no such module is no error."""
        self._fs.run(["modprobe", "--use-blacklist", "--quiet", "--", modalias])


__all__ = ("ABSENT", "BUILTIN", "LOADABLE", "LOADED", "Modules", "Users", "normalize_module_name")
