#!/bin/sh
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Moves the host's address from wherever it is to $1 (plain, bond, vlan, vf), over the card $2; $3 is a bond's second port.
# Open connections stay: the address does.
set -eu
card=$2 second=$3 address=10.0.2.15/24 gateway=10.0.2.2
systemctl stop systemd-networkd.socket systemd-networkd.service
for name in br0.7 br0 bond0; do
    if [ -e "/sys/class/net/$name" ]; then ip link del "$name"; fi
done
ip addr flush dev "$card"
if [ "$(cat "/sys/class/net/$card/device/sriov_numvfs")" != 0 ]; then echo 0 > "/sys/class/net/$card/device/sriov_numvfs"; fi

case $1 in
plain)
    top=$card ;;
bond)
    top=bond0
    ip link add bond0 type bond mode active-backup miimon 100
    for port in "$card" "$second"; do
        ip link set "$port" down
        ip link set "$port" master bond0
    done
    ip link set bond0 type bond primary "$card" ;;
vlan)
    # The wire knows no VLAN: the bridge takes the tag off at its port.
    top=br0.7
    ip link add br0 type bridge vlan_filtering 1 vlan_default_pvid 0
    ip link set "$card" master br0
    bridge vlan add dev "$card" vid 7 pvid untagged
    bridge vlan add dev br0 vid 7 self
    ip link set br0 up
    ip link add link br0 name br0.7 type vlan id 7 ;;
vf)
    top=${card}v0
    ip link set "$card" up
    echo 1 > "/sys/class/net/$card/device/sriov_numvfs"
    udevadm settle ;;
esac
ip link set "$card" up
ip link set "$top" up
ip addr add "$address" dev "$top"
ip route replace default via "$gateway"
