#!/bin/sh
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The disk $2, of size $3, from the tree $1: one file system, no partitions, nothing that boots.
set -eu
truncate -s "$3" "$2"
mke2fs -q -t ext4 -L root -E lazy_itable_init=1,nodiscard -d "$1" "$2"
