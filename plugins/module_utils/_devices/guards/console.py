# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What a host shows its console on: displays, the framebuffer, serial ports."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Iterable, Iterator, List, NamedTuple

from ansible_collections.vfio.host.plugins.module_utils._devices.clients import FRAMEBUFFERS, framebuffers_in, ranges
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.network import Untold
from ansible_collections.vfio.host.plugins.module_utils._devices.mounts import arguments
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device, addresses_in, last_address
from ansible_collections.vfio.host.plugins.module_utils._host.errors import errno_name
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
from ansible_collections.vfio.host.plugins.module_utils._host.words import words as words_of

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.guards.network import Network

# Display controllers, and of these the ones without outputs.
_DISPLAY, _WITHOUT_OUTPUTS = "03", "0302"
_FRAMEBUFFER = re.compile(r"fb\d+\Z")
_OF_NETWORK = "netcon"  # netcon0, netcon_ext0
_SERIAL = "07"  # controllers of communication
_TERMINAL, _HYPERVISORS = re.compile(r"tty\d+\Z"), re.compile(r"hvc\d+\Z")


class Console(NamedTuple):
    """A function that the host has a console on, the last of ``addresses``, which are those on its path from the root.

    ``brief``: the reason for a reader who has the function before him, and ``text`` ends before "on ADDRESS"; None: ``text`` is the reason.
    """

    text: str
    addresses: List[str]
    brief: str | None = None


def consoles(fs: Sysfs, devices: Iterable[Device], *, network: Network) -> Iterator[Console]:
    """The Consoles of a host; without addresses where what the console is on is no PCI function. ``network``: the host's Network."""
    displays = [
        device for device in devices if device.ids["class"].startswith(_DISPLAY) and not device.physfn
        and not device.ids["class"].startswith(_WITHOUT_OUTPUTS)
    ]
    marked = {device.address: "it is the firmware's display (boot_vga)" for device in displays if device.boot_vga}
    for device in displays:
        if device.address not in marked and _is_boot_display(fs, device.address):
            marked[device.address] = "it is the firmware's display (boot_display)"
    for address, reason in marked.items():
        yield Console(reason, [address])
    if not marked:
        # boot_vga exists for VGA controllers alone, and other displays (class 0380) have consoles, too.
        reason = "it is the only display" if len(displays) == 1 else "the firmware marks no display, so every display counts"
        for device in displays:
            yield Console(reason, [device.address])
    unread: list[str] = []
    yield from _framebuffer(fs, devices, unread)
    for path in unread:
        for device in displays:
            yield Console(f"{_untold(fs, path)}, so every display counts", [device.address])
    unread = []
    yield from _kernels_consoles(fs, unread)
    for path in unread:
        with_terminals = {last_address(fs.target(f"{fs.ttys}/{name}") or "") for name in fs.names(fs.ttys)}
        for device in devices:
            if device.address in with_terminals or device.ids["class"].startswith(_SERIAL):
                yield Console(f"{_untold(fs, path)}, so everything with a terminal counts", [device.address])
    yield from _netconsoles(fs, network)


def _untold(fs: Sysfs, path: str) -> str:
    return f"what {path[len(fs.root):]} would say of the console cannot be read ({errno_name(fs.refusal(path) or errno.ENOENT)})"


def _refused(fs: Sysfs, *paths: str) -> Iterator[str]:
    """Those of what was just looked for that are there and cannot be read."""
    return (path for path in paths if fs.refusal(path) is not None)


def _is_boot_display(fs: Sysfs, address: str) -> bool:
    """Whether the kernel takes a display for the firmware's (Linux 6.18: an attribute of the DRM card; before, of the device)."""
    directory = fs.device_directory(address)
    paths = [f"{directory}/boot_display"]
    paths += [f"{directory}/drm/{card}/boot_display" for card in fs.names(f"{directory}/drm")]
    return any(fs.read(path) == "1" or fs.refusal(path) is not None for path in paths)


def _framebuffer(fs: Sysfs, devices: Iterable[Device], unread: list[str]) -> Iterator[Console]:
    """The function whose memory the first framebuffer is in: the console's, unless it is mapped to another one; then each counts (source:
    Documentation/fb/fbcon.rst). ``unread`` gets the paths that would tell of one and cannot be read.
    """
    names = sorted(filter(_FRAMEBUFFER.match, fs.names(fs.graphics)), key=lambda name: int(name[len("fb"):]))
    unread += _refused(fs, fs.graphics)
    is_mapped = any(key == "fbcon" and value.startswith("map:") for key, value in arguments(fs.read(fs.proc + "/cmdline") or ""))
    for name in names if is_mapped else names[:1]:
        paths = [f"{fs.graphics}/{name}", f"{fs.graphics}/{name}/device"]
        addresses = addresses_in(fs.target(paths[0]) or "") or addresses_in(fs.target(paths[1]) or "")
        for found in [addresses] if addresses else _behind_firmwares(fs, devices):
            yield Console(f"the framebuffer {name} is", found, brief=f"the framebuffer {name} is on it")
        unread += [] if addresses else _refused(fs, *paths, fs.proc + "/iomem")


