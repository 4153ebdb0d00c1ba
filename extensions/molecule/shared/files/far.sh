#!/bin/sh
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Has this host give its neighbours at the cards $@ a directory, by NFS and by sftp, and a disk each, by NVMe over TCP and by
# iSCSI, at the address 10.9.N.1 and fd00:9:N::1 of the Nth card. Targets are made by the kernel's own interface.
set -eu
# Of IPv6, too, when a card is down for a while.
sysctl -q net.ipv6.conf.all.keep_addr_on_down=1
number=0
for card in "$@"; do
    number=$((number + 1))
    ip addr replace "10.9.$number.1/24" dev "$card"
    ip addr replace "fd00:9:$number::1/64" dev "$card" nodad
    ip link set "$card" up
done

mkdir -p /srv/home/lab /srv/disks
echo '/srv/home *(rw,no_root_squash,no_subtree_check,fsid=0,insecure)' > /etc/exports
systemctl start nfs-server
exportfs -ra
systemd-run --quiet --collect --unit=sftp systemd-socket-activate --listen=2222 --accept --inetd /usr/lib/openssh/sftp-server

modprobe -a nvmet nvmet-tcp target_core_mod target_core_file iscsi_target_mod
nvmet=/sys/kernel/config/nvmet target=/sys/kernel/config/target
mkdir -p "$target/iscsi"
for number in $(seq $#); do
    disk=/srv/disks/$number
    truncate -s 1536M "$disk"

    subsystem=$nvmet/subsystems/lab-$number
    mkdir "$subsystem"
    echo 1 > "$subsystem/attr_allow_any_host"
    mkdir "$subsystem/namespaces/1"
    # Blocks of 512 bytes: those of a file's own file system are larger than romfs' can be.
    losetup --find --show "$disk" > "$subsystem/namespaces/1/device_path"
    echo 1 > "$subsystem/namespaces/1/enable"
    port=$nvmet/ports/$number
    mkdir "$port"
    echo tcp > "$port/addr_trtype"
    echo ipv4 > "$port/addr_adrfam"
    echo "10.9.$number.1" > "$port/addr_traddr"
    echo 4420 > "$port/addr_trsvcid"
    ln -s "$subsystem" "$port/subsystems/lab-$number"

    store=$target/core/fileio_$number/disk
    mkdir -p "$store"
    truncate -s 1536M "$disk.iscsi"
    echo "fd_dev_name=$disk.iscsi,fd_dev_size=1610612736,fd_buffered_io=1" > "$store/control"
    echo 1 > "$store/enable"
    group=$target/iscsi/iqn.2026-01.lab:$number/tpgt_1
    mkdir -p "$group/np/10.9.$number.1:3260" "$group/lun/lun_0"
    ln -s "$store" "$group/lun/lun_0/disk"
    for attribute in authentication=0 demo_mode_write_protect=0 generate_node_acls=1 cache_dynamic_acls=1; do
        echo "${attribute#*=}" > "$group/attrib/${attribute%=*}"
    done
    echo 1 > "$group/enable"
done
