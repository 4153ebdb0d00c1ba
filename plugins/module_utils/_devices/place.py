# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Where a PCI function is: the way of slots from the root that firmware fixes, free of bus numbers. Pure.

Bus numbers are given out by firmware or kernel in the order of the slots, so one more card moves those of all cards behind
it. Domain and bus of a host bridge stay (ACPI's _SEG and _BBN, the firmware's number of a POWER PHB), and so do slots and
functions. The domain of a host bridge behind an endpoint (VMD) is the next free one in the order of probing, and does not
stay (source: drivers/pci/controller/vmd.c vmd_find_free_domain()); its way through the endpoint does.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple, Optional, Tuple

_FUNCTION = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([01][0-9a-f]\.[0-7])\Z")
_ROOT = re.compile(r"pci([0-9a-f]{4,8}):([0-9a-f]{2})\Z")
_DEVICES = "/sys/devices/"
_SLOT = len("00.0")
# What may stand in a rule as it is: no quote, no glob, no "|".
_LITERAL = re.compile(r"[A-Za-z0-9_.,:@+=-]+\Z")
DEVPATH = re.compile(r"/devices/[A-Za-z0-9_.,:@+=?/-]+\Z")


class Place(NamedTuple):
    """Where a function is. ``path``: for people, '0000:40/01.1-00.0'; ``slots``: without its root, '01.1-00.0', as earlier
    versions had it; ``root``: the last host bridge on the way, '0000:40', or None; ``devpath``: the pattern of its uevents'
    DEVPATH, '/devices/pci0000:40/0000:40:01.1/0000:??:00.0', or None where there is none.
    """

    path: str
    slots: str
    root: Optional[str]
    devpath: Optional[str]


class _Way(NamedTuple):
    """A part of a sysfs path, from /sys/devices on: what Place has, the addresses of the ``functions`` on the way, and the ``domain``
    and the ``bus`` that the next part may be of.
    """

    path: str = ""
    functions: Tuple[str, ...] = ()
    root: Optional[str] = None
    domain: Optional[str] = None
    bus: Optional[str] = None
    devpath: Optional[str] = "/devices"


def place_of(directory: str) -> Place:
    """The Place of the function at a sysfs ``directory``.

    Behind a second host bridge the path goes on with that one's bus: '0000:00/0e.0/e0/06.0-00.0'.
    """
    return place_and_functions(directory)[0]


def functions_on(directory: str) -> Tuple[str, ...]:
    """The addresses of all PCI functions on the way to the one at a sysfs ``directory``, from the root; its own is the last."""
    return place_and_functions(directory)[1]


def place_and_functions(directory: str) -> Tuple[Place, Tuple[str, ...]]:
    """What place_of() and functions_on() tell, by one walk."""
    at = directory.rfind(_DEVICES)
    way = _further(directory[at + len(_DEVICES):] if at >= 0 else directory)
    slots = "-".join([one[-_SLOT:] for one in way.functions])
    return Place(way.path, slots, way.root, way.devpath if at >= 0 and way.domain else None), way.functions


@functools.lru_cache(maxsize=None)
def _way(directory: str) -> _Way:
    """The _Way to a directory, kept. Hundreds of functions are behind one bridge: the way to that is walked once."""
    return _further(directory)


def _further(directory: str) -> _Way:
    """The _Way to a directory from the one that is kept of the directory above."""
    above, dummy, part = directory.rpartition("/")
    way = _way(above) if above else _Way()
    function = _FUNCTION.match(part)
    if function:
        slot = function.group(3)
        path = way.path + (slot if not way.path or way.path.endswith("/") else f"-{slot}")
        devpath = way.devpath and f"{way.devpath}/{way.domain}:{way.bus or '??'}:{slot}"  # always plain text
        return _Way(path, (*way.functions, part), way.root, way.domain, None, devpath)
    bridge = _ROOT.match(part)
    if bridge:
        # Its own domain is a running number where it is not the first.
        first, number, bus = way.domain is None, bridge.group(1), bridge.group(2)
        domain = number if first else "?" * len(number)
        path = way.path + (f"{domain}:{bus}/" if first else f"/{bus}/")
        return _Way(path, way.functions, f"{number}:{bus}", domain, bus, _longer(way.devpath, f"pci{domain}:{bus}"))
    return way._replace(devpath=_longer(way.devpath, part))


def _longer(pattern: Optional[str], part: str) -> Optional[str]:
    """The pattern of a DEVPATH with one more part, or None where a part of it is no plain text.

    '?' fits any character, '/' too, since udev compares by fnmatch without FNM_PATHNAME (source: systemd
    src/udev/udev-rules.c token_match_string()). The pattern's length is fixed, and every '?' stands between the ':' of one
    name, so only a name that ends in the middle of an address could make it fit across two; the kernel gives none.
    """
    return f"{pattern}/{part}" if pattern is not None and _LITERAL.match(part.replace("?", "0")) else None


def vf_path(pf_path: str, index: int) -> str:
    """The path of a PF's VF, '0000:00/05.0-00.0/vf3'.

    VFs may be on buses behind their PF's, and two of one PF then have the same slot; their index tells them apart.
    """
    return f"{pf_path}/vf{index}"


def vf_slots(pf_slots: str, address: str) -> str:
    """What earlier versions called the path of a VF at ``address``, '05.0-10.6'."""
    return "-".join(pf_slots.split("-")[:-1] + [address[-4:]])


def beside(devpath: str, address: str) -> str:
    """The DEVPATH of the function at ``address`` beside the one of ``devpath``: a VF is its PF's neighbour (source:
    drivers/pci/iov.c pci_iov_add_virtfn()).
    """
    return f"{devpath.rsplit('/', 1)[0]}/{address}"


def roots_in(devpath: str) -> Optional[str]:
    """The last host bridge on the way of a DEVPATH pattern, '0000:40'; None where its domain is no fixed one."""
    found = [part[len("pci"):] for part in devpath.split("/") if re.match(r"pci[0-9a-f?]{4,8}:[0-9a-f]{2}\Z", part)]
    return found[-1] if found and "?" not in found[-1] else None


__all__ = ("DEVPATH", "Place", "beside", "functions_on", "place_and_functions", "place_of", "roots_in", "vf_path", "vf_slots")
