# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Why the host itself needs a PCI function: its network, its file systems, its console. Fail closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._devices.dependence import suppliers
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.console import consoles
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.firmware import booted_from
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.hidden import NETWORK_CARDS, hidden_interfaces
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.memory import memory
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.network import Network, Untold
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.storage import Storage
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import (
    CONSOLE,
    NETWORK,
    STORAGE,
    Device,
    guards_of_consumer,
    guards_of_pf,
    guards_of_vfs,
    last_address,
)

if TYPE_CHECKING:
    from typing import Callable

    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import Guard
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

# Mass storage, Fibre Channel, and memory of CXL.
_DISKS = ("01", "0c04", "0502")
# Drivers that do nothing with a function but keep others away (source: drivers/pci/pci-stub.c, drivers/xen/xen-pciback/pci_stub.c).
_IDLE = frozenset(("pci-stub", "pciback"))


class _Findings:
    """Address -> reasons, each once."""

    def __init__(self) -> None:
        self._found: dict[str, dict[tuple[str, str], Guard]] = {}

    @property
    def found(self) -> dict[str, list[Guard]]:
        """Address -> list of Guard."""
        return {address: list(some.values()) for address, some in self._found.items()}

    def put(self, address: str, guard: Guard) -> None:
        self._found.setdefault(address, {}).setdefault((guard["kind"], guard["reason"]), guard)

    def add(self, address: str, *, kind: str, reason: str) -> None:
        self.put(address, {"kind": kind, "reason": reason, "brief": reason, "interface": None, "carries": None, "via": None})

    def add_way(
        self, kind: str, text: str, *, addresses: list[str], load: tuple[str, str] | None = None, brief: str | None = None,
    ) -> None:
        """A way that ends at the last of ``addresses``; the others are the bridges that it is behind. ``load``: (interface, what it
        carries), where ``text`` says that. ``brief``: where ``text`` without the address is no sentence.
        """
        name, what = load or (None, None)
        end = addresses[-1]
        reason, rest = f"{text} on {end}", f" on {end}, which is behind it"
        self.put(end, {"kind": kind, "reason": reason, "brief": text if brief is None else brief, "interface": name, "carries": what, "via": None})
        behind: Guard = {
            "kind": kind, "reason": text + rest, "brief": text + rest, "interface": name, "carries": what and what + rest, "via": None,
        }
        for address in addresses[-2::-1]:
            self.put(address, behind)

    def has(self, address: str, kind: str) -> bool:
        return any(one == kind for one, dummy in self._found.get(address, ()))


def guards(fs: Sysfs, devices: list[Device], *, is_vfio: Callable[[str], bool]) -> dict[str, list[Guard]]:
    """Address -> the reasons why the host itself needs that function, each a Guard.

    ``devices`` are the scanned functions; ``is_vfio``: whether a driver serves user space. What cannot be resolved counts as needed.
    """
    # What no driver has, or VFIO, carries nothing of this host's now, whatever cannot be told.
    native = [device for device in devices if device.driver and device.driver not in _IDLE and not is_vfio(device.driver)]
    findings, network = _Findings(), Network(fs, lambda: hidden_interfaces(fs, native, is_vfio=is_vfio))
    _add_network(findings, network, native)
    _add_storage(findings, Storage(fs, network), network, fs, native)
    for console in consoles(fs, devices, network=network):
        if console.addresses and console.brief is not None:
            findings.add_way(CONSOLE, console.text, addresses=console.addresses, brief=console.brief)
        elif console.addresses:
            findings.add(console.addresses[-1], kind=CONSOLE, reason=console.text)
    for kind, text, addresses in booted_from(fs):
        if addresses:
            findings.add_way(kind, text, addresses=addresses)
        else:
            _add_all(findings, kind, text, devices)
    for address, reason in memory(fs, devices):
        findings.add(address, kind=STORAGE, reason=reason)
    own = findings.found
    of_pfs: dict[str, list[Guard]] = {}  # what all VFs of a PF owe to it
    for device in devices:
        if device.physfn:
            for one in guards_of_pf(device.address, own.get(device.address, ())):
                findings.put(device.physfn, one)
            if device.physfn not in of_pfs:
                of_pfs[device.physfn] = guards_of_vfs(device.physfn, own.get(device.physfn, ()))
            for one in of_pfs[device.physfn]:
                findings.put(device.address, one)
    _add_suppliers(findings, fs)
    return findings.found


def _add_all(findings: _Findings, kind: str, text: str, devices: list[Device]) -> None:
    """Every function that may be the one that ``text`` is about, which cannot be read."""
    # Some network cards have disks of their own.
    classes, what = (NETWORK_CARDS, "network card") if kind == NETWORK else (_DISKS + NETWORK_CARDS, "disk and network card")
    for device in devices:
        if device.ids["class"].startswith(classes):
            findings.add(device.address, kind=kind, reason=f"{text} on what cannot be read, so every {what} counts")


def _add_suppliers(findings: _Findings, fs: Sysfs) -> None:
    """What a needed function depends on is needed, and what that depends on."""
    todo, seen = list(findings.found), set(findings.found)
    while todo:
        address = todo.pop()
        above = suppliers(fs, fs.device_directory(address))
        owed = guards_of_consumer(address, findings.found[address]) if above else []
        for supplier in above:
            for one in owed:
                if not findings.has(supplier, one["kind"]):
                    findings.put(supplier, one)
            if supplier not in seen:
                seen.add(supplier)
                todo.append(supplier)


def _add_network(findings: _Findings, network: Network, devices: list[Device]) -> None:
    if network.is_hidden():
        for device in devices:
            if device.ids["class"].startswith(NETWORK_CARDS):
                findings.add(device.address, kind=NETWORK, reason="which interfaces this host has cannot be read, so every network card counts")
    for name, what in network.loads():
        for text, addresses in network.below(name):
            load = None if isinstance(name, Untold) else (name, f"{what}{text[len(name):]}")
            text = f"{load[0]} carries {load[1]}" if load else f"{what} goes over {text}"
            findings.add_way(NETWORK, text, addresses=addresses, load=load)
    for text, addresses in network.hypervisors():
        findings.add_way(NETWORK, text, addresses=addresses)


def _add_storage(findings: _Findings, storage: Storage, network: Network, fs: Sysfs, devices: list[Device]) -> None:
    ways = list(storage.ways())
    for way in ways:
        if way.addresses and way.is_direct:
            findings.add_way(STORAGE, way.text, addresses=way.addresses)
    for way in ways:
        # Of images, overlays and the next boot's partitions only what is news: a host may have hundreds.
        if way.addresses and not way.is_direct and not findings.has(way.addresses[-1], STORAGE):
            findings.add_way(STORAGE, way.text, addresses=way.addresses)
    hidden = [way for way in ways if way.addresses is None]
    if hidden:
        ends = [last_address(fs.target(f"{fs.block}/{name}") or "") for name in fs.names(fs.block)]
        everything = {address for address in ends if address is not None}
        everything.update(device.address for device in devices if device.ids["class"].startswith(_DISKS))
        for address in sorted(everything):
            findings.add(address, kind=STORAGE, reason=f"{hidden[0].text} on what cannot be told, so every disk counts")
    anywhere = [way for way in hidden if not way.is_disk]
    for text, addresses in network.below(Untold()) if anywhere else ():
        findings.add_way(STORAGE, f"{anywhere[0].text} on {text}", addresses=addresses)


__all__ = ("guards",)
