# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The description of a virtual host: YAML in, frozen and checked values out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Tuple

import yaml

from . import paths
from .boot import BOOTS, DEFAULT_INITRAMFS, INITRAMFS
from .errors import LabError
from .machine import ARCHITECTURES, MACHINES

NAME = re.compile(r"[a-z0-9][a-z0-9-]*\Z")
# One unicast address format; multicast (odd first octet) is refused by guests.
MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}\Z")
SIZE = re.compile(r"\d+[MG]\Z")

NETWORK_MODELS = frozenset({"e1000", "e1000e", "igb", "virtio-net-ccw", "virtio-net-pci"})
SERIAL_MODELS = frozenset({"nvme"})


@dataclass(frozen=True)
class Port:
    """A PCIe root port: a slot, with a bus of its own, named by its id. On pseries a host bridge, which has no address."""

    id: str
    slot: int
    addr: Optional[str]


@dataclass(frozen=True)
class Zpci:
    """What names a PCI function on s390: its user-defined identifier, and its function identifier."""

    uid: int
    fid: int


@dataclass(frozen=True)
class Wire:
    """A cable: the name of this end, and of the one at the other NIC, of this host or of another one in the same state directory."""

    end: str
    other: str


@dataclass(frozen=True)
class Device:
    """A device of a host, as QEMU's -device and QMP's device_add take it."""

    id: str
    model: str
    bus: str
    addr: Optional[str] = None
    mac: Optional[str] = None
    serial: Optional[str] = None
    zpci: Optional[Zpci] = None
    present: bool = True
    # Of a disk that keeps what is written, for one start with --keep after the other; without it, it forgets.
    size: Optional[str] = None
    # Of a NIC whose cable leads to another NIC of the lab.
    wire: Optional[Wire] = None
    # Of a network card: whether there is a network that it is on, with a server that gives an address and answers to a ping.
    network: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Host:
    """A virtual host: what its image holds, how it boots, what is plugged in."""

    name: str
    summary: str
    architecture: str
    machine: str
    iommu: str
    cpus: int
    memory: int
    suite: str
    packages: Tuple[str, ...]
    boot: str
    initramfs: str
    kernel_args: Tuple[str, ...]
    disk: Device
    disk_size: str
    nic: Device
    ports: Tuple[Port, ...]
    devices: Tuple[Device, ...]

    def device(self, identifier: str) -> Device:
        for device in self.devices:
            if device.id == identifier:
                return device
        raise LabError(f"host {self.name} has no device {identifier}",
                       "it has " + ", ".join(device.id for device in self.devices))


def swapped(host: Host, one: str, other: str) -> Host:
    """The host as it is when somebody has put two of its devices into each other's places."""
    first, second = host.device(one), host.device(other)
    if one == other or not (first.present and second.present):
        raise LabError(f"{one} and {other} cannot change places", "name two devices that are there at start")
    if {first.bus, second.bus} & {device.id for device in host.devices} or {
            device.bus for device in host.devices} & {one, other}:
        raise LabError(f"{one} and {other} cannot change places", "name devices in slots, and no bridges")
    places = {one: second, other: first}
    return replace(host, devices=tuple(
        replace(device, bus=places[device.id].bus, addr=places[device.id].addr, zpci=places[device.id].zpci)
        if device.id in places else device
        for device in host.devices
    ))


class _Reader:
    """Takes typed keys from a mapping and names what is wrong with them."""

    def __init__(self, where: str, data: Any) -> None:
        if not isinstance(data, dict):
            raise LabError(f"{where} is not a mapping", "see tests/lab/README.md")
        self.where = where
        self.data = dict(data)

    def take(self, key: str, kind: type, default: Any = None) -> Any:
        value = self.data.pop(key, default)
        if value is None:
            raise LabError(f"{self.where} lacks {key}", "see tests/lab/README.md")
        # A bool is an int to Python, not to a reader of the description.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise LabError(f"{self.where}: {key} is {value!r}", f"it has to be of type {kind.__name__}")
        return value

    def optional(self, key: str, kind: type) -> Any:
        return self.take(key, kind) if self.data.get(key) is not None else self.data.pop(key, None)

    def choice(self, key: str, choices: Any, default: Optional[str] = None) -> str:
        value = self.take(key, str, default)
        if value not in choices:
            raise LabError(f"{self.where}: {key} {value!r} is not known", "choose from " + ", ".join(sorted(choices)))
        return value

    def strings(self, key: str) -> Tuple[str, ...]:
        values = self.take(key, list, [])
        if not all(isinstance(value, str) for value in values):
            raise LabError(f"{self.where}: {key} is {values!r}", "every entry has to be a string")
        return tuple(values)

    def done(self) -> None:
        if self.data:
            raise LabError(f"{self.where}: unknown key {sorted(map(str, self.data))[0]!r}", "see tests/lab/README.md")


