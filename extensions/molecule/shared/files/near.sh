#!/bin/sh
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Has this host depend on the one at the other end of the card $2, which calls it its $3rd neighbour: $1 says by what. With a
# minus sign before it, it does so no more.
set -eu
what=$1 card=$2 number=$3 far=10.9.$3.1 own=10.9.$3.2

# The card's addresses; $1 is what ip is run by.
addresses() {
    $1 ip addr replace "$own/24" dev "$card"
    $1 ip addr replace "fd00:9:$number::2/64" dev "$card" nodad
    $1 ip link set "$card" up
}

# Puts the card into a network namespace.
away() {
    ip netns add away
    ip link set "$card" netns away
    ip netns exec away ip link set lo up
    addresses "ip netns exec away"
}

# Gets it back.
back() {
    ip netns del away
    for _ in $(seq 50); do
        if [ -e "/sys/class/net/$card" ]; then break; fi
        sleep 0.2
    done
    addresses ""
}

# A second sshd in the namespace, run by the command $@: what logs in there is in that namespace.
serve() {
    away
    mkdir -p /run/sshd
    systemd-run --quiet --collect --unit=away "$@" /usr/sbin/sshd -D -o PidFile=none
}

# A disk of the other host's, in "disk".
nvme_disk() {
    modprobe nvme-tcp
    echo "transport=tcp,traddr=$far,trsvcid=4420,nqn=lab-$number" > /dev/nvme-fabrics
    disk=
    while [ -z "$disk" ]; do
        sleep 0.2
        # The model of Linux' own target.
        disk=$(lsblk --nodeps --noheadings --paths --output NAME,MODEL | awk '$2 == "Linux" { print $1 }')
    done
}

iscsi_disk() {
    iscsistart -i iqn.2026-01.lab:near -t "iqn.2026-01.lab:$number" -g 1 -a "$far"
    udevadm settle
    disk=/dev/disk/by-path/ip-$far:3260-iscsi-iqn.2026-01.lab:$number-lun-0
}

# Has user space start again from a copy of / on the disk: the kernel goes on, and so do its connections.
move() {
    mkfs.ext4 -q -F -O ^has_journal "$disk"
    mkdir -p /run/nextroot
    mount "$disk" /run/nextroot
    tar -C / --one-file-system --exclude=./boot --exclude=./usr/share/doc --exclude=./usr/share/locale --exclude=./usr/share/man \
        --exclude=./var/cache --exclude=./var/lib/apt --exclude=./swapfile -c . | tar -C /run/nextroot -x
    # / is what is mounted there.
    echo > /run/nextroot/etc/fstab
    systemd-run --quiet --collect --on-active=2 systemctl soft-reboot
}

case $what in
wire)
    addresses ""
    for _ in $(seq 60); do
        if python3 -c "import socket; socket.create_connection(('$far', 2049), 1)" 2> /dev/null; then exit; fi
        sleep 0.5
    done
    exit 1 ;;
nfs)
    mkdir -p /home
    # Without mount's helper, which not every host has.
    mount -i -t nfs4 -o "addr=$far,clientaddr=$own,vers=4.2" "$far:/" /home
    test -d /home/lab ;;
-nfs) umount /home ;;
# Somebody works where nobody answers.
hung) systemd-run --quiet --collect --unit=hung sh -c 'cd /home; exec ls -l lab/*' ;;
-hung) systemctl stop hung 2> /dev/null || true ;;
sshfs)
    sshfs -o directport=2222 "$far:/srv/home" /srv
    test -d /srv/lab ;;
-sshfs) umount /srv ;;
nvme)
    nvme_disk
    python3 /run/romfs.py "$disk"
    mount -t romfs "$disk" /srv ;;
-nvme)
    umount /srv
    for controller in /sys/class/nvme/nvme*; do
        if [ "$(cat "$controller/transport")" = tcp ]; then echo 1 > "$controller/delete_controller"; fi
    done
    udevadm settle ;;
iscsi)
    iscsi_disk
    python3 /run/romfs.py "$disk"
    mount -t romfs "$disk" /srv ;;
-iscsi)
    umount /srv
    # Takes the session over, and ends it.
    systemctl start iscsid
    iscsiadm -m session -u
    udevadm settle ;;
nvme_root)
    nvme_disk
    move ;;
iscsi_root)
    iscsi_disk
    move ;;
ipv6) ip addr del "$own/24" dev "$card" ;;
-ipv6) addresses "" ;;
# /sys is that of the host's own namespace.
management) serve nsenter --net=/run/netns/away ;;
# /sys is that of the namespace.
executed) serve ip netns exec away ;;
-management | -executed)
    systemctl stop away
    back ;;
elsewhere)
    away
    nsenter --net=/run/netns/away mount -i -t nfs4 -o "addr=$far,clientaddr=$own,vers=4.2" "$far:/" /home
    test -d /home/lab ;;
-elsewhere)
    umount /home
    back ;;
esac
