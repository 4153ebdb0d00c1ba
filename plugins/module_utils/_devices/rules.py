# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Rules files: what makes udev take a policy's devices, with the records of what the policy took (record.py). Pure.

The rules run on ``add``: at boot (coldplug), at hot-plug, and when a VF appears. Writing the override, unbinding a native
driver that was faster and asking for a new probe are plain attribute writes, done while rules are processed; the
module is loaded after all rules, and binds then if it was not there before. No program of ours runs.

Loading takes longer than everything else, so it begins with the first events of a boot's coldplug, those of the kernel's own
modules (systemd-udev-trigger.service asks for that subsystem first; "kernel" is in every kernel). Loading a VFIO driver
binds nothing by itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._devices import vf_rules
from ansible_collections.vfio.host.plugins.module_utils._devices.hotplug_rules import Standing, drafted, driver_in_rules
from ansible_collections.vfio.host.plugins.module_utils._devices.hotplug_rules import parse as read_standings
from ansible_collections.vfio.host.plugins.module_utils._devices.lines import DEVICE, NAME, RELEASE, checked, joined, read_records
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import IDENTITY
from ansible_collections.vfio.host.plugins.module_utils._devices.place import beside
from ansible_collections.vfio.host.plugins.module_utils._devices.record import Record, comment, read_record
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

if TYPE_CHECKING:
    from typing import Iterable, Sequence, TypeVar

    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device

    _Rule = TypeVar("_Rule", Record, Standing)

_FILE_NAME = re.compile(r"60-vfio-host-([a-z0-9-]+)\.rules\Z")
# A serial number of the capability, as the kernel prints it in serial_number, too (source: drivers/pci/pci-sysfs.c, "%8phD").
_DSN = re.compile(r"[0-9a-f]{2}(-[0-9a-f]{2}){7}\Z")
_DRAFT = "# Not written like this: driver_of_MODULE stands for a name that shows when the module is loaded."


def file_name(policy: str) -> str:
    """The name of a policy's rules file, in /etc/udev/rules.d or, for this boot only, in /run/udev/rules.d."""
    return f"60-vfio-host-{policy}.rules"


def policy_of(name: str) -> str | None:
    """The policy that a rules file's name belongs to; None for a file of others."""
    found = _FILE_NAME.match(name)
    return found.group(1) if found else None


def native_mark(address: str) -> str:
    """The property of a PF's event that says that a policy wants this VF of it native."""
    return f"VFIO_HOST_NATIVE_{address}"


def render(
    policy: str, records: Sequence[Record], *, standings: Sequence[Standing] = (), native_vfs: Sequence[Device] = (),
    is_draft: bool = False,
) -> str | None:
    """The text of a policy's rules file; None where it would say nothing, since then there is no file.

    ``native_vfs``: Devices that the policy declares native and that come to be together with others, which are not.
    ``is_draft``: for eyes only, so a word may stand for a driver whose name is not known. Raises PlanError for such a driver
    in any other text, and for what udev would not read.
    """
    if not (records or standings or native_vfs):
        return None
    lines = [_DRAFT] if is_draft else []
    records = [_named(policy, record, is_draft) for record in records]
    standings = [_named(policy, standing, is_draft) for standing in standings]
    lines += [
        f'# Policy "{policy}" of the Ansible collection vfio.host. The next run undoes changes made by hand.',
        "# Remove this file to give the devices back at the next boot.",
    ]
    drivers = []
    for record in sorted(records, key=lambda one: (one.released, one.place)):
        lines += ["", comment(policy, record)]
        if not record.released:
            lines += _device_rules(policy, record)
            if record.physfn:
                lines += _early_rules(record)
            drivers.append((driver_in_rules(record), record.module))
    # After the devices' own rules, to which they give way.
    for standing in sorted(standings, key=lambda one: one.comment()):
        lines += ["", standing.comment()] + standing.rules(policy)
        drivers.append((driver_in_rules(standing), standing.module))
    by_index = {driver_in_rules(one) for one in records if one.vf is not None and not one.released}
    by_index.update(driver_in_rules(one) for one in standings if one.is_of_vfs)
    if by_index:
        lines += [""] + [vf_rules.follow_override(policy, driver) for driver in sorted(by_index)]
    if native_vfs:
        lines += [""] + [_native_rule(vf) for vf in sorted(native_vfs, key=lambda one: one.address)]
    for driver, module in sorted(set(drivers)):
        lines += [""] + _driver_rules(policy, driver, module)
    return joined(lines, whose=f"policy {policy}", remedy="declare it in more than one policy")


def _named(policy: str, one: _Rule, is_draft: bool) -> _Rule:
    """A Record or Standing as it can be rendered."""
    if one.driver is None and is_draft:
        return drafted(one)
    try:
        checked(NAME, one.driver)
    except ValueError as error:
        raise PlanError(f"policy {policy}: no rule can name the driver of module {one.module}: {error}") from error
    return one


def _device_rules(policy: str, record: Record) -> list[str]:
    """The line that takes a device. A kernel that shows serial numbers by itself tells a twin in the slot by that one."""
    ids = ", ".join(f'ATTR{{{key}}}=="0x{record.ids[key]}"' for key in IDENTITY)
    here, mine, lines = f'ACTION=="add", SUBSYSTEM=="pci", {_place(record)}', ids, []
    if record.serial and _DSN.match(record.serial):
        twin = f'ENV{{VFIO_HOST_TWIN}}="{record.serial}"'
        lines.append(f'{here}, ATTR{{serial_number}}=="?*", ATTR{{serial_number}}!="{record.serial}", {twin}')
        mine = f'{ids}, {twin.replace("=", "!=", 1)}'
    lines.append(f'{here}, {mine}, ENV{{VFIO_HOST}}="{policy} {record.driver}", ATTR{{driver_override}}="{record.driver}"')
    return lines