def _behind_firmwares(fs: Sysfs, devices: Iterable[Device]) -> Iterator[list[str]]:
    """The functions in whose memory the firmware's framebuffer is (source: linux kernel/resource.c r_show()).

    /proc/iomem has a line for each range, and below it, further in, those that are in it. One over several BARs is in none; where it
    is, root alone may see.
    """
    found = [one for one in ranges(fs) if FRAMEBUFFERS.match(one[2])]
    framebuffers = [(start, end, name) for start, end, name, dummy in found if end]
    for device in devices if framebuffers else ():
        directory = fs.device_directory(device.address)
        if not device.is_bridge and framebuffers_in(fs, directory, framebuffers=framebuffers):
            yield addresses_in(directory)
    for one in found:
        yield [address for above in one[3] for address in addresses_in(above)][-1:]


def _kernels_consoles(fs: Sysfs, unread: list[str]) -> Iterator[Console]:
    """The functions of the terminals that the kernel writes its messages to, and of that of its debugger (source:
    drivers/tty/serial/kgdboc.c configure_kgdboc(): 'kbd,ttyS1,115200'). ``unread``: as of _framebuffer().
    """
    paths = [f"{fs.ttys}/console/active", f"{fs.modules}/kgdboc/parameters/kgdboc"]
    active = words_of(fs.read(paths[0]) or "")
    debuggers = [one for one in (fs.read(paths[1]) or "").split(",") if one.startswith("tty")]
    unread += _refused(fs, *paths)
    for name, what in [(one, "a console of the kernel") for one in active] + [(one, "the terminal of kgdb") for one in debuggers]:
        if _TERMINAL.match(name):
            continue  # of the display
        shown = name.replace("/", "!")  # as sysfs has names (source: lib/kobject.c kobject_set_name_vargs()): "3270/tty1"
        paths = [f"{fs.ttys}/{shown}", f"{fs.ttys}/{shown}/device"]
        found = [addresses_in(fs.target(paths[0]) or "") or addresses_in(fs.target(paths[1]) or "")]
        if _HYPERVISORS.match(name) and not found[0]:
            # Which of virtio's consoles it is, nothing tells.
            directory = f"{fs.virtio_drivers}/virtio_console"
            links = [f"{directory}/{one}" for one in fs.names(directory)]
            found = [addresses_in(fs.target(link) or "") for link in links]
            paths += [directory, *links]
        # A terminal that is not to be seen may be any.
        unread += [] if found and found[0] else _refused(fs, *paths) if fs.is_link(paths[0]) or _HYPERVISORS.match(name) else paths[:1]
        for addresses in found:
            yield Console(f"{name}, {what}, is", addresses, brief=f"{name}, {what}, is on it")


def _netconsoles(fs: Sysfs, network: Network) -> Iterator[Console]:
    """The functions that the kernel sends its messages over. Targets that the module was loaded with, and not those of the command line,
    are in no file (source: Documentation/networking/netconsole.rst; drivers/net/netconsole.c init_netconsole()).
    """
    directory, is_told = f"{fs.configfs}/netconsole", False
    for target in fs.names(directory):
        path = f"{directory}/{target}/enabled"
        if fs.read(path) == "1" or fs.refusal(path) is not None:
            is_told = True
            for way, addresses in network.below(fs.read(f"{directory}/{target}/dev_name") or Untold()):
                text = f"{target} of netconsole, a console of the kernel, goes over {way}"
                yield Console(text, addresses, brief=text)
    lines = fs.text(fs.proc + "/consoles", "replace").split("\n")
    said = [f"{_untold(fs, path)}, and it goes over" for path in _refused(fs, directory, fs.proc + "/consoles")]
    is_on = any(line.startswith(_OF_NETWORK) for line in lines)
    if is_on and not is_told and not said and "netconsole" not in (fs.read(fs.proc + "/cmdline") or ""):
        said = ["netconsole, a console of the kernel, goes over"]
    for text in said:
        for way, addresses in network.below(Untold()):
            yield Console(f"{text} {way}", addresses, brief=f"{text} {way}")


__all__ = ("Console", "consoles")
