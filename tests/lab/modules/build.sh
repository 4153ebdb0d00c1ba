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
mkdir -p built linux

# One source, two names.
cp lab_vfio.c lab_edu_vfio.c
cp lab_vfio.c lab_greedy_vfio.c
make -C "$headers" M="$PWD" modules

# From the kernel's own source, as packaged and unchanged.
for archive in /usr/src/linux-source-*.tar.*; do
    top=$(basename "${archive%.tar.*}")
    tar -C linux --strip-components=1 -xf "$archive" "$top/drivers/vfio" "$top/drivers/crypto/hisilicon" \
        "$top/drivers/iommu/iommufd" "$top/drivers/iommu/iommu-priv.h" "$top/lib/interval_tree.c"
done
vfio=$PWD/linux/drivers/vfio/pci
hisilicon=$PWD/linux/drivers/crypto/hisilicon

# from DIRECTORY SYMBOL=m...: one driver, where this kernel has it already.
from() {
    directory=$1
    shift
    if [ -d "$directory" ]; then
        make -C "$headers" M="$directory" "$@" modules
    fi
}

case $(dpkg --print-architecture) in
amd64)
    from "$vfio/virtio" CONFIG_VIRTIO_VFIO_PCI=m
    ;;
arm64)
    from "$vfio/nvgrace-gpu" CONFIG_NVGRACE_GPU_VFIO_PCI=m
    # This variant asks the drivers of the accelerators for their PFs.
    from "$hisilicon" CONFIG_CRYPTO_DEV_HISI_QM=m CONFIG_CRYPTO_DEV_HISI_SEC2=m CONFIG_CRYPTO_DEV_HISI_HPRE=m CONFIG_CRYPTO_DEV_HISI_ZIP=m
    from "$vfio/hisilicon" KBUILD_EXTRA_SYMBOLS="$hisilicon/Module.symvers" CONFIG_HISI_ACC_VFIO_PCI=m
    ;;
esac

find . -name '*.ko' -not -path './built/*' -exec cp {} built/ \;

# VFIO once more, with what Debian leaves out of it: IOMMUFD and VFIO_DEVICE_CDEV. Modules of the two kinds do not fit together, so all of them
# are built, in a directory of their own.
cdev() {
    find linux -name '*.ko' -delete
    iommufd=$PWD/linux/drivers/iommu/iommufd
    # INTERVAL_TREE_SPAN_ITER is in no kernel without IOMMUFD.
    {
        printf '#include <linux/interval_tree.h>\n#include <linux/compiler.h>\n#include <linux/export.h>\n'
        sed -n '/^#ifdef CONFIG_INTERVAL_TREE_SPAN_ITER/,$p' linux/lib/interval_tree.c
    } > "$iommufd/span_iter.c"
    printf 'iommufd-y += span_iter.o iova_bitmap.o\n' >> "$iommufd/Makefile"
    symbols="-DCONFIG_IOMMUFD_MODULE=1 -DCONFIG_IOMMUFD_DRIVER=1 -DCONFIG_IOMMUFD_DRIVER_CORE=1 -DCONFIG_INTERVAL_TREE_SPAN_ITER=1"
    symbols="$symbols -DCONFIG_VFIO_DEVICE_CDEV=1"
    make -C "$headers" M="$iommufd" CONFIG_IOMMUFD=m CONFIG_IOMMUFD_DRIVER=n KCFLAGS="$symbols" modules
    make -C "$headers" M="$PWD/linux/drivers/vfio" KBUILD_EXTRA_SYMBOLS="$iommufd/Module.symvers" CONFIG_IOMMUFD=m \
        CONFIG_VFIO_DEVICE_CDEV=y CONFIG_VFIO_MDEV=n CONFIG_VIRTIO_VFIO_PCI=m KCFLAGS="$symbols" modules
    mkdir built/cdev
    find linux -name '*.ko' -exec cp {} built/cdev/ \;
}

# What these take from the kernel beside them was read for 6.12, and of IOMMUFD's back ends this one is emulated.
case "$(dpkg --print-architecture) $1" in
"amd64 6.12."*)
    cdev
    ;;
esac
