#!/bin/sh
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Turns the unpacked tree $1 into a lab host. Writes files only, and runs nothing of the tree: so it serves every
# architecture. SSH_MAC and SSH_KEY come from the environment.
set -eu
cd "$1"

mkdir -p dev     # the tar comes without device nodes, and without their directory
echo 'LABEL=root / ext4 defaults,noatime 0 0' > etc/fstab
echo lab > etc/hostname     # systemd.hostname= on the kernel's command line names each host
printf '127.0.0.1 localhost\n::1 localhost\n' > etc/hosts
rm -f etc/resolv.conf
: > etc/resolv.conf     # no name is ever looked up: a host reaches nothing beyond its machine
head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n' > etc/machine-id
echo >> etc/machine-id

# The host's own NIC, by its MAC; every other interface stays down and unmanaged. The addresses are those of QEMU's user
# network, whose DHCP offers no route where it lets nothing out; a host has a default route, so this one has.
cat > etc/systemd/network/10-ssh.network <<NETWORK
[Match]
MACAddress=$SSH_MAC
Type=ether

[Network]
Address=10.0.2.15/24
Gateway=10.0.2.2
LinkLocalAddressing=no
IPv6AcceptRA=no
NETWORK

mkdir -p root/.ssh etc/ssh/sshd_config.d
chmod 700 root/.ssh
echo "$SSH_KEY" > root/.ssh/authorized_keys
chmod 600 root/.ssh/authorized_keys
printf 'PermitRootLogin prohibit-password\nPasswordAuthentication no\nUseDNS no\nPrintMotd no\nPrintLastLog no\n' \
    > etc/ssh/sshd_config.d/lab.conf

units=etc/systemd/system
mkdir -p $units/multi-user.target.wants $units/sockets.target.wants
ln -sf /usr/lib/systemd/system/systemd-networkd.service $units/multi-user.target.wants/
ln -sf /usr/lib/systemd/system/systemd-networkd.socket $units/sockets.target.wants/
rm -f $units/network-online.target.wants/systemd-networkd-wait-online.service

# What an emulated host would spend its first minute on.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer man-db.timer fstrim.timer \
    e2scrub_all.timer e2scrub_reap.service systemd-networkd-wait-online.service systemd-timesyncd.service \
    systemd-tmpfiles-clean.timer systemd-pstore.service getty@tty1.service; do
    ln -sf /dev/null "$units/$unit"
done

# The journal lives in memory; the kernel's messages go to the console, and stay there.
mkdir -p etc/systemd/journald.conf.d etc/sysctl.d
printf '[Journal]\nStorage=volatile\n' > etc/systemd/journald.conf.d/lab.conf
echo 'kernel.printk = 7 4 1 7' > etc/sysctl.d/lab.conf

# Newer than /usr: else systemd rebuilds its hardware database and catalogue at the first boot of every overlay.
touch etc/.updated var/.updated
