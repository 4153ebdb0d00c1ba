#!/bin/sh
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs before the kernel is configured, with the unfinished tree as $1: its initramfs is built once, and cheaply.
# MODULES=most is what an ordinary installation has: native drivers are in the image and can win there.
set -eu
mkdir -p "$1/etc/initramfs-tools/conf.d"
printf 'MODULES=most\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\n' > "$1/etc/initramfs-tools/conf.d/lab"
