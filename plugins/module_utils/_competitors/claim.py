# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What a competitor claims, of which function, and whether that contradicts what is declared. Pure.

Whether a claim is about a function is one of three answers: True, False, or None where its file does not tell: then it is said
with "may".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Callable, Collection, Iterable, Mapping, Optional, Tuple

    # Whether something is about a Target; None: it may be.
    Fits = Callable[["Target"], Optional[bool]]
    # From the path of a program to its text, "" where it is no script.
    Script = Callable[[str], str]
    # Takes a sentence about what is not understood.
    Note = Callable[[str], None]
    # The text of a file, and its path.
    Text = Tuple[str, str]

# What a claim is about. OVERRIDE: a driver, "" for none; NUMBER: how many VFs; AT_MOST: how many VFs there can be; AUTOPROBE:
# "0" or "1"; UNBIND, BIND, NEW_ID: a driver's name, "" for whatever it has; EARLY: a module that is loaded before the rules;
# BARRED: a module that does not load; REMOVE, PROGRAM, MANAGED, CLOSED (no module loads any more): no value; INDEX: the number of a VF that has to be there.
OVERRIDE, NUMBER, AT_MOST, AUTOPROBE, UNBIND, BIND, NEW_ID = (
    "override", "number", "at_most", "autoprobe", "unbind", "bind", "new_id",
)
EARLY, BARRED, REMOVE, PROGRAM, MANAGED, INDEX, CLOSED = "early", "barred", "remove", "program", "managed", "index", "closed"

_WORDS = {
    OVERRIDE: ("gives {value} to {subjects}", "may give {value} to {subjects}"),
    NUMBER: ("makes {value} VFs of {subjects}", "may make {value} VFs of {subjects}"),
    AT_MOST: ("allows {value} VFs at most of {subjects}", "may allow {value} VFs at most of {subjects}"),
    AUTOPROBE: ("sets sriov_drivers_autoprobe to {value} of {subjects}", "may set sriov_drivers_autoprobe to {value} of {subjects}"),
    UNBIND: ("takes the driver from {subjects}", "may take the driver from {subjects}"),
    BIND: ("binds {value} to {subjects}", "may bind {value} to {subjects}"),
    NEW_ID: ("has {value} take {subjects}", "may have {value} take {subjects}"),
    EARLY: ("loads {value} before udev's rules: it has first {subjects}", "loads {value} early: it may have first {subjects}"),
    BARRED: ("keeps from loading {value}, the driver of {subjects}", "may keep from loading {value}, the driver of {subjects}"),
    REMOVE: ("removes from the bus {subjects}", "may remove from the bus {subjects}"),
    PROGRAM: ("changes drivers or VFs of {subjects}", "may change drivers or VFs of {subjects}"),
    MANAGED: ("rebinds {subjects}", "may rebind to another driver, now and then, {subjects}"),
    CLOSED: ("lets no module be loaded from then on, also none for {subjects}", "lets no module be loaded from then on: it may come before {subjects}"),
    INDEX: ("needs VF number {value} of {subjects}", "may need VF number {value} of {subjects}"),
}
_MOST_DIGITS = 9
_UNSET = ("", "(null)")


@dataclass(frozen=True)
class Target:
    """One function and what is declared of it: a driver, or where ``numvfs`` is not None, VFs.

    ``ids``: as of Device; ``wanted``: the declared driver's name, None: the native one; ``module``: of the declared driver;
    ``natives``: modules that take it without an override; ``nets``: (name, MAC) of its interfaces, as far as known;
    ``ancestors``: (address, ids or None) of the functions above it, and (root, None) last; ``vfio``: names of VFIO drivers;
    ``physfn`` and ``pf_names``: of a VF, the address and the interfaces of its PF.
    """

    address: str
    name: str
    ids: Mapping[str, str]
    modalias: str = ""
    driver: str | None = None
    policy: str | None = None
    wanted: str | None = None
    module: str | None = None
    natives: frozenset[str] = frozenset()
    nets: tuple[tuple[str, str], ...] = ()
    ancestors: tuple[tuple[str, Mapping[str, str] | None], ...] = ()
    vfio: frozenset[str] = frozenset()
    physfn: str | None = None
    pf_names: tuple[str, ...] = ()
    numvfs: int | None = None
    autoprobe: bool = False

    @property
    def subject(self) -> str:
        """Its name in a sentence."""
        if self.numvfs is not None:
            return f"{self.address} ({self.name}), which is declared to have {self.numvfs} VFs"
        wanted = self.wanted or (self.module and f"a driver of module {self.module}") or "its native driver"
        return f"{self.address} ({self.name}) of policy {self.policy}, which is declared for {wanted}"

    @property
    def is_native(self) -> bool:
        """Whether it is declared for its native driver."""
        return self.wanted is None and self.module is None and self.numvfs is None

    @property
    def is_network(self) -> bool:
        """Whether it can have network interfaces, by its class or by an interface that is known."""
        return self.ids["class"].startswith("02") or bool(self.nets)


