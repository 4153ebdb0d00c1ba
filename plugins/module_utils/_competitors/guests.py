# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Managers of guests that rebind devices by themselves: libvirt, Nova, Proxmox VE. Pure.

libvirt takes a managed device from its driver when a guest starts, and writes its own override; when the guest ends, it clears the
override and has the device probed, so it is back at its native driver. It leaves alone what is on the driver that it wants already.
(source: libvirt docs/formatdomain.rst, hostdev; docs/formatnetwork.rst, forward; src/util/virpci.c, virPCIDeviceBindToStub,
virPCIDeviceUnbindFromStub; nova/conf/pci.py, device_spec; Proxmox VE qm.conf(5), hostpci; PVE::QemuServer::PCI)
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from xml.parsers import expat

from ansible_collections.vfio.host.plugins.module_utils._competitors import ini
from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import (
    BIND,
    MANAGED,
    Claim,
    all_of,
    by_interface,
    by_pf_interface,
    fits_pattern,
)
from ansible_collections.vfio.host.plugins.module_utils._host.words import trimmed
from ansible_collections.vfio.host.plugins.module_utils._host.words import words as words_of

if TYPE_CHECKING:
    from typing import Iterable, Mapping

    from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Fits, Note, Target

_UNMANAGED = "say managed='no' there"
_HOSTPCI = re.compile(r"hostpci\d+:\s*(?P<value>\S.*)")
_SLOT = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([01][0-9a-f])(?:\.([0-7]))?\Z", re.I)
_YES = ("yes", "true", "1", "on")


