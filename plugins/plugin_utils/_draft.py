# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""A draft of a host's variables: what could be taken, as comments, so that it declares nothing until somebody edits it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from typing import Any

from ansible_collections.vfio.host.plugins.plugin_utils._put import put
from ansible_collections.vfio.host.plugins.plugin_utils._survey import FREE, REFUSED, fragments, numbered, partners, state_of
from ansible_collections.vfio.host.plugins.plugin_utils._text import Line, clean, fill

_WIDTH = 100
_INDENT = 4
_HEAD = "# Draft by vfio.host.survey for {host}: {digest}"
_FIRST = re.compile(r"# Draft by vfio\.host\.survey for (?P<host>.+): (?P<digest>[0-9a-f]{16})\Z")
_ABOUT = """\
#
# What could be taken of this host, each device as an entry of a policy. All is comment, so nothing is declared.
# Take the "# " off what is to be taken, and rename the policy. A survey writes this file again as long as nobody edits it.
---
"""
# On InfiniBand an address begins with the number of a queue, which a boot may change (source: linux drivers/infiniband/ulp/ipoib).
_ETHERNET = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
_MAGIC = re.compile(r"[*?\[]|{[{%#]")
_OFF = "# The IOMMU is off. Which devices go together is known after the boot that turns it on: survey again then.\n"


class Refused(Exception):
    """The file is not ours to write; the message says why, and what to do."""


def text(facts: dict[str, Any], *, host: str) -> str:
    """The whole draft. It begins with a line that knows the rest by its digest."""
    facts = numbered(facts)
    # What only the IOMMU keeps from VFIO is to be had after the boot that turns it on.
    states = (FREE,) if facts["iommu"]["enabled"] else (FREE, REFUSED)
    free = [device for device in facts["devices"].values() if state_of(device, facts) in states]
    body = _ABOUT + ("" if facts["iommu"]["enabled"] else _OFF) + _policies(free, facts) + _cards(free, facts)
    return f"{_HEAD.format(host=host, digest=_digest(body))}\n{body}"


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _policies(free: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    if not free:
        return "# Nothing could be taken of this host by now; vfio.host.survey says why.\n"
    lines, seen = ["# passthrough_devices:", "#   guests:"], set()
    names, shared = {device["address"] for device in free}, _counts(facts)
    for device in sorted(free, key=lambda device: device["address"]):
        if device["address"] in seen:
            continue
        others = partners(device, facts)
        # A comment ends with its line, and YAML takes no character that controls a terminal, not even there.
        words = [clean(one).replace("\n", " ") for one in fragments(device, facts)]
        told = fill([device["address"], *words], _WIDTH - 8, indent=0)
        lines += [f"#     # {line}" for line in told]
        if others and not names.issuperset(others):
            lines.append("#     # Not all of its IOMMU group is free: vfio.host.survey says what needs the others.")
        lines.append(f"#     - match: {_flow(identity(device, shared))}")
        if others:
            lines.append("#       iommu_group: extend")
            seen.update(others)
    return "\n".join(lines) + "\n"


def _cards(free: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    """The cards that can have VFs: for who wants these instead of the whole card."""
    cards = [card for card in free if card["sriov"]]
    if not cards:
        return ""
    lines = ["# Virtual functions of a card, instead of the whole card above:", "# passthrough_sriov:"]
    shared = _counts(facts)
    for card in sorted(cards, key=lambda card: card["address"]):
        lines += [
            f"#   - match: {_flow(identity(card, shared))}",
            f"#     numvfs: {card['sriov']['total']}",
        ]
    return "\n".join(lines) + "\n"


def _counts(facts: dict[str, Any]) -> Counter[str]:
    """How many devices have a MAC address or a serial number."""
    devices = facts["devices"].values()
    return Counter(
        value for device in devices for value in {card["mac"] for card in device["net"]} | ({device["serial"]} if device["serial"] else set())
    )


def identity(device: dict[str, Any], shared: Counter[str]) -> dict[str, str]:
    """The match that finds a device again best: what is its own, else its place together with its ids.

    ``shared``: MAC addresses and serial numbers to how many devices have them.
    """
    zpci = device["zpci"] or {}
    if zpci.get("uid") and zpci.get("uid_is_unique"):
        return {"uid": zpci["uid"]}
    if zpci:
        return {"function_id": zpci["function_id"]}
    # Of several interfaces some may be representors of VFs, whose addresses are made anew at each boot.
    mac = device["net"][0]["mac"] or "" if len(device["net"]) == 1 and not device["is_vf"] else ""
    if _ETHERNET.match(mac) and mac.strip("0:") and shared[mac] <= 1:
        return {"mac": mac}
    serial = device["serial"]
    # A match would take it for a glob, which may fit others, or Ansible for a template.
    if serial and shared[serial] <= 1 and not _MAGIC.search(serial) and serial == serial.strip():
        return {"serial": serial}
    return {"address": device["address"], "vendor": device["vendor"], "device": device["device"]}


def _flow(match: dict[str, str]) -> str:
    """A mapping of texts as YAML's flow style, which JSON's strings are."""
    return "{" + ", ".join(f"{key}: {json.dumps(str(value))}" for key, value in match.items()) + "}"


def told(path: str, *, is_new: bool, checking: bool, width: int) -> list[Line]:
    """What is said of the draft below the survey, as Lines."""
    if not is_new:
        said = f"The draft in {path} is as it was."
    elif checking:
        said = f"Without --check, a draft is written to {path}."
    else:
        said = f'The draft is in {path}: take the "# " off what is to be taken.'
    return [Line(line) for line in fill([said], width, indent=_INDENT)]


def before(path: str, *, host: str) -> str | None:
    """The draft that is there; None where nothing is. Raises Refused where it is another file, edited, or another host's."""
    try:
        with open(path, encoding="utf-8") as stream:
            text_ = stream.read()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path} cannot be read, so it is left as it is: {error}") from error
    first, dummy, body = text_.partition("\n")
    ours = _FIRST.match(first)
    if ours is None:
        raise Refused(f"{path} is no draft of vfio.host.survey, and is left as it is: name another file in passthrough_draft")
    if ours["host"] != host:
        raise Refused(
            f"{path} is the draft of {ours['host']}, and {host} would overwrite it: have the host's name in passthrough_draft, such as "
            "host_vars/{{ inventory_hostname }}.yml"
        )
    if ours["digest"] != _digest(body):
        raise Refused(
            f"{path} was edited since the survey wrote it, and is left as it is: name another file in passthrough_draft, or leave it out"
        )
    return text_


def write(path: str, content: str) -> None:
    """Put the draft in place in one step, and make its directory where there is none. Raises Refused."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        put(path, content)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror}") from error


__all__ = ("Refused", "before", "identity", "text", "told", "write")
