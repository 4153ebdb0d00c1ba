# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The running kernel's configuration, as far as the host has it. A symbol without a source is unknown, and never n."""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._kconfig import table
from ansible_collections.vfio.host.plugins.module_utils._kernel import kmod

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

UNKNOWN = "unknown"

_LINE = re.compile(r"^(?:CONFIG_(\w+)=(.*)|# CONFIG_(\w+) is not set)$", re.MULTILINE | re.ASCII)


@dataclass(frozen=True)
class Value:
    """A symbol's value ('y', 'm', 'n', another text, or UNKNOWN), its source (a path, a table or a module; None: no source), and a note.

    ``is_below``: a symbol that this one depends on is off, so that no equivalent of this one has an effect.
    """

    value: str
    source: str | None = None
    note: str = ""
    is_below: bool = False


def parse_config(text: str) -> dict[str, str]:
    """Symbol without CONFIG_ -> value, of the text of a .config (source: linux scripts/kconfig/confdata.c)."""
    return {line.group(1) or line.group(3): line.group(2) or "n" for line in _LINE.finditer(text)}


class Config:
    """The values of symbols on one host, which are read when this is made. ``source``: the file they come from; None where there is none."""

    def __init__(self, fs: Sysfs, modules: kmod.Modules) -> None:
        self._modules = modules
        self.machine = fs.machine
        self.architecture = table.architecture(fs.machine)
        self.source, self._values = _read(fs)

    def value(self, symbol: str) -> Value:
        """The Value of a symbol."""
        row = table.row(symbol)
        if self.source is None:
            return self._by_module(row)
        if symbol in self._values:
            return Value(self._values[symbol], self.source)
        former = table.FORMERLY.get(symbol, "")
        if former in self._values:
            return Value(self._values[former], self.source, f"it is called {former} in this kernel")
        elsewhere = self.elsewhere(row)
        if elsewhere:
            return Value("n", self.source, elsewhere)
        if table.is_below_vfio(symbol) and self._values.get(table.VFIO) == "n":
            return Value("n", self.source, table.WITHOUT_VFIO, is_below=True)
        if row.implied_by and self._is_implied(symbol, row.implied_by):
            return Value("y", self.source, f"this kernel has no such option: it is always a part of {row.implied_by}")
        if row.gone:
            return Value("n", self.source, row.gone)
        return Value(
            "n", self.source, "the configuration does not mention it: this kernel does not offer it, or it is misspelt"
        )

    def _is_implied(self, symbol: str, implied_by: str) -> bool:
        """Whether a kernel without this option always has it on, as a part of ``implied_by``.

        A kernel with the options VFIO_GROUP and so on has a line about each. Where one of these lines says n, a missing option means n.
        """
        newer = ("VFIO_GROUP", "VFIO_CONTAINER", "VFIO_DEVICE_CDEV")
        return self._values.get(implied_by, "n") != "n" and not any(
            self._values.get(other) == "n" for other in newer if other != symbol
        )

    def _by_module(self, row: table.Row) -> Value:
        elsewhere = self.elsewhere(row)
        if elsewhere:
            return Value("n", "architecture", elsewhere)
        state = self._modules.kind(row.module) if row.module else kmod.ABSENT
        if state == kmod.BUILTIN:
            return Value("y", "modules.builtin")
        if state == kmod.LOADABLE:
            return Value("m", f"module {row.module}")
        return Value(UNKNOWN, None, "this host has no configuration of its kernel to read")

    def elsewhere(self, row: table.Row) -> str:
        """A sentence that says why this architecture never has a symbol; '' where it may have it."""
        if row.only and self.architecture not in row.only:
            return f"it exists on {', '.join(row.only)} only, and this is {self.machine}"
        if self.architecture in row.never:
            return f"it does not exist on {self.architecture}"
        return ""


def _read(fs: Sysfs) -> tuple[str | None, dict[str, str]]:
    """(path, symbol -> value) of the first configuration that can be read; (None, {}) where none can, and modules tell instead."""
    for path in fs.kernel_configs:
        data = fs.read_file(path)
        if data and data.startswith(b"\x1f\x8b"):
            try:
                data = gzip.decompress(data)
            except (EOFError, OSError, zlib.error):
                continue
        values = parse_config((data or b"").decode("utf-8", "replace"))
        if values:
            return path, values
    return None, {}


__all__ = ("Config", "UNKNOWN", "Value", "parse_config")
