#!/bin/sh
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The disk $2, of size $3, from the tree $1: a GPT with an EFI system partition (what is below boot/efi) and the root.
set -eu
tree=$1 raw=$2
truncate -s "$3" "$raw"
total=$(($(stat -c %s "$raw") / 1048576))
esp=256 first=257
size=$((total - first - 1))     # the last MiB holds the GPT's copy
printf 'label: gpt\nstart=1MiB, size=%sMiB, type=uefi, name=esp\nstart=%sMiB, size=%sMiB, type=linux, name=root\n' \
    "$esp" "$first" "$size" | sfdisk -q "$raw"

mkfs.vfat -F 32 -s 1 -n ESP -C "$raw.esp" $((esp * 1024)) > /dev/null
for name in "$tree"/boot/efi/*; do
    mcopy -s -i "$raw.esp" "$name" ::
    rm -r "$name"
done
dd if="$raw.esp" of="$raw" bs=1M seek=1 conv=notrunc,sparse status=none
rm "$raw.esp"
# udev of an emulated host on a busy machine takes longer than the 90 seconds after which a boot ends in a rescue shell.
echo 'LABEL=ESP /boot/efi vfat umask=0077,x-systemd.device-timeout=15min 0 0' >> "$tree/etc/fstab"
mke2fs -q -t ext4 -L root -E "offset=$((first * 1048576)),lazy_itable_init=1,nodiscard" -d "$tree" "$raw" $((size * 1024))k
