#!/bin/sh
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs when all packages are installed, with the tree as $1 and COMMAND_LINE in the environment: GRUB for EFI at the
# removable path, and a first grub.cfg of the same arguments as in /etc/default/grub. update-grub needs the host's own
# disk, so it first runs there.
set -eu
words='' default=''
for word in $COMMAND_LINE; do
    case $word in
    root=*) ;;     # update-grub finds the root by itself
    *iommu=*) default="${default:+$default }$word" ;;     # where people put it
    *) words="${words:+$words }$word" ;;
    esac
done
cat > "$1/etc/default/grub" <<GRUB
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=lab
GRUB_TERMINAL=console
GRUB_CMDLINE_LINUX_DEFAULT="$default"
GRUB_CMDLINE_LINUX="$words"
GRUB

version=$(basename "$1"/boot/vmlinuz-*)
version=${version#vmlinuz-}
# One package of GRUB for EFI is installed: that of the host's architecture. The firmware looks for the file of this name.
target=$(cd "$1/usr/lib/grub" && echo *-efi)
case $target in
x86_64-efi) removable=BOOTX64.EFI ;;
arm64-efi) removable=BOOTAA64.EFI ;;
*) echo "loader-grub.sh: no EFI file is known for $target" >&2; exit 1 ;;
esac
mkdir -p "$1/boot/grub/$target" "$1/boot/efi/EFI/BOOT"
cp "$1/usr/lib/grub/$target"/*.mod "$1/usr/lib/grub/$target"/*.lst "$1/boot/grub/$target/"
cat > "$1/boot/grub/grub.cfg" <<GRUB
set default="0"
set timeout=0
menuentry 'lab' --id 'gnulinux-simple' {
	linux /boot/vmlinuz-$version root=LABEL=root ro $words $default
	initrd /boot/initrd.img-$version
}
GRUB
cat > "$1/boot/grub/early.cfg" <<'GRUB'
search.fs_label root root
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
GRUB
chroot "$1" grub-mkimage -O "$target" -p /boot/grub -c /boot/grub/early.cfg -o "/boot/efi/EFI/BOOT/$removable" \
    part_gpt ext2 fat search search_label search_fs_uuid normal configfile linux echo test
