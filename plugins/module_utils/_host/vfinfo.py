# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The attributes of VFs that the kernel keeps with their PF's interface: read and set by rtnetlink, as `ip link` does.

Their names are in vfattributes.py. Those of one group are set in one message, so that a refusal is of one group.
"""

from __future__ import annotations

import socket
import struct
from contextlib import closing
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from ansible_collections.vfio.host.plugins.module_utils._host.errors import KernelRefusal
from ansible_collections.vfio.host.plugins.module_utils._host.vfattributes import GROUPS, LINK_STATES, PROTOCOLS

_ERROR, _NEWLINK, _GETLINK, _SETLINK = 2, 16, 18, 19
_REQUEST, _ACK = 0x1, 0x4
_IFNAME, _VFINFO_LIST, _EXT_MASK = 3, 22, 29
_WITH_VFS, _WITHOUT_STATISTICS = 0x1, 0x8  # RTEXT_FILTER_VF, RTEXT_FILTER_SKIP_STATS
_VF_INFO, _VLAN_LIST, _VLAN_INFO = 1, 12, 1
_HEADER, _INTERFACE, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BxHiII"), struct.Struct("=HH")
_TWO, _THREE, _MAC = struct.Struct("=II"), struct.Struct("=III"), struct.Struct("=I32s")
_VLAN, _GUID = struct.Struct("=III2sxx"), struct.Struct("=I4xQ")
_KIND = 0x3FFF  # NLA_TYPE_MASK
_UNKNOWN = 0xFFFFFFFF  # what a driver that does not tell leaves (source: net/core/rtnetlink.c rtnl_fill_vfinfo())
_LONGEST, _SECONDS = 1 << 20, 5


class Interface(NamedTuple):
    """What the kernel says of an interface: its name, and of each VF by its index (attribute -> value), without what a driver does not tell."""

    name: str
    vfs: Dict[int, Dict[str, Any]]


class Wire(NamedTuple):
    """How a group is sent and read: IFLA_VF_* and two functions, (vf, values) -> bytes and bytes -> values."""

    kind: int
    pack: Callable[[int, Dict[str, Any]], bytes]
    unpack: Callable[[bytes], Dict[str, Any]]


def read(index: int) -> Optional[Interface]:
    """The interface of this number, with its VFs; None where there is none in this network namespace, or the kernel does not answer."""
    try:
        answer = _asked(request(_GETLINK, _REQUEST, index=index, attributes=_attribute(_EXT_MASK, struct.pack("=I", _WITH_VFS | _WITHOUT_STATISTICS))))
        return parse(answer)
    except (OSError, struct.error, ValueError):
        return None


def write(index: int, *, name: str, vf: int, group: str, values: Dict[str, Any]) -> None:
    """Set the attributes of one group of a VF of interface ``index``. ``name``: the interface's, for the message of a KernelRefusal."""
    wire = WIRES[group]
    packed = _attribute(wire.kind, wire.pack(vf, values))
    message = request(_SETLINK, _REQUEST | _ACK, index=index, attributes=_attribute(_VFINFO_LIST, _attribute(_VF_INFO, packed)))
    shown = " ".join(f"{key}={values[key]}" for key in GROUPS[group])
    try:
        refused = refusal(_asked(message))
    except OSError as error:
        raise KernelRefusal(f"VF {vf} of {name} by rtnetlink", shown, error=error) from error
    if refused:
        raise KernelRefusal(f"VF {vf} of {name} by rtnetlink", shown, error=OSError(refused, ""))


def request(kind: int, flags: int, *, index: int, attributes: bytes) -> bytes:
    """A message about one interface."""
    body = _INTERFACE.pack(socket.AF_UNSPEC, 0, index, 0, 0) + attributes
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body


def parse(answer: bytes) -> Optional[Interface]:
    """The answer to a request for an interface; None for an error. Raises struct.error, ValueError for what the kernel does not send."""
    length, kind = _HEADER.unpack_from(answer)[:2]
    if kind != _NEWLINK:
        return None
    name, vfs = "", {}
    for number, value in _attributes(answer[_HEADER.size + _INTERFACE.size:length], of_interface=True):
        if number == _IFNAME:
            name = value.rstrip(b"\0").decode()
        elif number == _VFINFO_LIST:
            for dummy, one in _attributes(value):
                vf, found = _vf(one)
                vfs[vf] = found
    return Interface(name, vfs)


def refusal(answer: bytes) -> int:
    """The errno in an acknowledgement; 0 for none."""
    dummy, kind = _HEADER.unpack_from(answer)[:2]
    return -struct.unpack_from("=i", answer, _HEADER.size)[0] if kind == _ERROR else 0


