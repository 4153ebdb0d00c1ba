# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The names of the attributes of VFs, and which of them the kernel is told together. Pure.

An attribute is a name of NAMES and a value of JSON: addresses are texts as sysfs prints them, rates are Mbit/s, 0 is no limit (source:
include/uapi/linux/if_link.h struct ifla_vf_*; net/core/rtnetlink.c do_setvfinfo()).
"""

from __future__ import annotations

from typing import Dict, Tuple

# Group -> its attributes, in the order in which the kernel takes them.
GROUPS: Dict[str, Tuple[str, ...]] = {
    "mac": ("mac",),
    "vlan": ("vlan", "qos", "vlan_protocol"),
    "rate": ("min_tx_rate", "max_tx_rate"),
    "spoofchk": ("spoofchk",),
    "link_state": ("link_state",),
    "trust": ("trust",),
    "node_guid": ("node_guid",),
    "port_guid": ("port_guid",),
}
NAMES = tuple(name for names in GROUPS.values() for name in names)
LINK_STATES = ("auto", "enable", "disable")  # IFLA_VF_LINK_STATE_*, from 0
PROTOCOLS = {"802.1Q": 0x8100, "802.1ad": 0x88A8}


__all__ = ("GROUPS", "LINK_STATES", "NAMES", "PROTOCOLS")
