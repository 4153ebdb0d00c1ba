# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Which boot loader boots this host, by what is on it: never by a distribution's name, but to refuse a system by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.grub import Grub
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.grubby import Grubby
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.kernel_install import KernelInstall
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.kernelstub import Kernelstub
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.ostree import RpmOstree
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.proxmox import Proxmox
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.refused import (
    other_loaders,
    own_entries,
    refuse_ostree,
    refuse_system,
    told_loader,
)
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.sdbootutil import Sdbootutil
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.systemd_boot import SystemdBoot
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.unified import Unified
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.zipl import Zipl
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

if TYPE_CHECKING:
    from typing import Any

    from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.base import Backend, Edges
    from ansible_collections.vfio.host.plugins.module_utils._host.bootpaths import BootPaths
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

    # Which state of its own a back end reads is its own matter, so only here it is any.
    AnyBackend = Backend[Any]

# These own the loaders below them: where one is found, no other is asked.
_OWNERS: tuple[type[AnyBackend], ...] = (RpmOstree, Proxmox, Unified, Sdbootutil, Kernelstub)
# Each with what it calls itself in the firmware's variable LoaderInfo; None: it leaves nothing there.
_LOADERS: tuple[tuple[type[AnyBackend], str | None], ...] = (
    (Grubby, "GRUB"),
    (Grub, "GRUB"),
    (KernelInstall, "systemd-boot"),
    (SystemdBoot, "systemd-boot"),
    (Zipl, None),
)


def find(edges: Edges) -> AnyBackend:
    """The back end of the boot loader that boots this host. Raises PlanError where none or more than one is found."""
    refuse_system(edges)
    fs, dummy, paths = edges
    for kind in _OWNERS:
        backend = kind(*edges)
        if backend.found():
            return backend
    refuse_ostree(fs, paths)
    candidates = [(kind(*edges), said) for kind, said in _LOADERS]
    info = paths.loader_text(fs, "LoaderInfo")
    backends = [(backend, said, evidence) for backend, said, evidence in ((*pair, pair[0].found()) for pair in candidates) if evidence]
    if not backends:
        wanted = "; ".join(kind.looked_for for kind in (*_OWNERS, *(kind for kind, dummy in _LOADERS)))
        others = other_loaders(fs, paths) or [
            *own_entries(fs, paths),
            "declare no arguments for this host, and set them where they come from, such as a PXE server or what starts a virtual machine"
        ]
        hint = [f"the firmware says that {info} booted this host{_unmounted(info, paths)}", *told_loader(info)] if info else []
        raise PlanError("; ".join(["no boot loader found that this module knows", *hint, *others, f"looked for: {wanted}"]))
    fitting = [backend for backend, said, dummy in backends if _may_have_booted(said, info, fs, paths)]
    if len(fitting) == 1:
        return fitting[0]
    seen = ", ".join(f"{backend.name} ({evidence})" for backend, dummy, evidence in backends)
    if not fitting:
        raise PlanError(
            f"found {seen}, but the firmware says that {info or 'another loader'} booted this host, which is not "
            f"set up here{_unmounted(info, paths)}" + "".join(f"; {where}" for where in [*told_loader(info), *own_entries(fs, paths)])
        )
    raise PlanError(
        f"more than one boot loader found, and nothing says which one boots: {seen}; remove what is not used"
    )


def _unmounted(info: str | None, paths: BootPaths) -> str:
    """What to do where the loader is one that is known here: its partition may not be mounted."""
    if not any(said is not None and (info or "").startswith(said) for dummy, said in _LOADERS):
        return ""
    return f": where its partition is not mounted, mount it at {', '.join(place[len(paths.root):] for place in paths.boot_places[:-1])} or /boot"


def _may_have_booted(said: str | None, info: str | None, fs: Sysfs, paths: BootPaths) -> bool:
    """systemd-boot always leaves its name in LoaderInfo, GRUB can since 2.12; without EFI it is not systemd-boot."""
    if info is not None:
        return said is not None and info.startswith(said)
    if fs.exists(f"{paths.efi}/efivars") and not fs.names(f"{paths.efi}/efivars"):
        return True
    return said != "systemd-boot"


__all__ = ("find",)
