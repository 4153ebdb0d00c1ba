#!/bin/sh
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Copies the running root upon LVM on the NVMe at address $1, a mirror of those at $2 and $3, and LUKS on the one at $4.
# Makes an initramfs at $5 that brings up all three: root= says which of them is to be the root.
set -eu
disk() { readlink -f "/dev/disk/by-path/pci-$1-nvme-1"; }
lvm=$(disk "$1") first=$(disk "$2") second=$(disk "$3") crypt=$(disk "$4")
work=/run/stack
mkdir -p "$work"

pvcreate -q -y "$lvm"
vgcreate -q stack "$lvm"
lvcreate -q -y -n lvm -l 100%FREE stack

mdadm --create /dev/md/raid --run --homehost=any --level=1 --raid-devices=2 --assume-clean "$first" "$second"
mdadm --detail --scan >> /etc/mdadm/mdadm.conf

# A key of that length and one iteration: nothing is secret here, and an emulated processor hashes slowly.
mkdir -m 700 /etc/keys
head -c 64 /dev/urandom > /etc/keys/luks.key
cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$crypt" /etc/keys/luks.key
cryptsetup open --key-file /etc/keys/luks.key "$crypt" luks
echo "luks UUID=$(cryptsetup luksUUID "$crypt") /etc/keys/luks.key luks,initramfs" > /etc/crypttab
echo 'KEYFILE_PATTERN="/etc/keys/*.key"' >> /etc/cryptsetup-initramfs/conf-hook
echo 'UMASK=0077' > /etc/initramfs-tools/conf.d/keys

for device in /dev/mapper/stack-lvm /dev/md/raid /dev/mapper/luks; do
    mkfs.ext4 -q -E lazy_itable_init=1 "$device"
    mount "$device" "$work"
    cp -ax / "$work"
    echo "$device / ext4 defaults,noatime 0 0" > "$work/etc/fstab"
    umount "$work"
done

mkinitramfs -o "$5"
