# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU's command line, and the same devices as QMP takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Container, Dict, List, Optional, Tuple

from .boot import BOOTS
from .host import NETWORK_MODELS, Device, Host, Port
from .machine import ARCHITECTURES, MACHINES, Machine

# Enough to partition, small enough that no one fills it by accident.
MEDIA_SIZE = 64 * 1024 * 1024

# The chardev of the console. The machine's own serial port has it, and is there, unless a device of the host names it.
CONSOLE = "console"

# A network for one card (RFC 5737): 192.0.2.2 gives it 192.0.2.15 by DHCP, and answers to a ping. Nothing leaves it.
NETWORK = "restrict=on,net=192.0.2.0/24,host=192.0.2.2,dhcpstart=192.0.2.15"


def kept_media(device: Device, state: Path) -> Path:
    """The file behind a disk that keeps what is written."""
    return state / f"{device.id}.raw"


def qemu_log(state: Path) -> Path:
    """Where QEMU's own messages go once it is in the background."""
    return state / "qemu.log"


def media(device: Device, state: Path) -> Optional[Dict[str, Any]]:
    """The block device behind a storage device: a file of the host's, or what reads as zeroes and forgets."""
    if device.model != "nvme":
        return None
    if device.size is not None:
        return {"driver": "file", "node-name": f"{device.id}-media", "filename": str(kept_media(device, state)),
                "cache": {"no-flush": True}}
    return {"driver": "null-co", "node-name": f"{device.id}-media", "size": MEDIA_SIZE, "read-zeroes": True}


def properties(device: Device) -> Dict[str, Any]:
    """A device as JSON: the same for -device at start and for device_add later."""
    result: Dict[str, Any] = {"driver": device.model, "id": device.id, "bus": device.bus}
    if device.addr is not None:
        result["addr"] = device.addr
    if device.mac is not None:
        result["mac"] = device.mac
    if device.model in NETWORK_MODELS and not device.model.endswith("-ccw"):
        # No network boot: it costs seconds, and the package that holds the ROMs.
        result["romfile"] = ""
    if device.network:
        result["netdev"] = f"{device.id}-network"
    if device.serial is not None:
        result["serial"] = device.serial
    if device.wire is not None:
        result["netdev"] = f"{device.id}-wire"
    if device.model == "nvme":
        result["drive"] = f"{device.id}-media"
    result.update(device.options)
    return result


def wire(device: Device, state: Path) -> List[str]:
    """The cable of a NIC that has one: packets between two sockets of this machine, whichever end is there first."""
    if device.wire is None:
        return []
    end, other = (str(state.parent / f"wire-{name}.sock") for name in (device.wire.end, device.wire.other))
    return ["-netdev", f"dgram,id={device.id}-wire,local.type=unix,local.path={end},remote.type=unix,remote.path={other}"]


def function(device: Device) -> Optional[Dict[str, Any]]:
    """What names the device on s390: there it precedes it, and is plugged with it."""
    if device.zpci is None:
        return None
    return {"driver": "zpci", "id": f"{device.id}-zpci", "uid": device.zpci.uid, "fid": device.zpci.fid, "target": device.id}


def _port(machine: Machine, port: Port) -> Dict[str, Any]:
    if machine.host_bridges:
        return {"driver": machine.port_model, "id": port.id, "index": port.slot}
    return {"driver": machine.port_model, "id": port.id, "bus": machine.root_bus, "addr": port.addr, "slot": port.slot,
            "chassis": port.slot}


def kernel_command_line(host: Host) -> Tuple[str, ...]:
    machine = MACHINES[host.machine]
    return (
        # By label: on some machines a test's own virtio disk takes the name vda.
        "root=LABEL=root", "rw", f"systemd.hostname={host.name}",
        # Tests read on the console what was bound before the login prompt: all of the kernel's messages, no colours.
        f"console={machine.console}", "loglevel=7", "TERM=dumb",
        *machine.kernel_args, *host.kernel_args,
    )


def _json(option: str, value: Dict[str, Any]) -> List[str]:
    return [option, json.dumps(value)]


