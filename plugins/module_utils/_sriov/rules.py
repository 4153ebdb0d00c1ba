# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Rules files that make VFs at boot, and the record of how many there were before. Pure.

Everything happens in one event of the physical function (PF), whose rules udev processes one after the other, so nothing
can come in between:

- 59-vfio-host-sriov.rules turns automatic probing of VFs off and sets their number: no driver binds any of them. Then `ip` gives
  the new VFs their attributes, before the next rule; where it cannot, there shall be no VFs;
- each policy's own file sets the override of each of its VFs, and notes those that it declares native;
- 61-vfio-host-sriov.rules lets native drivers have what they shall have, and ends with automatic probing as declared.

The event is ``add`` where the PF has its driver by then, else ``bind``, which comes when it gets one. A PF is known by its
slots. Where its bus number is not the one that it was recorded with, those of its VFs are others, too: then they are named by
their index, and each is sent an event of its own in which it is probed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Iterable, Mapping, NamedTuple

from ansible_collections.vfio.host.plugins.module_utils._devices import vf_rules
from ansible_collections.vfio.host.plugins.module_utils._devices.lines import PF, VF, check_head, checked, joined, read_records
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import ADDRESS, IDENTITY
from ansible_collections.vfio.host.plugins.module_utils._devices.place import DEVPATH
from ansible_collections.vfio.host.plugins.module_utils._devices.record import HEX_ID
from ansible_collections.vfio.host.plugins.module_utils._devices.rules import native_mark
from ansible_collections.vfio.host.plugins.module_utils._sriov.attributes import commands, kept_values

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._sriov.predict import Layout

NUMBERS, PROBES = "59-vfio-host-sriov.rules", "61-vfio-host-sriov.rules"

_HEAD = (
    "# Virtual functions, by the Ansible collection vfio.host. The next run undoes changes made by hand.",
    f"# Remove this file, {NUMBERS} and {PROBES}, to have none at the next boot.",
)


# What the event of a PF knows of its VFs.
_NEW, _REFUSED = "new", "refused"


class Programs(NamedTuple):
    """The paths of programs that rules start, on the host."""

    ip: str = "/usr/sbin/ip"
    ls: str = "/usr/bin/ls"


USUAL = Programs()


@dataclass(frozen=True)
class PfRecord:
    """One PF, pinned by ``devpath`` and ``ids`` together, by ``address`` in a record of an earlier version. ``vfs``: the
    addresses of its VFs, as many as there shall be; ``written``: the address in the file, where the PF has another one now.

    ``was``: numvfs and autoprobe as they were before the first run, and ``attributes`` of VFs where it has set any.
    ``attributes``: index of a VF -> what it has by us.
    """

    address: str
    ids: dict[str, str]
    vfs: tuple[str, ...]
    autoprobe: bool
    was: dict[str, Any]
    devpath: str | None = None
    written: str | None = None
    attributes: dict[int, dict[str, Any]] = field(default_factory=dict)

    def is_of(self, device: Device | None) -> bool:
        """Whether a function is the one that was recorded."""
        if device is None or device.ids != self.ids:
            return False
        if self.devpath is None or device.devpath is None:
            return device.address == self.address
        return device.physfn is None and bool(device.devpath == self.devpath)

    def located(self, devices: Mapping[str, Device], layouts: Mapping[str, Layout | None]) -> PfRecord:
        """The record with the addresses that its PF and the VFs have now, where bus numbers moved; ``layouts``: PF -> Layout."""
        found = [] if self.is_of(devices.get(self.address)) else [one.address for one in devices.values() if self.is_of(one)]
        layout = layouts.get(found[0]) if len(found) == 1 else None
        if layout is None:
            return self
        return replace(self, address=found[0], written=self.address, vfs=tuple(layout.addresses(found[0], len(self.vfs))))


