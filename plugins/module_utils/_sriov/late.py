# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Drivers that make no VFs yet, or not as many: what is said of them, beforehand and when they refuse. Pure but for interfaces_up().

At boot the number is set when the PF gets its driver, and nothing has set the interface up by then. When it comes up there is
no uevent of which a rule could make use, so a run or a unit has to set the number then.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Iterable, Mapping

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
    from ansible_collections.vfio.host.plugins.module_utils._sriov.resolve import PfPlan
    from ansible_collections.vfio.host.plugins.module_utils._sriov.state import State

# These ask for an interface that is up (source: drivers/net/ethernet/broadcom/bnxt/bnxt_sriov.c bnxt_sriov_configure(), which
# says that all is well and makes none; bnx2x/bnx2x_sriov.c bnx2x_sriov_configure(), EINVAL).
NEED_INTERFACE = frozenset(("bnxt_en", "bnx2x"))

_UP = 0x1  # IFF_UP
_FLAGS = re.compile(r"0x[0-9a-f]{1,8}\Z")
_LATER = (
    "at a boot there is no interface that is up when the rule sets the number, so the next boot ends without VFs: run this again "
    "when the network is up, or have a systemd unit after network-online.target write {number} to "
    "/sys/bus/pci/devices/{address}/sriov_numvfs; the policies take the VFs then"
)


def warnings(state: State, pfs: Iterable[PfPlan]) -> list[str]:
    """What will go wrong at the next boot, or went wrong at the last one, one sentence for each PF.

    ``state``: the State of a host; ``pfs``: the PfPlans of a request.
    """
    found = []
    for one in pfs:
        pf, number = one.device, len(one.vfs)
        later = _LATER.format(number=number, address=pf.address)
        if number and pf.driver in NEED_INTERFACE:
            found.append(f"{pf.address} ({pf.name}): its driver {pf.driver} makes VFs only while its interface is up; {later}")
        elif number and not one.before and _was_asked(state, pf):
            found.append(
                f"{pf.address} ({pf.name}): a rule has set its number of VFs in this boot, and it has none: its driver "
                f"{pf.driver or '(none)'} did not make them{_or_refused(state, pf)}, or somebody set the number back; see what the kernel log "
                "says of it. Some "
                f"drivers make VFs only while their interface is up: then {later}"
            )
    return found


def _or_refused(state: State, pf: Device) -> str:
    return ", or refused one of their attributes" if state.records[pf.address].attributes else ""


def _was_asked(state: State, pf: Device) -> bool:
    """Whether the rule has run in this boot: it leaves automatic probing off, which the kernel begins with on."""
    record = state.records.get(pf.address)
    if record is None or not record.is_of(pf) or not record.vfs or record.autoprobe:
        return False
    return not (pf.sriov is None or pf.sriov["autoprobe"]) and any(state.files.get(path) for path in state.boot)


# Answers of the kernel before the driver's hardware is asked, whatever its interface is (source: drivers/pci/iov.c sriov_numvfs_store() and
# sriov_enable(), arch/powerpc/platforms/powernv/pci-sriov.c pnv_pci_sriov_enable()).
_WITHOUT_INTERFACE = (errno.ENOENT, errno.ENOMEM, errno.ENOSPC, errno.ENXIO)


def hints(pf: Device, *, asked: int, made: int, number: int | None, is_up: Mapping[str, bool]) -> list[str]:
    """What may be the reason that a driver made ``made`` VFs instead of ``asked``, one sentence each.

    ``number``: the errno of the write, None where it succeeded; ``is_up``: name of an interface -> whether it is up.
    """
    found, total = [], pf.sriov["total"] if pf.sriov else 0
    down = sorted(name for name, up in is_up.items() if not up)
    if asked and down and not made and number not in _WITHOUT_INTERFACE:
        found.append(f"its interface {', '.join(down)} is down, and some drivers make VFs only while it is up: set it up, then run again")
    all_or_none = number in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ERANGE) or (number is None and made == total)
    if 0 < asked < total and all_or_none:
        found.append(f"some drivers make all VFs or none: say numvfs: max, which is {total} here")
    return found


def interfaces_up(fs: Sysfs, pf: Device) -> dict[str, bool]:
    """Name -> whether it is up, of a PF's interfaces that say so."""
    flags = {one["name"]: _FLAGS.match(fs.read(f"{fs.net}/{one['name']}/flags") or "") for one in pf.net}
    return {name: bool(int(found.group(), 16) & _UP) for name, found in flags.items() if found}


__all__ = ("NEED_INTERFACE", "hints", "interfaces_up", "warnings")
