# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration space of a function, as its device has it."""

from __future__ import annotations

_EXTENDED = 0x100
_SECOND_CAPABILITY = 0x140
_THIRD_CAPABILITY = 0x160
_ADVANCED_ERROR_REPORTING, _DEVICE_SERIAL_NUMBER, _SRIOV = 0x0001, 0x0003, 0x0010


def configuration_space(function):
    """The first 256 bytes, or 4096 with serial number and SR-IOV behind another capability (offsets: pci_regs.h)."""
    space = bytearray(4096 if function.dsn or function.sriov_total else 256)
    parts = [int(one, 16) for one in function.id_parts]
    if function.physfn:  # of a VF the two read all ones (PCI Express specification, 9.3.4.1.1)
        parts[:2] = [0xFFFF, 0xFFFF]
    space[0:2], space[2:4] = parts[0].to_bytes(2, "little"), parts[1].to_bytes(2, "little")
    space[8] = int(function.revision, 16)
    space[9:12] = bytes.fromhex(function.pci_class)[::-1]
    space[14] = function.header_type | 0x80
    space[44:46], space[46:48] = parts[2].to_bytes(2, "little"), parts[3].to_bytes(2, "little")
    if len(space) > 256:
        chain = [(_EXTENDED, _ADVANCED_ERROR_REPORTING, b"")]
        if function.dsn:
            number = bytes.fromhex(function.dsn.replace("-", ""))[::-1]
            chain.append((_SECOND_CAPABILITY, _DEVICE_SERIAL_NUMBER, number))
        if function.sriov_total:
            chain.append((_THIRD_CAPABILITY, _SRIOV, _sriov_capability(function)))
        for (place, kind, body), after in zip(chain, chain[1:] + [(0,)]):
            space[place : place + 4] = (after[0] << 20 | 1 << 16 | kind).to_bytes(4, "little")
            space[place + 4 : place + 4 + len(body)] = body
    return bytes(space)


def _sriov_capability(function):
    """What follows the header: 16 bytes of this and that, VF offset and stride, VF device id."""
    device = int(function.vfs[0].id_parts[1], 16) if function.vfs else 0
    parts = [function.vf_layout[0], function.vf_layout[1], 0, device]
    return b"".join([b"\0" * 16] + [part.to_bytes(2, "little") for part in parts])


__all__ = ("configuration_space",)