def render(records: Iterable[PfRecord], programs: Programs = USUAL) -> tuple[str | None, str | None]:
    """(text of NUMBERS, text of PROBES); both None for no records, since then there are no files."""
    records = sorted(records, key=lambda one: one.address)
    if not records:
        return None, None
    numbers, probes = list(_HEAD), list(_HEAD)
    for record in records:
        numbers += ["", _comment(record)] + _vf_comments(record) + _number_rules(record, programs)
        probes += [""] + _probe_rules(record)
    if any(record.devpath for record in records):
        probes += [""] + _sent_rules()
    remedy = "declare fewer VFs"
    return joined(numbers, whose=f"sriov, {NUMBERS}", remedy=remedy), joined(probes, whose=f"sriov, {PROBES}", remedy=remedy)


def _comment(record: PfRecord) -> str:
    kept: dict[str, Any] = {
        "address": record.address, "ids": record.ids, "vfs": list(record.vfs), "autoprobe": record.autoprobe,
        "was": {"numvfs": record.was["numvfs"], "autoprobe": record.was["autoprobe"]},
    }
    if record.devpath:
        kept["devpath"] = record.devpath
    return f"# {PF} {json.dumps(kept, sort_keys=True)}"


def _vf_comments(record: PfRecord) -> list[str]:
    """A record for each VF with attributes, behind its PF's: udev reads no line that would have those of hundreds of VFs."""
    before = record.was.get("attributes", {})
    rows = [
        {"index": index, "attributes": record.attributes.get(index, {}), "was": before.get(index, {})}
        for index in sorted({*record.attributes, *before})
    ]
    return [f"# {VF} {json.dumps(dict(row, pf=record.address), sort_keys=True)}" for row in rows]


def _mine(record: PfRecord) -> str:
    return f'ENV{{VFIO_HOST_SRIOV}}=="{record.address}"'


def _number_rules(record: PfRecord, programs: Programs) -> list[str]:
    ids = ", ".join(f'ATTR{{{key}}}=="0x{record.ids[key]}"' for key in IDENTITY)
    place = f'DEVPATH=="{record.devpath}"' if record.devpath else f'KERNEL=="{record.address}"'
    found = [
        f'ACTION=="add|bind", SUBSYSTEM=="pci", {place}, {ids}, DRIVER=="?*", '
        f'ENV{{VFIO_HOST_SRIOV}}="{record.address}"'
    ]
    if record.vfs:
        # Links, and not sriov_numvfs: reading that waits for a lock that a stuck unbind holds.
        make = f'ATTR{{sriov_drivers_autoprobe}}="0", ATTR{{sriov_numvfs}}="{len(record.vfs)}"'
        if record.attributes:
            # An initramfs image mostly has no ip: the VFs are made when the root is there.
            make = f'TEST=="{programs.ip}", {make}, ENV{{VFIO_HOST_VFS}}="{_NEW}"'
        found.append(f'{_mine(record)}, TEST!="virtfn0", {make}')
        if record.attributes:
            found += _attribute_rules(record, programs)
    return found


def _attribute_rules(record: PfRecord, programs: Programs) -> list[str]:
    """What gives new VFs their attributes. Programs of PROGRAM run while the rules are read, those of RUN after all rules (source: udev(7)).

    Only VFs that this event has made are touched: guests may have others. A rate is not worth a VF, and some drivers take one only
    while there is a link (source: drivers/net/ethernet/intel/igb/igb_main.c igb_ndo_set_vf_bw()).
    """
    new = f'{_mine(record)}, ENV{{VFIO_HOST_VFS}}=="{_NEW}"'
    ip = f"{programs.ip} link set dev $env{{VFIO_HOST_PF}} vf"
    found = [f'{new}, PROGRAM=="{programs.ls} %S%p/net", RESULT!="* *", ENV{{VFIO_HOST_PF}}="%c"']
    for index, values in sorted(record.attributes.items()):
        words, rates = commands(values)
        if words:
            found.append(f'{new}, PROGRAM!="{ip} {index} {words}", ENV{{VFIO_HOST_VFS}}="{_REFUSED}"')
        if rates:
            found.append(f'{new}, PROGRAM=="{ip} {index} {rates}"')
    return found + [f'{_mine(record)}, ENV{{VFIO_HOST_VFS}}=="{_REFUSED}", ATTR{{sriov_numvfs}}="0"']