def _zpci(where: str, data: Any) -> Optional[Zpci]:
    if data is None:
        return None
    reader = _Reader(where, data)
    zpci = Zpci(uid=reader.take("uid", int), fid=reader.take("fid", int))
    reader.done()
    return zpci


def _wire(where: str, data: Any) -> Optional[Wire]:
    if data is None:
        return None
    reader = _Reader(where, data)
    wire = Wire(end=reader.take("end", str), other=reader.take("other", str))
    reader.done()
    for name in (wire.end, wire.other):
        if not NAME.match(name):
            raise LabError(f"{where}: bad name {name!r}", "use lower-case letters, digits and dashes")
    return wire


def _device(where: str, data: Any, identifier: Optional[str] = None) -> Device:
    reader = _Reader(where, data)
    device = Device(
        id=identifier or reader.take("id", str),
        model=reader.take("model", str),
        bus=reader.take("bus", str),
        addr=reader.optional("addr", str),
        mac=reader.optional("mac", str),
        serial=reader.optional("serial", str),
        zpci=_zpci(f"{where}: zpci", reader.optional("zpci", dict)),
        present=reader.take("present", bool, True),
        size=reader.optional("size", str),
        wire=_wire(f"{where}: wire", reader.optional("wire", dict)),
        network=reader.take("network", bool, False),
        options=reader.take("options", dict, {}),
    )
    reader.done()
    where = f"{where} ({device.id})"
    if not NAME.match(device.id):
        raise LabError(f"{where}: bad id {device.id!r}", "use lower-case letters, digits and dashes")
    if device.model in NETWORK_MODELS and not (device.mac and MAC.match(device.mac)):
        raise LabError(f"{where} needs a fixed mac", "write one like 52:54:00:76:0a:01, lower-case and quoted")
    if device.model in SERIAL_MODELS and not device.serial:
        raise LabError(f"{where} needs a serial", "without one its disk cannot be told from others")
    if device.size is not None and not (device.model in SERIAL_MODELS and SIZE.match(device.size)):
        raise LabError(f"{where}: size {device.size!r}", "it is for a disk, and written like 4G")
    if device.wire is not None and device.model not in NETWORK_MODELS:
        raise LabError(f"{where} cannot have a wire", "it is for a NIC")
    if device.network and device.model not in NETWORK_MODELS:
        raise LabError(f"{where}: network is for network cards", "leave it out")
    if device.network and device.wire is not None:
        raise LabError(f"{where} has a network and a wire", "a cable has one end: leave one out")
    return device


def _port(where: str, data: Any) -> Port:
    reader = _Reader(where, data)
    port = Port(id=reader.take("id", str), slot=reader.take("slot", int), addr=reader.optional("addr", str))
    reader.done()
    return port


def _unique(host: Host) -> None:
    everything = (host.disk, host.nic) + host.devices
    checks: Tuple[Tuple[str, Sequence[object]], ...] = (
        ("id", [port.id for port in host.ports] + [device.id for device in everything]),
        ("slot", [port.slot for port in host.ports]),
        ("mac", [device.mac for device in everything if device.mac]),
        ("end of a wire", [device.wire.end for device in host.devices if device.wire]),
        ("serial", [device.serial for device in everything if device.serial]),
        ("uid", [device.zpci.uid for device in host.devices if device.zpci]),
        ("fid", [device.zpci.fid for device in host.devices if device.zpci]),
        ("place", [f"{item.bus} {item.addr}" for item in everything if item.present and item.addr]
         + [f"{MACHINES[host.machine].root_bus} {port.addr}" for port in host.ports if port.addr]),
        ("slot occupied at start", [device.bus for device in everything
                                    if device.present and device.bus in {port.id for port in host.ports}]),
    )
    for what, values in checks:
        twice = sorted({str(value) for value in values if values.count(value) > 1})
        if twice:
            raise LabError(f"host {host.name}: {what} {twice[0]} is used twice", "every one has to be its own")