@dataclass(frozen=True)
class Claim:
    """One line of a competitor. ``says``: how the line reads; ``fits``: Target -> True, False or None; ``value``: see above,
    None where the line does not tell; ``is_sure`` False: also where it fits, it may not have the effect.
    """

    where: str
    verb: str
    value: str | None
    says: str
    fits: Fits
    remedy: str = "remove it there"
    is_sure: bool = True


@dataclass(frozen=True)
class Competition:
    """What other programs of a host decide at boot. ``claims``: of all rows; ``installs``: of the "install" lines of modprobe.d;
    ``overrides``: of driverctl: for devices of policies, _devices/competitors.py has messages of its own; ``above``: address -> the
    names of what is above that function in sysfs, the nearest first: functions, and the root bus last; ``notes``: what could not be
    checked, in sentences.
    """

    claims: tuple[Claim, ...] = ()
    installs: tuple[Claim, ...] = ()
    overrides: tuple[Claim, ...] = ()
    above: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def all_of(answers: Iterable[bool | None]) -> bool | None:
    """False where an answer is False, else None where one is None, else True."""
    together: bool | None = True
    for answer in answers:
        if answer is False:
            return False
        if answer is None:
            together = None
    return together


def any_of(answers: Iterable[bool | None]) -> bool | None:
    """True where an answer is True, else None where one is None, else False."""
    together: bool | None = False
    for answer in answers:
        if answer:
            return True
        if answer is None:
            together = None
    return together


def contradicts(claim: Claim, target: Target) -> bool | None:
    """Whether a claim that is about a target contradicts what is declared of it: True, False, or None where its file does not tell."""
    rule = _OF_VFS.get(claim.verb) if target.numvfs is not None else _OF_DEVICES.get(claim.verb)
    return False if rule is None else rule(claim.value, target)


def _is_wanted(driver: str, target: Target) -> bool:
    """Whether a driver of this name is the declared one. A native driver may have the name of any module that takes the device."""
    if target.wanted is not None:
        return driver == target.wanted
    name = driver.replace("-", "_")
    if target.module is not None:
        return name == target.module
    return driver not in target.vfio and (name in target.natives or driver == target.driver)


def _override(value: str | None, target: Target) -> bool | None:
    if value is None:
        return None
    if value.strip() in _UNSET:
        return target.wanted is not None or target.module is not None
    return not _is_wanted(value, target)


def _unbind(value: str | None, target: Target) -> bool | None:
    if not value:
        return None
    return _is_wanted(value, target)


def _new_id(value: str | None, target: Target) -> bool | None:
    """A device with an override is not taken by id (source: linux drivers/pci/pci-driver.c, pci_match_device)."""
    if not target.is_native:
        return False
    return None if value is None else not _is_wanted(value, target)


def _early(value: str | None, target: Target) -> bool | None:
    return False if target.is_native or value == target.module else value in target.natives and None


def whole(text: str | None) -> int | None:
    """The number of a text of digits; None for any other text, and for a number with more digits than a number of VFs can have."""
    return int(text) if text is not None and text.isdecimal() and len(text) <= _MOST_DIGITS else None


def _number(value: str | None, target: Target) -> bool | None:
    """As the kernel reads it: 0x10 and 010 are 16 and 8 (source: linux lib/kstrtox.c, kstrtou16 with base 0)."""
    text = (value or "").strip().lower()
    if not re.match(r"\+?(?:0x[0-9a-f]{1,8}|[0-9]{1,9})\Z", text):
        return None
    digits = text.lstrip("+")
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10
    try:
        return int(digits, base) != target.numvfs
    except ValueError:
        return None


def _at_most(value: str | None, target: Target) -> bool | None:
    number = whole(value)
    return None if number is None else number < (target.numvfs or 0)


def _autoprobe(value: str | None, target: Target) -> bool | None:
    return None if value not in ("0", "1") else (value == "1") != target.autoprobe


def _pf_override(value: str | None, target: Target) -> bool | None:
    """A PF has VFs only by its native driver."""
    if not target.numvfs:
        return False
    if value is None:
        return None
    return value.strip() not in _UNSET and not (value not in target.vfio and value.replace("-", "_") in target.natives)


def _needs_pf(dummy: str | None, target: Target) -> bool | None:
    return None if target.numvfs else False


