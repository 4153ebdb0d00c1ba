# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Why a device that VFIO has may be of no use to a client: what firmware and kernel keep of it, and what it lacks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._devices.pci import ADDRESS, Device

if TYPE_CHECKING:
    from typing import Callable, Collection, Iterable, Iterator

    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

DIRECT, FRAMEBUFFER, OCCUPIED, RESET = OBSTACLES = ("direct", "framebuffer", "occupied", "reset")

# drivers/iommu/iommu.c iommu_group_resv_type_string: only this type keeps a group; "direct-relaxable", "msi" and "reserved" do not.
_DIRECT_TYPE = "direct"
# Who claims the firmware's framebuffer (source: drivers/firmware/sysfb_simplefb.c "BOOTFB"; the names of drivers/video/fbdev
# efifb, vesafb, simplefb and offb, of drivers/gpu/drm/sysfb and tiny, and of their platform devices).
FRAMEBUFFERS = re.compile(r"(BOOTFB|(efi|vesa|simple|of)(fb|drm)|.*framebuffer.*)\Z", re.IGNORECASE)
_LINE = re.compile(r"( *)([0-9a-f]+)-([0-9a-f]+) : (.*)\Z")
_BAR = re.compile(r"0x([0-9a-f]+) 0x([0-9a-f]+) 0x[0-9a-f]+\Z")

_WORDS = {
    DIRECT: (
        "the firmware asks for a fixed mapping of memory to it (a reserved region of type direct, as an RMRR is), and the kernel "
        "gives such a group to nobody: QEMU, libvirt, DPDK and every other client fail when they open it, with 'Operation not "
        "permitted' or 'Invalid argument'; switch off in the firmware's setup what uses the region, or declare another device"
    ),
    FRAMEBUFFER: (
        "the firmware's framebuffer is in its memory: QEMU cannot map that BAR ('can't reserve' in the kernel log), and the guest "
        "has no display or does not start, as long as the host keeps it; let a native driver have the display first, or boot the "
        "host with initcall_blacklist=sysfb_init (video=efifb:off before Linux 5.15)"
    ),
    OCCUPIED: (
        "somebody else in the kernel has claimed a part of its memory: QEMU and DPDK cannot map that BAR ('can't reserve' in the "
        "kernel log); see /proc/iomem for who it is"
    ),
    RESET: (
        "the kernel knows no way to reset it: a client gets it as the last one left it, so a guest of QEMU or libvirt may fail at "
        "its second start, and what was in the device's memory is shown to it; power-cycle the host between two users, or "
        "declare another device"
    ),
}


def obstacles(fs: Sysfs, devices: Collection[Device], *, is_vfio: Callable[[str | None], bool]) -> dict[str, dict[str, str]]:
    """Address -> {one of OBSTACLES: detail}, of what the host shows now. ``is_vfio``: whether a driver of a name is VFIO's."""
    found: dict[str, dict[str, str]] = {}
    direct = {group: _direct(fs, group) for group in {one.iommu_group for one in devices} if group is not None}
    framebuffers, inside = _claimed(fs)
    for device in devices:
        mine: dict[str, str] = {}
        directory, regions = fs.device_directory(device.address), direct.get(device.iommu_group or "")
        if regions:
            mine[DIRECT] = regions
        shown = framebuffers_in(fs, directory, framebuffers=framebuffers) if framebuffers and not device.is_bridge else []
        if shown:
            mine[FRAMEBUFFER] = ", ".join(shown)
        # A native driver's claims go with it.
        others = [name for name in inside.get(device.address, ()) if name not in shown]
        if others and (device.driver is None or is_vfio(device.driver)):
            mine[OCCUPIED] = ", ".join(others)
        # Before Linux 5.15 there is "reset" alone, and that only where it can be done.
        if not (device.reset_methods or device.is_bridge or fs.exists(f"{directory}/reset")):
            mine[RESET] = ""
        if mine:
            found[device.address] = mine
    return found


def warnings(found: dict[str, dict[str, str]], devices: Iterable[Device]) -> list[str]:
    """One sentence for each kind of obstacle that some of ``devices`` have. ``found``: of obstacles()."""
    said = []
    for kind in OBSTACLES:
        some = [
            f"{one.address} ({one.name}{': ' + found[one.address][kind] if found[one.address][kind] else ''})"
            for one in devices if kind in found.get(one.address, ())
        ]
        if some:
            said.append(f"{', '.join(some)}: {_WORDS[kind]}")
    return said


def _direct(fs: Sysfs, group: str) -> str:
    """The regions of a group that are mapped one to one and must stay so, '0x7f000000-0x7fffffff'; "" for none."""
    lines = (fs.read(f"{fs.iommu_groups}/{group}/reserved_regions") or "").split("\n")
    regions = [line.split() for line in lines]
    return ", ".join(f"{one[0]}-{one[1]}" for one in regions if len(one) == 3 and one[2] == _DIRECT_TYPE)


def ranges(fs: Sysfs) -> Iterator[tuple[int, int, str, list[str]]]:
    """(start, end, name, the names of the ranges that it is in, from the outermost) of each line of /proc/iomem.

    Without root all addresses are 0 (source: kernel/resource.c r_show()).
    """
    above: list[tuple[int, str]] = []
    for line in fs.text(f"{fs.proc}/iomem", "replace").split("\n"):
        found = _LINE.match(line)
        if found is None:
            continue
        depth, name = len(found.group(1)), found.group(4).strip()
        above = [one for one in above if one[0] < depth]
        yield int(found.group(2), 16), int(found.group(3), 16), name, [text for dummy, text in above]
        above.append((depth, name))


def _claimed(fs: Sysfs) -> tuple[list[tuple[int, int, str]], dict[str, list[str]]]:
    """([(start, end, name)] of the firmware's framebuffers; address -> names of what is claimed inside its BARs).

    Without root nothing is told.
    """
    framebuffers: list[tuple[int, int, str]] = []
    inside: dict[str, list[str]] = {}
    for start, end, name, above in ranges(fs):
        if not end:
            continue
        if FRAMEBUFFERS.match(name):
            framebuffers.append((start, end, name))
        owner = above[-1] if above else ""
        if ADDRESS.match(owner) and not (ADDRESS.match(name) or name.startswith(("PCI ", "vfio"))):
            inside.setdefault(owner, []).append(name)
    return framebuffers, inside


def framebuffers_in(fs: Sysfs, directory: str, *, framebuffers: list[tuple[int, int, str]]) -> list[str]:
    """The names of those framebuffers that lie in a function's memory."""
    bars = []
    for line in (fs.read(f"{directory}/resource") or "").split("\n"):
        found = _BAR.match(" ".join(line.split()))
        if found and int(found.group(2), 16):
            bars.append((int(found.group(1), 16), int(found.group(2), 16)))
    return sorted({
        name for start, end, name in framebuffers for first, last in bars if start <= last and end >= first
    })


__all__ = ("FRAMEBUFFERS", "OBSTACLES", "framebuffers_in", "obstacles", "ranges", "warnings")