def _buses(host: Host) -> None:
    # A device's own bus, for what is no PCI function, has its id and a number.
    known = {port.id for port in host.ports} | {name for device in host.devices for name in (device.id, f"{device.id}.0")}
    for device in (host.disk, host.nic) + host.devices:
        if device.bus not in known and not MACHINES[host.machine].owns_bus(device.bus):
            raise LabError(f"host {host.name}: device {device.id} is on bus {device.bus}, which does not exist",
                           "name a port, a bridge or a bus of the machine")


def _ports(host: Host) -> None:
    bridges = MACHINES[host.machine].host_bridges
    for port in host.ports:
        if bridges == (port.addr is not None):
            raise LabError(f"host {host.name}: port {port.id} {'cannot have' if bridges else 'needs'} an addr",
                           "a root port is at an address; a host bridge of pseries is at none")


def _functions(host: Host) -> None:
    wanted = MACHINES[host.machine].zpci
    for device in host.devices:
        if (device.zpci is not None) != wanted:
            raise LabError(f"host {host.name}: device {device.id} {'needs' if wanted else 'cannot have'} a zpci",
                           "on s390 every device has one: zpci: {uid: 0x1, fid: 0x1}; elsewhere none has")


def parse(name: str, data: Any) -> Host:
    """A checked host from the content of its description."""
    where = f"host {name}"
    if not NAME.match(name):
        raise LabError(f"bad host name {name!r}", "use lower-case letters, digits and dashes")
    reader = _Reader(where, data)
    disk = dict(reader.take("disk", dict))
    disk_size = disk.pop("size", "4G")
    machine = reader.choice("machine", MACHINES)
    host = Host(
        name=name,
        summary=reader.take("summary", str),
        architecture=reader.choice("architecture", ARCHITECTURES),
        machine=machine,
        iommu=reader.choice("iommu", MACHINES[machine].iommus),
        cpus=reader.take("cpus", int, 2),
        memory=reader.take("memory", int, 2048),
        suite=reader.take("suite", str),
        packages=reader.strings("packages"),
        boot=reader.choice("boot", BOOTS),
        initramfs=reader.choice("initramfs", INITRAMFS, DEFAULT_INITRAMFS),
        kernel_args=reader.strings("kernel_args"),
        disk=_device(f"{where}: disk", disk, "system-disk"),
        disk_size=disk_size,
        nic=_device(f"{where}: nic", reader.take("nic", dict), "system-nic"),
        ports=tuple(
            _port(f"{where}: ports[{index}]", item) for index, item in enumerate(reader.take("ports", list, []))
        ),
        devices=tuple(
            _device(f"{where}: devices[{index}]", item) for index, item in enumerate(reader.take("devices", list, []))
        ),
    )
    reader.done()
    if MACHINES[host.machine].architecture != host.architecture:
        raise LabError(f"{where}: machine {host.machine} is not of architecture {host.architecture}",
                       f"it takes {MACHINES[host.machine].architecture}")
    architecture = BOOTS[host.boot].architecture
    if architecture not in (None, host.architecture):
        raise LabError(f"{where}: boot {host.boot} is not of architecture {host.architecture}", f"it takes {architecture}")
    if not SIZE.match(str(disk_size)):
        raise LabError(f"{where}: disk size {disk_size!r}", "write it like 4G")
    _unique(host)
    _buses(host)
    _ports(host)
    _functions(host)
    return host


def names() -> Tuple[str, ...]:
    return tuple(sorted(path.stem for path in paths.HOSTS.glob("*.yml")))


def load(name: str, directory: Optional[Path] = None) -> Host:
    """The host of that name, from its file."""
    path = (directory or paths.HOSTS) / f"{name}.yml"
    if not NAME.match(name) or not path.is_file():
        raise LabError(f"there is no host {name!r}", "there are " + ", ".join(names()))
    try:
        return parse(name, yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise LabError(f"{path} is not YAML", " ".join(str(error).split())) from None


__all__ = ("Device", "Host", "NETWORK_MODELS", "Port", "Wire", "Zpci", "load", "names", "parse", "swapped")
