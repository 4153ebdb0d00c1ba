# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Which driver serves a device: the kernel's own answer, read from its module aliases. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Collection, Iterable

VFIO = "vfio_pci:"
NATIVE = "pci:"

# The base driver, which serves every endpoint (source: drivers/vfio/pci/vfio_pci.c, names of module and driver).
BASE_MODULE = "vfio_pci"
BASE_DRIVER = "vfio-pci"

# Seven values between names in this order, each up to where the next name begins, whatever they hold; of the pattern's own
# prefix and of what follows the first blank nothing is looked at (source: libvirt src/util/virpci.c).
_FIELDS = re.compile(r"v(\S*?)d(\S*?)sv(\S*?)sd(\S*?)bc(\S*?)sc(\S*?)i(\S*)")


def _fields(text: str) -> tuple[str, ...] | None:
    """The seven values of what follows the prefix of an alias or a modalias; None for another shape."""
    shape = _FIELDS.match(text)
    return shape.groups() if shape else None


@dataclass(frozen=True)
class Alias:
    """One line of the kernel's alias table: ``pattern`` is claimed by ``module``."""

    pattern: str
    module: str
    source: str

    def fields(self) -> tuple[str, ...] | None:
        """The seven values, of which '*' fits every one; None for a pattern of another shape.

        depmod ends every alias in '*', so the last value of an ordinary one may be '02*'. There it means '02', to kmod. The
        rule for VFIO aliases knows no such value: nothing equals it.
        """
        values = _fields(self.pattern.split(":", 1)[1])
        if values and self.pattern.startswith(NATIVE) and len(values[-1]) > 1 and values[-1].endswith("*"):
            return values[:-1] + (values[-1][:-1],)
        return values


@dataclass(frozen=True)
class Choice:
    """The driver for one device, and why. ``driver`` is None until a module that only it can name is loaded.

    ``because`` is followed by ``notes`` in a message; ``is_usual``: it says no more than the declaration does. ``undeclared``: why the
    driver should not have the device, which only force: [driver] overrules.
    """

    module: str | None
    driver: str | None
    source: str
    alias: str | None = None
    ties: list[str] = field(default_factory=list)
    blacklisted: list[str] = field(default_factory=list)
    because: str = ""
    notes: list[str] = field(default_factory=list)
    is_usual: bool = False
    undeclared: str = ""

    def facts(self) -> dict[str, object]:
        """The choice as a task returns it, ready for JSON."""
        return dict({name: value for name, value in vars(self).items() if name not in ("because", "undeclared")}, reason=self.reason)

    @property
    def reason(self) -> str:
        """Why, with the notes, as one sentence."""
        return "; ".join([self.because, *self.notes])

    def noted(self, note: str) -> Choice:
        """The same choice with one more note."""
        return replace(self, notes=[*self.notes, note])


def parse_modules_alias(text: str, prefix: str, *, source: str = "modules.alias") -> list[Alias]:
    """The aliases of ``prefix`` in the text of a modules.alias file, in its order. ``source``: the file's name in messages."""
    text = "\n" + text
    needle = "\nalias " + prefix
    aliases = []
    start = text.find(needle)
    while start >= 0:
        end = text.find("\n", start + 1)
        words = text[start:end if end >= 0 else len(text)].split()
        if len(words) == 3:
            aliases.append(Alias(words[1], words[2].replace("-", "_"), source))
        start = text.find(needle, start + 1)
    return aliases


def lines_of_modules(table: bytes, modules: Iterable[str]) -> str:
    """The text of the lines in a modules.alias file's bytes that end in one of ``modules``. Other lines are not decoded."""
    table, lines = table + b"\n", []
    for module in sorted(modules):
        needle = f" {module}\n".encode()
        start = table.find(needle)
        while start >= 0:
            lines.append(table[table.rfind(b"\n", 0, start) + 1:start + len(needle)])
            start = table.find(needle, start + 1)
    return b"".join(lines).decode("utf-8", "replace")


