# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Systems and boot loaders that this collection does not set up: how each is known, and where it takes its arguments.

An image that is made elsewhere, or a tool that makes everything anew from a declaration of its own, would undo what is set
here. A row is (name, paths of which one is there, ids of /etc/os-release, where to set arguments).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

if TYPE_CHECKING:
    from typing import Collection, Iterable

    from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.base import Edges
    from ansible_collections.vfio.host.plugins.module_utils._host.bootpaths import BootPaths
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

    Row = tuple[str, tuple[str, ...], tuple[str, ...], str]

# Refused whatever else is found.
_SYSTEMS: tuple[Row, ...] = (
    ("NixOS", ("/etc/NIXOS",), ("nixos",), "boot.kernelParams in /etc/nixos/configuration.nix, then nixos-rebuild boot"),
    (
        "Guix System", ("/run/current-system/configuration.scm",), ("guix",),
        "kernel-arguments of the operating-system declaration, then guix system reconfigure",
    ),
    ("Talos Linux", (), ("talos",), "machine.install.extraKernelArgs of the machine configuration, then talosctl upgrade"),
    ("Unraid", ("/etc/unraid-version",), ("unraid",), "the append lines of /boot/syslinux/syslinux.cfg, by its web page Main, Flash"),
    (
        "TrueNAS", ("/data/freenas-v1.db",), ("truenas",),
        "midclt call system.advanced.update '{\"kernel_extra_options\": \"...\"}'",
    ),
    ("Flatcar", ("/usr/share/flatcar",), ("flatcar",), "linux_append in /oem/grub.cfg, or kernelArguments of Ignition"),
    ("Bottlerocket", (), ("bottlerocket",), "settings.boot.kernel-parameters, by apiclient"),
    ("Ubuntu Core", (), ("ubuntu-core",), "snap set system system.kernel.dangerous-cmdline-append=..."),
    ("SteamOS", (), ("steamos",), "/etc/default/grub-steamos, after steamos-readonly disable, then update-grub"),
    ("Vanilla OS", ("/usr/bin/abroot",), ("vanilla",), "abroot kargs edit"),
    ("Home Assistant OS", (), ("haos", "hassos"), "cmdline.txt of the boot partition"),
    ("ESXi", ("/bin/esxcli",), (), "esxcli system settings kernel set"),
)
# These write entries for systemd-boot that look like those by hand.
_WRITERS = (
    ("clr-boot-manager", "files in /etc/kernel/cmdline.d, then clr-boot-manager update"),
    ("sdboot-manage", "LINUX_OPTIONS in /etc/sdboot-manage.conf, then sdboot-manage gen"),
    ("systemd-boot-friend", "KERNEL_BOOTARG in /etc/systemd-boot-friend.conf, then systemd-boot-friend update"),
)
# Said only where no boot loader was found that is set up here: files of these stay on hosts that boot otherwise by now.
_LOADERS = (
    (
        "extlinux or U-Boot", ("/boot/extlinux/extlinux.conf", "/boot/boot.scr", "/boot/armbianEnv.txt", "/boot/uEnv.txt"),
        "the append lines there, U_BOOT_PARAMETERS in /etc/default/u-boot, or the file that its script reads",
    ),
    ("syslinux", ("/boot/syslinux/syslinux.cfg", "/boot/syslinux.cfg"), "the append lines there"),
    (
        "Limine", (
            "/etc/default/limine", "/boot/limine.conf", "/boot/limine/limine.conf",
            *(
                f"{place}/{way}limine.conf"
                for place in ("/efi", "/boot/efi", "/boot") for way in ("", "limine/", "EFI/limine/", "EFI/BOOT/", "EFI/arch-limine/")
            ),
        ), "the cmdline lines there, or KERNEL_CMDLINE in /etc/default/limine where limine-mkinitcpio or another tool writes them",
    ),
    (
        "rEFInd", ("/boot/refind_linux.conf", "/boot/EFI/refind", "/boot/efi/EFI/refind", "/efi/EFI/refind"),
        "the second column of /boot/refind_linux.conf",
    ),
    ("ZFSBootMenu", ("/etc/zfsbootmenu/config.yaml",), "the property org.zfsbootmenu:commandline of the boot environment"),
    ("flash-kernel", ("/etc/default/flash-kernel",), "LINUX_KERNEL_CMDLINE there, then flash-kernel"),
    ("the firmware of a Raspberry Pi", ("/boot/firmware/cmdline.txt", "/boot/cmdline.txt"), "the one line there"),
    ("LILO", ("/etc/lilo.conf",), "the append lines there, then lilo"),
    ("elilo", ("/etc/elilo.conf",), "the append lines there, then elilo"),
    ("yaboot", ("/etc/yaboot.conf",), "the append lines there, then ybin"),
    (
        "GRUB without grub-mkconfig", ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/grub/menu.lst"),
        "the linux lines there, or the tool that made that file",
    ),
)


