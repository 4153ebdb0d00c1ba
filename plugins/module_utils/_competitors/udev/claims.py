# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Rules of others about devices of ours: the attributes that they write, and the programs that they run. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._competitors import shell
from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import (
    NEW_ID,
    OVERRIDE,
    UNBIND,
    Claim,
    any_of,
)
from ansible_collections.vfio.host.plugins.module_utils._competitors.udev.event import Event
from ansible_collections.vfio.host.plugins.module_utils._competitors.udev.rules import MATCHING, parse
from ansible_collections.vfio.host.plugins.module_utils._competitors.writes import OF_DEVICE, ids_in

if TYPE_CHECKING:
    from typing import Collection, Iterable

    from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Note, Script, Target
    from ansible_collections.vfio.host.plugins.module_utils._competitors.udev.rules import Rule, Token

_VERBS = {**OF_DEVICE, "driver/new_id": NEW_ID}
_NEEDLE = re.compile(r"driver_override|sriov|bind|new_id|remove|RUN|PROGRAM|IMPORT")
_NEEDLE_OF_LINE = re.compile(r"driver_override|sriov|unbind|new_id|driverctl|vfio")
_ELSEWHERE = re.compile(r"(?:\[pci/(?P<place>[^\]]+)\]/?|\.\./(?P<next>[^/]+)/)(?P<attribute>.+)\Z")
_OF_DRIVER = re.compile(r"\[drivers/pci:(?P<driver>[^\]]+)\]/?(?P<attribute>bind|unbind|new_id)\Z")
_OF_SUBSYSTEM = re.compile(r"\[subsystem/pci\]/?drivers/(?P<driver>[^/]+)/(?P<attribute>bind|unbind|new_id)\Z")
_ITSELF = re.compile(r"\$kernel|%k|\$name|\$env\{PCI_SLOT_NAME\}|%E\{PCI_SLOT_NAME\}")
_OF_EVENT = re.compile(r"\b(?:DEVPATH|PCI_SLOT_NAME|INTERFACE)\b|\$[1@*]")
_UDEVS = ("/usr/lib/udev", "/lib/udev")
# The events of a function, and of an interface of it, that a boot has. What is no "add" comes after our rules.
_ACTIONS = ("add", "bind", "change")
OURS = re.compile(r"(?:59|60|61)-vfio-host-.*\.rules\Z|70-vfio-host-.*\.rules\Z")


def claims(text: str, path: str, *, name: str, script: Script, note: Note) -> list[Claim]:
    """The Claims of one rules file of others. ``name``: of the file, since files are read by name.

    ``script``: as for shell.claims(); ``note``: is called with a sentence for what is not understood.
    """
    if not _NEEDLE.search(text):
        return []
    rules = parse(text)
    found: list[Claim] = []
    for rule in rules:
        where = f"{path}:{rule.line}"
        if rule.tokens is None:
            if _NEEDLE_OF_LINE.search(rule.text):
                note(f"{where}: the rule of udev is not understood, not checked")
            continue
        for token in rule.tokens:
            # PROGRAM and IMPORT run their program whatever their operator, which is == as a rule.
            if token.op not in MATCHING or token.key in ("PROGRAM", "IMPORT"):
                found += _of_token(token, rule, where, _Reach(rules, rule, name), script)
    return found


class _Reach:
    """Which targets a rule is for."""

    def __init__(self, rules: list[Rule], rule: Rule, name: str) -> None:
        self._rules, self._rule, self.name = rules, rule, name

    def answer(self, target: Target, *, nets: Iterable[bool] = (False, True), actions: Collection[str] = _ACTIONS) -> bool | None:
        """True, False or None: whether one of a target's events gets to the rule."""
        return any_of(
            self._of_event(Event(target, action, net=net)) for net in nets for action in actions
            if not net or target.is_network
        )

    def _of_event(self, event: Event) -> bool | None:
        return next((answer for rule, answer in event.reached(self._rules) if rule is self._rule), False)


def _of_token(token: Token, rule: Rule, where: str, reach: _Reach, script: Script) -> list[Claim]:
    if token.key == "ATTR":
        claim = _of_attribute(token, rule, where, reach)
        return [] if claim is None else [claim]
    if (token.key == "RUN" and token.name in ("", "program")) or token.key == "PROGRAM" or (
        token.key == "IMPORT" and token.name == "program"
    ):
        return _of_program(token, where, reach, script)
    return []


