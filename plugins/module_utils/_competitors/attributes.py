# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Files whose lines are attributes and values, or addresses and drivers. Pure.

sysfs.conf, tmpfiles.d and profiles of tuned write them at boot; driverctl and DPDK's service bind what their files name. (source:
sysfs.conf(5); tmpfiles.d(5), types w and w+; tuned.conf(5), tuned/plugins/plugin_sysfs.py; driverctl(8); Debian's dpdk, /etc/dpdk/interfaces)
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._competitors import ini
from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import CLOSED, OVERRIDE, Claim
from ansible_collections.vfio.host.plugins.module_utils._competitors.writes import addresses_in, write
from ansible_collections.vfio.host.plugins.module_utils._host.words import systemd_lines, trimmed
from ansible_collections.vfio.host.plugins.module_utils._host.words import words as words_of

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Fits


def sysfs_conf_claims(text: str, path: str) -> list[Claim]:
    """``class/net/eth0/device/sriov_numvfs = 4``: a path below /sys, and a value (source: sysfsutils, sysfs.conf)."""
    claims = []
    for number, line in enumerate(text.split("\n"), 1):
        name, equals, value = line.partition("#")[0].partition("=")
        words = words_of(name)
        if equals and len(words) == 1:
            place = words[0] if words[0].startswith("/sys/") else f"/sys/{words[0]}"
            claim = write(place, trimmed(value), where=f"{path}:{number}", says=f"'{' '.join(words_of(line))}'")
            claims += [claim] if claim else []
    return claims


def tmpfiles_claims(text: str, path: str) -> list[Claim]:
    """``w /sys/... - - - - 4``: systemd-tmpfiles writes the text after the first six words. A path may be a glob."""
    claims = []
    for number, raw in enumerate(systemd_lines(text), 1):
        line = trimmed(raw)
        if not line.startswith(("w", "f", "F")):
            continue
        words = re.findall(r"\"[^\"]*\"|'[^']*'|[^ \t\n\v\f\r]+", line)
        if len(words) < 7 or not re.match(r"[wfF][+!=~^$?-]*\Z", words[0]):
            continue
        value = words_of(line, 7)[6].strip("\"'").replace("\\n", "").replace("%%", "%")
        claim = write(words[1].strip("\"'"), value, where=f"{path}:{number}", says=f"'{' '.join(words)}'")
        claims += [claim] if claim else []
    return claims


def sysctl_claims(text: str, path: str) -> list[Claim]:
    """``kernel.modules_disabled = 1``: systemd-sysctl sets it while udev handles the devices (source: sysctl.d(5), linux
    Documentation/admin-guide/sysctl/kernel.rst).
    """
    claims = []
    for number, line in enumerate(systemd_lines(text), 1):
        name, dummy, value = trimmed(line).lstrip("-").partition("=")
        if trimmed(name).replace("/", ".") == "kernel.modules_disabled" and trimmed(value) == "1":
            claims.append(Claim(f"{path}:{number}", CLOSED, None, f"'{trimmed(line)}'", lambda target: True, is_sure=False))
    return claims


def tuned_claims(text: str, path: str, *, is_active: bool) -> list[Claim]:
    """``/sys/class/net/eth0/device/sriov_numvfs=4`` in a section of the kind sysfs. A path may be a glob, or hold a variable."""
    settings = ini.parse(text, path)
    kinds = {one.number: one.value for one in settings if one.name == "type"}
    found = [
        write(one.name, one.value, where=one.where, says=f"'{one.name}={one.value}'")
        for one in settings if kinds.get(one.number, one.section) == "sysfs" and one.name.startswith("/sys/")
    ]
    return [claim if is_active else replace(claim, is_sure=False) for claim in found if claim is not None]


def tuned_scripts(text: str, path: str) -> list[tuple[str, str]]:
    """(path of the file and line, path of the script) of each script of a profile, which is below the profile where it is no absolute path
    (source: tuned/plugins/plugin_script.py).
    """
    settings = ini.parse(text, path)
    kinds = {one.number: one.value for one in settings if one.name == "type"}
    place = path.rpartition("/")[0]
    values = [
        (one.where, one.value.replace("${i:PROFILE_DIR}", place))
        for one in settings if one.name == "script" and kinds.get(one.number, one.section) == "script" and one.value
    ]
    return [(where, value if value.startswith("/") else f"{place}/{value}") for where, value in values]


def driverctl_claims(text: str, path: str, *, name: str) -> list[Claim]:
    """A file with the driver of a device. Its ``name`` is the device's address, in newer versions with the bus before it."""
    driver, address = trimmed(text), name[len("pci-"):] if name.startswith("pci-") else name
    if not driver:
        return []
    remedy = "remove this file"
    return [Claim(path, OVERRIDE, driver, "driverctl", lambda target: target.address == address, remedy)]


def dpdk_claims(text: str, path: str) -> list[Claim]:
    """``pci 0000:04:00.0 vfio-pci``: DPDK's service binds each at boot."""
    claims = []
    for number, line in enumerate(text.split("\n"), 1):
        words = words_of(line.partition("#")[0])
        if len(words) == 3 and words[0] == "pci":
            claims.append(Claim(f"{path}:{number}", OVERRIDE, words[2], f"'{' '.join(words)}'", _is_one_of(addresses_in(words[1]))))
    return claims


def _is_one_of(addresses: set[str]) -> Fits:
    return lambda target: target.address in addresses


__all__ = ("dpdk_claims", "driverctl_claims", "sysctl_claims", "sysfs_conf_claims", "tmpfiles_claims", "tuned_claims", "tuned_scripts")
