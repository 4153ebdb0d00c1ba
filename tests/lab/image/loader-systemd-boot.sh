#!/bin/sh
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs when all packages are installed, with the tree as $1 and COMMAND_LINE in the environment: systemd-boot at the
# removable path, and the kernel's entry by kernel-install, as the host itself makes it later.
set -eu
efi=$1/boot/efi
mkdir -p "$efi/EFI/BOOT" "$efi/EFI/systemd" "$efi/loader/entries" "$1/etc/kernel"
cp "$1/usr/lib/systemd/boot/efi/systemd-bootx64.efi" "$efi/EFI/systemd/systemd-bootx64.efi"
cp "$1/usr/lib/systemd/boot/efi/systemd-bootx64.efi" "$efi/EFI/BOOT/BOOTX64.EFI"
printf 'timeout 0\n' > "$efi/loader/loader.conf"
printf '%s\n' "$COMMAND_LINE" > "$1/etc/kernel/cmdline"
printf 'lab\n' > "$1/etc/kernel/entry-token"     # not the machine id: each image draws its own
printf 'layout=bls\n' > "$1/etc/kernel/install.conf"

version=$(basename "$1"/boot/vmlinuz-*)
version=${version#vmlinuz-}
# BOOT_ROOT: no partition is mounted here for it to find.
chroot "$1" env BOOT_ROOT=/boot/efi kernel-install add "$version" "/boot/vmlinuz-$version"
# kernel-install writes paths from the partition's root, which it takes for a directory here.
sed -i 's|/boot/efi/|/|' "$efi/loader/entries/lab-$version.conf"