def refuse_system(edges: Edges) -> None:
    """Raises PlanError where this is a system that takes arguments elsewhere."""
    fs, files, paths = edges
    for name, places, ids, where in _SYSTEMS:
        evidence = _there(fs, paths, places) or _named(files, paths, ids)
        if evidence:
            raise PlanError(
                f"this host is {name} ({evidence}), which makes what boots it anew by its own ways: set arguments in {where}"
            )


def refuse_writer(paths: BootPaths) -> None:
    """Raises PlanError where a tool is here that would make entries anew that look like those by hand."""
    for name, where in _WRITERS:
        program = paths.program(name)
        if program:
            raise PlanError(f"{program} makes the entries of systemd-boot anew, and is not set up here: set arguments in {where}")


def refuse_ostree(fs: Sysfs, paths: BootPaths) -> None:
    """Raises PlanError where ostree has booted this host, and nothing is here that changes arguments of its deployments."""
    line = parse(fs.read(f"{fs.proc}/cmdline") or "")
    if paths.program("bootc") and line.named("composefs") and not line.named("ostree"):
        raise PlanError(
            "bootc booted this host from an image of its own (composefs): set arguments in a file of /usr/lib/bootc/kargs.d in the "
            "image, then bootc upgrade"
        )
    if fs.exists(paths.ostree_booted):
        tool = next((name for name in ("bootc", "ostree") if paths.program(name)), None)
        raise PlanError(
            f"ostree booted this host ({paths.ostree_booted}), and rpm-ostree, which this collection asks for it, is not here: "
            + {
                "bootc": "set arguments in a file of /usr/lib/bootc/kargs.d in the image, then bootc upgrade; or install rpm-ostree",
                "ostree": "use 'ostree admin kargs edit-in-place', or install rpm-ostree",
                None: "set arguments where its image is made",
            }[tool]
        )


def other_loaders(fs: Sysfs, paths: BootPaths) -> list[str]:
    """Sentences of what may boot this host, where nothing was found that is set up here."""
    loaders = [(name, _there(fs, paths, places), where) for name, places, where in _LOADERS]
    return [f"{name} ({evidence}) is not set up by this collection: set arguments in {where}" for name, evidence, where in loaders if evidence]


def told_loader(info: str | None) -> list[str]:
    """A sentence of where the loader takes arguments that calls itself ``info``; none of one that is not known."""
    said = (info or "").lower()
    return [f"set arguments in {where}" for name, dummy, where in _LOADERS if said.startswith(name.lower())]


def own_entries(fs: Sysfs, paths: BootPaths) -> list[str]:
    """A sentence where the firmware may have booted this host without a loader, which would say its name."""
    if not fs.names(f"{paths.efi}/efivars") or paths.loader_text(fs, "LoaderInfo") is not None:
        return []
    return ["the firmware may start the kernel by itself: then set arguments in its entry (efibootmgr --unicode)"]


def _there(fs: Sysfs, paths: BootPaths, places: Iterable[str]) -> str | None:
    """The first of these places that exists; None: none does."""
    return next((paths.root + place for place in places if fs.exists(paths.root + place)), None)


def _named(files: Files, paths: BootPaths, ids: Collection[str]) -> str | None:
    """The line of os-release that names one of these systems; None: it names another."""
    text = next((text for text in map(files.read, paths.os_release) if text is not None), "")
    match = re.search(r"""^ID=["']?([\w.-]+)""", text, re.MULTILINE)
    return f"ID={match.group(1)} in os-release" if match and match.group(1) in ids else None


__all__ = ("other_loaders", "own_entries", "refuse_ostree", "refuse_system", "refuse_writer", "told_loader")
