# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The numbers of VFs that NetworkManager, ifcfg files and ifupdown set when they bring an interface up. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._competitors import ini, shell
from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import (
    AUTOPROBE,
    NUMBER,
    Claim,
    all_of,
    any_of,
    by_driver,
    by_interface,
    by_mac,
    fits_pattern,
)
from ansible_collections.vfio.host.plugins.module_utils._host.words import trimmed

if TYPE_CHECKING:
    from typing import Iterator, Mapping

    from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Fits, Script, Target

_SAME = "remove it there, or declare the same number"
_TRUE, _FALSE = ("true", "yes", "1", "on"), ("false", "no", "0", "off")


def keyfile_claims(text: str, path: str) -> list[Claim]:
    """A keyfile of NetworkManager: [sriov] total-vfs= and autoprobe-drivers= (source: nm-settings-keyfile(5), sriov)."""
    settings = ini.parse(text, path)
    mine = [one for one in settings if one.section == "sriov"]
    if not mine:
        return []
    last = {f"{one.section}.{one.name}": one.value for one in settings}
    fits = _of_profile(last)
    is_sure = last.get("connection.autoconnect", "true").lower() not in _FALSE
    claims: list[Claim] = []
    for one in mine:
        if one.name == "total-vfs":
            claims.append(Claim(one.where, NUMBER, one.value, f"[sriov] total-vfs={one.value}", fits, _SAME, is_sure))
        elif one.name == "autoprobe-drivers" and one.value.lower() in _TRUE + _FALSE:
            value = "1" if one.value.lower() in _TRUE else "0"
            claims.append(Claim(one.where, AUTOPROBE, value, f"[sriov] {one.name}={one.value}", fits, is_sure=is_sure))
    return claims


def _of_profile(settings: Mapping[str, str]) -> Fits:
    """Target -> whether a profile is for an interface of it. None for a profile that names no interface."""
    name, mac = settings.get("connection.interface-name"), settings.get("ethernet.mac-address") or settings.get("802-3-ethernet.mac-address")
    names = [one for one in re.split(r"[;,\s]+", settings.get("match.interface-name", "")) if one]
    paths = [one for one in settings.get("match.path", "").split(";") if one]
    drivers = [one for one in settings.get("match.driver", "").split(";") if one]

    def fits(target: Target) -> bool | None:
        if not target.is_network:
            return False
        answers: list[bool | None] = []
        if name:
            answers.append(by_interface(target, [name]))
        if mac:
            answers.append(by_mac(target, [mac]))
        if names:
            answers.append(by_interface(target, [one.lstrip("!&|") for one in names]) or None)
        if paths:
            answers.append(any_of(fits_pattern(one.lstrip("!&|"), [f"pci-{target.address}"]) for one in paths))
        if drivers:
            answers.append(by_driver(target, [one.lstrip("!&|") for one in drivers]))
        return all_of(answers) if answers else None

    return fits


def device_claims(text: str, path: str) -> list[Claim]:
    """NetworkManager.conf and its drop-ins: sriov-num-vfs= of a [device...] section (source: NetworkManager.conf(5), device).

    Which section counts where several fit hangs on their order over all files, so each is said with "may".
    """
    sections: dict[int, dict[str, ini.Setting]] = {}
    for one in ini.parse(text, path):
        if one.section.startswith("device"):
            sections.setdefault(one.number, {})[one.name] = one
    found = []
    for section in sections.values():
        number, match = section.get("sriov-num-vfs"), section.get("match-device")
        if number is not None:
            says = f"[{number.section}] sriov-num-vfs={number.value}"
            found.append(Claim(number.where, NUMBER, number.value, says, _of_specs(match.value if match else "*"), _SAME, is_sure=False))
    return found


