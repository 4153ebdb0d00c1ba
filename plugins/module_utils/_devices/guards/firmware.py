# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.


"""Functions that the firmware boots from, as it tells the kernel: cards for iSCSI, and the first disk of a BIOS."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Iterator, List, Tuple

from ansible_collections.vfio.host.plugins.module_utils._devices.pci import NETWORK, STORAGE, addresses_in

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_CARD = "ethernet"
_FIRST_DISK = "edd/int13_dev80"
_ADAPTER = re.compile(r"iscsi_boot(\d+)\Z")  # of a host of SCSI (source: drivers/scsi/iscsi_boot_sysfs.c)


def booted_from(fs: Sysfs) -> Iterator[Tuple[str, str, List[str]]]:
    """(kind of guard, text before "on ADDRESS", addresses on its path from the root) of each function that the firmware names; without
    addresses where that it names one cannot be read.

    Source: drivers/firmware/iscsi_ibft.c ibft_create_kobject(), drivers/firmware/edd.c edd_create_symlink_to_pcidev().
    """
    for name in fs.names(f"{fs.firmware}/ibft"):
        if name.startswith(_CARD):
            yield from _at(fs, f"{fs.firmware}/ibft/{name}/device", kind=NETWORK, text=f"the boot over iSCSI ({name} of the firmware's iBFT) is")
    for found in filter(None, map(_ADAPTER.match, fs.names(fs.firmware))):
        yield from _at(fs, f"{fs.iscsi_hosts}/host{found.group(1)}", kind=STORAGE, text=f"the boot over iSCSI ({found.group()} of the firmware) is")
    yield from _at(fs, f"{fs.firmware}/{_FIRST_DISK}/pci_dev", kind=STORAGE, text="the first disk of the BIOS, which it boots from, is")
    for kind, path in ((NETWORK, f"{fs.firmware}/ibft"), (STORAGE, fs.firmware)):
        if fs.refusal(path) is not None:
            yield kind, f"what {path[len(fs.root):]} would say of the boot is", []


def _at(fs: Sysfs, link: str, *, kind: str, text: str) -> Iterator[Tuple[str, str, List[str]]]:
    addresses = addresses_in(fs.target(link) or "")
    if addresses or fs.refusal(link) is not None:
        yield kind, text, addresses


__all__ = ("booted_from",)
