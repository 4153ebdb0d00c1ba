# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.


"""Algorithms of the kernel's crypto API that a function's drivers offer and that something uses, such as an encrypted disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, Set

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

# Functions that are there to compute: encryption, co-processors, accelerators. A module that theirs needs may register for them.
_ACCELERATORS = ("10", "0b40", "12")
_UNUSED = 1  # references to an algorithm that is registered and that nothing uses


def algorithms_in_use(fs: Sysfs, directory: str, *, pci_class: str) -> List[str]:
    """'xts(aes) of intel_qat' for each algorithm in use that modules of the function with a directory of sysfs may serve. Without its
    function it fails, or the kernel with it (source: crypto/proc.c c_show(); crypto/algapi.c crypto_unregister_alg()).
    """
    used = _used(fs)
    if not used:
        return []
    links = (fs.link(f"{path}/driver/module") for path, names in fs.walk(directory) if "driver" in names)
    own = {link for link in links if link}
    modules = own.union(*(fs.names(f"{fs.modules}/{module}/holders") for module in own))
    if pci_class.startswith(_ACCELERATORS):
        modules |= {module for module in used if own.intersection(fs.names(f"{fs.modules}/{module}/holders"))}
    return [f"{name} of {module}" for module in sorted(modules & used.keys()) for name in sorted(used[module])]


def _used(fs: Sysfs) -> Dict[str, Set[str]]:
    """Module -> the names of its algorithms that are in use."""
    used: Dict[str, Set[str]] = {}
    for block in fs.text(fs.proc + "/crypto", "replace").split("\n\n"):
        pairs = [line.partition(":") for line in block.split("\n")]
        told = {key.strip(): value.strip() for key, dummy, value in pairs}
        count = told.get("refcnt", "")
        if "module" in told and not (count.isdecimal() and int(count) <= _UNUSED):
            used.setdefault(told["module"], set()).add(told.get("name", "an algorithm"))
    return used


__all__ = ("algorithms_in_use",)