def _accelerator(accel: str, cpu: str) -> List[str]:
    if accel == "kvm":
        return ["-accel", "kvm", "-cpu", "host"]
    # One thread for all of a guest's processors: with one for each, QEMU 10.0 aborts when one processor moves a BAR while another
    # reads a device ("iotlb_to_section: Assertion `section_index < d->map.sections_nb' failed"), in 1 boot of 34 of x86-trixie.
    return ["-accel", "tcg,thread=single", "-cpu", cpu]


def _console(state: Path) -> List[str]:
    # What is in the file already is what a kept host has said.
    return ["-chardev", f"file,id={CONSOLE},path={state / 'console.log'},append=on"]


def _named(host: Host, option: str) -> List[str]:
    return sorted({str(device.options[option]) for device in host.devices if option in device.options})


def has_own_console(host: Host) -> bool:
    """Whether a device of the host is its console."""
    return CONSOLE in _named(host, "chardev")


def _ends(host: Host, state: Path) -> List[str]:
    """What devices write to or are wired to. Of devices that are plugged in later, too: a monitor cannot add one."""
    line: List[str] = []
    for silent in _named(host, "audiodev"):
        line += ["-audiodev", f"none,id={silent}"]
    for name in _named(host, "chardev"):
        line += _console(state) if name == CONSOLE else ["-chardev", f"null,id={name}"]
    for device in host.devices:
        line += wire(device, state)
        if device.network:
            line += ["-netdev", f"user,id={device.id}-network,{NETWORK}"]
    return line


def command(*, host: Host, accel: str, image: Path, overlay: Path, state: Path, ssh_port: int,
            initrd: Optional[Path] = None, append: Tuple[str, ...] = (), without: Container[str] = (),
            incoming: bool = False) -> Tuple[str, ...]:
    """The whole command line. QEMU goes to the background once every device is made, and leaves its pid in a file.

    ``without`` are the ids of devices that are plugged in later. ``incoming`` has QEMU wait for the state of a host
    that was kept, in place of booting.
    """
    machine = MACHINES[host.machine]
    line: List[str] = [ARCHITECTURES[host.architecture].qemu, "-name", host.name, *machine.arguments]
    line += _accelerator(accel, machine.cpu)
    line += ["-smp", str(host.cpus), "-m", str(host.memory), "-display", "none", "-vga", "none"]
    line += machine.iommus[host.iommu]
    line += BOOTS[host.boot].arguments(image, (*kernel_command_line(host), *append), initrd)

    for port in host.ports:
        line += _json("-device", _port(machine, port))

    # no-flush: a killed QEMU loses nothing that the guest has written, only a crash of this machine would.
    disk = {"driver": "file", "filename": str(overlay), "cache": {"no-flush": True}}
    line += _json("-blockdev", {"driver": "qcow2", "node-name": "system", "discard": "unmap",
                                "cache": {"no-flush": True}, "file": disk})
    line += _json("-device", {**properties(host.disk), "drive": "system"})
    line += ["-netdev", f"user,id=ssh,restrict=on,hostfwd=tcp:127.0.0.1:{ssh_port}-:22"]
    line += _json("-device", {**properties(host.nic), "netdev": "ssh"})

    line += _ends(host, state)

    for device in host.devices:
        if device.present and device.id not in without:
            backing = media(device, state)
            if backing is not None:
                line += _json("-blockdev", backing)
            named = function(device)
            if named is not None:
                line += _json("-device", named)
            line += _json("-device", properties(device))

    if not has_own_console(host):
        line += [*_console(state), "-serial", f"chardev:{CONSOLE}"]
    line += ["-qmp", f"unix:{state / 'qmp.sock'},server=on,wait=off"]
    line += ["-daemonize", "-pidfile", str(state / "qemu.pid")]
    # What QEMU says when it ends by itself. Without a log it has no stderr in the background (QEMU: util/oslib-posix.c,
    # os_setup_post()), and a log wants something to log: of system calls there are none where a whole machine is emulated.
    line += ["-D", str(qemu_log(state)), "-d", "strace"]
    if incoming:
        line += ["-incoming", "defer"]
    return tuple(line)


__all__ = ("command", "function", "has_own_console", "kept_media", "kernel_command_line", "media", "properties", "qemu_log", "wire")
