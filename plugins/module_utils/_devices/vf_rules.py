# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Lines of udev rules for VFs that are known by PF and index: they are written in the PF's event, where virtfnN names one. Pure.

A VF's own event does not tell its index, and its bus number moves with its PF's. So the PF's event sends the VF another
``add``, with a mark in it (source: lib/kobject_uevent.c kobject_synth_uevent(): a UUID, then KEY=VALUE in letters and digits,
which udev sees as SYNTH_ARG_KEY).
"""

from __future__ import annotations

# What a marked event means: the override is set, and is to be followed; any native driver may have the VF; this VF may have
# its native driver, although its PF keeps the others from theirs.
OVERRIDDEN, PROBED, NATIVE = "1", "2", "3"

_UUID = "5f1c7e34-3d4b-4d0e-9a53-0d5c6d0a7b11"


def link(index: int | str) -> str:
    """The PF's link to a VF; ``index``: its number, as a text in rules."""
    return f"virtfn{index}"


def send(index: int | str, mark: str) -> str:
    """The assignment that sends a VF another ``add`` event."""
    return f'ATTR{{{link(index)}/uevent}}="add {_UUID} VFIOHOST={mark}"'


def sent(mark: str) -> str:
    """What matches such an event."""
    return f'ACTION=="add", SUBSYSTEM=="pci", ENV{{SYNTH_ARG_VFIOHOST}}=="{mark}"'


def follow_override(policy: str, driver: str) -> str:
    """The line by which a policy's VF gets the driver that its PF's event has set."""
    return f'{sent(OVERRIDDEN)}, ATTR{{driver_override}}=="{driver}", ENV{{VFIO_HOST}}="{policy} {driver}"'


def standing_lines(driver: str, *, pfs: tuple[str, ...], indexes: tuple[str, ...], ids: str) -> list[str]:
    """What takes the VFs of these indexes of the PFs at these DEVPATHs, where nothing else has set an override.

    ``change`` is the event of a PF whose VFs have come (source: drivers/pci/iov.c sriov_enable()). ``ids``: with a place for
    the link, matches that the VFs must fit, too. One line does all, since udev remembers in an event what it has read of an
    attribute, whatever was written since (source: systemd sd_device_get_sysattr_value()).
    """
    found = []
    for index in indexes:
        of_pf = f'ACTION=="add|bind|change", SUBSYSTEM=="pci", DEVPATH=="{"|".join(pfs)}"'
        mine, override, again = f"{of_pf}{ids.replace('{}', link(index))}", f"{link(index)}/driver_override", send(index, OVERRIDDEN)
        found += [
            f'{mine}, ATTR{{{override}}}=="(null)", ATTR{{{override}}}="{driver}", {again}',
            f'{mine}, ATTR{{{override}}}=="{driver}", TEST!="{link(index)}/vfio-dev", {again}',
        ]
    return found


__all__ = ("NATIVE", "OVERRIDDEN", "PROBED", "follow_override", "link", "send", "sent", "standing_lines")
