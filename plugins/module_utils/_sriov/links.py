# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The interface of a PF through which the attributes of its VFs are read and set."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Optional, Tuple

from ansible_collections.vfio.host.plugins.module_utils._core.resources import VfAttributes
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, KernelRefusal
from ansible_collections.vfio.host.plugins.module_utils._host.vfattributes import GROUPS
from ansible_collections.vfio.host.plugins.module_utils._sriov.attributes import groups_of, shown_values

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

# What an errno means, of a group or of any.
_HINTS = {
    (errno.EOPNOTSUPP, None): "its driver {driver} cannot set this: leave it out",
    (errno.EPROTONOSUPPORT, "vlan"): "its driver {driver} has VFs on VLANs of 802.1Q only",
    (errno.EINVAL, "rate"): "some drivers take a rate only while there is a link, and none above its speed, or no min_tx_rate: set the interface up",
}


@dataclass(frozen=True)
class Link:
    """An interface by name and number, and what it keeps of the VFs: index -> attributes."""

    name: str
    index: int
    vfs: Dict[int, Dict[str, Any]] = field(default_factory=dict)

    def resource(self, address: str) -> VfAttributes:
        """What a journal remembers of it; ``address``: the PF's."""
        rows = [(vf, {name: values[name] for group in groups_of(values) for name in GROUPS[group]}) for vf, values in sorted(self.vfs.items())]
        return VfAttributes(address, self.name, self.index, rows)


def read_link(fs: Sysfs, pf: Device) -> Optional[Link]:
    """The Link of a PF; None where it has no interface here, or several of which the kernel does not say which one has the VFs.

    A PF in switchdev mode has its VFs' representors beside its own. Netlink speaks of this process's network namespace, sysfs perhaps of
    another: the names must agree.
    """
    found: List[Link] = []
    for name in (one["name"] for one in pf.net):
        index = fs.number(f"{fs.net}/{name}/ifindex")
        told = None if index is None else fs.read_vfs(index)
        if index is not None and told is not None and told.name == name:
            found.append(Link(name, index, told.vfs))
    with_vfs = [one for one in found if one.vfs]
    chosen = with_vfs or found
    return chosen[0] if len(chosen) == 1 else None


def set_attributes(fs: Sysfs, pf: Device, *, writes: Iterable[Tuple[int, str, Dict[str, Any]]]) -> None:
    """Set (index, group, values) of VFs that there are, and read them back. Raises ApplyError."""
    writes = list(writes)
    link = read_link(fs, pf)
    if link is None:
        raise ApplyError("the kernel does not say which interface has its VFs, so their attributes cannot be set")
    for vf, group, values in writes:
        try:
            fs.write_vf(link.index, name=link.name, vf=vf, group=group, values=values)
        except KernelRefusal as error:
            hint = _HINTS.get((error.errno, group)) or _HINTS.get((error.errno, None))
            raise ApplyError("; ".join([*error.messages, *([hint.format(driver=pf.driver)] if hint else [])])) from error
    after = read_link(fs, pf)
    told = {} if after is None else after.vfs
    for vf, dummy, values in writes:
        now = told.get(vf, {})
        if any(now.get(name) != value for name, value in values.items()):
            has = shown_values({name: now[name] for name in values if name in now}) or "nothing that the driver tells"
            raise ApplyError(f"VF {vf} was given {shown_values(values)}, and has {has}; leave out what this driver does not keep")


__all__ = ("Link", "read_link", "set_attributes")
