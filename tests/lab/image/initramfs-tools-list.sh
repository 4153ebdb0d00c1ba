#!/bin/sh
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs before the kernel is configured, with the unfinished tree as $1: its initramfs is built once, and cheaply.
# For architectures that this machine emulates, where MODULES=most takes minutes: modprobe runs once a module. The disk's
# drivers are named, and the native drivers of the devices, which are in the image so and can win there. What a kernel
# does not have is left out of its image.
set -eu
mkdir -p "$1/etc/initramfs-tools/conf.d"
printf 'MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\n' > "$1/etc/initramfs-tools/conf.d/lab"
printf '%s\n' ext4 virtio_blk virtio_ccw virtio_pci virtio_net e1000e igb nvme > "$1/etc/initramfs-tools/modules"
