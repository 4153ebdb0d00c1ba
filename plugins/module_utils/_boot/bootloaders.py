# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Which boot loader boots this host, by what is on it: never by a distribution's name."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._boot.bootloader_grub import Grub
from ansible_collections.vfio.host.plugins.module_utils._boot.bootloader_grubby import Grubby
from ansible_collections.vfio.host.plugins.module_utils._boot.bootloader_kernel_install import KernelInstall
from ansible_collections.vfio.host.plugins.module_utils._boot.bootloader_ostree import RpmOstree
from ansible_collections.vfio.host.plugins.module_utils._boot.bootloader_proxmox import Proxmox
from ansible_collections.vfio.host.plugins.module_utils._boot.bootloader_zipl import Zipl
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

# These own the loaders below them: where one is found, no other is asked.
_OWNERS = (RpmOstree, Proxmox)
_LOADERS = (Grubby, Grub, KernelInstall, Zipl)


def find(fs, files, paths):
    """The back end of the boot loader that boots this host. Raises PlanError where none or more than one is found."""
    for kind in _OWNERS:
        backend = kind(fs, files, paths)
        if backend.found():
            return backend
    candidates = [kind(fs, files, paths) for kind in _LOADERS]
    found = [(backend, evidence) for backend, evidence in ((one, one.found()) for one in candidates) if evidence]
    if not found:
        wanted = "; ".join(kind.looked_for for kind in _OWNERS + _LOADERS)
        raise PlanError(f"no boot loader found that this module knows; looked for: {wanted}")
    info = _loader_info(fs, paths)
    fitting = [(backend, evidence) for backend, evidence in found if _may_have_booted(backend, info, fs, paths)]
    if len(fitting) == 1:
        return fitting[0][0]
    seen = ", ".join(f"{backend.name} ({evidence})" for backend, evidence in found)
    if not fitting:
        raise PlanError(
            f"found {seen}, but the firmware says that {info or 'another loader'} booted this host, which is not "
            "set up here"
        )
    raise PlanError(
        f"more than one boot loader found, and nothing says which one boots: {seen}; remove what is not used"
    )


def _loader_info(fs, paths):
    """'systemd-boot 257.9-1' or 'GRUB 2.12': what the loader of this boot left behind. None: it left nothing."""
    data = fs.read_bytes(paths.loader_info)
    # Four bytes of attributes, then UTF-16 with its end.
    return None if data is None else data[4:].decode("utf-16-le", "replace").rstrip("\0")


def _may_have_booted(backend, info, fs, paths):
    """systemd-boot always leaves its name in LoaderInfo, GRUB can since 2.12; without EFI it is not systemd-boot."""
    if info is not None:
        return info.startswith("systemd-boot") == isinstance(backend, KernelInstall)
    if fs.exists(f"{paths.efi}/efivars") and not fs.names(f"{paths.efi}/efivars"):
        return True
    return not isinstance(backend, KernelInstall)


__all__ = ("find",)
