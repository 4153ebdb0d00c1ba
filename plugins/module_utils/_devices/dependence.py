# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Which functions depend on which, by the kernel's device links: for power, or since one brings the other about."""

from __future__ import annotations

from typing import TYPE_CHECKING, List

from ansible_collections.vfio.host.plugins.module_utils._devices.pci import ADDRESS

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

# Source: drivers/base/core.c devlink_add_symlinks().
_CONSUMER, _SUPPLIER = "consumer:pci:", "supplier:pci:"
_STATELESS = "not tracked"  # of a link that an unbind does not follow (source: drivers/base/core.c status_show())


def consumers(fs: Sysfs, directory: str) -> List[str]:
    """The functions that depend on the one with a directory of sysfs, such as the audio function of a GPU (source:
    drivers/pci/quirks.c pci_create_device_link()).
    """
    return _linked(fs.names(directory), _CONSUMER)


def suppliers(fs: Sysfs, directory: str) -> List[str]:
    """The functions that the one with a directory of sysfs depends on."""
    return _linked(fs.names(directory), _SUPPLIER)


def unbound_with(fs: Sysfs, directory: str, *, names: List[str]) -> List[str]:
    """The functions whose drivers the kernel takes away before that of the device with a directory of sysfs, where ``names`` are in
    it: xHCI and root ports before a Thunderbolt controller (source: drivers/base/core.c device_links_unbind_consumers(),
    drivers/thunderbolt/acpi.c tb_acpi_add_link()).
    """
    return [one for one in _linked(names, _CONSUMER) if fs.read(f"{directory}/{_CONSUMER}{one}/status") != _STATELESS]


def _linked(names: List[str], start: str) -> List[str]:
    found = [name[len(start):] for name in names if name.startswith(start)]
    return [one for one in found if ADDRESS.match(one)]


__all__ = ("consumers", "suppliers", "unbound_with")