def _of_specs(text: str) -> Fits:
    """Target -> whether a list of devices has an interface of it; what is behind ``except:`` is taken out (source: NetworkManager.conf(5),
    Device List Format).
    """
    specs = [one for one in re.split(r"[,;\s]+", text) if one]
    but = [one[len("except:"):] for one in specs if one.startswith("except:")]
    wanted = [one for one in specs if not one.startswith("except:")] or ["*"]

    def fits(target: Target) -> bool | None:
        if not target.is_network:
            return False
        out = any_of(_of_spec(one, target) for one in but)
        return all_of((any_of(_of_spec(one, target) for one in wanted), None if out is None else not out))

    return fits


def _of_spec(spec: str, target: Target) -> bool | None:
    """Whether one word of such a list is about a target; None for a kind of word that only NetworkManager can tell."""
    if spec == "*":
        return True
    kind, colon, value = spec.partition(":")
    if kind == "interface-name":
        return by_interface(target, [value.lstrip("=~")])
    if kind == "driver":
        return by_driver(target, [value.partition("/")[0]])
    if kind == "mac" or spec.count(":") == 5:
        return by_mac(target, [value if kind == "mac" else spec])
    return None if colon else by_interface(target, [spec])


def ifcfg_claims(text: str, path: str, *, script: Script) -> list[Claim]:
    """An ifcfg file: SRIOV_TOTAL_VFS=, SRIOV_AUTOPROBE_DRIVERS= (source: nm-settings-ifcfg-rh(5)), the scripts of wicked (ifcfg(5))."""
    settings = ini.parse(text, path)
    last = {one.name.upper(): one.value.strip("\"'") for one in settings}
    mac = last.get("HWADDR")
    device = last.get("DEVICE") or (None if mac else path.rpartition("/ifcfg-")[2])

    def fits(target: Target) -> bool | None:
        answers = ([by_interface(target, [device])] if device else []) + ([by_mac(target, [mac])] if mac else [])
        return all_of(answers) if answers else None

    is_sure = last.get("ONBOOT", "yes").lower() not in _FALSE
    claims: list[Claim] = []
    for one in settings:
        value = one.value.strip("\"'")
        if one.name.upper() == "SRIOV_TOTAL_VFS":
            claims.append(Claim(one.where, NUMBER, value, f"SRIOV_TOTAL_VFS={value}", fits, _SAME, is_sure))
        elif one.name.upper() == "SRIOV_AUTOPROBE_DRIVERS" and value.lower() in _TRUE + _FALSE:
            number = "1" if value.lower() in _TRUE else "0"
            claims.append(Claim(one.where, AUTOPROBE, number, f"{one.name}={value}", fits, is_sure=is_sure))
        elif one.name in ("PRE_UP_SCRIPT", "POST_UP_SCRIPT"):
            claims += shell.claims(value.replace("wicked:", " "), one.where, first=0, script=script, says=f"{one.name}={value}")
    return claims


_STANZA = re.compile(r"(iface|mapping|auto|allow-\S+|source\S*|rename|template|no-auto-down|no-scripts)\b\s*(\S+)?")
_COMMAND = re.compile(r"(pre-up|up|post-up|down|pre-down|post-down)\s+(.*)")


def ifupdown_claims(text: str, path: str, *, script: Script) -> list[Claim]:
    """/etc/network/interfaces and what it sources: the commands of each interface (source: interfaces(5))."""
    claims: list[Claim] = []
    name = None
    for number, line in _joined(text):
        stanza, command = _STANZA.match(line), _COMMAND.match(line)
        if stanza:
            name = stanza.group(2) if stanza.group(1) == "iface" else None
        elif command and not command.group(1).endswith("down"):
            body = re.sub(r"\$\{?IFACE\}?", name, command.group(2)) if name else command.group(2)
            claims += shell.claims(body, f"{path}:{number}", first=0, script=script, says=f"'{line}'")
    return claims


def _joined(text: str) -> Iterator[tuple[int, str]]:
    kept, first = "", 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = trimmed(raw)
        if line.startswith("#") and not kept:
            continue
        line, first = kept + line, first or number
        if line.endswith("\\"):
            kept = line[:-1]
            continue
        yield first, line
        kept, first = "", 0


__all__ = ("ifcfg_claims", "ifupdown_claims", "keyfile_claims")
