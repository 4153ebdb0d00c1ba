# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a kernel's modules directory as depmod does, texts and binary indexes, to be mounted over /lib/modules."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Iterable, Optional

from . import topology

PCI_ALIASES = 20000
_OTHER_ALIASES = 16000
_MODULES = 4000
_BUILTIN_MODULES = 900
# The order and the shape of what kernels have: the base driver's line, then the variants' (modinfo of each).
_VARIANTS = (
    ("vfio_pci", ("v*d*sv*sd*bc*sc*i*",)),
    ("mlx5_vfio_pci", ("v000015B3d0000101Esv*sd*bc*sc*i*",)),
    ("hisi_acc_vfio_pci", tuple(f"v000019E5d0000A25{last}sv*sd*bc*sc*i*" for last in "68BC")),
    ("pds_vfio_pci", ("v00001DD8d00001003sv*sd*bc*sc*i*",)),
    ("virtio_vfio_pci", ("v00001AF4d00001000sv*sd*bc*sc*i*", "v00001AF4d00001041sv*sd*bc*sc*i*")),
    ("qat_vfio_pci", tuple(f"v00008086d0000494{last}sv*sd*bc*sc*i*" for last in "137")),
    ("nvgrace_gpu_vfio_pci", tuple(f"v000010DEd0000{model}sv*sd*bc*sc*i*" for model in ("2342", "2345", "2348"))),
)


def write_modules(directory: Path) -> None:
    """Fill the directory of one kernel release."""
    dice = random.Random(4096)
    modules = [f"driver_{number:04d}" for number in range(_MODULES)]
    modules += sorted({kind.module or kind.driver for kind in topology.ALL_KINDS if kind.driver})
    modules += [name for name, dummy in _VARIANTS]
    aliases = list(_aliases(dice, modules))
    files = {
        "modules.alias": "# Aliases extracted from modules themselves.\n"
        + "".join(f"alias {pattern} {module}\n" for pattern, module in aliases),
        "modules.dep": "".join(_dependency(dice, name) for name in modules),
        "modules.builtin": "".join(f"kernel/drivers/base/builtin_{number}.ko\n" for number in range(_BUILTIN_MODULES)),
        "modules.builtin.modinfo": "".join(_modinfo(number) for number in range(_BUILTIN_MODULES)),
        "modules.symbols": "# Aliases for symbols, used by symbol_request().\n",
    }
    directory.mkdir(parents=True)
    for name, text in files.items():
        (directory / name).write_text(text, encoding="ascii")
    indexes: dict[str, Iterable[tuple[str, str]]] = {
        "modules.alias.bin": ((pattern.replace("-", "_"), module) for pattern, module in aliases),
        "modules.dep.bin": ((name, _dependency(dice, name).strip()) for name in modules),
        "modules.builtin.bin": ((f"builtin_{number}", "") for number in range(_BUILTIN_MODULES)),
        "modules.builtin.alias.bin": (),
        "modules.symbols.bin": (),
    }
    for name, pairs in indexes.items():
        (directory / name).write_bytes(_index(pairs))


def _aliases(dice: random.Random, modules: list[str]) -> Iterable[tuple[str, str]]:
    vendors = [f"0000{dice.randrange(0x1000, 0xFFFF):04X}" for dummy in range(700)]
    for number in range(PCI_ALIASES):
        vendor, device = dice.choice(vendors), f"0000{dice.randrange(0x10000):04X}"
        sub = "sv*sd*" if number % 3 else f"sv{vendor}sd0000{dice.randrange(0x10000):04X}"
        yield f"pci:v{vendor}d{device}{sub}bc*sc*i*", modules[number * 7 // 10 % 1400]
    for kind in topology.ALL_KINDS:
        if kind.driver:
            vendor, device = (part.upper() for part in kind.ids[:2])
            yield f"pci:v0000{vendor}d0000{device}sv*sd*bc*sc*i*", kind.module or kind.driver
    for name, patterns in _VARIANTS:
        for pattern in patterns:
            yield f"vfio_pci:{pattern}", name
    for number in range(_OTHER_ALIASES):
        ids = f"v{dice.randrange(0x10000):04X}p{dice.randrange(0x10000):04X}"
        yield f"usb:{ids}d*dc*dsc*dp*ic*isc*ip*in*", modules[1400 + number // 8 % 2000]


def _dependency(dice: random.Random, name: str) -> str:
    needs = [f"kernel/drivers/bus/driver_{dice.randrange(_MODULES):04d}.ko.xz" for dummy in range(dice.randrange(4))]
    return " ".join((f"kernel/drivers/bus/{name}.ko.xz:", *needs)) + "\n"


def _modinfo(number: int) -> str:
    name = f"builtin_{number}"
    keys = [("license", "GPL"), ("file", f"drivers/base/{name}"), ("description", f"Built-in driver number {number}")]
    keys += [("parmtype", f"option{index}:int") for index in range(4)]
    keys += [("alias", f"acpi*:PNP{number:04X}:*"), ("alias", f"pci:v00001{number:03X}d*sv*sd*bc*sc*i*")]
    return "".join(f"{name}.{key}={value}\0" for key, value in keys)


class _Node:
    __slots__ = ("children", "prefix", "values")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.children: dict[int, _Node] = {}
        self.values: list[str] = []


_MAGIC, _VERSION = 0xB007F457, 0x00020001
_HAS_PREFIX, _HAS_VALUES, _HAS_CHILDREN = 0x80000000, 0x40000000, 0x20000000


def _index(pairs: Iterable[tuple[str, str]]) -> bytes:
    """The trie that libkmod maps (source: the comment on the format in kmod's shared/ and libkmod-index.h)."""
    root = _Node("")
    for key, value in pairs:
        _insert(root, key, value)
    out = bytearray(struct.pack(">III", _MAGIC, _VERSION, 0))
    struct.pack_into(">I", out, 8, _write(root, out))
    return bytes(out)


def _insert(node: _Node, key: str, value: str) -> None:
    while True:
        common = 0
        while common < min(len(node.prefix), len(key)) and node.prefix[common] == key[common]:
            common += 1
        if common < len(node.prefix):
            _split(node, common)
        key = key[common:]
        if not key:
            node.values.append(value)
            return
        following: Optional[_Node] = node.children.get(ord(key[0]))
        if following is None:
            following = node.children[ord(key[0])] = _Node(key[1:])
        node, key = following, key[1:]


def _split(node: _Node, length: int) -> None:
    rest = _Node(node.prefix[length + 1:])
    rest.children, rest.values = node.children, node.values
    node.children, node.values = {ord(node.prefix[length]): rest}, []
    node.prefix = node.prefix[:length]


def _write(node: _Node, out: bytearray) -> int:
    """Append a node after its children; its offset with the flags of what it has."""
    places = {first: _write(child, out) for first, child in node.children.items()}
    offset = len(out)
    if node.prefix:
        offset |= _HAS_PREFIX
        out += node.prefix.encode() + b"\0"
    if places:
        offset |= _HAS_CHILDREN
        first, last = min(places), max(places)
        out += bytes((first, last))
        out += b"".join(struct.pack(">I", places.get(letter, 0)) for letter in range(first, last + 1))
    if node.values:
        offset |= _HAS_VALUES
        out += struct.pack(">I", len(node.values))
        for priority, value in enumerate(node.values):
            out += struct.pack(">I", priority) + value.encode() + b"\0"
    return offset
