# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Why the host itself needs a PCI function: its network, its file systems, its console. Fail closed."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._device.guards_network import Network
from ansible_collections.vfio.host.plugins.module_utils._device.guards_storage import Storage
from ansible_collections.vfio.host.plugins.module_utils._device.pci import (
    CONSOLE,
    NETWORK,
    STORAGE,
    guards_of_pf,
    guards_of_vfs,
    last_address,
)

# Mass storage, and Fibre Channel; display controllers, and of these the ones without outputs.
_NETWORK_CARD = "02"
_DISKS, _DISPLAY, _WITHOUT_OUTPUTS = ("01", "0c04"), "03", "0302"


class _Findings:
    """Address -> reasons, each once."""

    def __init__(self):
        self.found = {}

    def add(self, address, kind, reason):
        reasons = self.found.setdefault(address, [])
        if {"kind": kind, "reason": reason} not in reasons:
            reasons.append({"kind": kind, "reason": reason})

    def add_way(self, kind, text, addresses):
        """A way that ends at the last of ``addresses``; the others are the bridges that it is behind."""
        reason = f"{text} on {addresses[-1]}"
        self.add(addresses[-1], kind, reason)
        for address in addresses[:-1]:
            self.add(address, kind, f"{reason}, which is behind it")

    def has(self, address, kind):
        return any(one["kind"] == kind for one in self.found.get(address, ()))


def guards(fs, devices):
    """Address -> the reasons why the host itself needs that function, as [{kind, reason}].

    ``devices`` are the scanned functions; what cannot be resolved counts as needed.
    """
    findings, network = _Findings(), Network(fs)
    _add_network(findings, network, devices)
    _add_storage(findings, Storage(fs, network), fs, devices)
    _add_console(findings, devices)
    found = findings.found
    own = {address: list(reasons) for address, reasons in found.items()}
    for device in devices:
        if device.physfn:
            for one in guards_of_pf(device.address, own.get(device.address, ())):
                findings.add(device.physfn, **one)
            for one in guards_of_vfs(device.physfn, own.get(device.physfn, ())):
                findings.add(device.address, **one)
    return found


def _add_network(findings, network, devices):
    if network.is_hidden():
        for device in devices:
            if device.ids["class"].startswith(_NETWORK_CARD):
                findings.add(device.address, NETWORK, "which interfaces this host has cannot be read, so every network card counts")
    for name, what in network.loads():
        for text, addresses in network.below(name):
            if name is None:
                text = f"{what} goes over {text}"
            else:
                text = f"{name} carries {what}{text[len(name):]}"
            findings.add_way(NETWORK, text, addresses)


def _add_storage(findings, storage, fs, devices):
    ways = list(storage.ways())
    for way in ways:
        if way.addresses and way.is_direct:
            findings.add_way(STORAGE, way.text, way.addresses)
    for way in ways:
        # Of images, overlays and the next boot's partitions only what is news: a host may have hundreds.
        if way.addresses and not way.is_direct and not findings.has(way.addresses[-1], STORAGE):
            findings.add_way(STORAGE, way.text, way.addresses)
    hidden = dict.fromkeys(f"{way.text} on what cannot be told, so every disk counts" for way in ways if way.addresses is None)
    if hidden:
        everything = {last_address(fs.target(f"{fs.block}/{name}") or "") for name in fs.names(fs.block)} - {None}
        everything.update(device.address for device in devices if device.ids["class"].startswith(_DISKS))
        for address in sorted(everything):
            findings.add(address, STORAGE, next(iter(hidden)))


def _add_console(findings, devices):
    displays = [
        device for device in devices if device.ids["class"].startswith(_DISPLAY) and not device.physfn
        and not device.ids["class"].startswith(_WITHOUT_OUTPUTS)
    ]
    for device in displays:
        if device.boot_vga:
            findings.add(device.address, CONSOLE, "it is the firmware's display (boot_vga)")
        elif len(displays) == 1:
            findings.add(device.address, CONSOLE, "it is the only display")


__all__ = ("guards",)
