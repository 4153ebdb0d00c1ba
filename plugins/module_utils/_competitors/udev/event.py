# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Which rules of udev an event of a function gets to, as far as that is known before it comes. Pure.

Each match is True, False or None, where only the event tells. GOTO is followed; what a rule sets in ENV is remembered in
its file; properties of programs and of the hardware database are not known.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import all_of, any_of, fits_pattern
from ansible_collections.vfio.host.plugins.module_utils._competitors.udev.rules import MATCHING

if TYPE_CHECKING:
    from typing import Iterable, Iterator, Mapping, Optional, Tuple

    from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Target
    from ansible_collections.vfio.host.plugins.module_utils._competitors.udev.rules import Rule, Token

    # A device on the way upwards: subsystem, the kernel's name, ids, whether it is the function itself.
    Place = Tuple[str, Optional[str], Optional[Mapping[str, str]], bool]

_KERNEL_NAME = re.compile(r"(?:eth|usb|wlan|ib)[\d*?\[]|[*?\[]")
_PARENTS = ("KERNELS", "SUBSYSTEMS", "DRIVERS", "ATTRS", "TAGS")


class Event:
    """One event of a Target: of the function itself, or with ``net`` of an interface of it."""

    def __init__(self, target: Target, action: str, *, net: bool = False) -> None:
        self.target, self.action, self.is_net = target, action, net
        ids = target.ids
        self._attributes = {key: f"0x{ids[key]}" for key in ("vendor", "device", "subsystem_vendor", "subsystem_device", "class")}
        self._attributes["modalias"] = target.modalias
        self._names = [name for name, dummy in target.nets]
        self.env = {"ACTION": action, "SUBSYSTEM": "net" if net else "pci"}
        if not net:
            # As the kernel prints them (source: drivers/pci/pci-driver.c, pci_uevent).
            self.env.update({
                "PCI_SLOT_NAME": target.address, "MODALIAS": target.modalias, "DEVTYPE": "",
                "PCI_CLASS": f"{int(ids['class'], 16):04X}", "PCI_ID": f"{ids['vendor']}:{ids['device']}".upper(),
                "PCI_SUBSYS_ID": f"{ids['subsystem_vendor']}:{ids['subsystem_device']}".upper(),
            })
        else:
            self.env.update({
                "ID_BUS": "pci", "ID_VENDOR_ID": f"0x{ids['vendor']}", "ID_MODEL_ID": f"0x{ids['device']}",
                "ID_PATH": f"pci-{target.address}",
            })
        self._set: dict[str, str | None] = {}

    def reached(self, rules: Iterable[Rule]) -> Iterator[tuple[Rule, bool | None]]:
        """(rule, True or None) for each rule of one file that the event gets to, and whose matches hold or may."""
        self._set = {}
        label: str | None = None
        is_jump_sure = False
        for rule in rules:
            tokens = rule.tokens or ()
            if any(one.key == "LABEL" and one.value == label for one in tokens):
                label, is_jump_sure = None, False
            if label is not None and is_jump_sure:
                continue
            answer = all_of([self._matches(tokens), None if label is not None else True])
            if answer is False:
                continue
            yield rule, answer
            self._assign(tokens, answer)
            jump = next((one.value for one in tokens if one.key == "GOTO"), None)
            if jump is not None and label is None:
                label, is_jump_sure = jump, answer is True

    def _matches(self, tokens: Iterable[Token]) -> bool | None:
        # All of the keys that look upwards have to hold for one and the same device.
        parents = [one for one in tokens if one.key in _PARENTS and one.op in MATCHING]
        own = [self._match(one) for one in tokens if one.op in MATCHING and one.key not in _PARENTS]
        # PROGRAM, IMPORT and TEST match with any operator.
        own += [None for one in tokens if one.key in ("PROGRAM", "IMPORT", "RESULT") and one.op not in MATCHING]
        if parents:
            own.append(any_of(all_of(self._parent(one, place) for one in parents) for place in self._chain()))
        return all_of(own)

    def _chain(self) -> list[Place]:
        """The event's own device and those above it, each as (subsystem, kernel's name, ids, whether it is the function)."""
        target = self.target
        chain: list[Place] = [("net", None, None, False)] if self.is_net else []
        chain.append(("pci", target.address, target.ids, True))
        chain += [("pci" if ids is not None else "", name, ids, False) for name, ids in target.ancestors]
        return chain

    def _parent(self, token: Token, place: Place) -> bool | None:
        subsystem, name, ids, is_function = place
        if token.key == "SUBSYSTEMS":
            return _compare(token, [subsystem])
        if token.key == "KERNELS":
            return self._name(token) if name is None else _compare(token, [name])
        if token.key == "DRIVERS":
            return self._driver(token) if is_function else (None if ids is not None else _compare(token, [""]))
        if token.key == "ATTRS" and name is not None:
            if ids is None:
                return False  # a root bus has none of these
            key = token.name.strip()
            if key in ("vendor", "device", "subsystem_vendor", "subsystem_device", "class"):
                return _compare(token, [f"0x{ids[key]}"])
            return self._attribute(token) if is_function else None
        if token.key == "ATTRS":
            return self._attribute(token)
        return None

    def _match(self, token: Token) -> bool | None:
        key = token.key
        if key == "ACTION":
            return _compare(token, [self.action])
        if key == "SUBSYSTEM":
            return _compare(token, ["net" if self.is_net else "pci"])
        if key == "KERNEL":
            return self._name(token) if self.is_net else _compare(token, [self.target.address])
        if key == "NAME":
            return self._name(token) if self.is_net else _compare(token, [""])
        if key == "DRIVER":
            return _compare(token, [""]) if self.is_net else self._driver(token)
        if key == "DEVPATH":
            return self._devpath(token)
        if key == "ATTR":
            return self._attribute(token)
        if key == "ENV":
            return self._property(token)
        return None

    def _name(self, token: Token) -> bool | None:
        """Whether NAME or KERNEL fits. An interface has a name from the kernel first, and another after it is renamed."""
        if not self._names:
            return None
        answer = _compare(token, self._names)
        if token.op == "!=":
            return True if answer and token.value in ("lo", "lo*") else None if answer else False
        if answer:
            return True
        return None if _KERNEL_NAME.match(token.value) else False

    def _driver(self, token: Token) -> bool | None:
        """Whether DRIVER fits. At the event, the device may have its native driver, the declared one, or none."""
        target = self.target
        names = {target.driver or "", target.wanted or "", ""} | set(target.natives)
        names |= {one.replace("_", "-") for one in names}
        answers = {_compare(token, [one]) for one in names}
        return answers.pop() if len(answers) == 1 else None

    def _devpath(self, token: Token) -> bool | None:
        above = "".join(f"/{name}" for name, dummy in reversed(self.target.ancestors))
        if not above:
            return None
        path = f"/devices{above}/{self.target.address}"
        return _compare(token, [f"{path}/net/{name}" for name in self._names] if self.is_net else [path])

    def _attribute(self, token: Token) -> bool | None:
        key = token.name.strip()
        if self.is_net:
            if key == "address":
                macs = [mac for dummy, mac in self.target.nets]
                return _compare(token, macs) if macs else None
            key = key[len("device/"):] if key.startswith("device/") else ""
        known = self._attributes.get(key)
        return None if known is None or not known else _compare(token, [known])

    def _property(self, token: Token) -> bool | None:
        if token.name in self._set:
            value = self._set[token.name]
            return None if value is None else _compare(token, [value])
        if token.name == "DRIVER" and not self.is_net:
            return self._driver(token)
        if token.name in ("INTERFACE", "ID_NET_NAME") and self.is_net:
            return self._name(token)
        if token.name == "ID_NET_DRIVER" and self.is_net:
            return self._driver(token)
        known = self.env.get(token.name)
        return None if known is None else _compare(token, [known])

    def _assign(self, tokens: Iterable[Token], answer: bool | None) -> None:
        for one in tokens:
            if one.key == "ENV" and one.op in ("=", ":="):
                is_known = answer is True and "$" not in one.value and "%" not in one.value
                self._set[one.name] = one.value if is_known else None
            elif one.key == "ENV" and one.op not in MATCHING:
                self._set[one.name] = None


def _compare(token: Token, values: Iterable[str]) -> bool | None:
    """Whether one of ``values`` fits one of a token's alternatives; with != whether none does."""
    found = any_of(_fits(one, values, token.is_any_case) for one in token.value.split("|"))
    return found if found is None or token.op == "==" else not found


def _fits(pattern: str, values: Iterable[str], is_any_case: bool) -> bool | None:
    if is_any_case:
        pattern, values = pattern.lower(), [one.lower() for one in values]
    return fits_pattern(pattern, values)


__all__ = ("Event",)