def _place(record: Record) -> str:
    if record.pin is None:
        if record.devpath is None:
            return f'KERNEL=="{record.address}"'
        if record.vf is None:
            return f'DEVPATH=="{record.devpath}"'
        # Where the PF has its old bus number, its VFs have theirs; else its own event knows them, by index.
        return f'DEVPATH=="{beside(record.devpath, record.address)}", TEST=="../{record.physfn}"'
    ((key, value),) = record.pin.items()
    unique = 'ATTR{uid_is_unique}=="1", ' if key == "uid" else ""
    return f'{unique}ATTR{{{key}}}=="{value}"'


def _with_pf(vf: Record | Device, actions: str = "add|bind") -> tuple[str, str]:
    """(matches the event of a VF's PF when the VF is there, and is what it should be; how attributes of the VF are named then)

    ``vf``: a Record or a Device.
    """
    if vf.devpath is not None and vf.vf is not None:
        name, pf = f"{vf_rules.link(vf.vf)}/", f'DEVPATH=="{vf.devpath}"'
    else:
        name, pf = f"[pci/{vf.address}]", f'KERNEL=="{vf.physfn}"'
    known = ", ".join(f'ATTR{{{name}{key}}}=="0x{vf.ids[key]}"' for key in IDENTITY)
    return f'ACTION=="{actions}", SUBSYSTEM=="pci", {pf}, {known}', name


def _early_rules(record: Record) -> list[str]:
    """The override while the PF's event is processed: before any driver may have the VF, when vfio.host made it.

    Where the PF's bus number has moved, the VF's own rule does not find it.
    """
    matches, name = _with_pf(record)
    override = f'ATTR{{{name}driver_override}}="{record.driver}"'
    lines = [f"{matches}, {override}"]
    if record.vf is not None and record.devpath is not None:
        matches, dummy = _with_pf(record, "add|bind|change")
        lines.append(f'{matches}, KERNEL!="{record.physfn}", {override}, {vf_rules.send(record.vf, vf_rules.OVERRIDDEN)}')
    return lines


def _native_rule(vf: Device) -> str:
    """A note for what sets the number of VFs (_sriov/rules.py). The module is loaded then and there, and binds nothing yet."""
    return (
        f'{_with_pf(vf)[0]}, ENV{{VFIO_HOST_SRIOV}}=="{vf.physfn}", '
        f'ENV{{{native_mark(vf.address)}}}="1", IMPORT{{builtin}}="kmod load {vf.modalias}"'
    )


def _driver_rules(policy: str, driver: str, module: str) -> list[str]:
    mine = f'ENV{{VFIO_HOST}}=="{policy} {driver}"'
    load = f'TEST!="[subsystem/pci]drivers/{driver}", RUN{{builtin}}+="kmod load {module}"'
    return [
        f'ACTION=="add", SUBSYSTEM=="module", KERNEL=="kernel", {load}',
        f'{mine}, DRIVER=="?*", DRIVER!="{driver}", ATTR{{driver/unbind}}="$kernel"',
        f'{mine}, DRIVER!="{driver}", ATTR{{[subsystem/pci]drivers_probe}}="$kernel"',
        f"{mine}, {load}",
    ]


def without(text: str, path: str, *, policy: str, records: Iterable[Record], standings: Iterable[Standing]) -> str | None:
    """A rules file's text without these Records and Standings; None where nothing is left that it would say.

    What stays is as it was, byte for byte, the lines for native VFs too, of which there is no record. Raises PlanError as parse(),
    and where the file was changed by hand so that this cannot be told.
    """
    places, kinds = {record.known_by for record in records}, [one.patterns for one in standings]
    blocks = text.rstrip("\n").split("\n\n")
    left: list[str] = []
    drivers: dict[tuple[str, str], None] = {}
    for block in blocks[1:]:
        gone: list[Record | Standing] = [record for record in parse(block + "\n", path) if record.known_by in places]
        gone += [standing for standing in read_standings(block + "\n", path) if standing.patterns in kinds]
        if gone:
            drivers[driver_in_rules(gone[0]), gone[0].module] = None
        else:
            left.append(block)
    for driver, module in drivers:
        if not any(f'ENV{{VFIO_HOST}}="{policy} {driver}"' in block for block in left):
            unused = "\n".join(_driver_rules(policy, driver, module))
            left = [block for block in left if block != unused]
    new = "\n\n".join(blocks[:1] + left) + "\n"
    if (
        [one for one in parse(text, path) if one.known_by not in places] != parse(new, path)
        or [one for one in read_standings(text, path) if one.patterns not in kinds] != read_standings(new, path)
    ):
        raise PlanError(f"{path} was changed by hand, so a device cannot be taken out of it: declare policy {policy}, which writes it anew")
    return new if left else None


def parse(text: str, path: str) -> list[Record]:
    """The records in a rules file's text. Raises PlanError naming ``path`` and the line that no run of ours wrote."""
    return read_records(text, path, kinds=(DEVICE, RELEASE), make=lambda kind, kept: read_record(kept, kind == RELEASE))


__all__ = ("file_name", "native_mark", "parse", "policy_of", "render", "without")