_OF_DEVICES: dict[str, Callable[[Optional[str], Target], Optional[bool]]] = {
    OVERRIDE: _override, BIND: _override, UNBIND: _unbind, NEW_ID: _new_id, EARLY: _early,
    REMOVE: lambda *dummy: True, PROGRAM: lambda *dummy: None, MANAGED: lambda *dummy: None,
    BARRED: lambda value, target: target.is_native and value in target.natives,
    CLOSED: lambda dummy, target: None if target.module is not None else False,
}
_OF_VFS: dict[str, Callable[[Optional[str], Target], Optional[bool]]] = {
    NUMBER: _number, AT_MOST: _at_most, AUTOPROBE: _autoprobe, OVERRIDE: _pf_override, BIND: _pf_override,
    UNBIND: _needs_pf, MANAGED: _needs_pf, REMOVE: lambda *dummy: True, PROGRAM: lambda *dummy: None,
    BARRED: lambda value, target: bool(target.numvfs) and value in target.natives,
    INDEX: lambda value, target: (whole(value) or 0) >= (target.numvfs or 0),
}


def sentences(claims: Iterable[Claim], targets: Collection[Target]) -> list[str]:
    """Two sentences at most for each claim: one about targets that it surely contradicts, one about targets that it may contradict."""
    messages = []
    for claim in claims:
        sure: list[str] = []
        may: list[str] = []
        for target in targets:
            answer = all_of((claim.fits(target), contradicts(claim, target), claim.is_sure or None))
            if answer is not False:
                (sure if answer else may).append(target.subject)
        for subjects, words in ((sure, _WORDS[claim.verb][0]), (may, _WORDS[claim.verb][1])):
            if subjects:
                text = words.format(subjects=", and ".join(subjects), value=_shown(claim))
                messages.append(f"{claim.where}: {claim.says} {text}; {claim.remedy}")
    return list(dict.fromkeys(messages))


def _shown(claim: Claim) -> str:
    if claim.value is None:
        return {NUMBER: "other", AT_MOST: "other", AUTOPROBE: "another value"}.get(claim.verb, "another driver")
    return claim.value.strip() or ("its native driver" if claim.verb == OVERRIDE else "nothing")


def fits_pattern(pattern: str, values: Iterable[str]) -> bool | None:
    """Whether a glob fits one of ``values``, by the rules of fnmatch(3). None for one with a variable, or with a shell's braces."""
    if any(mark in pattern for mark in "$`{"):
        return None
    try:
        return any(re.match(_regex(pattern), value) for value in values)
    except re.error:
        return None  # [z-a]


def _regex(pattern: str) -> str:
    """fnmatch(3) with no flags: '!' and '^' negate a set, a backslash quotes."""
    regex, place = "", 0
    while place < len(pattern):
        char, place = pattern[place], place + 1
        end = pattern.find("]", place + 1) if char == "[" else -1
        if char in "*?":
            regex += ".*" if char == "*" else "."
        elif end > 0:
            inner = pattern[place:end].replace("\\", "\\\\").replace("[", "\\[")
            regex += f"[{'^' + inner[1:] if inner[0] in '!^' else inner}]"
            place = end + 1
        elif char == "\\" and place < len(pattern):
            regex, place = regex + re.escape(pattern[place]), place + 1
        else:
            regex += re.escape(char)
    return f"(?s:{regex})\\Z"


def by_interface(target: Target, patterns: Iterable[str]) -> bool | None:
    """Whether a target has an interface whose name fits one of the globs ``patterns``."""
    names = [name for name, dummy in target.nets]
    if not names:
        return None if target.is_network else False
    return any_of(fits_pattern(pattern, names) for pattern in patterns)


def by_pf_interface(target: Target, patterns: Iterable[str]) -> bool | None:
    """Whether a target is a VF of a card that has an interface whose name fits one of the globs ``patterns``."""
    if target.physfn is None:
        return False
    return any_of(fits_pattern(pattern, target.pf_names) for pattern in patterns) if target.pf_names else None


def by_mac(target: Target, macs: Iterable[str]) -> bool | None:
    """Whether a target has one of these MAC addresses."""
    known = [mac.lower() for dummy, mac in target.nets]
    if not known:
        return None if target.is_network else False
    return any(mac.lower().replace("-", ":") in known for mac in macs)


def by_driver(target: Target, patterns: Iterable[str]) -> bool | None:
    """Whether the native driver of a target fits one of the globs ``patterns``; a module's name stands for its driver's."""
    known = set(target.natives) if target.driver is None or target.driver in target.vfio else {target.driver}
    return any_of(fits_pattern(pattern.replace("-", "_"), [driver.replace("-", "_") for driver in known]) for pattern in patterns)


__all__ = (
    "AT_MOST", "AUTOPROBE", "BARRED", "BIND", "CLOSED", "Claim", "Competition", "EARLY", "INDEX", "MANAGED", "NEW_ID", "NUMBER", "OVERRIDE",
    "PROGRAM", "REMOVE", "Target", "UNBIND", "all_of", "any_of", "by_driver", "by_interface", "by_mac", "by_pf_interface", "contradicts",
    "fits_pattern", "sentences", "whole",
)
