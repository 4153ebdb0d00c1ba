#!/bin/sh
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds the lab's modules for the kernel $1, inside a system of its suite that has its headers and its source. They are
# then in the directory "built" beside this file.
set -eu
cd "$(dirname "$0")"
headers=/lib/modules/$1/build
mkdir -p built virtio

# One source, two names.
cp lab_vfio.c lab_edu_vfio.c
cp lab_vfio.c lab_greedy_vfio.c
make -C "$headers" M="$PWD" modules

# From the kernel's own source, as packaged; a kernel before 6.8 has no such driver.
for archive in /usr/src/linux-source-*.tar.*; do
    top=$(basename "${archive%.tar.*}")
    if tar -C virtio --strip-components=5 -xf "$archive" "$top/drivers/vfio/pci/virtio"; then
        make -C "$headers" M="$PWD/virtio" CONFIG_VIRTIO_VFIO_PCI=m modules
    fi
done

find . -name '*.ko' -not -path './built/*' -exec cp {} built/ \;