def _of_attribute(token: Token, rule: Rule, where: str, reach: _Reach) -> Claim | None:
    says = f"a rule of udev with {token.text}"
    value = None if re.search(r"[$%](?!$)", token.value) else token.value
    elsewhere = _ELSEWHERE.match(token.name)
    if elsewhere:
        verb = _VERBS.get(elsewhere.group("attribute"))
        place = elsewhere.group("place") or elsewhere.group("next")
        if verb is None:
            return None
        return Claim(where, verb, _value(verb, value, rule), says, lambda target: _at(place, target, reach))
    driver = _OF_DRIVER.match(token.name) or _OF_SUBSYSTEM.match(token.name)
    if driver:
        return _of_driver(driver, token, where, says, reach)
    attribute, net = token.name, False
    if attribute.startswith("device/"):
        attribute, net = attribute[len("device/"):], True
    virtual = re.match(r"virtfn[^/]+/(.+)", attribute)
    if virtual:
        verb = _VERBS.get(virtual.group(1))
        if verb is None:
            return None
        return Claim(where, verb, _value(verb, value, rule), says, lambda target: None if target.physfn else False)
    verb = _VERBS.get(attribute)
    if verb is None:
        return None

    def fits(target: Target) -> bool | None:
        found = reach.answer(target, nets=(net,))
        # In an event of ours that comes later, ours is the last word; no other event undoes it again.
        is_early = verb == OVERRIDE and found and reach.name < f"60-vfio-host-{target.policy}.rules" and target.numvfs is None
        return None if is_early and reach.answer(target, nets=(net,), actions=_ACTIONS[1:]) is False else found

    if verb == NEW_ID:
        ids = ids_in(token.value)
        return Claim(where, verb, None, says, lambda target: (target.ids["vendor"], target.ids["device"]) in ids)
    return Claim(where, verb, _value(verb, value, rule), says, fits)


def _value(verb: str, value: str | None, rule: Rule) -> str | None:
    if verb != UNBIND:
        return value
    # What it is taken from.
    return next((one.value for one in rule.tokens or () if one.key == "DRIVER" and one.op == "==" and not re.search(r"[*?|\[]", one.value)), "")


def _at(place: str, target: Target, reach: _Reach) -> bool | None:
    """Whether what another device's event writes at [pci/place] is about a target."""
    if _ITSELF.search(place):
        return reach.answer(target)
    if re.search(r"[$%]", place):
        return None
    if place.lower() != target.address:
        return False
    return reach.answer(target) or None


def _of_driver(match: re.Match[str], token: Token, where: str, says: str, reach: _Reach) -> Claim:
    attribute = match.group("attribute")
    if attribute == "new_id":
        ids = ids_in(token.value)
        return Claim(where, NEW_ID, match.group("driver"), says, lambda target: (target.ids["vendor"], target.ids["device"]) in ids)
    verb = UNBIND if attribute == "unbind" else OVERRIDE
    return Claim(where, verb, match.group("driver"), says, lambda target: _at(token.value, target, reach))


def _of_program(token: Token, where: str, reach: _Reach, script: Script) -> list[Claim]:
    """What a program does to the device of the event, or to those that it names."""
    text = _ITSELF.sub("$KERNEL_OF_EVENT", token.value)
    # A program without a directory is one of udev's own (source: man 7 udev, PROGRAM).
    name = text.split(" ", 1)[0]
    text = next((f"{place}/{text}" for place in _UDEVS if "/" not in name and script(f"{place}/{name}")), text)
    scripts = [script(path) for path in re.findall(r"/[\w./@+-]+", text)]
    if not any(map(shell.speaks_of_devices, [text] + scripts)):
        return []
    says, found = f"a rule of udev with {token.text}", []
    # Words of the event are in the command, or in the environment of what it runs.
    is_own = bool(re.search(r"[$%]", token.value) or any(map(_OF_EVENT.search, scripts)))
    for claim in shell.claims(text, where, first=0, script=script, says=says):
        def fits(target: Target, claim: Claim = claim) -> bool | None:
            named = claim.fits(target)
            if named is True:
                return reach.answer(target) or None
            return reach.answer(target) if is_own else named

        found.append(replace(claim, fits=fits))
    return found


__all__ = ("OURS", "claims")
