# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What turns on an x86 machine's IOMMU that the kernel was told to leave off, or does not use unasked. Pure.

Elsewhere nothing is to be turned on: s390 and POWER always translate, and an arm64 kernel uses the IOMMU that it finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import Line

INTEL, AMD = "DMAR", "IVRS"
# Firmware's table -> (the argument, how to look what the kernel made of it). Linux uses an AMD IOMMU unless told not to
# (source: drivers/iommu/intel/iommu.c, intel_iommu_setup; drivers/iommu/amd/init.c, parse_amd_iommu_options).
_ARGUMENTS = {INTEL: ("intel_iommu", "dmesg | grep DMAR"), AMD: ("amd_iommu", "dmesg | grep AMD-Vi")}
# Turns every IOMMU off (source: arch/x86/kernel/pci-dma.c, iommu_setup).
_COMMON = "iommu"
_OFF = "off"
# Without PCI there is nothing to be had.
_PCI = "pci"
# The arguments of which turning the IOMMU on sets or drops something -> the values that it leaves.
TURNED_ON: dict[str, tuple[str, ...]] = {"intel_iommu": ("on",), "amd_iommu": (), _COMMON: ()}


def is_on(table: str, line: Line) -> bool:
    """Whether a kernel started with ``line`` uses the IOMMU of ``table`` for sure."""
    argument = _ARGUMENTS[table][0]
    words = _words(line, argument)
    if _OFF in _words(line, _COMMON) or _OFF in words:
        return False
    return table == AMD or "on" in words


def turning_on(table: str | None, running: Line) -> tuple[dict[str, str], dict[str, str]]:
    """(arguments to set, arguments to drop), name -> value, that have the IOMMU on from the next boot.

    ``table``: INTEL, AMD, or None where firmware describes no IOMMU; ``running``: the Line of the running kernel, in which
    no IOMMU is in use. Raises PlanError where the command line is not what keeps it off.
    """
    if table is None:
        raise PlanError(
            "the IOMMU is off, and firmware describes none (no ACPI table DMAR or IVRS): switch on VT-d or AMD-Vi in the "
            "firmware's setup, or give the virtual machine an IOMMU"
        )
    argument, look = _ARGUMENTS[table]
    if is_on(table, running):
        raise PlanError(
            f"the IOMMU is off, although firmware describes one (ACPI table {table}) and nothing on the kernel command line "
            f"keeps it off: see '{look}'"
        )
    if table == INTEL:
        return {argument: "on"}, {_COMMON: _OFF}
    return {}, {argument: _OFF, _COMMON: _OFF}


def turned_off(line: Line, *, table: str | None, machine: str) -> list[tuple[str, str]]:
    """[(argument as it is written, what it turns off)] of a line that leaves a kernel for ``machine`` without what devices for VFIO need.

    ``table``: as of turning_on(). Source: pcibios_setup() in arch/x86/pci/common.c and arch/s390/pci/pci.c; early_parse_iommu() in
    arch/powerpc/kernel/prom.c.
    """
    names: dict[str, str] = {}
    if machine == "x86_64" or machine.endswith("86"):
        arguments = [_ARGUMENTS[table][0]] if table else [argument for argument, dummy in _ARGUMENTS.values()]
        names = {_PCI: "PCI", **dict.fromkeys([_COMMON, *arguments], "the IOMMU")}
    elif machine.startswith("s390"):
        names[_PCI] = "PCI"
    elif machine.startswith("ppc"):
        names[_COMMON] = "the IOMMU"
    return [
        (word.text, what) for name, what in names.items() for word in line.named(name)
        if _OFF in (word.value or "").split(",")
    ]


def lost(name: str, running: Line, *, then: Line, table: str | None) -> list[str]:
    """The words of the running kernel's line that turn on the IOMMU of ``table``, where ``then`` has another argument ``name`` without it."""
    if table != INTEL or name != _ARGUMENTS[INTEL][0] or not is_on(INTEL, running) or "on" in _words(then, name):
        return []
    return running.texts(name)


def _words(line: Line, name: str) -> list[str]:
    """The comma-separated words of all values of an argument."""
    return [word for value in line.values(name) if value for word in value.split(",")]


__all__ = ("AMD", "INTEL", "TURNED_ON", "is_on", "lost", "turned_off", "turning_on")