class _Reader:
    """Reads the managed devices of one XML file of libvirt."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._parser = expat.ParserCreate("utf-8")  # as read() encodes it, whatever the file declares
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.EntityDeclHandler = self._refuse
        self._names: list[str] = []
        self._scope: tuple[int, str, str] | None = None  # (depth, says, where) of what is managed
        self.claims: list[Claim] = []

    def read(self, text: str) -> None:
        """Collect the Claims of a text. Raises ValueError where it is no XML that libvirt writes."""
        try:
            self._parser.Parse(text.encode("utf-8", "replace"), True)
        except expat.ExpatError as error:
            raise ValueError(str(error)) from error

    def _refuse(self, *dummy: object) -> None:
        raise ValueError("it declares entities")

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._names.append(name)
        is_pci = name == "hostdev" and attributes.get("type", "pci") == "pci"
        is_interface = name == "interface" and attributes.get("type") == "hostdev"
        is_pool = name == "forward" and attributes.get("mode") == "hostdev"
        if (is_pci or is_interface or is_pool) and attributes.get("managed") == "yes" and self._scope is None:
            self._scope = len(self._names), f"managed='yes' of <{name}>", f"{self._path}:{self._parser.CurrentLineNumber}"
        elif self._scope and name == "address" and (self._names[-2] == "source" or self._names[-2] == "forward"):
            self._add(self._scope, _at_address(attributes))
        elif self._scope and name == "pf" and attributes.get("dev"):
            self._add(self._scope, _of_pf(attributes["dev"]))

    def _end(self, dummy: str) -> None:
        if self._scope and len(self._names) == self._scope[0]:
            self._scope = None
        self._names.pop()

    def _add(self, scope: tuple[int, str, str], fits: Fits) -> None:
        dummy, says, where = scope
        self.claims.append(Claim(where, MANAGED, None, says, fits, _UNMANAGED))


def _at_address(attributes: Mapping[str, str]) -> Fits:
    """Target -> whether an <address> is its own; None where that is not understood."""
    try:
        parts = [int(attributes.get(key, "0"), 0) for key in ("domain", "bus", "slot", "function")]
    except ValueError:
        return lambda target: None
    address = "{:04x}:{:02x}:{:02x}.{:x}".format(*parts)
    return lambda target: target.address == address


def _of_pf(name: str) -> Fits:
    """Target -> whether it is a VF of the card of this interface: all of these are in the pool, and the card is not (source:
    libvirt src/network/bridge_driver.c, networkCreateInterfacePool).
    """
    return lambda target: by_pf_interface(target, [name])


def libvirt_claims(text: str, path: str, *, note: Note) -> list[Claim]:
    """The Claims of one domain or network of libvirt."""
    if "managed" not in text:
        return []
    reader = _Reader(path)
    try:
        reader.read(text)
    except ValueError as error:
        note(f"{path}: is not understood ({error}), not checked")
    return reader.claims


def nova_claims(text: str, path: str, *, note: Note) -> list[Claim]:
    """The Claims of nova.conf: [pci] device_spec, in older releases passthrough_whitelist. The default of managed is yes."""
    claims = []
    for one in ini.parse(text, path):
        if one.section != "pci" or one.name not in ("device_spec", "passthrough_whitelist"):
            continue
        try:
            specs = json.loads(one.value)
        except (ValueError, RecursionError):
            note(f"{one.where}: {one.name} is not understood, not checked")
            continue
        for spec in specs if isinstance(specs, list) else [specs]:
            if not isinstance(spec, dict):
                note(f"{one.where}: {one.name} is not understood, not checked")
            elif str(spec.get("managed", "yes")).lower() in _YES:
                claims.append(Claim(one.where, MANAGED, None, f"{one.name} of Nova", _of_spec(spec), 'say "managed": "no" there'))
    return claims


def _of_spec(spec: Mapping[str, object]) -> Fits:
    """Target -> whether a device_spec is about it (source: nova/pci/devspec.py)."""
    def fits(target: Target) -> bool | None:
        answers: list[bool | None] = []
        for key, own in (("vendor_id", "vendor"), ("product_id", "device")):
            if key in spec:
                answers.append(str(spec[key]).lower() in ("*", target.ids[own]))
        if "devname" in spec:
            answers.append(by_interface(target, [str(spec["devname"])]))
        address = spec.get("address")
        if isinstance(address, str) and address:
            answers.append(_is_spec_address(address.lower(), target))
        elif address:
            answers.append(None)  # regular expressions of its parts
        return all_of(answers) if answers else None

    return fits


def _is_spec_address(address: str, target: Target) -> bool | None:
    """Whether an address as ``*:0a:00.*``, 0a:00.0 or 0a:00 fits a target. A missing part fits every value."""
    shape = re.match(r"(?:([0-9a-f*]+):)?([0-9a-f*]+):([0-9a-f*]+)(?:\.([0-7*]))?\Z", address)
    if shape is None:
        return None
    domain, bus, slot, function = (part or "*" for part in shape.groups())
    return fits_pattern(f"{domain}:{bus}:{slot}.{function}", [target.address])


def proxmox_claims(text: str, path: str, *, mappings: Mapping[str, list[str]]) -> list[Claim]:
    """A guest of Proxmox VE: ``hostpci0: 0000:02:00,pcie=1``. Its start binds vfio-pci, or with driver=keep nothing.

    ``mappings``: name -> paths of a mapping. Sections behind the first are snapshots.
    """
    claims = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("["):
            break
        one = _HOSTPCI.match(line)
        if one is None:
            continue
        options = dict(part.partition("=")[::2] if "=" in part else ("host", part) for part in one.group("value").split(","))
        if options.get("driver", "vfio") == "keep":
            continue
        hosts = mappings.get(options["mapping"], []) if "mapping" in options else options.get("host", "").split(";")
        says = f"'{trimmed(line)}'"
        claims.append(Claim(f"{path}:{number}", BIND, "vfio-pci", says, _of_hosts(hosts), "say driver=keep there, or declare vfio-pci"))
    return claims


def mapping_paths(text: str) -> dict[str, list[str]]:
    """Name -> paths of /etc/pve/mapping/pci.cfg."""
    paths: dict[str, list[str]] = {}
    name = None
    for line in text.split("\n"):
        words = words_of(line)
        if line and not line[0].isspace():
            name = words[0].rstrip(":") if words else None
        elif name and words[:1] == ["map"]:
            paths.setdefault(name, []).extend(
                path for part in " ".join(words[1:]).split(",") if part.startswith("path=") for path in part[5:].split(";")
            )
    return paths


def _of_hosts(hosts: Iterable[str]) -> Fits:
    """Target -> whether one of these is its address, or its slot without a function."""
    patterns = []
    for one in hosts:
        slot = _SLOT.match(trimmed(one))
        if slot:
            domain, bus, device, function = slot.groups()
            patterns.append(f"{domain or '0000'}:{bus}:{device}.{function or '*'}".lower())
    return lambda target: any(fits_pattern(one, [target.address]) for one in patterns)


__all__ = ("libvirt_claims", "mapping_paths", "nova_claims", "proxmox_claims")
