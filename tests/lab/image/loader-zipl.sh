#!/bin/sh
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs when all packages are installed, with the tree as $1 and COMMAND_LINE in the environment: zipl with its hooks, and a zipl.conf as
# Debian's installer writes it. Of s390-tools this takes what zipl needs, and not the 80 MB on which other programs of it depend.
# The boot record is written by the image's own first boot, which runs install-loader in place of init.
set -eu
deb=$(mktemp -d)
(cd "$deb" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -q download s390-tools)
dpkg-deb --fsys-tarfile "$deb"/s390-tools_*.deb |
    tar -C "$1" -x ./usr/sbin/zipl ./usr/lib/s390-tools ./etc/initramfs ./etc/kernel
rm -r "$deb"

version=$(basename "$1"/boot/vmlinuz-*)
version=${version#vmlinuz-}
cat > "$1/etc/zipl.conf" <<ZIPL
[defaultboot]
defaultmenu = menu

:menu
default = 1
target = /boot
1 = debian

[debian]
target = /boot
image = /boot/vmlinuz-$version
ramdisk = /boot/initrd.img-$version
parameters = $COMMAND_LINE
ZIPL

mkdir -p "$1/usr/local/sbin"
cat > "$1/usr/local/sbin/install-loader" <<'INIT'
#!/bin/sh
# Another shell goes on, which does not have this file open: it is gone then, and the file system can be closed.
rm -- "$0"
exec sh -c '
    zipl -V && sync && mount -o remount,ro / && echo "lab: the boot record is written"
    echo o > /proc/sysrq-trigger
    sleep 60'
INIT
chmod 755 "$1/usr/local/sbin/install-loader"
