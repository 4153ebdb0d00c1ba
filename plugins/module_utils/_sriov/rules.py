# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Rules files that make VFs at boot, and the record of how many there were before. Pure.

Everything happens in one event of the physical function (PF), whose rules udev processes one after the other, so nothing
can come in between:

- 59-vfio-host-sriov.rules turns automatic probing of VFs off and sets their number: no driver binds any of them;
- each policy's own file sets the override of each of its VFs, and notes those that it declares native;
- 61-vfio-host-sriov.rules lets native drivers have what they shall have, and ends with automatic probing as declared.

The event is ``add`` where the PF has its driver by then, else ``bind``, which comes when it gets one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from ansible_collections.vfio.host.plugins.module_utils._device.lines import joined
from ansible_collections.vfio.host.plugins.module_utils._device.pci import ADDRESS, IDENTITY
from ansible_collections.vfio.host.plugins.module_utils._device.standing import checked, read_records
from ansible_collections.vfio.host.plugins.module_utils._device.udev import HEX_ID, native_mark

NUMBERS, PROBES = "59-vfio-host-sriov.rules", "61-vfio-host-sriov.rules"

_RECORD = re.compile(r"# pf (\{.*\})\Z")
_HEAD = (
    "# Virtual functions, by the Ansible collection vfio.host. The next run undoes changes made by hand.",
    f"# Remove this file, {NUMBERS} and {PROBES}, to have none at the next boot.",
)


@dataclass(frozen=True)
class PfRecord:
    """One PF, pinned by ``address`` and ``ids`` together. ``vfs``: the addresses of its VFs, as many as there shall be.

    ``was``: numvfs and autoprobe as they were before the first run.
    """

    address: str
    ids: dict
    vfs: tuple
    autoprobe: bool
    was: dict

    def is_of(self, device):
        """Whether the function at this address is still the one that was recorded."""
        return device is not None and device.address == self.address and device.ids == self.ids


def render(records):
    """(text of NUMBERS, text of PROBES); both None for no records, since then there are no files."""
    if not records:
        return None, None
    numbers, probes = list(_HEAD), list(_HEAD)
    for record in sorted(records, key=lambda one: one.address):
        numbers += ["", _comment(record)] + _number_rules(record)
        probes += [""] + _probe_rules(record)
    remedy = "declare fewer VFs"
    return joined(numbers, f"sriov, {NUMBERS}", remedy), joined(probes, f"sriov, {PROBES}", remedy)


def _comment(record):
    kept = {
        "address": record.address, "ids": record.ids, "vfs": list(record.vfs), "autoprobe": record.autoprobe,
        "was": record.was,
    }
    return f"# pf {json.dumps(kept, sort_keys=True)}"


def _mine(record):
    return f'ENV{{VFIO_HOST_SRIOV}}=="{record.address}"'


def _number_rules(record):
    ids = ", ".join(f'ATTR{{{key}}}=="0x{record.ids[key]}"' for key in IDENTITY)
    found = [
        f'ACTION=="add|bind", SUBSYSTEM=="pci", KERNEL=="{record.address}", {ids}, DRIVER=="?*", '
        f'ENV{{VFIO_HOST_SRIOV}}="{record.address}"'
    ]
    if record.vfs:
        # Links, and not sriov_numvfs: reading that waits for a lock that a stuck unbind holds.
        found.append(
            f'{_mine(record)}, TEST!="virtfn0", ATTR{{sriov_drivers_autoprobe}}="0", '
            f'ATTR{{sriov_numvfs}}="{len(record.vfs)}"'
        )
    return found


def _probe_rules(record):
    found = []
    if record.autoprobe:
        found.append(f'{_mine(record)}, ATTR{{sriov_drivers_autoprobe}}="1"')
    for address in record.vfs:
        probe = f'TEST!="[pci/{address}]driver", {{}}ATTR{{{{[subsystem/pci]drivers_probe}}}}="{address}"'
        if record.autoprobe:
            found.append(f'{_mine(record)}, {probe.format("")}')
        else:
            # Its module is registered by then, and every VF for VFIO has its override: only this one can be taken.
            native = f'{_mine(record)}, ENV{{{native_mark(address)}}}=="1"'
            found.append(f"{native}, {probe.format('ATTR{sriov_drivers_autoprobe}=' + chr(34) + '1' + chr(34) + ', ')}")
    if not record.autoprobe:
        found.append(f'{_mine(record)}, ATTR{{sriov_drivers_autoprobe}}="0"')
    return found


def parse(text, path):
    """The records in a rules file's text. Raises PlanError naming ``path`` and the line that no run of ours wrote."""
    return read_records(
        text, path, _RECORD, lambda found: _record(json.loads(found.group(1))), "which leaves no VFs"
    )


def _record(kept):
    was = kept["was"]
    number = was["numvfs"]
    is_number = isinstance(number, int) and not isinstance(number, bool)
    if not (isinstance(kept["autoprobe"], bool) and isinstance(was["autoprobe"], bool) and is_number):
        raise ValueError("autoprobe or numvfs has the wrong type")
    return PfRecord(
        address=checked(ADDRESS, kept["address"]),
        ids={key: checked(HEX_ID, kept["ids"][key]) for key in IDENTITY},
        vfs=tuple(checked(ADDRESS, one) for one in kept["vfs"]),
        autoprobe=kept["autoprobe"],
        was={"numvfs": number, "autoprobe": was["autoprobe"]},
    )


__all__ = ("NUMBERS", "PROBES", "PfRecord", "parse", "render")