def _probe_rules(record: PfRecord) -> list[str]:
    found = []
    here = f'{_mine(record)}, KERNEL=="{record.address}"' if record.devpath else _mine(record)
    elsewhere = f'{_mine(record)}, KERNEL!="{record.address}"'
    if record.autoprobe:
        found.append(f'{_mine(record)}, ATTR{{sriov_drivers_autoprobe}}="1"')
    for index, address in enumerate(record.vfs):
        probe = f'TEST!="[pci/{address}]driver", {{}}ATTR{{{{[subsystem/pci]drivers_probe}}}}="{address}"'
        # Without automatic probing its module is registered by then, and every VF for VFIO has its override: only this one
        # can be taken.
        native = "" if record.autoprobe else f', ENV{{{native_mark(address)}}}=="1"'
        between = "" if record.autoprobe else 'ATTR{sriov_drivers_autoprobe}="1", '
        found.append(f"{here}{native}, {probe.format(between)}")
        if record.devpath:
            mark = vf_rules.PROBED if record.autoprobe else vf_rules.NATIVE
            found.append(f'{elsewhere}{native}, TEST!="{vf_rules.link(index)}/driver", {vf_rules.send(index, mark)}')
    if not record.autoprobe:
        found.append(f'{_mine(record)}, ATTR{{sriov_drivers_autoprobe}}="0"')
    return found


def _sent_rules() -> list[str]:
    """What VFs do with the events that their PF's event sent them."""
    probed, native = (f'{vf_rules.sent(mark)}, TEST!="driver"' for mark in (vf_rules.PROBED, vf_rules.NATIVE))
    probe = 'ATTR{[subsystem/pci]drivers_probe}="$kernel"'
    return [
        f"{probed}, {probe}",
        f'{native}, ATTR{{physfn/sriov_drivers_autoprobe}}="1", {probe}',
        f'{vf_rules.sent(vf_rules.NATIVE)}, ATTR{{physfn/sriov_drivers_autoprobe}}="0"',
    ]


def parse(text: str | None, path: str) -> list[PfRecord]:
    """The records in a rules file's text; none of a file that is not there. Raises PlanError naming ``path`` and the line that no run of ours wrote."""
    records: list[PfRecord] = []

    def make(kind: str, kept: dict[str, Any]) -> None:
        if kind == PF:
            records.append(_record(kept))
        else:
            _add_vf(records, kept)

    effect = "which leaves no VFs"
    read_records(text or "", path, kinds=(PF, VF), make=make, effect=effect)
    check_head(text, path, effect=effect)
    return records


def _add_vf(records: list[PfRecord], kept: dict[str, Any]) -> None:
    """Have the record of the PF before it know a VF's."""
    if not records or records[-1].address != kept["pf"]:
        raise ValueError(f"the record of its PF {kept['pf']!r} is not before it")
    record, index = records[-1], kept["index"]
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise ValueError(f"{index!r} is no index of a VF")
    attributes, before = (kept_values(kept[key]) for key in ("attributes", "was"))
    if attributes:
        record = replace(record, attributes={**record.attributes, index: attributes})
    if before:
        record = replace(record, was={**record.was, "attributes": {**record.was.get("attributes", {}), index: before}})
    records[-1] = record


def _record(kept: dict[str, Any]) -> PfRecord:
    was = kept["was"]
    number = was["numvfs"]
    is_number = isinstance(number, int) and not isinstance(number, bool) and number >= 0
    if not (isinstance(kept["autoprobe"], bool) and isinstance(was["autoprobe"], bool) and is_number):
        raise ValueError("autoprobe or numvfs has the wrong type")
    return PfRecord(
        address=checked(ADDRESS, kept["address"]),
        ids={key: checked(HEX_ID, kept["ids"][key]) for key in IDENTITY},
        vfs=tuple(checked(ADDRESS, one) for one in kept["vfs"]),
        autoprobe=kept["autoprobe"],
        was={"numvfs": number, "autoprobe": was["autoprobe"]},
        devpath=None if kept.get("devpath") is None else checked(DEVPATH, kept["devpath"]),
    )


__all__ = ("NUMBERS", "PROBES", "PfRecord", "Programs", "USUAL", "parse", "render")
