#!/bin/sh
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs before the kernel is configured, with the unfinished tree as $1: its initramfs is built once, and cheaply.
# hostonly="no" is dracut's default; hostonly would look at the machine that builds. Drivers are named, in place of the
# hundreds that this takes otherwise: an emulated host spends three minutes on those, each time that it builds its image.
# The devices' native drivers are in it, as with initramfs-tools, and can win there.
set -eu
mkdir -p "$1/etc/dracut.conf.d"
cat > "$1/etc/dracut.conf.d/10-lab.conf" <<'CONF'
hostonly="no"
compress="zstd -1"
drivers+=" ahci e1000e igb nvme virtio_blk virtio_net virtio_pci "
filesystems+=" ext4 vfat "
CONF
