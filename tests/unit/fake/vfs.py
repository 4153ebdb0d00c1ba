# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The attributes of VFs that a PF's driver keeps: those of igb, and the words by which `ip link set` is told of them.

Source: drivers/net/ethernet/intel/igb/igb_main.c igb_ndo_set_vf_mac(), _vlan(), _bw(), _spoofchk(), _trust(), igb_ndo_get_vf_config();
net/core/rtnetlink.c do_setvfinfo(), rtnl_fill_vfinfo(). ANSWERS are those of Linux 6.1.0-50 and 6.12.117, which agree; the scenario `vfs` shows
what it sets on 6.12.
"""

from __future__ import annotations

import errno

from ansible_collections.vfio.host.plugins.module_utils._host.errors import KernelRefusal
from ansible_collections.vfio.host.plugins.module_utils._host.vfattributes import GROUPS
from ansible_collections.vfio.host.plugins.module_utils._host.vfinfo import Interface

FRESH = {
    "mac": "00:00:00:00:00:00", "vlan": 0, "qos": 0, "vlan_protocol": "802.1Q", "min_tx_rate": 0, "max_tx_rate": 0, "spoofchk": True,
    "link_state": "auto", "trust": False,
}
_MAC, _VLAN, _RATE = {"mac": "52:54:00:aa:00:00"}, {"vlan": 42, "qos": 3, "vlan_protocol": "802.1Q"}, {"min_tx_rate": 0, "max_tx_rate": 100}
# (VF of three, group, values, whether there is a link, the errno): what an igb of QEMU answered.
ANSWERS = (
    (0, "mac", _MAC, False, 0),
    (0, "mac", {"mac": "01:54:00:aa:00:00"}, False, errno.EINVAL),
    (0, "mac", {"mac": "ff:ff:ff:ff:ff:ff"}, False, errno.EINVAL),
    (0, "mac", {"mac": "00:00:00:00:00:00"}, False, 0),
    (3, "mac", _MAC, False, errno.EINVAL),
    (0, "vlan", _VLAN, False, 0),
    (0, "vlan", dict(_VLAN, vlan_protocol="802.1ad"), False, errno.EPROTONOSUPPORT),
    (0, "vlan", dict(_VLAN, vlan=4095), False, 0),
    (0, "vlan", dict(_VLAN, vlan=4096), False, errno.EINVAL),
    (0, "vlan", dict(_VLAN, qos=8), False, errno.EINVAL),
    (1, "vlan", dict(_VLAN, vlan=0, qos=5), False, 0),
    (0, "spoofchk", {"spoofchk": False}, False, 0),
    (0, "trust", {"trust": True}, False, 0),
    (0, "link_state", {"link_state": "auto"}, False, errno.EOPNOTSUPP),
    (0, "link_state", {"link_state": "disable"}, False, errno.EOPNOTSUPP),
    (0, "rate", _RATE, False, errno.EINVAL),
    (0, "rate", _RATE, True, 0),
    (0, "rate", dict(_RATE, min_tx_rate=10), True, errno.EINVAL),
    (0, "rate", dict(_RATE, max_tx_rate=5000), True, errno.EINVAL),
)
_SPEED = 1000  # of an igb, in Mbit/s
_NAMES = {"state": "link_state", "proto": "vlan_protocol"}
_FLAGS = {"on": True, "off": False}


class VfInfo:
    """What the PFs of a fake kernel keep. ``unknown``: groups that their driver cannot set; ``silent``: attributes that it takes and does not keep."""

    def __init__(self, kernel):
        self._kernel = kernel
        self._vfs = {}
        self.unknown = {"link_state", "node_guid", "port_guid"}
        self.silent = set()
        self.log = []  # (PF, VF, group) of all writes, in their order

    def made(self, address, number):
        """A PF has so many VFs, all as the driver makes them."""
        self._vfs[address] = {index: dict(FRESH) for index in range(number)}

    def of(self, address):
        """Index -> attributes of a PF's VFs."""
        return self._vfs.get(address, {})

    def read(self, index):
        """The Interface of an interface's number; None for none."""
        found = self._owner(index)
        return None if found is None else Interface(found[1].name, {vf: dict(values) for vf, values in self.of(found[0].address).items()})

    def write(self, index, name, vf, group, values):
        """As the kernel takes it, or KernelRefusal."""
        text = " ".join(f"{key}={values[key]}" for key in GROUPS[group])
        try:
            self._kernel.faults.step("vf", f"{name}/{vf}", text)
            refused = self.answer(index, vf, group, values)
            if refused:
                raise OSError(refused, "")
        except OSError as error:
            raise KernelRefusal(f"VF {vf} of {name} by rtnetlink", text, error=error) from error

    def answer(self, index, vf, group, values):
        """The errno of a write that no fault stops."""
        found = self._owner(index)
        if found is None:
            return errno.ENODEV
        function, net = found
        if self._kernel.driver_of(function.address) != "igb" or group in self.unknown:
            return errno.EOPNOTSUPP
        mine = self.of(function.address)
        self.log.append((function.address, vf, group))
        refused = _refusal(group, values, net.is_up) if vf in mine else errno.EINVAL
        if not refused:
            mine[vf].update((key, value) for key, value in values.items() if key not in self.silent)
        return refused

    def program(self, words):
        """`ip link set dev NAME vf INDEX ...` or `ls PATH`: (exit status, output)."""
        if not self._kernel.exists(self._kernel.root + words[0]):
            return 127, ""
        if words[0].endswith("/ls"):
            names = self._kernel.names(self._kernel.root + words[1])
            return (0, "\n".join(sorted(names))) if names else (2, "")
        assert words[1:4] == ["link", "set", "dev"] and words[5] == "vf", words
        index = self._kernel.number(f"{self._kernel.net}/{words[4]}/ifindex")
        vf, values = int(words[6]), _values(words[7:])
        # The kernel stops at the first attribute that it does not take; what came before stays (source: do_setvfinfo()).
        refused = any(
            self.answer(index, vf, group, dict(_told(group, values))) for group, names in GROUPS.items() if set(names).intersection(values)
        )
        return int(refused), ""

    def _owner(self, index):
        for function in self._kernel.functions.values():
            for net in function.net:
                if index is not None and self._kernel.number(f"{self._kernel.net}/{net.name}/ifindex") == index:
                    return function, net
        return None


def _values(words):
    pairs = zip(words[::2], words[1::2])
    return {_NAMES.get(key, key): _FLAGS[value] if value in _FLAGS else int(value) if value.isdecimal() else value for key, value in pairs}


def _told(group, values):
    defaults = {"qos": 0, "vlan_protocol": "802.1Q", "min_tx_rate": 0, "max_tx_rate": 0}
    return {name: values.get(name, defaults.get(name)) for name in GROUPS[group]}


def _refusal(group, values, has_link):
    if group == "mac":
        return errno.EINVAL if int(values["mac"][:2], 16) & 1 else 0
    if group == "vlan":
        if values["vlan"] > 4095 or values["qos"] > 7:
            return errno.EINVAL
        return 0 if values["vlan_protocol"] == "802.1Q" else errno.EPROTONOSUPPORT
    if group == "rate":
        return errno.EINVAL if not has_link or values["min_tx_rate"] or values["max_tx_rate"] > _SPEED else 0
    return 0


__all__ = ("ANSWERS", "FRESH", "VfInfo")