def _asked(message: bytes) -> bytes:
    with closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)) as link:
        link.settimeout(_SECONDS)
        link.sendto(message, (0, 0))
        return link.recv(_LONGEST)


def _vf(data: bytes) -> Tuple[int, Dict[str, Any]]:
    """Index and attributes of one IFLA_VF_INFO."""
    parts: Dict[int, bytes] = dict(_attributes(data))
    found: Dict[str, Any] = {}
    for wire in WIRES.values():
        if wire.kind in parts:
            found.update(wire.unpack(parts[wire.kind]))
    # The kernel tells each VF's index with its address, and again with all else.
    return struct.unpack_from("=I", parts.get(WIRES["mac"].kind, b""))[0], found


def _number(name: str) -> Callable[[bytes], Dict[str, Any]]:
    def unpack(data: bytes) -> Dict[str, Any]:
        dummy, value = _TWO.unpack_from(data)
        return {} if value == _UNKNOWN else {name: bool(value)}
    return unpack


def _link_state(data: bytes) -> Dict[str, Any]:
    dummy, value = _TWO.unpack_from(data)
    return {"link_state": LINK_STATES[value]} if value < len(LINK_STATES) else {}


def _pack_vlan(vf: int, values: Dict[str, Any]) -> bytes:
    protocol = struct.pack(">H", PROTOCOLS[values["vlan_protocol"]])
    return _attribute(_VLAN_INFO, _VLAN.pack(vf, values["vlan"], values["qos"], protocol))


def _vlan(data: bytes) -> Dict[str, Any]:
    for dummy, one in _attributes(data):
        dummy, vlan, qos, protocol = _VLAN.unpack_from(one)
        number = struct.unpack(">H", protocol)[0]
        found: Dict[str, Any] = {"vlan": vlan, "qos": qos}
        found.update(("vlan_protocol", name) for name, known in PROTOCOLS.items() if known == number)
        return found
    return {}


def _rates(data: bytes) -> Dict[str, Any]:
    dummy, least, most = _THREE.unpack_from(data)
    return {"min_tx_rate": least, "max_tx_rate": most}


def _guid(name: str) -> Wire:
    kind = {"node_guid": 10, "port_guid": 11}[name]
    return Wire(
        kind, lambda vf, values: _GUID.pack(vf, int(values[name].replace(":", ""), 16)),
        lambda data: {name: _text(struct.pack(">Q", _GUID.unpack_from(data)[1]))},
    )


def _text(data: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in data)


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _length_of_list(data: bytes, at: int) -> int:
    """The length of the list of VFs at ``at``. Its field has 16 bits, and of more than some 300 VFs the kernel drops the rest (source:
    include/net/netlink.h nla_nest_end()), so the VFs themselves tell. What follows the list is of another kind.
    """
    end = at + _ATTRIBUTE.size
    while end + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, end)
        if kind & _KIND != _VF_INFO or length < _ATTRIBUTE.size:
            break
        end += (length + 3) & ~3
    return end - at


def _attributes(data: bytes, *, of_interface: bool = False) -> List[Tuple[int, bytes]]:
    """(number, value) of each attribute, without the flags of the number. ``of_interface``: they are those of an interface."""
    found, at = [], 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if kind & _KIND == _VFINFO_LIST and of_interface:
            length = _length_of_list(data, at)
        if length < _ATTRIBUTE.size:
            raise ValueError(f"an attribute of {length} bytes")
        found.append((kind & _KIND, data[at + _ATTRIBUTE.size:at + length]))
        at += (length + 3) & ~3
    return found


WIRES: Dict[str, Wire] = {
    # The answer has room for the longest address, and does not say how long this one is.
    "mac": Wire(
        1, lambda vf, values: _MAC.pack(vf, bytes.fromhex(values["mac"].replace(":", ""))),
        lambda data: {"mac": _text(_MAC.unpack_from(data)[1][:6])},
    ),
    "vlan": Wire(_VLAN_LIST, _pack_vlan, _vlan),
    "rate": Wire(6, lambda vf, values: _THREE.pack(vf, values["min_tx_rate"], values["max_tx_rate"]), _rates),
    "spoofchk": Wire(4, lambda vf, values: _TWO.pack(vf, values["spoofchk"]), _number("spoofchk")),
    "link_state": Wire(5, lambda vf, values: _TWO.pack(vf, LINK_STATES.index(values["link_state"])), _link_state),
    "trust": Wire(9, lambda vf, values: _TWO.pack(vf, values["trust"]), _number("trust")),
    "node_guid": _guid("node_guid"),
    "port_guid": _guid("port_guid"),
}


__all__ = ("Interface", "WIRES", "Wire", "parse", "read", "refusal", "request", "write")
