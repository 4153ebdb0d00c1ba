# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.
"""libvirt: elements for <devices> of a domain, one after another. Always managed='no': the driver is the policy's business.

A VF whose PF keeps an address or a VLAN for it is a <hostdev>, which has both. As an <interface> without <vlan> it would be on no VLAN
from the start of the guest on (source: src/util/virnetdev.c, virNetDevSetNetConfig: "Assure any existing vlan tag is reset").

With managed='yes' libvirt binds a driver of its own choice and gives the device to the native one afterwards
(source: libvirt NEWS of 10.0.0; src/hypervisor/virhostdev.c).
"""

from __future__ import annotations

from xml.etree import ElementTree

from ansible_collections.vfio.host.plugins.plugin_utils._handover.model import NETWORK, Consumer, Device, Problem, Wanted

# (source: libvirt's NEWS) With managed='no' variants since 9.7.0, the attribute model since 10.0.0, iommufd for one device
# since 12.1.0.
VARIANTS, MODEL, IOMMUFD = (9, 7, 0), (10, 0, 0), (12, 1, 0)


def write(wanted: Wanted) -> str:
    """The XML. Raises Problem where the host's libvirt cannot have one of the devices so."""
    _check(wanted)
    bus = wanted.options.get("guest_bus")
    lines = []
    for unit in wanted.units:
        for number, device in enumerate(unit):
            element = _element(wanted, device)
            if bus is not None:
                _guest_address(element, bus, number, len(unit))
            ElementTree.indent(element)
            lines.append(ElementTree.tostring(element, encoding="unicode"))
        bus = None if bus is None else bus + 1
    for device in wanted.devices:
        if device.is_wide:
            wanted.warnings.append(f"{device.address}: libvirt takes it, and QEMU 10.0 refuses domains above ffff in what libvirt passes on")
    return "\n".join(lines) + "\n"


def _check(wanted: Wanted) -> None:
    problems = []
    version = wanted.options.get("libvirt_version")
    if version is not None and wanted.options.get("iommufd") and version < IOMMUFD:
        problems.append("libvirt knows iommufd from 12.1.0 on: leave the option iommufd out")
    if version is not None and version < VARIANTS:
        problems += [
            f"{device.address} is on {device.driver}, and libvirt knows drivers other than vfio-pci from 9.7.0 on: declare "
            "driver: vfio-pci for it"
            for device in wanted.devices if device.is_variant
        ]
    if wanted.options.get("guest_bus", 0) + len(wanted.units) > 256:
        problems.append(f"option 'guest_bus': {len(wanted.units)} cards need as many buses, and the last bus is 255")
    devices = {device.address: device for device in wanted.devices}
    for address in wanted.options.get("macs", {}):
        if address not in devices:
            problems.append(f"option 'macs': {address} is none of the devices handed over")
        elif devices[address].is_vf is False:
            # (source: src/hypervisor/virhostdev.c, virHostdevSaveNetConfig)
            problems.append(f"option 'macs': {address} is no virtual function, and libvirt sets MAC addresses of these only")
        elif devices[address].kept:
            problems.append(
                f"option 'macs': {address} has {' and '.join(devices[address].kept)} by its PF, and libvirt would set another address and "
                "no VLAN when the guest starts: leave it out here, or vfs out of passthrough_sriov"
            )
        elif devices[address].pf_has_interface is False:
            # (source: src/util/virpci.c, virPCIGetVirtualFunctionInfo)
            problems.append(f"option 'macs': the PF of {address} has no interface, by which libvirt would set a MAC address")
    if problems:
        raise Problem(*problems)


def _element(wanted: Wanted, device: Device) -> ElementTree.Element:
    mac = wanted.options.get("macs", {}).get(device.address)
    if mac is None and device.is_vf and device.is_of(NETWORK) and not device.kept and device.pf_has_interface is not False:
        mac = device.mac
    if mac is None:
        element = ElementTree.Element("hostdev", mode="subsystem", type="pci", managed="no")
    else:
        element = ElementTree.Element("interface", type="hostdev", managed="no")
        ElementTree.SubElement(element, "mac", address=mac)
    _driver(wanted, device, element)
    domain, bus, slot, function = device.parts
    address = {"domain": f"0x{domain}", "bus": f"0x{bus}", "slot": f"0x{slot}", "function": f"0x{function}"}
    source = ElementTree.SubElement(element, "source")
    ElementTree.SubElement(source, "address", address if mac is None else {"type": "pci", **address})
    return element


def _driver(wanted: Wanted, device: Device, element: ElementTree.Element) -> None:
    version = wanted.options.get("libvirt_version")
    attributes = {}
    if device.is_variant and (version is None or version >= MODEL):
        attributes["model"] = device.driver
    if wanted.options.get("iommufd"):
        attributes["iommufd"] = "yes"
    if attributes:
        ElementTree.SubElement(element, "driver", {"name": "vfio", **attributes})


def _guest_address(element: ElementTree.Element, bus: int, function: int, functions: int) -> None:
    attributes = {"type": "pci", "domain": "0x0000", "bus": f"0x{bus:02x}", "slot": "0x00", "function": f"0x{function}"}
    if functions > 1 and function == 0:
        attributes["multifunction"] = "on"
    ElementTree.SubElement(element, "address", attributes)


CONSUMER = Consumer(
    "libvirt", write, frozenset(("macs", "guest_bus", "iommufd", "libvirt_version")), variants=True,
)

__all__ = ("CONSUMER",)
