# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""systemd's .link and .network files: how many VFs a card has when its interface appears. Pure.

Of .link files only the first that matches applies; the number is SR-IOVVirtualFunctions=, else the highest VirtualFunction= of
[SR-IOV] sections and one. udev goes through 0 where there are VFs already. A .network file only sets up VFs that there are.
(source: systemd.link(5), systemd.network(5); systemd src/shared/netif-sriov.c, sr_iov_set_num_vfs; src/udev/net/link-config.c)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._competitors import ini
from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import (
    INDEX,
    NUMBER,
    Claim,
    all_of,
    any_of,
    by_driver,
    by_interface,
    by_mac,
    fits_pattern,
    whole,
)
from ansible_collections.vfio.host.plugins.module_utils._host.words import words

if TYPE_CHECKING:
    from typing import Iterable

    from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Fits, Target, Text

_KERNEL_NAME = re.compile(r"eth[\d*?\[]")


def link_claims(files: Iterable[list[Text]]) -> list[Claim]:
    """The Claims of .link files, in systemd's order. Each item of ``files`` has a file and then its drop-ins."""
    claims: list[Claim] = []
    before: list[_Match] = []
    for parts in files:
        settings = [one for text, path in parts for one in ini.parse(text, path)]
        match = _Match([one for one in settings if one.section == "Match"])
        if match.is_empty:
            continue
        number = _number(settings)
        if number is not None:
            value, where, says = number
            claims.append(Claim(where, NUMBER, value, says, _first(match, tuple(before)), "remove it there, or declare the same number"))
        before.append(match)
    return claims


def network_claims(files: Iterable[list[Text]]) -> list[Claim]:
    """The Claims of .network files. ``files``: as for link_claims()."""
    claims: list[Claim] = []
    before: list[_Match] = []
    for parts in files:
        settings = [one for text, path in parts for one in ini.parse(text, path)]
        match = _Match([one for one in settings if one.section == "Match"], is_late=True)
        if match.is_empty:
            continue
        for one in settings:
            if one.section == "SR-IOV" and one.name == "VirtualFunction" and whole(one.value) is not None:
                claims.append(Claim(
                    one.where, INDEX, one.value, f"VirtualFunction={one.value} of [SR-IOV]", _first(match, tuple(before)),
                    "declare more VFs, or remove it there",
                ))
        before.append(match)
    return claims


def _first(match: _Match, before: tuple[_Match, ...]) -> Fits:
    """Target -> whether this match is the first that fits. None where an earlier one may fit, since only the first file counts."""
    def fits(target: Target) -> bool | None:
        answer = match.fits(target)
        if answer is False:
            return False
        earlier = any_of(one.fits(target) for one in before)
        return False if earlier else all_of((answer, True if earlier is False else None))

    return fits


def _number(settings: list[ini.Setting]) -> tuple[str, str, str] | None:
    """(number of VFs, path and line, the line); None where a file sets no number."""
    explicit = [one for one in settings if one.section == "Link" and one.name == "SR-IOVVirtualFunctions"]
    last = next((one for one in reversed(explicit) if whole(one.value) is not None or not one.value), None)
    if last is not None and last.value:
        return last.value, last.where, f"SR-IOVVirtualFunctions={last.value}"
    functions = [
        one for one in settings if one.section == "SR-IOV" and one.name == "VirtualFunction" and whole(one.value) is not None
    ]
    if not functions:
        return None
    highest = max(functions, key=lambda one: int(one.value))
    return str(int(highest.value) + 1), highest.where, f"VirtualFunction={highest.value} of [SR-IOV]"


class _Match:
    """A [Match] section. Every setting has to fit with one of its values. A '!' before the first value negates the setting."""

    def __init__(self, settings: Iterable[ini.Setting], *, is_late: bool = False) -> None:
        self._wanted: dict[str, list[str]] = {}
        self._is_late = is_late
        for one in settings:
            if one.value:
                self._wanted.setdefault(one.name, []).extend(_words(one.value))
            else:
                self._wanted.pop(one.name, None)  # an empty value takes the ones before it back

    @property
    def is_empty(self) -> bool:
        """Whether it has no setting. systemd ignores such a file."""
        return not self._wanted

    def fits(self, target: Target) -> bool | None:
        """Whether an interface of the target matches."""
        if not target.is_network:
            return False
        return all_of(self._one(target, name, words) for name, words in self._wanted.items())

    def _one(self, target: Target, name: str, words: list[str]) -> bool | None:
        is_inverted = words[0].startswith("!")
        words = [words[0][1:]] + words[1:] if is_inverted else words
        answer = self._plain(target, name, words)
        return answer if answer is None or not is_inverted else not answer

    def _plain(self, target: Target, name: str, words: list[str]) -> bool | None:
        if name in ("MACAddress", "PermanentMACAddress"):
            return by_mac(target, [_mac(one) for one in words])
        if name == "Path":
            return _path(target, words)
        if name == "Driver":
            return by_driver(target, words)
        if name == "Type":
            return any_of(fits_pattern(one, ["ether"]) for one in words) or (None if "infiniband" in words else False)
        if name in ("OriginalName", "Name"):
            if "*" in words:
                return True
            answer = by_interface(target, words)
            is_kernels = not self._is_late and any(map(_KERNEL_NAME.match, words))
            return None if is_kernels and answer is False else answer
        if name == "Kind":
            return False  # only virtual interfaces have one
        return None


def _words(value: str) -> list[str]:
    return [one.strip("\"'") for one in words(value)]


def _mac(text: str) -> str:
    """aa:bb:cc:dd:ee:ff of an address in that form, as aa-bb-… or as aabb.ccdd.eeff."""
    digits = re.sub(r"[.:-]", "", text.lower())
    return ":".join(digits[place:place + 2] for place in range(0, len(digits), 2))


def _path(target: Target, words: Iterable[str]) -> bool | None:
    """Whether ID_PATH fits: pci-ADDRESS, and a port after it where a function has several ports."""
    own = f"pci-{target.address}"
    return any_of(
        True if fits_pattern(one, [own]) else None if one.startswith(own + "-") or re.search(r"[$%]", one) else False for one in words
    )


__all__ = ("link_claims", "network_claims")