def lines_of_prefixes(table: bytes, prefixes: Iterable[str]) -> str:
    """The text of those lines of a modules.alias file's bytes whose pattern begins with one of ``prefixes``, in its order."""
    table, places = b"\n" + table, []
    for prefix in prefixes:
        needle = b"\nalias " + prefix.encode()
        start = table.find(needle)
        while start >= 0:
            end = table.find(b"\n", start + 1)
            places.append((start, table[start + 1:end if end >= 0 else len(table)]))
            start = table.find(needle, start + 1)
    return b"\n".join(line for dummy, line in sorted(places)).decode("utf-8", "replace")


def parse_builtin_modinfo(blob: bytes, prefix: str, *, source: str = "modules.builtin.modinfo") -> list[Alias]:
    """The aliases of ``prefix`` in the bytes of a modules.builtin.modinfo file: NUL-separated module.key=value."""
    aliases, needle = [], f".alias={prefix}".encode()
    start = blob.find(needle)
    while start >= 0:
        end = blob.find(b"\0", start)
        end = len(blob) if end < 0 else end
        record = blob[blob.rfind(b"\0", 0, start) + 1:end].decode("utf-8", "replace")
        key, dummy, value = record.partition("=")
        if key.endswith(".alias") and value.startswith(prefix):
            aliases.append(Alias(value, key[: -len(".alias")].replace("-", "_"), source))
        start = blob.find(needle, end)
    return aliases


def matching(aliases: Iterable[Alias], modalias: str) -> list[tuple[int, Alias]]:
    """The aliases that match a device, as (number of '*', alias), in the table's order.

    The rule: the device's modalias with its prefix replaced is compared value by value; one fits when the pattern has '*'
    or the same text (source: libvirt virPCIDeviceFindBestVFIOVariant, linux PCI_DEVICE_ID tables).
    """
    bus, dummy, text = modalias.partition(":")
    wanted = _fields(text) if bus == "pci" else None
    if wanted is None:
        return []
    fitting = []
    for alias in aliases:
        fields = alias.fields()
        if fields and all(value in ("*", own) for value, own in zip(fields, wanted)):
            fitting.append((fields.count("*"), alias))
    return fitting


def choose(aliases: Iterable[Alias], modalias: str, *, disabled: Collection[str] = ()) -> Choice:
    """The best VFIO driver for a device as a Choice whose ``driver`` is still None for a variant.

    The fewest '*' wins, on a tie the first line; nothing matched means the base driver.
    ``disabled`` names modules that an administrator blacklisted: they are passed over and named.
    """
    fitting = matching(aliases, modalias)
    blacklisted = sorted({alias.module for dummy, alias in fitting if alias.module in disabled})
    open_to_all = [(stars, alias) for stars, alias in fitting if alias.module not in disabled]
    notes = [f"{', '.join(blacklisted)} would serve it too and is blacklisted"] if blacklisted else []
    if not open_to_all:
        return Choice(
            BASE_MODULE, BASE_DRIVER, "auto", blacklisted=blacklisted,
            because="no vfio_pci alias matches, the base driver serves it", notes=notes, is_usual=True,
        )
    fewest, best = min(open_to_all, key=lambda pair: pair[0])
    ties = sorted({
        alias.module for stars, alias in open_to_all if stars == fewest and alias.module != best.module
    })
    if best.module == BASE_MODULE:
        reason = "no variant declares it, the base driver serves it"
    else:
        reason = f"variant {best.module} declares it in {best.source}"
    if ties:
        notes.insert(0, f"as exactly as {', '.join(ties)}, the first line wins")
    return Choice(
        best.module, BASE_DRIVER if best.module == BASE_MODULE else None, "auto",
        alias=best.pattern, ties=ties, blacklisted=blacklisted, because=reason, notes=notes, is_usual=best.module == BASE_MODULE,
    )


__all__ = (
    "Alias",
    "BASE_DRIVER",
    "BASE_MODULE",
    "Choice",
    "NATIVE",
    "VFIO",
    "choose",
    "lines_of_modules",
    "lines_of_prefixes",
    "matching",
    "parse_builtin_modinfo",
    "parse_modules_alias",
)
