# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Modules that an initramfs image of dracut, initramfs-tools or mkinitcpio loads before udev's rules run. Pure.

A native driver that is loaded so has its devices before the rules: they rebind them, which some cards do not stand.
(source: dracut.conf(5), force_drivers; initramfs-tools(7), modules; mkinitcpio(8), MODULES)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import EARLY, NEW_ID, Claim
from ansible_collections.vfio.host.plugins.module_utils._competitors.writes import ids_in
from ansible_collections.vfio.host.plugins.module_utils._host.words import systemd_lines, trimmed
from ansible_collections.vfio.host.plugins.module_utils._host.words import words as words_of

if TYPE_CHECKING:
    from typing import Iterable

    from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Fits

# A shell reads it: a value may go on in the next line.
_DRACUT = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(force_drivers|kernel_cmdline)[ \t]*\+?=[ \t]*("[^"]*"|'[^']*'|[^\s]*)""", re.MULTILINE
)
_PRELOADED = "rd.driver.pre="
_OPENRC = re.compile(r"""^[ \t]*(modules(?:_\d\w*)?)=("[^"]*"|'[^']*'|\S*)""", re.MULTILINE)
_ARRAY = re.compile(r"""^\s*MODULES\s*\+?=\s*(\([^)]*\)|"[^"]*"|'[^']*')""", re.MULTILINE)


def dracut_claims(text: str, path: str) -> list[Claim]:
    """``force_drivers+=" e1000e "``: dracut loads these before udev runs, and those of rd.driver.pre= in a line that it puts into the
    image (source: man 5 dracut.conf, kernel_cmdline). Modules of add_drivers are only in the image.
    """
    claims: list[Claim] = []
    for one in _DRACUT.finditer(text):
        number, name = text.count("\n", 0, one.start(1)) + 1, one.group(1)
        words = words_of(one.group(2).strip("\"'").replace("\\\n", " "))
        if name == "kernel_cmdline":
            words = [module for word in words if word.startswith(_PRELOADED) for module in word[len(_PRELOADED):].split(",") if module]
        claims += _modules(f"{path}:{number}", words, name)
    return claims


def modules_load_claims(text: str, path: str) -> list[Claim]:
    """A file of modules-load.d: a module a line, loaded while udev begins, in the image too where that has the file."""
    lines = [(number, trimmed(line)) for number, line in enumerate(systemd_lines(text), 1)]
    return [
        claim for number, line in lines if line and line[0] not in "#;" for claim in _modules(f"{path}:{number}", words_of(line)[:1], f"'{line}'")
    ]


def initramfs_tools_claims(text: str, path: str) -> list[Claim]:
    """/etc/initramfs-tools/modules and files of packages like it: a module a line, with its options."""
    claims: list[Claim] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = words_of(line.partition("#")[0])
        if not words:
            continue
        where = f"{path}:{number}"
        claims += _modules(where, words[:1], " ".join(words))
        for option in words[1:]:
            if option.startswith("ids=") and words[0].replace("-", "_") == "vfio_pci":
                named = ids_in(option[len("ids="):].replace(",", " , "))
                claims.append(Claim(where, NEW_ID, "vfio-pci", f"'{' '.join(words)}'", _named(named)))
    return claims


def openrc_claims(text: str, path: str) -> list[Claim]:
    """``modules="e1000e"`` and ``modules_6_12="e1000e"``: OpenRC loads these before udev handles all devices, or after (source: its
    conf.d/modules).
    """
    return [
        claim for one in _OPENRC.finditer(text)
        for claim in _modules(f"{path}:{text.count(chr(10), 0, one.start(1)) + 1}", words_of(one.group(2).strip("\"'")), one.group(1))
    ]


def mkinitcpio_claims(text: str, path: str) -> list[Claim]:
    """``MODULES=(vfio_pci amdgpu)``: loaded in this order, before devices are triggered; the last assignment counts."""
    claims: list[Claim] = []
    for one in _ARRAY.finditer(text):
        number = text.count("\n", 0, one.start(1)) + 1
        body = "\n".join(line.partition("#")[0] for line in one.group(1).strip("()\"'").split("\n"))
        mine = _modules(f"{path}:{number}", words_of(body), "MODULES")
        claims = claims + mine if "+=" in one.group(0) else mine
    return claims


def _modules(where: str, names: Iterable[str], says: str) -> list[Claim]:
    remedy = "remove it there, so that udev loads it by the device"
    return [
        Claim(where, EARLY, name.rstrip("?").replace("-", "_"), says, lambda target: True, remedy, is_sure=False) for name in names
    ]


def _named(ids: set[tuple[str, str]]) -> Fits:
    return lambda target: (target.ids["vendor"], target.ids["device"]) in ids


__all__ = ("dracut_claims", "initramfs_tools_claims", "mkinitcpio_claims", "modules_load_claims", "openrc_claims")
