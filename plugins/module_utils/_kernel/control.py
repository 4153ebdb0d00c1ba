# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The kernel's modules now: what they show of parameters and users, and what loads, unloads and sets them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError
from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import BUILTIN, Modules, normalize_module_name
from ansible_collections.vfio.host.plugins.module_utils._kernel.parameters import Parameter

if TYPE_CHECKING:
    from typing import Iterable

    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_PARAMETER = re.compile(r"([A-Za-z0-9_.-]+):(?:.*\(([a-z ]+)\))?", re.DOTALL)
# How a parameter shows one word out of several: 'default [performance] powersave'.
_CHOICE = re.compile(r"(?:^|\s)\[(\w+)\](?:\s|$)")


@dataclass(frozen=True)
class Users:
    """What keeps a loaded module from being unloaded. ``references`` is None where the kernel cannot unload at all."""

    references: int | None
    holders: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()  # what would tell of more of them, and cannot be read


class ModuleControl:
    """The modules of the kernel behind ``fs``, asked and changed at each call."""

    def __init__(self, fs: Sysfs) -> None:
        self._fs = fs

    def drivers(self, module: str) -> list[str]:
        """The PCI drivers that a loaded or built-in module has registered (source: /sys/module/M/drivers)."""
        directory = f"{self._fs.modules}/{normalize_module_name(module)}/drivers"
        return [name[len("pci:"):] for name in self._fs.names(directory) if name.startswith("pci:")]

    def is_registered(self, driver: str) -> bool:
        """Whether the PCI bus knows a driver of exactly this name."""
        return self._fs.exists(f"{self._fs.pci_drivers}/{driver}")

    def parameters(self, module: str, *, known: Modules) -> dict[str, Parameter] | None:
        """Name -> Parameter of all parameters of a module, of the modules ``known``. None where neither tables nor modinfo have them."""
        name = normalize_module_name(module)
        shown = self._fs.names(f"{self._fs.modules}/{name}/parameters")
        parameters = {normalize_module_name(option): Parameter(normalize_module_name(option)) for option in shown}
        if known.kind(name) == BUILTIN:
            told = known.builtin_parameters(name)
            told = {} if told is None and shown else told
        else:
            told = self._modinfo_parameters(name)
        if told is None:
            return None
        parameters.update(told)
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

    def shown(self, module: str) -> dict[str, str]:
        """Name -> text of each parameter of a loaded module that sysfs shows, as it does."""
        directory = f"{self._fs.modules}/{normalize_module_name(module)}/parameters"
        texts = {name: self._fs.read(f"{directory}/{name}") for name in self._fs.names(directory)}
        return {name: text for name, text in texts.items() if text is not None}

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
        count = int(references) if references and references.isdecimal() and not unread else None
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


__all__ = ("ModuleControl", "Users")
